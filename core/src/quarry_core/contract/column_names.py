"""What a source's columns may be called, and how many there may be. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

# Twice what MySQL's tables have at most, and as many as a service can read and write within 400 MB: each column costs
# some 30 KB on the way, whatever is in it.
COLUMNS_MAX = 8_000
COLUMN_NAME_BYTES_MAX = 4_096


def names_fault(names: Sequence[str]) -> str | None:
    """Why these cannot be the names of a file's columns; None if they can."""
    if not names:
        return "there are no columns; give a source with at least one"
    if len(names) > COLUMNS_MAX:
        return columns_fault(len(names))
    for place, name in enumerate(names, 1):
        if not name.strip():
            return f"column {place} of {len(names)} has no name; name every column"
        if "\0" in name:
            return f"the name of column {place} holds a NUL character; take it out"
        try:
            size_bytes = len(name.encode())
        except UnicodeEncodeError:
            return f"the name of column {place} holds half a surrogate pair, which no UTF-8 text can carry"
        if size_bytes > COLUMN_NAME_BYTES_MAX:
            return f"the name of column {place} has {size_bytes} bytes, more than {COLUMN_NAME_BYTES_MAX}; shorten it"
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        return f"several columns are named {twice[0]!r}; give each a name of its own"
    return None


def columns_fault(columns: int) -> str:
    """The sentence for a file with too many columns."""
    return (
        f"there are {columns} columns, more than {COLUMNS_MAX}; keep those that the prompt and the result need, "
        "or put the others into one column as JSON"
    )
