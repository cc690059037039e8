"""Rows from a few places of a part, read back from what was written and compared before anybody publishes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.tabular.arrow_equal import same_values
from quarry_core.tabular.parquet.layout import leaf_types
from quarry_core.tabular.parquet.part_errors import FAULTS, PartDiffers, reason

PROVEN_PLACES = 4
PROVEN_ROWS_PER_PLACE = 64
READ_BYTES = 1 << 20
READ_ROWS = 512


@dataclass(slots=True)
class Proof:
    """Rows from a few places of a part (`part_file.Watch`), to be found again in it.

    Args:
        rows: of the whole part.
    """

    rows: int
    _kept: list[tuple[int, pa.RecordBatch]] = field(default_factory=list)

    def places(self, first: int, rows: int) -> Sequence[tuple[int, int]]:
        """Where rows of a row group are kept: at its beginning, which is the cheapest to read, and at the part's end."""
        wanted = (place * self.rows // PROVEN_PLACES for place in range(PROVEN_PLACES))
        found = [(0, min(rows, PROVEN_ROWS_PER_PLACE))] if any(first <= row < first + rows for row in wanted) else []
        last = max(rows - PROVEN_ROWS_PER_PLACE, 0)
        if rows and first + rows == self.rows and (last or not found):
            found.append((last, rows - last))
        return found

    def show(self, first: int, rows: pa.Table) -> None:
        """Keep rows that stand in the part from `first` on."""
        for batch in rows.to_batches():
            self._kept.append((first, batch))
            first += batch.num_rows

    def check(self, file: BinaryIO, schema: pa.Schema) -> None:
        """Read the part back. Raises PartDiffers, naming the first column that is not what it was."""
        try:
            with pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_BYTES) as part:
                check_schema(part.schema_arrow, schema)
                if part.metadata.num_rows != self.rows:
                    raise PartDiffers("", f"{self.rows} rows were written, and {part.metadata.num_rows} are there")
                self._check_rows(part)
        except (*FAULTS, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's fault, not the part's
            raise PartDiffers("", f"it cannot be read back ({reason(error)})") from error

    def _check_rows(self, part: pq.ParquetFile) -> None:
        begin = 0
        left = self._kept
        for group in range(part.num_row_groups):
            end = begin + part.metadata.row_group(group).num_rows
            here = [(row - begin, batch) for row, batch in left if row < end]
            left = left[len(here) :]
            if here:
                places = [(row, wanted.num_rows) for row, wanted in here]
                for (_, wanted), found in zip(here, _read_places(part, group, places), strict=True):
                    _check_values(wanted, found)
            begin = end


def _read_places(part: pq.ParquetFile, group: int, places: Sequence[tuple[int, int]]) -> list[pa.Table]:
    """Of a row group the rows at some places, each of which is its first row and how many there are; fewer where it ends."""
    try:
        if any(pa.types.is_dictionary(kind) for kind in _leaf_types(part.schema_arrow)):
            whole = part.read_row_group(group, use_threads=False)
            return [whole.slice(row, count) for row, count in places]
        last = max(row + count for row, count in places)
        # Of the first rows no more than the first page of each column is decoded; and never more is held than a batch and what is kept.
        step = last if last <= PROVEN_ROWS_PER_PLACE else READ_ROWS
        found: list[list[pa.RecordBatch]] = [[] for _ in places]
        at = 0
        for batch in part.iter_batches(batch_size=step, row_groups=[group], use_threads=False):
            for kept, (row, count) in zip(found, places, strict=True):
                begin, end = max(row - at, 0), min(row + count - at, batch.num_rows)
                if begin < end:
                    kept.append(batch.slice(begin, end - begin))
            at += batch.num_rows
            if at >= last:
                break
        return [pa.Table.from_batches(each, part.schema_arrow) for each in found]
    except (*FAULTS, OSError) as error:
        for name in part.schema_arrow.names:
            try:
                part.read_row_group(group, columns=[name], use_threads=False)
            except FAULTS as fault:
                raise PartDiffers(name, f"it cannot be read back ({reason(fault)})") from error
        raise


def _leaf_types(schema: pa.Schema) -> Iterator[pa.DataType]:
    return chain.from_iterable(leaf_types(each.type) for each in schema)


def check_schema(found: pa.Schema, wanted: pa.Schema) -> None:
    """Raises PartDiffers unless both have the same columns, in the same order, with the same metadata."""
    if found.names != wanted.names:
        raise PartDiffers("", f"the columns {wanted.names} were written, and {found.names} are there")
    for one, other in zip(wanted, found, strict=True):
        # Not Arrow's own comparison with metadata: that one minds the inner names of maps, which no message carries.
        if not one.equals(other) or (one.metadata or {}) != (other.metadata or {}):
            raise PartDiffers(one.name, f"{one} was written, and reads back as {other}")
    if (found.metadata or {}) != (wanted.metadata or {}):
        raise PartDiffers("", "the schema's metadata reads back otherwise")


def _check_values(wanted: pa.RecordBatch, found: pa.Table) -> None:
    if found.num_rows != wanted.num_rows:
        raise PartDiffers("", f"{wanted.num_rows} rows were written to a row group, and {found.num_rows} are there")
    for place, name in enumerate(wanted.schema.names):
        at = 0
        for chunk in found.column(place).chunks:
            if not same_values(wanted.column(place).slice(at, len(chunk)), chunk):
                raise PartDiffers(name, f"values of type {chunk.type} read back otherwise than they were written")
            at += len(chunk)
