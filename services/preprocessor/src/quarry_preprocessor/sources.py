"""Looking at a source before it is planned: its format, schema, number of rows, and a sample for estimating bytes.

Owns nothing and writes nothing; the same pinned object gives the same `Count`, so any worker may do it again. A
Parquet file tells its rows in its footer; a CSV file is read once, in blocks of 1 MiB, and notes on the way where
rows begin, so that a worker can start in the middle.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.csv_dialect import Csv
from quarry_core.ports import ObjectRef, Objects
from quarry_core.rows import (
    BATCH_ROWS_MAX,
    Count,
    SourceError,
    SourceFormat,
    open_parquet,
    parquet_group,
    read_rows,
)
from quarry_preprocessor.column_names import checked_names
from quarry_preprocessor.csv_count import count_csv

SAMPLE_ROWS = 200
SAMPLE_PLACES = 8


def inspect(objects: Objects, ref: ObjectRef, form: SourceFormat, csv: Csv | None = None) -> Count:
    """Count a source's rows and read its schema, in one pass with flat memory.

    `csv` is what the manifest says of a CSV file's form.

    Raises:
        SourceError: it is empty, not of its format, or its columns cannot be told apart.
        PortError: as `Objects.stream` and `Objects.random_access` do.
    """
    if form == "csv":
        with objects.stream(ref) as body:
            return count_csv(body, ref.key, csv)
    with objects.random_access(ref) as source, open_parquet(source, ref.key) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
        size_bytes = source.seek(0, 2)
    columns = checked_names(schema.names, ref.key)
    if rows == 0:
        raise SourceError(f"{ref.key} has no rows; give a source with at least one")
    schema_ipc = base64.b64encode(schema.serialize()).decode()
    return Count(format="parquet", rows=rows, columns=columns, size_bytes=size_bytes, schema_ipc=schema_ipc)


def count_gaps(objects: Objects, ref: ObjectRef, form: SourceFormat, columns: Sequence[str]) -> int:
    """At most how many rows lack a value in one of these columns: rows that no prompt can be made of.

    A CSV file's cells are text and never null. A Parquet file tells it in its footer, row group by row group; a column
    whose writer left that out is read.

    Raises:
        PortError: as `Objects.random_access` does.
    """
    if form == "csv":
        return 0
    with objects.random_access(ref) as source, open_parquet(source, ref.key) as file:
        return sum(_gaps_told(file, column) or 0 for column in columns) + sum(
            _gaps_read(file, column) for column in columns if _gaps_told(file, column) is None
        )


def _gaps_told(file: pq.ParquetFile, column: str) -> int | None:
    """The column's nulls by the footer; None if it does not tell, as for nested columns, whose parts it counts."""
    places = [place for place in range(len(file.schema)) if file.schema.column(place).path == column]
    if not places:
        return None
    gaps = 0
    for group in range(file.metadata.num_row_groups):
        statistics = file.metadata.row_group(group).column(places[0]).statistics
        if statistics is None or not statistics.has_null_count:
            return None
        gaps += statistics.null_count
    return gaps


def _gaps_read(file: pq.ParquetFile, column: str) -> int:
    batches = file.iter_batches(batch_size=BATCH_ROWS_MAX, columns=[column], use_threads=False)
    return sum(int(batch.column(0).null_count) for batch in batches)


# --------------------------------------------------------------------------- sampling


def sample(
    objects: Objects,
    ref: ObjectRef,
    form: SourceFormat,
    count: Count,
    rows: int = SAMPLE_ROWS,
    places: int = SAMPLE_PLACES,
) -> pa.RecordBatch:
    """About `rows` rows from up to `places` places spread over the source, in order; all of them if it has no more.

    A place is a noted offset (CSV) or the beginning of a row group (Parquet), so that nothing is decoded to be
    dropped. A Parquet file with few row groups is therefore sampled at few places. Raises as `read_rows`.
    """
    if count.rows <= rows:
        taken = list(read_rows(objects, ref, count, 0, count.rows))
    elif form == "csv":
        taken = list(_csv_places(objects, ref, count, rows, places))
    else:
        taken = list(_parquet_places(objects, ref, rows, places))
    return pa.Table.from_batches(taken).combine_chunks().to_batches()[0]


def _csv_places(objects: Objects, ref: ObjectRef, count: Count, rows: int, places: int) -> Iterator[pa.RecordBatch]:
    chosen = _spread(len(count.offsets), places)
    each = -(-rows // len(chosen))
    begins = [count.offsets[place][0] for place in chosen]
    for begin, end in pairwise([*begins, count.rows]):
        yield from read_rows(objects, ref, count, begin, min(each, end - begin))


def _parquet_places(objects: Objects, ref: ObjectRef, rows: int, places: int) -> Iterator[pa.RecordBatch]:
    with objects.random_access(ref) as source, open_parquet(source, ref.key) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        groups = [group for group, size in enumerate(sizes) if size]
        chosen = [groups[place] for place in _spread(len(groups), places)]
        each = -(-rows // len(chosen))
        for group in chosen:
            yield from parquet_group(file, ref.key, group, 0, min(each, sizes[group]))


def _spread(things: int, most: int) -> list[int]:
    """Up to `most` indexes of `things`, evenly."""
    taken = min(things, most)
    return [place * things // taken for place in range(taken)]
