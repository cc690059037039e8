"""The names of a source's columns: each has one of its own, or the source is refused."""

from __future__ import annotations

from collections.abc import Sequence

from quarry_core.contract.column_names import names_fault
from quarry_core.tabular.errors import SourceError


def checked_names(columns: Sequence[str], key: str) -> tuple[str, ...]:
    """Return the names of a source's columns. Raises SourceError naming the column that cannot be distinguished."""
    fault = names_fault(columns)
    if fault:
        raise SourceError(f"{key}: {fault}")
    return tuple(columns)
