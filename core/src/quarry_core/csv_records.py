"""Where the records of a CSV file begin, by bytes, exactly as pyarrow will parse them.

Pure: bytes in, offsets out. The rules (those of pyarrow's parser, held to it by property tests): a record ends at LF,
CR or CR LF outside quotes; a quote opens only at the start of a field, and is ordinary text elsewhere; inside quotes
two quotes stand for one; an empty line is no record; the last record may lack its line end.

How it is fast: quotes are few and found vectorised. When every quote that could open stands where it may (or doubles
the one before), a line end is outside quotes exactly if an even number of quotes stands before it. Only a block with
quotes in the middle of plain text is walked quote by quote, to drop those that mean nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Offsets = npt.NDArray[np.int64]

_LF, _CR, _QUOTE, _COMMA, _OTHER = 10, 13, 34, 44, 0
_NONE: Offsets = np.empty(0, dtype=np.int64)


class RecordScanner:
    """Fed one file block after block, from a byte offset at which a record begins.

    Attributes:
        open_byte: offset of the first byte that belongs to no finished record.
        in_quotes: the bytes fed end inside quotes.
    """

    def __init__(self, start_byte: int = 0) -> None:
        self._fed = start_byte
        self.open_byte = start_byte
        self.in_quotes = False
        self._before = _LF  # the byte before the next block, for what it means: a literal quote is `_OTHER`

    def feed(self, block: bytes) -> Offsets:
        """The offsets at which those records begin that end in this block."""
        if not block:
            return _NONE
        data = np.frombuffer(block, dtype=np.uint8)
        mark = data == _LF
        if b"\r" in block:
            mark |= data == _CR
        if b'"' in block:
            ends = self._quoted(data, mark)
        else:
            ends = _NONE if self.in_quotes else np.flatnonzero(mark)
            self._before = block[-1]
        ends = ends + self._fed
        self._fed += len(block)
        return self._records(ends)

    def finish(self) -> Offsets:
        """The offset of the record that the end of the file ends, if there is one."""
        return self._records(np.array([self._fed], dtype=np.int64))

    def _records(self, ends: Offsets) -> Offsets:
        if not len(ends):
            return _NONE
        starts = np.empty_like(ends)
        starts[0] = self.open_byte
        starts[1:] = ends[:-1] + 1
        self.open_byte = int(ends[-1]) + 1
        return starts[ends > starts]

    def _quoted(self, data: npt.NDArray[np.uint8], mark: npt.NDArray[np.bool_]) -> Offsets:
        """The positions of the line ends outside quotes, in a block that has quotes."""
        is_quote = data == _QUOTE
        marks = np.flatnonzero(mark | is_quote)
        quote_here = is_quote[marks]
        quotes = marks[quote_here]
        previous = data[quotes - 1]
        if quotes[0] == 0:
            previous[0] = self._before
        may_open = (previous == _COMMA) | (previous == _LF) | (previous == _CR)
        # Where a quote would open, the byte before must start a field or be the quote that this one doubles.
        openers = slice(1, None, 2) if self.in_quotes else slice(0, None, 2)
        if not bool((may_open | (previous == _QUOTE))[openers].all()):
            counts = self._counting(quotes, may_open)
            quote_here[quote_here] = counts
            quotes = quotes[counts]
        inside = np.logical_xor.accumulate(quote_here) ^ self.in_quotes
        ends: Offsets = marks[~(inside | is_quote[marks])]
        self.in_quotes = bool(inside[-1])
        last = int(data[-1])
        literal = last == _QUOTE and not (len(quotes) and quotes[-1] == len(data) - 1)
        self._before = _OTHER if literal else last
        return ends

    def _counting(self, quotes: Offsets, may_open: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which quotes open, close or double; the others are plain text."""
        inside = self.in_quotes
        closed_at = -1 if self._before == _QUOTE else -2
        counts = np.ones(len(quotes), dtype=np.bool_)
        for index, (position, opens) in enumerate(zip(quotes.tolist(), may_open.tolist(), strict=True)):
            if inside:
                closed_at = position
            elif not opens and position != closed_at + 1:
                counts[index] = False
                continue
            inside = not inside
        return counts
