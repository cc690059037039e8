"""The names of a source's columns: each has one of its own, or the source is refused. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from quarry_core.counted import SourceError


def checked_names(columns: Sequence[str], key: str) -> tuple[str, ...]:
    """Give back the names of a source's columns. Raises SourceError naming the column that cannot be told apart."""
    if not columns:
        raise SourceError(f"{key} has no columns; give a source with at least one")
    unnamed = [place for place, column in enumerate(columns, 1) if not column.strip()]
    if unnamed:
        raise SourceError(f"{key}: column {unnamed[0]} of {len(columns)} has no name; name every column")
    twice = [column for column, times in Counter(columns).items() if times > 1]
    if twice:
        raise SourceError(f"{key}: several columns are named {twice[0]!r}; give each a name of its own")
    return tuple(columns)
