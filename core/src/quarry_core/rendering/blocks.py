"""The lines of a block of rows, made together: a few passes over all bytes instead of a few calls for each row.

Theory of operation. Arrow puts the texts of a block one behind the other, and behind each a byte that never occurs in
UTF-8: one byte for each placeholder, and another where a row ends. Then the whole is escaped as JSON, and each of these
bytes is replaced by the constant that stands in its place. All record ids have one length, so their places follow from
those of the row ends, and the digits are put there by number. Each pass is one call that runs at the speed of memory.

What is not UTF-8 would be mistaken; it is seen by the number of marks, and `lines` gives up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quarry_core.rendering.row_encoder import ROW_DIGITS

# Bytes that do not occur in UTF-8 (RFC 3629, section 1): the first ends a row, the others stand behind one placeholder each.
_MARKS = tuple(bytes([code]) for code in (0xFF, *range(0xF5, 0xFF), 0xC0, 0xC1))
SLOTS_MAX = len(_MARKS)
_PLACES = 10 ** np.arange(ROW_DIGITS - 1, -1, -1)
_NO_ROW = b"0" * ROW_DIGITS
_SPACE = 0x20


def _escape_of(code: int) -> bytes:
    short = {0x08: b"\\b", 0x09: b"\\t", 0x0A: b"\\n", 0x0C: b"\\f", 0x0D: b"\\r"}
    return short.get(code, b"\\u%04x" % code)


# By how often they occur; a line feed is replaced before.
_CONTROLS = tuple((bytes([code]), _escape_of(code)) for code in (0x09, 0x0D, *range(9), 0x0B, 0x0C, *range(14, 32)))


def escaped(texts: bytes) -> bytes:
    """UTF-8 as it stands in a JSON string: what must be escaped is, by the shortest escape, and nothing else."""
    texts = texts.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    codes = np.frombuffer(texts, np.uint8)
    if not len(codes) or codes.min() >= _SPACE:  # the least is found in half of the time that counting takes
        return texts
    left = int(np.count_nonzero(codes < _SPACE))
    for control, escape in _CONTROLS:
        if not left:
            break
        before = len(texts)
        texts = texts.replace(control, escape)
        left -= (len(texts) - before) // (len(escape) - 1)
    return texts


class Blocks:
    """Makes the lines of blocks of rows.

    Args:
        constants: what stands before, between and behind the values of a line, from the closing quotation mark of the
            record id on: one more than there are placeholders.
    """

    def __init__(self, constants: Sequence[bytes]) -> None:
        self._first, *self._between, self._last = constants
        slots = len(constants) - 1
        self._marks = (*_MARKS[1:slots], _MARKS[0])

    def lines(self, head: bytes, rows: Sequence[int], texts: Sequence[pa.Array]) -> bytearray | None:
        """The lines of some rows.

        Args:
            head: what a line begins with, up to the row in the record id.
            rows: the row of each line, of six digits.
            texts: for each placeholder the strings without a gap, as many as there are rows.

        Returns:
            None where a text is no UTF-8.
        """
        block = escaped(self._joined(texts))
        for mark, constant in zip(self._marks[:-1], self._between, strict=True):
            if block.count(mark) != len(rows):
                return None
            block = block.replace(mark, constant)
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _MARKS[0][0])
        if len(ends) != len(rows):
            return None
        begin = head + _NO_ROW + self._first
        between = self._last + begin
        # Behind the last line another one begins, which is not taken.
        filled = block.replace(_MARKS[0], between)
        lines = bytearray().join((begin, memoryview(filled)[: len(filled) - len(begin)]))
        digits = np.full(len(rows), len(head), np.int64)
        digits[1:] += ends[:-1] + len(begin) + np.arange(len(rows) - 1) * (len(between) - 1) + len(self._last)
        numbers = np.asarray(rows, np.int64)
        np.frombuffer(lines, np.uint8)[digits[:, None] + np.arange(ROW_DIGITS)] = numbers[
            :, None
        ] // _PLACES % 10 + ord("0")
        return lines

    def _joined(self, texts: Sequence[pa.Array]) -> bytes:
        """The texts row by row, each with its mark behind it."""
        long = any(pa.types.is_large_string(one.type) for one in texts)
        kind = pa.large_binary() if long else pa.binary()
        parts: list[Any] = []
        for one, mark in zip(texts, self._marks, strict=True):
            parts += [one.cast(kind), pa.scalar(mark, kind)]
        joined = pc.binary_join_element_wise(*parts, pa.scalar(b"", kind))
        _, bounds, data = joined.buffers()
        ends = np.frombuffer(bounds, np.int64 if long else np.int32, len(joined) + 1, joined.offset)
        begin, end = int(ends[0]), int(ends[-1])
        whole: bytes = data.slice(begin, end - begin).to_pybytes()
        return whole
