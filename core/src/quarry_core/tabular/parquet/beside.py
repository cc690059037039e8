"""Rows of the source and their outcomes as two streams that are put beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from quarry_core.tabular.parquet.part_errors import PartDiffers


class RowStream:
    """Batches, to be taken by any number of rows."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = iter(batches)
        self._batch: pa.RecordBatch | None = None
        self._at = 0

    def ready(self) -> int:
        """How many rows can be taken at once; 0 at the end."""
        while self._batch is None or self._at == self._batch.num_rows:
            self._batch = next(self._batches, None)
            self._at = 0
            if self._batch is None:
                return 0
        return int(self._batch.num_rows) - self._at

    def take(self, count: int) -> pa.RecordBatch:
        assert self._batch is not None
        taken = self._batch.slice(self._at, count)
        self._at += count
        return taken

    def some(self, rows: int) -> Iterator[pa.RecordBatch]:
        """So many of the next rows, or all that are left."""
        while rows and (ready := self.ready()):
            taken = self.take(min(ready, rows))
            rows -= taken.num_rows
            yield taken


def side_by_side(schema: pa.Schema, left: RowStream, right: RowStream) -> Iterator[pa.RecordBatch]:
    """The columns of both in batches as both allow, without copying, until one of them ends. Raises PartDiffers."""
    while count := min(left.ready(), right.ready()):
        arrays = [*left.take(count).columns, *right.take(count).columns]
        for wanted, found in zip(schema, arrays, strict=True):
            if found.type != wanted.type:
                raise PartDiffers(wanted.name, f"it is {found.type} where {wanted.type} was accepted")
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
