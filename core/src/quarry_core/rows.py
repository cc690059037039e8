"""The rows of a source, by row range, as Arrow batches: the preprocessor renders them, the collector joins them again.

Promises: exactly the rows asked for or an error, in order, at most `BATCH_ROWS_MAX` in a batch; the same rows for the
same pin, range and count, however often; memory for one block (CSV, about 1 MiB or one longer row) or one buffered
stretch of each column (Parquet), whatever the size of the source. No threads, no state: any worker may read any range.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.counted import BATCH_ROWS_MAX, Count, SourceError, SourceFormat
from quarry_core.csv_rows import read_csv
from quarry_core.ports import ObjectRef, Objects

__all__ = [
    "BATCH_ROWS_MAX",
    "PARQUET_BUFFER_BYTES",
    "Count",
    "SourceError",
    "SourceFormat",
    "open_parquet",
    "parquet_group",
    "read_parquet",
    "read_rows",
]

PARQUET_BUFFER_BYTES = 1 << 20


def read_rows(objects: Objects, ref: ObjectRef, count: Count, first: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Rows [first, first + rows) of a counted source.

    Raises:
        ValueError: the range is not within the count.
        SourceError: a row cannot be parsed.
        PortError: as `Objects.stream` and `Objects.random_access` do.
    """
    if first < 0 or rows < 0 or first + rows > count.rows:
        raise ValueError(f"rows {first} to {first + rows} are not within the {count.rows} of {ref.key}")
    if rows == 0:
        return iter(())
    if count.format == "csv":
        return read_csv(objects, ref, count, first, rows)
    return read_parquet(objects, ref, first, rows)


# --------------------------------------------------------------------------- Parquet


def open_parquet(source: Any, key: str) -> pq.ParquetFile:
    """A Parquet file that keeps nothing of what it has read. Raises `SourceError`."""
    try:
        # pyarrow's own pre-buffering keeps all that was read: 1,983 MB against 104 MB at 2.2 M rows.
        return pq.ParquetFile(source, pre_buffer=False, buffer_size=PARQUET_BUFFER_BYTES)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{key} is not a readable Parquet file ({error}); write it again") from error


def read_parquet(objects: Objects, ref: ObjectRef, first: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Rows [first, first + rows) of a Parquet object, with its exact Arrow schema.

    Row groups outside the range are not read. Inside one, the rows before `first` are decoded and dropped: Parquet
    offers no way to a row by its number.

    Raises:
        SourceError: the file cannot be decoded, or has fewer rows.
        PortError: as `Objects.random_access` does.
    """
    until = first + rows
    with objects.random_access(ref) as source, open_parquet(source, ref.key) as file:
        if until > file.metadata.num_rows:
            raise SourceError(f"{ref.key} has {file.metadata.num_rows} rows; rows up to {until} were asked for")
        at = 0
        for group in range(file.metadata.num_row_groups):
            behind = at + file.metadata.row_group(group).num_rows
            if at < until and behind > first:
                yield from parquet_group(file, ref.key, group, max(first - at, 0), min(until, behind) - at)
            at = behind


def parquet_group(file: pq.ParquetFile, key: str, group: int, begin: int, end: int) -> Iterator[pa.RecordBatch]:
    """Rows [begin, end) of one row group. Raises `SourceError`."""
    batches = file.iter_batches(batch_size=BATCH_ROWS_MAX, row_groups=[group], use_threads=False)
    at = 0
    while at < end:
        try:
            batch = next(batches)
        except (pa.ArrowException, OSError, StopIteration) as error:
            raise SourceError(f"{key}: row group {group} cannot be decoded ({error}); write the file again") from error
        behind = at + batch.num_rows
        if behind > begin:
            skip = max(begin - at, 0)
            yield batch.slice(skip, min(end, behind) - at - skip)
        at = behind
