"""A part of the result as CSV or as JSON lines: a stream of batches, so memory is a batch.

CSV knows no lists and no bytes: an embedding becomes a JSON list in one cell, bytes become base64. A null is an empty
cell without quotes, an empty text is "". JSON has no NaN: it becomes null. Parquet is the format that loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from quarry_cli.errors import NotWritten

BATCH_ROWS = 1_024

_CSV_KINDS: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
    pa.types.is_null,
)


def write_csv(part: Path, target: Path) -> None:
    """Raises NotWritten naming a column that CSV has no form for."""
    with pq.ParquetFile(part) as file:
        schema = pa.schema([(field.name, _csv_type(field.type)) for field in file.schema_arrow])
        with pa_csv.CSVWriter(target, schema) as writer:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                columns = [
                    _csv_column(field, column) for field, column in zip(batch.schema, batch.columns, strict=True)
                ]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def write_jsonl(part: Path, target: Path) -> None:
    """Raises NotWritten naming a column that JSON has no form for."""
    encoder = msgspec.json.Encoder()
    with pq.ParquetFile(part) as file, target.open("wb") as out:
        names = file.schema_arrow.names
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            columns = [_values(field, column) for field, column in zip(batch.schema, batch.columns, strict=True)]
            lines = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
            try:
                out.write(encoder.encode_lines(lines))
            except (TypeError, ValueError) as error:
                raise NotWritten(
                    f"{part.name}: a value has no form in JSON ({error}): take --format parquet"
                ) from error


def _csv_type(kind: pa.DataType) -> pa.DataType:
    kind = _undictionaried(kind)
    return kind if any(is_kind(kind) for is_kind in _CSV_KINDS) else pa.string()


def _csv_column(field: pa.Field, column: pa.Array) -> pa.Array:
    kind = _csv_type(field.type)
    if kind == _undictionaried(field.type):
        return column.cast(kind)
    return pa.array([_cell(value) for value in _values(field, column)], kind)


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    simple = msgspec.to_builtins(value)  # bytes as base64, decimals and durations as text
    return simple if isinstance(simple, str) else msgspec.json.encode(simple).decode()


def _values(field: pa.Field, column: pa.Array) -> list[Any]:
    kind = _undictionaried(field.type)
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        # Python's own times know no nanoseconds; Arrow's text does.
        column = column.cast(kind).cast(pa.string())
    try:
        values: list[Any] = column.to_pylist()
    except ValueError as error:
        raise NotWritten(f"{field.name}: {field.type} has no form there ({error}): take --format parquet") from error
    return values


def _undictionaried(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
