"""Folders that say something of their files: `column=value`, as Hive names them, and hidden ones. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

from quarry_core.text import shown_name

# What Hive, Spark, Athena and DuckDB write for null.
NULL = "__HIVE_DEFAULT_PARTITION__"


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
