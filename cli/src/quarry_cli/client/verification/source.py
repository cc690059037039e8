"""The columns of a part that came from the source, held against the source itself or the copy of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

from quarry_cli.client.verification.verified import Findings
from quarry_core.contract.names import rows_key
from quarry_core.errors import Changed, Missing, PortError
from quarry_core.ports import ObjectRef, Objects
from quarry_core.tabular.arrow_equal import same_values
from quarry_core.tabular.dataset import Dataset
from quarry_core.tabular.parquet.rows import ParquetSource
from quarry_core.tabular.rows import SourceError


class SourceComparison:
    """Compares parts with what they were joined from.

    Args:
        rows_of: the run under whose id the copies of rows stand.

    Attributes:
        compared: rows whose columns were compared.
    """

    def __init__(self, objects: Objects, rows_of: str, findings: Findings) -> None:
        self._objects = objects
        self._rows_of = rows_of
        self._findings = findings
        self.compared = 0

    def rows(self, shard: str, dataset: Dataset | None, first_row: int | None, rows: int) -> SourceRows | None:
        """The rows of a shard as the join had them: of the copy, where there is one, else of the source."""
        if dataset is None or first_row is None:
            return None
        copy = ObjectRef(rows_key(self._rows_of, shard))
        try:
            if dataset.copied:
                info = self._objects.head(copy)
                body = self._objects.random_access(ObjectRef(copy.key, etag=info.etag, size_bytes=info.size_bytes))
                copied = ParquetSource(body, copy.key)
                return SourceRows(copied.read(0, copied.rows), body)
        except Missing:
            pass
        except PortError as error:
            self.not_compared(shard, error)
            return None
        names = dataset.result_schema.names if dataset.count.sent_only else None
        return SourceRows(dataset.read(first_row, min(rows, dataset.count.rows - first_row), names))

    def same(
        self, shard: str, key: str, batch: pa.RecordBatch, at: int, source: SourceRows | None
    ) -> SourceRows | None:
        """Compare; what is left to compare with, or None if nothing more is to be compared."""
        if source is None:
            return None
        try:
            for begin, wanted in source.take(batch.num_rows):
                here = batch.slice(begin, wanted.num_rows)
                for name in wanted.schema.names:
                    found = here.schema.get_field_index(name)
                    if found < 0 or not _same_column(here.column(found), wanted.column(name)):
                        row = at + begin
                        self._findings.differ(
                            key,
                            f"column {name!r} differs from the source in rows {row:,} to {row + here.num_rows - 1:,}",
                        )
                        source.close()
                        return None
                self.compared += wanted.num_rows
        except (Changed, Missing) as error:
            self._findings.differ(f"the source of shard {shard}", f"it is not what it was when it was read: {error}")
            return None
        except (PortError, SourceError) as error:
            self.not_compared(shard, error)
            return None
        except _TooFew as few:
            self._findings.differ(key, f"the source ends {few} rows before the part does")
            return None
        return source

    def not_compared(self, shard: str, error: Exception) -> None:
        self._findings.not_checked(f"the rows of shard {shard} were not compared with the source: {error}")


class _TooFew(Exception):
    """The source has fewer rows than are wanted."""


class SourceRows:
    """Rows of a source, to be taken by any number of them."""

    def __init__(self, batches: Iterator[pa.RecordBatch], body: BinaryIO | None = None) -> None:
        self._batches = batches
        self._body = body
        self._left: pa.RecordBatch | None = None

    def take(self, rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The next rows in pieces, each with its place among them. Raises _TooFew."""
        begin = 0
        while begin < rows:
            batch = self._left if self._left is not None else next(self._batches, None)
            if batch is None:
                raise _TooFew(str(rows - begin))
            piece = batch.slice(0, rows - begin)
            self._left = batch.slice(piece.num_rows) if piece.num_rows < batch.num_rows else None
            if piece.num_rows:
                yield begin, piece
            begin += piece.num_rows

    def more(self) -> bool:
        """Whether rows are left, of a copy; of a source the next shard's are."""
        return self._body is not None and (self._left is not None or next(self._batches, None) is not None)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
        if hasattr(self._batches, "close"):
            self._batches.close()


def _same_column(one: pa.Array, other: pa.Array) -> bool:
    """A category is its value here: a row group has a dictionary of its own."""
    if pa.types.is_dictionary(one.type) and pa.types.is_dictionary(other.type):
        one, other = one.dictionary_decode(), other.dictionary_decode()
    return same_values(one, other)
