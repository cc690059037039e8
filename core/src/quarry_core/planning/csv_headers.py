"""Whether the first records of several CSV files are headers, or rows of files that have none, as Snowflake unloads them.

One file says nothing about it. Of several, each has its own header if one has; so if no two begin alike, though all are
as wide, nothing tells, and a row must not be taken for names in silence. `csv.header` says it either way.
"""

from __future__ import annotations

import hashlib

from quarry_core.contract.csv_dialect import Csv
from quarry_core.tabular.counted import Count
from quarry_core.tabular.errors import SourceError
from quarry_core.text import shown_name

NAMES_SHOWN_MAX = 3


class FirstRecords:
    """Takes the first records of the files, one after another, until two are alike."""

    def __init__(self, csv: Csv | None) -> None:
        self._told = csv is not None and csv.header is not None
        self._seen: set[bytes] = set()
        self._first: list[tuple[str, tuple[str, ...]]] = []

    def add(self, count: Count, file: str) -> None:
        if self._told or count.format != "csv" or not count.columns:
            return
        digest = hashlib.sha256("\0".join(sorted(count.columns)).encode()).digest()
        if digest in self._seen or (self._first and len(self._first[0][1]) != len(count.columns)):
            self._told = True
            return
        self._seen.add(digest)
        if len(self._first) < 2:
            self._first.append((file, count.columns))

    def check(self) -> None:
        """Raises SourceError if they may as well be rows."""
        if self._told or len(self._first) < 2:
            return
        (one, cells), (other, others) = self._first
        raise SourceError(
            f"csv.header: no two of the files begin alike ({one} with {_shown(cells)}, {other} with {_shown(others)}): if they "
            'have no header, name the columns in csv.header, as in ["id", "text"]; if they have different ones, set it to '
            "true"
        )


def _shown(cells: tuple[str, ...]) -> str:
    names = ", ".join(shown_name(cell) for cell in cells[:NAMES_SHOWN_MAX])
    return f"{names}, …" if len(cells) > NAMES_SHOWN_MAX else names
