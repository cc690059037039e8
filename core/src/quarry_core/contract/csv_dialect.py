"""Which CSV a file is: what the manifest's `csv` may say, and the dialect that a count has made out. Pure.

The default is RFC 4180 in UTF-8. Everything else is said by the user and never guessed: a guess that is wrong gives
other cells, and nobody is told.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quarry_core.contract.column_names import names_fault

Delimiter = Literal[",", ";", "\t", "|"]
Escape = Literal["double", "backslash"]
Encoding = Literal["utf-8", "latin-1", "cp1252", "utf-16"]
# A byte order is made out by the count: from the mark, or from where the line ends stand.
ByteOrder = Literal["utf-16-le", "utf-16-be"]

# A cell cannot be larger than its record. Bedrock takes 25 MB at most: a record that is a little over that becomes an
# error row, and one over this refuses the file, for most likely a quote is never closed.
RECORD_BYTES_MAX = 32 * 1024 * 1024
# The names that a manifest gives stand in the ledger's item of the run, beside the prompt.
NAMES_BYTES_MAX = 64 * 1024

_NAMES: Mapping[str, tuple[str, ...]] = {
    "delimiter": get_args(Delimiter),
    "escape": get_args(Escape),
    "encoding": get_args(Encoding),
}
# Other words for what is known.
_MEANT: Mapping[str, Mapping[str, str]] = {
    "delimiter": {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "t": "\t", "tsv": "\t", "pipe": "|"},
    "escape": {'"': "double", '""': "double", "quote": "double", "\\": "backslash", "\\\\": "backslash"},
    "encoding": {
        "utf8": "utf-8",
        "utf-8-sig": "utf-8",
        "ascii": "utf-8",
        "us-ascii": "utf-8",
        "latin1": "latin-1",
        "l1": "latin-1",
        "iso-8859-1": "latin-1",
        "iso8859-1": "latin-1",
        "iso_8859_1": "latin-1",
        "windows-1252": "cp1252",
        "windows1252": "cp1252",
        "ansi": "cp1252",
        "1252": "cp1252",
        "utf16": "utf-16",
        "utf-16-le": "utf-16",
        "utf-16-be": "utf-16",
        "utf-16le": "utf-16",
        "utf-16be": "utf-16",
        "ucs-2": "utf-16",
        "unicode": "utf-16",
    },
}
_SHOWN_CHARS_MAX = 40


class CsvDialect(BaseModel):
    """What reading a range of a counted CSV object needs to know of its form; the default is RFC 4180 in UTF-8."""

    model_config = ConfigDict(frozen=True)

    delimiter: Delimiter = ","
    escape: Escape = "double"
    encoding: Literal["utf-8", "latin-1", "cp1252"] | ByteOrder = "utf-8"

    @property
    def unit_bytes(self) -> int:
        """How many bytes a delimiter, a quote or a line end takes."""
        return 2 if self.encoding in get_args(ByteOrder) else 1


class Csv(BaseModel):
    """The manifest's `csv`: how a CSV file differs from RFC 4180 in UTF-8. Null is the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    delimiter: Delimiter | None = Field(
        None, description='Between cells: `,` (the default), `;`, a tab (`"\\t"`) or `|`.'
    )
    escape: Escape | None = Field(
        None, description="How a quote is written inside a quoted cell: doubled (the default), or as Spark writes it."
    )
    header: Literal[True] | tuple[str, ...] | None = Field(
        None, description="`true` (the default): the first record names the columns. A list: there is no such record."
    )
    encoding: Encoding | None = Field(
        None, description="The default is `utf-8`. `utf-16` is of either byte order, with or without a mark."
    )

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            faults = [fault for key, one in value.items() if (fault := _fault(key, one))]
            if faults:
                raise ValueError("; ".join(faults))
        return value


def _fault(key: Any, value: Any) -> str | None:
    if key not in Csv.model_fields:
        nearest = difflib.get_close_matches(str(key), Csv.model_fields, n=1, cutoff=0.5)
        guess = f"; did you mean {nearest[0]}?" if nearest else ""
        return f"csv: unknown key {_shown(key)}{guess} (known: {', '.join(Csv.model_fields)})"
    if value is None:
        return None
    if key == "header":
        return _header_fault(value)
    known = _NAMES[key]
    if isinstance(value, str) and value in known:
        return None
    plain = str(value).strip().casefold()
    close = difflib.get_close_matches(plain, known, n=1, cutoff=0.6)
    meant = _MEANT[key].get(plain) or (close[0] if close else None)
    hint = f"; did you mean {_shown(meant)}?" if meant else ""
    return f"csv.{key}: {_shown(value)} is not one of {', '.join(_shown(one) for one in known)}{hint}"


def _header_fault(value: Any) -> str | None:
    if value is True:
        return None
    if value is False:
        return 'csv.header: for a file without a header give its columns\' names, as in ["id", "text"]'
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        return "csv.header: give true, or the list of the columns' names"
    fault = names_fault(value)
    if fault:
        return f"csv.header: {fault}"
    size_bytes = sum(len(name.encode()) for name in value)
    if size_bytes > NAMES_BYTES_MAX:
        return f"csv.header: the names have {size_bytes} bytes, more than {NAMES_BYTES_MAX}; give the file a header"
    return None


def _shown(value: object) -> str:
    """A value for a message: short, in JSON's quotes where it is text, without control characters."""
    text = repr(value)
    if isinstance(value, str) and '"' not in value and "'" not in value:
        text = f'"{text[1:-1]}"'
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 1] + "…"
