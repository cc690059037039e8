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
from typing import Any

import numpy as np

simdjson: Any
try:
    import simdjson  # type: ignore[no-redef,import-not-found,unused-ignore]
except ImportError:  # no wheel for this Python yet: vectors are decoded with the rest of their line
    simdjson = None

HEAD_BYTES = 64  # the echo begins the line, or stands behind the record id
# What stands for a vector that was taken out. No float32, so no vector that can be kept is mistaken for it.
STAND_IN = -1.5e308
_STAND_IN = b"-1.5e308"
_INPUT, _OUTPUT, _RECORD_ID = b'"modelInput":', b'"modelOutput":', b'"recordId"'
# Where the families have their vectors, and where Titan has the same once more.
_VECTOR = re.compile(rb'"(?:embedding|embeddings|float)"\s*:\s*(?:\{\s*"float"\s*:\s*)?(?:\[\s*)?(?=\[\s*[-0-9])')
_AGAIN = re.compile(rb'"float"\s*:\s*(?=\[)')


def without_echo(line: bytes) -> bytes:
    """The line without its `modelInput`, where that can be seen from outside; else the line itself."""
    start = line.find(_INPUT, 0, HEAD_BYTES)
    if start < 0:
        return line
    end = line.find(_OUTPUT, start)
    # A second id in the echo: two lines ran into one, and the first one's id must not meet the other's answer.
    if end < 0 or (start > 1 and line.find(_RECORD_ID, start, end) >= 0):
        return line
    return line[:start] + line[end:]


class Vectors:
    """Takes vectors out of lines. Belongs to one thread."""

    def __init__(self) -> None:
        self._parser: Any = simdjson.Parser()

    def take(self, lines: list[bytes]) -> tuple[list[bytes], list[bytes | None]]:
        """The lines with `STAND_IN` as the only number of their vector, and the vectors as little-endian float32.

        A line as it is, and None, where there is no vector of finite numbers within float32.
        """
        short = list(lines)
        lifted: list[int] = []
        vectors: list[Any] = []
        for number, line in enumerate(lines):
            place = _VECTOR.search(line)
            if place is None:
                continue
            begin = place.end()
            end = line.find(b"]", begin)
            if end < 0 or line.find(b"[", begin + 1, end) >= 0:
                continue
            try:
                vectors.append(self._parser.parse(line[begin : end + 1]).as_buffer(of_type="d"))
            except (ValueError, TypeError):
                continue
            short[number] = line[: begin + 1] + _STAND_IN + _once(line[end:])
            lifted.append(number)
        taken: list[bytes | None] = [None] * len(lines)
        for number, vector in zip(lifted, _narrow(vectors), strict=True):
            taken[number] = vector
            if vector is None:
                short[number] = lines[number]
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
