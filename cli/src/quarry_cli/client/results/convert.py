"""A part of the result as CSV or as JSON lines: a stream of batches, so memory is a batch.

CSV knows no lists and no bytes: what is nested becomes JSON in one cell, bytes become base64 (`values.py`). A null is an
empty cell without quotes, an empty text is "". JSON has no NaN: it becomes null. Parquet is the format that loses nothing.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, quoted or not, and texts of strangers and
answers of models are in the cells. With `safe_cells` an apostrophe goes before such texts; numbers stay numbers.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from quarry_cli.client.results.parts import batches_of, open_part
from quarry_cli.client.results.values import plain_values, singles, temporal_texts
from quarry_cli.errors import NotWritten
from quarry_core.tabular.arrow_types import is_string_view

BATCH_ROWS = 1_024
# The full-width forms become the others in spreadsheets of some languages.
_FORMULA = r"^[=+\-@\t\r\n\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]"


def write_csv(part: BinaryIO, target: BinaryIO, *, safe_cells: bool = False) -> None:
    """Raises NotWritten naming a column that CSV has no form for, Unreadable as `open_part` does."""
    with open_part(part) as file:
        names = [_safe_name(name) if safe_cells else name for name in file.schema_arrow.names]
        kinds = [_csv_type(each.type) for each in file.schema_arrow]
        schema = pa.schema(list(zip(names, kinds, strict=True)))
        with pa_csv.CSVWriter(target, schema) as writer:
            for batch in batches_of(file, BATCH_ROWS):
                columns = [
                    _csv_column(field, column, kind)
                    for field, column, kind in zip(batch.schema, batch.columns, kinds, strict=True)
                ]
                if safe_cells:
                    columns = [_safe(column) for column in columns]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def write_jsonl(part: BinaryIO, target: BinaryIO) -> None:
    """Raises NotWritten naming a column that JSON has no form for, Unreadable as `open_part` does."""
    encoder = msgspec.json.Encoder()
    with open_part(part) as file:
        names = file.schema_arrow.names
        for batch in batches_of(file, BATCH_ROWS):
            columns = [_values(field, column) for field, column in zip(batch.schema, batch.columns, strict=True)]
            lines = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
            target.write(encoder.encode_lines(lines))


def _csv_type(kind: pa.DataType) -> pa.DataType:
    """What is given to the writer of CSV, which has a form for few types."""
    if pa.types.is_dictionary(kind):
        return _csv_type(kind.value_type)
    if pa.types.is_float16(kind):
        return pa.float32()
    known = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_null, pa.types.is_large_string)
    return kind if any(is_known(kind) for is_known in known) else pa.string()


def _csv_column(field: pa.Field, column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    is_ = pa.types
    if is_.is_float16(column.type):
        return singles(column)
    if kind != pa.string() or is_.is_string(column.type) or is_string_view(column.type):
        return column.cast(kind)
    if is_.is_timestamp(column.type) or is_.is_time(column.type) or is_.is_date(column.type):
        return temporal_texts(column)
    return pa.array([_cell(value) for value in _values(field, column)], kind)


def _cell(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def _values(field: pa.Field, column: pa.Array) -> list[Any]:
    try:
        return plain_values(column)
    except ValueError as error:
        raise NotWritten(
            f"{field.name}: {field.type} cannot be written in this format ({error}): use --format parquet"
        ) from error


def _safe(column: pa.Array) -> pa.Array:
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return column
    apostrophe = pa.scalar("'", column.type)
    formulas = pc.match_substring_regex(column, _FORMULA)
    return pc.if_else(formulas, pc.binary_join_element_wise(apostrophe, column, pa.scalar("", column.type)), column)


def _safe_name(name: str) -> str:
    safe: str = _safe(pa.array([name]))[0].as_py()
    return safe
