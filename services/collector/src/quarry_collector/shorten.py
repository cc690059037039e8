"""Lines made shorter before they are decoded: without the echoed input, and with the numbers of a vector apart. Pure.

Theory of operation. Of a line of a kilobyte or two the decoder needs the answer, the record id and perhaps an error; what
was asked, which Bedrock echoes, it would only skip, escape by escape. And the digits of a vector are most of such a line,
and each would become a Python object on its way to four bytes. So both are cut out by position, without looking inside,
and what is left is decoded and judged as ever. Nothing is believed of a cut: a member name that was found at the wrong
depth leaves brackets that do not close, the decoder refuses the rest, and the line is read as it stands.

In a JSON string a quotation mark is escaped, so no text that a user or a model wrote can look like a member's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

simdjson: Any
try:
    import simdjson  # type: ignore[no-redef,import-not-found,unused-ignore]
except ImportError:  # no wheel for this Python yet: vectors are decoded with the rest of their line
    simdjson = None

HEAD_BYTES = 64  # the echo begins the line, or stands behind the record id
# What stands for a vector that was taken out. No float32, so no vector that can be kept is mistaken for it; and no longer
# to decode than any number, as numbers near the end of what a double can be are (10 us).
STAND_IN = -1e100
_STAND_IN = b"-1e100"
_INPUT, _OUTPUT, _RECORD_ID = b'"modelInput":', b'"modelOutput":', b'"recordId"'
# Where the families have their vectors, and where Titan has the same once more.
_VECTOR = re.compile(rb'"(?:embedding|embeddings|float)"\s*:\s*(?:\{\s*"float"\s*:\s*)?(?:\[\s*)?(?=\[\s*[-0-9])')
_Place = tuple[int, int, int, int]
_AGAIN = re.compile(rb'"float"\s*:\s*(?=\[)')


def without_echoes(block: bytes) -> list[bytes]:
    """The lines of a block but for blank ones, each without its `modelInput` where that can be seen from outside."""
    return [_cut(block, where) for where in _lines(block)]


def _cut(block: bytes, where: _Place) -> bytes:
    at, start, stop, end = where
    return block[at:start] + block[stop:end]


def _lines(block: bytes) -> Iterator[_Place]:
    """Where each line begins and ends, and between them its echo; nothing stands between `start` and `stop` if there is none.

    By place, since copies of what is only looked for cost more than looking.
    """
    find = block.find
    at, length = 0, len(block)
    while at < length:
        end = find(b"\n", at)
        if end < 0:
            end = length
        start = find(_INPUT, at, at + HEAD_BYTES)  # of the next line: then nothing follows it in this one
        stop = find(_OUTPUT, start, end) if start >= 0 else -1
        # A second id in the echo: two lines ran into one, and the first one's id must not meet the other's answer.
        if stop >= 0 and (start <= at + 1 or find(_RECORD_ID, start, stop) < 0):
            yield at, start, stop, end
        elif end > at and not block[at:end].isspace():
            yield at, at, at, end
        at = end + 1


class Vectors:
    """Takes vectors out of lines. Belongs to one thread."""

    def __init__(self) -> None:
        self._parser: Any = simdjson.Parser()

    def take(self, block: bytes) -> tuple[list[bytes], list[bytes | None]]:
        """As `without_echoes`, with `STAND_IN` as the only number of a line's vector; and the vectors as little-endian float32.

        A line has all its numbers, and None, where there is no vector of finite numbers within float32.
        """
        whole = memoryview(block)
        find, parse = block.find, self._parser.parse
        short: list[bytes] = []
        lifted: list[tuple[int, _Place]] = []
        vectors: list[Any] = []
        for where in _lines(block):
            at, start, stop, end = where
            named = _VECTOR.search(block, stop, end)
            begin = named.end() if named is not None else end
            close = find(b"]", begin, end)
            if close >= 0 and find(b"[", begin + 1, close) < 0:
                try:
                    vectors.append(parse(whole[begin : close + 1]).as_buffer(of_type="d"))
                except (ValueError, TypeError):
                    pass
                else:
                    lifted.append((len(short), where))
                    short.append(block[at:start] + block[stop : begin + 1] + _STAND_IN + _once(block[close:end]))
                    continue
            short.append(_cut(block, where))
        taken: list[bytes | None] = [None] * len(short)
        for (number, where), vector in zip(lifted, _narrow(vectors), strict=True):
            taken[number] = vector
            if vector is None:
                short[number] = _cut(block, where)
        return short, taken


def _narrow(vectors: list[Any]) -> list[bytes | None]:
    """As float32; None for a vector that has a number beyond them."""
    numbers = [np.frombuffer(each, np.float64) for each in vectors]
    if not numbers:
        return []
    whole = np.concatenate(numbers)
    with np.errstate(over="ignore"):
        narrow = whole.astype("<f4")
    good = bool(np.isfinite(narrow).all())
    ends = np.cumsum([len(each) for each in numbers]).tolist()
    pieces = [narrow[end - len(each) : end] for end, each in zip(ends, numbers, strict=True)]
    return [piece.tobytes() if good or np.isfinite(piece).all() else None for piece in pieces]


def _once(rest: bytes) -> bytes:
    """What stands behind a vector, without the same numbers once more: nobody reads them where the first are good."""
    place = _AGAIN.search(rest)
    end = rest.find(b"]", place.end()) if place is not None else -1
    if place is None or end < 0 or rest.find(b"[", place.end() + 1, end) >= 0:
        return rest
    return rest[: place.end() + 1] + rest[end:]


def takes_vectors() -> bool:
    return simdjson is not None
