"""Lines that the fast decoder refuses, read by the standard library's parser at its most lenient. Pure.

The answer in such a line was paid for; what makes the line odd usually lies beside it. So NaN, infinities and numbers
beyond measure become None, lone surrogates and broken UTF-8 are replaced, control characters inside a text are let
pass, and what is nested too deep for a parser becomes null. A line may hold several objects, where newlines were lost.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Deeper than any answer that was meant, and shallow enough for every parser's recursion.
DEPTH_MAX = 100

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{\]}]', re.DOTALL)
_BOM = b"\xef\xbb\xbf"
_READ_MEMBERS = ("recordId", "modelOutput", "error")


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of a line from where it is no JSON object any more, and why."""

    raw: bytes
    reason: str


def objects(line: bytes) -> Iterator[dict[str, Any] | Rest]:
    """The JSON objects of a line, one after the other, with those members that matter; last what cannot be read."""
    text = line.removeprefix(_BOM).decode("utf-8", "replace").strip()
    while text:
        try:
            found, end = _DECODER.raw_decode(text)
            if isinstance(found, dict):
                found = {name: _without_surrogates(found[name]) for name in _READ_MEMBERS if name in found}
        except RecursionError:
            shallow = _without_depths(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
            if shallow == text:
                yield Rest(text.encode("utf-8", "replace"), "nested too deep")
                return
            text = shallow
            continue
        except ValueError as wrong:
            yield Rest(text.encode("utf-8", "replace"), str(wrong))
            return
        if not isinstance(found, dict):
            yield Rest(text.encode("utf-8", "replace"), "the line is not an object")
            return
        yield found
        text = text[end:].lstrip()


def as_text(value: Any) -> str:
    """A value for people: a text as it stands, anything else as JSON."""
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "a value too large or too deep to show"


def _finite(word: str) -> float | None:
    number = float(word)
    return number if math.isfinite(number) else None


def _whole(word: str) -> int | None:
    try:
        return int(word)
    except ValueError:  # more digits than Python converts
        return None


_DECODER = json.JSONDecoder(strict=False, parse_float=_finite, parse_int=_whole, parse_constant=lambda _word: None)


def _without_depths(raw: bytes) -> bytes:
    """The same JSON with null for every value that is nested deeper than DEPTH_MAX."""
    kept: list[bytes] = []
    depth, copied, hidden_from = 0, 0, -1
    for token in _TOKENS.finditer(raw):
        mark = token[0]
        if mark in b"[{":
            depth += 1
            if depth == DEPTH_MAX + 1:
                hidden_from = token.start()
        elif mark in b"]}":
            if depth == DEPTH_MAX + 1:
                kept += [raw[copied:hidden_from], b"null"]
                copied = token.end()
            depth -= 1
    return b"".join([*kept, raw[copied:]])


def _without_surrogates(value: Any) -> Any:
    """Replace what UTF-8 cannot carry: half of a surrogate pair, as a model cut off in mid-character leaves it."""
    match value:
        case str():
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        case list():
            return [_without_surrogates(each) for each in value]
        case dict():
            return {_without_surrogates(key): _without_surrogates(each) for key, each in value.items()}
        case _:
            return value
