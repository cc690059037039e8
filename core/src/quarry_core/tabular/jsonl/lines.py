"""The lines of a JSONL file as objects whose values are still JSON, or the first that is none. Pure.

A line is one JSON object (RFC 8259) in UTF-8, whole in itself; one that holds white space only is no row. What a
parser would let pass in silence is refused: a key that stands twice, of which the last would win.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import msgspec

from quarry_core.text import shown_name

Row = dict[str, msgspec.Raw]

# A line cannot be larger than this: Bedrock takes 25 MB at most, and one that is a little over becomes an error row.
LINE_BYTES_MAX = 32 * 1024 * 1024
# Python's own limit is near 1,000, wherever it is called from.
NESTING_MAX = 500

_decode = msgspec.json.Decoder(Row).decode
# Possessive, so that a text of any length is passed in one step; with its colon it is a key.
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"(\s*+:)?+|[\[\]{}]')
_SPACE_AND_COLON = (b" :", b"\t:", b"\r:")
_SPACED_COLON = re.compile(rb'"[ \t\r]+:')
_NOT_JSON_WORDS = re.compile(rb"[:,\[]\s*(-?Infinity|NaN|None|True|False|undefined)\b")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class LineFault:
    """`line`: which of the lines it is. `why` follows "data row 7 (byte 123) "."""

    line: int
    why: str


def parse_lines(lines: Sequence[bytes]) -> list[Row] | LineFault:
    """Each line, none of them blank, as an object; or the first that is none."""
    try:
        rows = list(map(_decode, lines))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _first_fault(lines)
    for number, line in enumerate(lines):
        # Deep nesting would end the parser at a depth that depends on who calls it.
        if len(line) > 2 * NESTING_MAX and _depth(line) > NESTING_MAX:
            return LineFault(number, _too_deep())
    if _may_repeat_keys(b"\n".join(lines), rows):
        for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
            if _may_repeat_keys(line, [row]) and (twice := _key_twice(line)) is not None:
                return LineFault(number, f"has the key {shown_name(twice)!r} twice; keep one of them")
    if not all(map(bytes.isascii, lines)):
        for number, line in enumerate(lines):
            fault = _utf8_fault(line)
            if fault:
                return LineFault(number, fault)
    return rows


def _first_fault(lines: Sequence[bytes]) -> LineFault:
    for number, line in enumerate(lines):
        fault = line_fault(line, lines[number + 1] if number + 1 < len(lines) else b"")
        if fault is not None:
            return LineFault(number, fault)
    raise AssertionError("one of the lines cannot be parsed")


def line_fault(line: bytes, following: bytes = b"") -> str | None:
    """Why a line is no JSON object, and what to do; None if it is one. `following` is the next line, if known."""
    try:
        _decode(line)
    except RecursionError:
        return _too_deep()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _utf8_fault(line) or _why(line.strip(), following, str(error).removeprefix("JSON is malformed: "))
    return None


def _why(line: bytes, following: bytes, error: str) -> str:
    first = line[:1]
    if line.startswith(_UTF16_MARKS) or b"\0" in line[:4]:
        return "is UTF-16; save the file as UTF-8"
    if first == b"[":
        return (
            "begins a JSON array, and JSONL has one object on each line; write it so, for example with "
            "jq -c '.[]' (in Python: json.dumps of each element, and a line end)"
        )
    if first == b"{" and (line == b"{" or (error.startswith("Input data was truncated") and following)):
        return (
            "begins an object that does not end on its line, as pretty-printed JSON does; write each object on one line, "
            "for example with jq -c ."
        )
    if first == b'"' or first.isdigit() or line in (b"null", b"true", b"false"):
        kind = {b'"': "a text", b"n": "null", b"t": "true", b"f": "false"}.get(first, "a number")
        return f'is {kind}, no JSON object; write {{"column": value}} on each line'
    if first != b"{":
        return (
            "is no JSON object; JSONL has one on each line, as in "
            '{"id": 1, "text": "…"}; if the file is CSV, set format to "csv"'
        )
    if "trailing characters" in error:
        return f"has more behind its object ({error}); write each object on a line of its own"
    if line[1:].lstrip()[:1] == b"'":
        return "has keys in single quotes; JSON has double quotes (in Python: json.dumps, not str)"
    if "surrogate" in error or "hex escape" in error:
        return f"holds half of a surrogate pair ({error}); write whole characters: the text was cut inside one"
    word = _NOT_JSON_WORDS.search(line)
    if word is not None and "invalid character" in error:
        return f"holds {word[1].decode()}, which JSON does not have; write null or a text"
    return f"is not valid JSON ({error}); correct it, or leave the line out"


def _utf8_fault(line: bytes) -> str | None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        if line.startswith(_UTF16_MARKS):
            return "is UTF-16; save the file as UTF-8"
        return f"is not UTF-8 ({error.reason} at its byte {error.start}); save the file as UTF-8"
    return None


def _too_deep() -> str:
    return f"is nested more than {NESTING_MAX} deep; flatten it, or put the inner part into a text"


def _depth(line: bytes) -> int:
    if line.count(b"[") + line.count(b"{") <= NESTING_MAX:
        return 0  # it is not more, and how much does not matter
    depth = deepest = 0
    for token in _TOKENS.finditer(line):
        first = line[token.start()]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest


def _may_repeat_keys(text: bytes, rows: Sequence[Row]) -> bool:
    """Whether these lines have more keys than their objects: every key is followed by a colon.

    What stands in values does not count: nothing of it is lost, for their text is kept. Only where white space stands
    in between, or a key holds the signs itself, is the answer a maybe.
    """
    inner = b"".join(chain.from_iterable(row.values() for row in rows)).count(b'":')
    if text.count(b'":') - inner != sum(map(len, rows)):
        return True
    return any(sign in text for sign in _SPACE_AND_COLON) and _SPACED_COLON.search(text) is not None


def _key_twice(line: bytes) -> str | None:
    """A key that stands twice in the object itself."""
    keys: set[str] = set()
    depth = 0
    for token in _TOKENS.finditer(line):
        first = line[token.start()]
        if first in b"[{":
            depth += 1
        elif first in b"]}":
            depth -= 1
        elif depth == 1 and token[1] is not None:
            key = msgspec.json.decode(token[0][: -len(token[1])], type=str)
            if key in keys:
                return key
            keys.add(key)
    return None
