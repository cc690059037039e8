"""Streams of rows that are put beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa


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
