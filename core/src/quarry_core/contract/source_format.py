"""Which format a source's name promises. Pure."""

from __future__ import annotations

import difflib
from typing import Literal

SourceFormat = Literal["csv", "parquet", "jsonl"]
FORMATS: dict[str, SourceFormat] = {".csv": "csv", ".parquet": "parquet"}
_NOT_YET = (".jsonl", ".json", ".tsv", ".csv.gz", ".csv.zst", ".csv.bz2", ".jsonl.gz", ".arrow", ".feather", ".xlsx")
# What people write for one of the two; a misspelt one is found by its letters.
_MEANT = {".parq": ".parquet", ".pq": ".parquet", ".txt": ".csv", ".text": ".csv"}


class UnknownFormat(ValueError):
    """The name does not say that the object is one of the formats that are read; the text says what to do."""


def source_format(key: str) -> SourceFormat:
    """The format that a key's suffix names, in either case. Raises UnknownFormat."""
    name = key.lower()
    for suffix, known in FORMATS.items():
        if name.endswith(suffix):
            return known
    if name.endswith("/") or not name:
        raise UnknownFormat(
            f"{key!r} is a folder, which is not yet supported; name one object that ends in .csv or .parquet"
        )
    for suffix in _NOT_YET:
        if name.endswith(suffix):
            raise UnknownFormat(f"{key!r}: {suffix} is not yet supported; convert it to .csv or .parquet")
    last = name.rpartition("/")[2]
    ending = last[last.rfind(".") :] if "." in last else ""
    near = _MEANT.get(ending) or next(iter(difflib.get_close_matches(ending, FORMATS, n=1, cutoff=0.5)), "")
    guess = f" (did you mean {near}?)" if near else ""
    raise UnknownFormat(f"{key!r} ends in neither .csv nor .parquet{guess}: rename the object for its format")
