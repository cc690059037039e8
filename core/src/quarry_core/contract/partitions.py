"""Folders that say something of their files: `column=value`, as Hive names them, and hidden ones. Pure.

Values are text, as the folder has them: a guess would turn the postcode 01 into 1. `partition_types` of the manifest
gives other types, and a value that is none of its type refuses the source.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date
from typing import Literal
from urllib.parse import unquote

from quarry_core.contract.text import shown_name

# What Hive, Spark, Athena and DuckDB write for null.
NULL = "__HIVE_DEFAULT_PARTITION__"
INT64_MAX = 2**63 - 1

PartitionType = Literal["string", "int", "float", "bool", "date"]
PartitionValue = str | int | float | bool | date | None

_INT = re.compile(r"[+-]?[0-9]{1,19}")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BOOLS = {"true": True, "false": False}
_SHAPES: dict[PartitionType, str] = {
    "string": "text",
    "int": "a whole number of 64 bits",
    "float": "a finite number",
    "bool": "true or false",
    "date": "a date of the form 2026-01-31",
}


class NotOfType(ValueError):
    """A partition's value is none of the type that the manifest gives it."""


def is_hidden(name: str, *, folder: bool) -> bool:
    """Whether a file or folder is none of the data: names that begin with `_` or `.`, but for columns of folders."""
    return name[:1] in ("_", ".") and not (folder and name[0] == "_" and "=" in name)


def partitions_of(folders: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
    """The columns that folders named `column=value` make, with their values; None is null.

    Raises:
        ValueError: a name is not UTF-8, or a column appears twice.
    """
    found: dict[str, str | None] = {}
    for folder in folders:
        column, equals, value = folder.partition("=")
        if not column or not equals:
            continue
        name = _decoded(column)
        if name in found:
            raise ValueError(f"the partition column {shown_name(name)!r} appears twice")
        found[name] = None if value == NULL else _decoded(value)
    return tuple(found.items())


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise ValueError(f"the folder name {shown_name(text)!r} is not UTF-8 when its %… are decoded") from error


def partition_value(text: str | None, kind: PartitionType) -> PartitionValue:
    """A partition's value in its type. Raises NotOfType."""
    if text is None or kind == "string":
        return text
    value: PartitionValue = None
    if kind == "int" and _INT.fullmatch(text):
        value = int(text)
        value = value if -INT64_MAX - 1 <= value <= INT64_MAX else None
    elif kind == "float" and _FLOAT.fullmatch(text):
        value = float(text)
        value = value if math.isfinite(value) else None
    elif kind == "bool":
        value = _BOOLS.get(text.lower())
    elif kind == "date" and _DATE.fullmatch(text):
        value = _day(text)
    if value is None:
        raise NotOfType(f"{shown_name(text)!r} is not {_SHAPES[kind]}")
    return value


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
