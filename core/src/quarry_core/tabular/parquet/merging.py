"""Several parts of one result written as one Parquet file, and the proof that it holds their rows and nothing else.

Theory of operation. The rows go through Arrow a batch at a time, into row groups that are larger than those of parts: many
small row groups cost readers as much as many small files. What pyarrow does not write by itself, the parts have in their
footers already, and the merged file gets it from there. The proof reads both sides again from front to back and compares
every value, so it needs no trust in how the file was written. Memory is a row group of each side.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.tabular.arrow_equal import same_values
from quarry_core.tabular.parquet.beside import RowStream
from quarry_core.tabular.parquet.footer import Annotation, Leaf, leaves_of
from quarry_core.tabular.parquet.lost_annotations import lost_annotations
from quarry_core.tabular.parquet.part_errors import PartDiffers
from quarry_core.tabular.parquet.part_file import write_rows
from quarry_core.tabular.parquet.proof import check_schema
from quarry_core.tabular.parquet.row_groups import RowGroup

# Measured with pyarrow, polars and DuckDB: docs/results.md, "Few large parts".
MERGED_ROW_GROUP = RowGroup(rows_max=65_536, bytes_max=32 << 20)
BATCH_ROWS = 4_096
READ_BYTES = 1 << 20


def merge_parts(parts: Sequence[Path], sink: BinaryIO, still: Callable[[], None] = lambda: None) -> int:
    """Write the rows of some parts, in their order, into one file, which is then proven to hold them; the number of rows.

    Args:
        parts: at least one; all of one result, so of one schema.
        sink: writable, readable and seekable, and empty.
        still: called between batches; raises whatever is to end the work.

    Raises:
        PartDiffers: the parts are not of one schema, or what was written does not read back as it was.
        PartUnwritable: naming a column that this pyarrow cannot write.
    """
    schema = _schema_of(parts[0])
    annotations = _annotations(parts[0], schema)
    for part in parts[1:]:
        _check_alike(part, parts[0], schema)
    rows = write_rows(
        sink,
        schema,
        _batches(parts, still),
        compression="zstd",
        annotations=annotations,
        row_group=MERGED_ROW_GROUP,
    )
    sink.flush()
    _prove(parts, sink, schema, still)
    return rows


def check_same_rows(wanted: Iterator[pa.RecordBatch], found: Iterator[pa.RecordBatch]) -> int:
    """Compare two streams of batches, cut in whatever way, value by value; the number of rows.

    Raises:
        PartDiffers: naming the first column that differs, or saying that one side has more rows.
    """
    left, right = RowStream(wanted), RowStream(found)
    at = 0
    while count := min(left.ready(), right.ready()):
        one, other = left.take(count), right.take(count)
        for place, name in enumerate(one.schema.names):
            if not same_values(one.column(place), other.column(place)):
                raise PartDiffers(name, f"its values differ between rows {at:,} and {at + count - 1:,}")
        at += count
    if left.ready() or right.ready():
        raise PartDiffers("", f"{'rows are missing' if left.ready() else 'there are more rows'} after {at:,} rows")
    return at


def batches_of_groups(file: pq.ParquetFile, rows_max: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """The rows of a part. Never across row groups: there pyarrow does not read nested categories."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(batch_size=rows_max, row_groups=[group], use_threads=False)


def _schema_of(part: Path) -> pa.Schema:
    with _opened(part) as file:
        return file.schema_arrow


def _opened(part: Path | BinaryIO) -> pq.ParquetFile:
    # pyarrow's own default keeps what it has read.
    return pq.ParquetFile(part, pre_buffer=False, buffer_size=READ_BYTES)


def _batches(parts: Sequence[Path], still: Callable[[], None]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        with _opened(part) as file:
            for batch in batches_of_groups(file):
                still()
                yield batch


def _annotations(part: Path, schema: pa.Schema) -> Sequence[Annotation]:
    """What the part's footer says beyond what pyarrow writes of this schema."""
    plain = io.BytesIO()
    write_rows(plain, schema, (), compression="zstd")
    return tuple(lost_annotations(list(enumerate(_leaves(part))), list(enumerate(leaves_of(plain)))))


def _leaves(part: Path) -> list[Leaf]:
    with part.open("rb") as file:
        return leaves_of(file)


def _check_alike(part: Path, first: Path, schema: pa.Schema) -> None:
    check_schema(_schema_of(part), schema)
    for wanted, found in zip(_leaves(first), _leaves(part), strict=True):
        if (wanted.physical, wanted.kind, wanted.group) != (found.physical, found.kind, found.group):
            raise PartDiffers(wanted.column, f"it is {wanted.kind} in one part and {found.kind} in another")


def _prove(parts: Sequence[Path], merged: BinaryIO, schema: pa.Schema, still: Callable[[], None]) -> None:
    merged.seek(0)
    for wanted, found in zip(_leaves(parts[0]), leaves_of(merged), strict=True):
        if (wanted.kind, wanted.group) != (found.kind, found.group):
            raise PartDiffers(wanted.column, f"it is {wanted.kind} in the parts, and {found.kind} in the merged file")
    merged.seek(0)
    with _opened(merged) as file:
        check_schema(file.schema_arrow, schema)
        check_same_rows(_batches(parts, still), batches_of_groups(file))
