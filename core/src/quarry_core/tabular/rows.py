"""The rows of a source, by row range, as Arrow batches: the preprocessor renders them, the collector joins them again.

Promises: exactly the rows asked for or an error, in order, at most `BATCH_ROWS_MAX` in a batch; the same rows for the
same pin, range and count, however often; memory for one block (CSV and JSONL, about 1 MiB or one longer
row) or the open pages and one batch (Parquet), bounded, whatever the size of the source and whatever it unpacks to. No
threads, no state: any worker may read any range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from quarry_core.contract.source_format import SourceFormat
from quarry_core.ports import ObjectRef, Objects
from quarry_core.tabular.counted import Count
from quarry_core.tabular.csv.rows import read_csv
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.jsonl.rows import read_jsonl
from quarry_core.tabular.parquet.rows import read_parquet
from quarry_core.tabular.requests.rows import read_requests
from quarry_core.tabular.row_bytes import BATCH_ROWS_MAX

__all__ = [
    "BATCH_ROWS_MAX",
    "Count",
    "SourceError",
    "SourceFormat",
    "read_parquet",
    "read_rows",
]


def read_rows(
    objects: Objects,
    ref: ObjectRef,
    count: Count,
    first: int,
    rows: int,
    columns: Sequence[str] | None = None,
    schema: pa.Schema | None = None,
) -> Iterator[pa.RecordBatch]:
    """Rows [first, first + rows) of a counted file, of these columns or all; a CSV file gives all in any case.

    Args:
        objects: the port that reads it.
        ref: the file, pinned.
        count: what was counted of it.
        first: the first row, counted in the file.
        rows: how many.
        columns: what is wanted of it.
        schema: JSONL only: the types of its columns, where other files of the dataset have a say in them.

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
    if count.requests is not None:
        return read_requests(objects, ref, count, first, rows)
    if count.is_jsonl:
        fields = count.schema if schema is None else schema
        wanted = fields.names if columns is None else columns
        return read_jsonl(objects, ref, count, first, rows, pa.schema([fields.field(name) for name in wanted]))
    return read_parquet(objects, ref, first, rows, columns)
