"""Values that stand in the names of folders, as in `year=2024/`: text, or of a type that the manifest gives. Pure.

Nothing is guessed: 01 is a text of two digits to whoever joins by it, and 1 to most readers. `partition_types` says
otherwise where a number, a date or a truth value is meant.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from math import isfinite

import pyarrow as pa

from quarry_core.contract.selection import PartitionType
from quarry_core.tabular.errors import SourceError

_ARROW: dict[PartitionType, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}
_INT = re.compile("[+-]?[0-9]{1,19}")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
_SHOWN_CHARS_MAX = 60


def partition_type(name: PartitionType) -> pa.DataType:
    """The Arrow type of a partition column."""
    return _ARROW[name]


def partition_scalar(text: str | None, kind: pa.DataType, column: str, file: str) -> pa.Scalar:
    """What a folder's name says of its rows; None is null. Raises SourceError naming column, value and remedy."""
    if text is None:
        return pa.scalar(None, kind)
    value = _parsed(text, kind)
    if value is None:
        name = next(name for name, one in _ARROW.items() if one == kind)
        shown = text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 1] + "…"
        raise SourceError(
            f"{file}: the folder {column}={shown!r} holds no {name}, which partition_types asks for; take {column!r} "
            "out of partition_types to have it as text"
        )
    return pa.scalar(value, kind)


def _parsed(text: str, kind: pa.DataType) -> object:
    """The value, or None if it is none of this type."""
    if pa.types.is_string(kind):
        return text
    try:
        if pa.types.is_integer(kind):
            number = int(text) if _INT.fullmatch(text) else None
            return number if number is not None and -(2**63) <= number < 2**63 else None
        if pa.types.is_floating(kind):
            real = float(text) if _FLOAT.fullmatch(text) else None
            return real if real is not None and isfinite(real) else None
        if pa.types.is_boolean(kind):
            return {"true": True, "false": False}.get(text.casefold())
        if pa.types.is_date(kind):
            return date.fromisoformat(text) if _DATE.fullmatch(text) else None
        return datetime.fromisoformat(text) if _TIMESTAMP.fullmatch(text) else None
    except ValueError:  # 30 February
        return None
