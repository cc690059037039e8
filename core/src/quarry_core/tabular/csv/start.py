"""What the first bytes of a CSV object tell: its byte order mark, and the byte order if it has none. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import get_args

from quarry_core.contract.csv_dialect import Csv, CsvDialect, Delimiter
from quarry_core.tabular.errors import SourceError
from quarry_core.text import shown_name

# Enough for a few line ends, by which a UTF-16 file without a mark tells its byte order.
START_BYTES = 64 * 1024

# What Excel reads as the delimiter, and shows to nobody.
_HINT_BYTES = 64
_HINT = re.compile(r'(?P<line>("?)sep=(?P<delimiter>[^\r\n"])\2)(?:[\r\n]|$)', re.IGNORECASE)

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_UTF32_MARKS = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")


@dataclass(frozen=True, slots=True)
class Start:
    """Where the first record begins, and the dialect in full."""

    byte: int
    dialect: CsvDialect


def start_of(head: bytes, key: str, options: Csv) -> Start:
    """Judge the first `START_BYTES` of an object, or all of them. Raises SourceError with the remedy."""
    if head.startswith(_UTF32_MARKS):
        raise SourceError(f"{key} is UTF-32; save it as UTF-8")
    asked = options.encoding or "utf-8"
    byte, found = 0, ""
    if head.startswith(_UTF8_MARK):
        byte, found = len(_UTF8_MARK), "utf-8"
    elif head[:2] in _UTF16_MARKS:
        byte, found = 2, _UTF16_MARKS[head[:2]]
    if found and not found.startswith(asked):
        name = "UTF-8" if found == "utf-8" else "UTF-16"
        save = "save it as UTF-8, or " if asked == "utf-8" else ""
        raise SourceError(f'{key} is {name}; {save}set csv.encoding to "{name.lower()}"')
    if asked == "utf-16" and not found:
        found = _byte_order(head, key)
    given = {"delimiter": options.delimiter, "escape": options.escape, "encoding": found or asked}
    dialect = CsvDialect.model_validate({name: value for name, value in given.items() if value})
    _refuse_hint(head[byte : byte + _HINT_BYTES], key, options, dialect)
    return Start(byte, dialect)


def shown_delimiter(delimiter: str) -> str:
    """As it is written in a manifest."""
    return '"\\t" (a tab)' if delimiter == "\t" else f'"{delimiter}"'


def _refuse_hint(beginning: bytes, key: str, options: Csv, dialect: CsvDialect) -> None:
    """Refuse a first line for Excel: it would be the header, or a row that is paid for."""
    found = _HINT.match(beginning.decode(dialect.encoding, errors="replace"))
    if found is None:
        return
    delimiter = found["delimiter"]
    remedy = "delete that line"
    if delimiter not in get_args(Delimiter):
        known = ", ".join(map(shown_delimiter, get_args(Delimiter)))
        remedy += f", and write the file with one of the delimiters that are read: {known}"
    elif delimiter != (options.delimiter or ","):
        remedy += f", and set csv.delimiter to {shown_delimiter(delimiter)}"
    raise SourceError(
        f"{key}: its first line ({shown_name(found['line'])}) tells Excel the delimiter, and is neither a header nor a row; {remedy}"
    )


def _byte_order(head: bytes, key: str) -> str:
    """By where line ends, delimiters and quotes stand: swapped, they are letters that hardly any text has."""
    pairs = [head[at : at + 2] for at in range(0, len(head) - 1, 2)]
    for signs in (b"\n\r", b',;\t|"'):
        little = sum(pair[1] == 0 and pair[0] in signs for pair in pairs)
        big = sum(pair[0] == 0 and pair[1] in signs for pair in pairs)
        if little != big:
            return "utf-16-le" if little > big else "utf-16-be"
    raise SourceError(f"{key}: its byte order cannot be determined; save it with a byte order mark, or as UTF-8")
