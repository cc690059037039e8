"""Columns as text: which types can stand in a prompt, and how each is written. Pure.

Strings stay as they are. Numbers are written as in JSON, booleans as true and false, decimals in full, dates and times
in ISO 8601, lists and structs as JSON. What has no value has no text either, and NaN is no value: a null stays a null,
for a prompt that says "nan" would be answered, and paid for. Bytes have no text that could be guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from quarry_core.prompts import require_columns

_encode = msgspec.json.Encoder().encode


class NotEncodable(ValueError):
    """A column whose type cannot stand in a prompt; the text names the column, its type and the remedy."""


def check_encodable(schema: pa.Schema, columns: Sequence[str]) -> None:
    """Refuse columns that cannot stand in a prompt.

    Raises:
        MissingColumn: a column is not in the schema.
        NotEncodable: a column stands there twice, or its type has no text.
    """
    require_columns(columns, schema.names)
    for column in columns:
        if len(schema.get_all_field_indices(column)) > 1:
            raise NotEncodable(f"the dataset has more than one column {column!r}: rename them")
        kind = schema.field(column).type
        if not _has_text(kind):
            raise NotEncodable(
                f"the column {column!r} is of type {kind}, which has no text: make it a column of strings"
            )


def as_text(column: pa.Array) -> pa.Array:
    """A column that has passed `check_encodable`, as strings; null where there is no value."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return as_text(column.storage)
    if pa.types.is_dictionary(kind):
        return as_text(column.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column
    if _is_list(kind) or pa.types.is_struct(kind):
        return pa.array(_json_texts(column), pa.large_string())
    if pa.types.is_decimal(kind):
        return pa.array([None if value is None else f"{value:f}" for value in column.to_pylist()], pa.string())
    if pa.types.is_floating(kind):
        number = column.cast(pa.float64()) if pa.types.is_float16(kind) else column
        return pc.if_else(pc.is_nan(number), None, number.cast(pa.string()))
    text = column.cast(pa.string())
    if pa.types.is_temporal(kind):
        text = pc.if_else(pc.starts_with(text, "<"), None, text)  # "<value out of range: …>" is no date
    if pa.types.is_timestamp(kind):
        text = pc.replace_substring(text, " ", "T", max_replacements=1)
        text = pc.replace_substring_regex(text, r"([+-][0-9]{2})([0-9]{2})$", r"\1:\2")
    return text


def _json_texts(column: pa.Array) -> list[str | None]:
    try:
        return [_json(value) for value in column.to_pylist()]
    except (ValueError, OverflowError):
        return [_json_of(one) for one in column]


def _json_of(one: pa.Scalar) -> str | None:
    try:
        return _json(one.as_py())
    except (ValueError, OverflowError):  # broken UTF-8, or a date beyond the year 9999: this row's, not its neighbours'
        return None


def _json(value: Any) -> str | None:
    return None if value is None else _encode(value).decode()


_PLAIN = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
)
_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)


def _has_text(kind: pa.DataType, *, nested: bool = False) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return not nested and _has_text(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _has_text(kind.value_type, nested=nested)
    if _is_list(kind):
        return _has_text(kind.value_type, nested=True)
    if pa.types.is_struct(kind):
        return all(_has_text(field.type, nested=True) for field in kind)
    if nested and (pa.types.is_float16(kind) or getattr(kind, "unit", None) == "ns"):
        return False  # nested values become Python's own, which know no nanoseconds and no half floats
    if pa.types.is_timestamp(kind) and kind.tz is not None and not _is_known_zone(kind):
        return False
    return any(is_plain(kind) for is_plain in _PLAIN)


def _is_known_zone(kind: pa.DataType) -> bool:
    try:
        pa.array([0], pa.timestamp("s", kind.tz)).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _is_list(kind: pa.DataType) -> bool:
    return any(is_list(kind) for is_list in _LISTS)
