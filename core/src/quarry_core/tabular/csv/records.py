"""Where the records of a CSV file begin, by bytes, and the first place at which it is no CSV.

Pure: bytes in, offsets out. The rules are RFC 4180's, with two freedoms: a record ends at LF, CR or CR LF outside
quotes, and an empty line is no record; the last record may lack its line end. A quote opens a cell only at its start;
a cell that was opened ends with a quote before a delimiter, a line end or the end of the file; a quote anywhere else
is a fault, which ends the scan. What passes here has one reading, so pyarrow, which is lenient, gives the same cells
(held to it by property tests).

A quote inside a quoted cell is doubled, or, where the dialect says so, escaped by a backslash as Spark does it: there
a run of backslashes before a quote counts in pairs, and an odd one escapes.

How it is fast: quotes and ends are few and found vectorised. In a file without faults the quotes open and close in turn, a
doubled one both, so each is judged by its neighbour alone, and a line end is outside quotes exactly if an even number
of quotes stands before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from quarry_core.contract.csv_dialect import CsvDialect

Offsets = npt.NDArray[np.int64]
Units = npt.NDArray[Any]

LF, CR, SPACE, QUOTE, BACKSLASH = 10, 13, 32, 34, 92
_FIRST_UNITS = ord(",") + 1
_NONE: Offsets = np.empty(0, dtype=np.int64)
_RFC = CsvDialect()

FaultKind = Literal["stray quote", "text after quote", "doubled quote", "half a character"]


@dataclass(frozen=True, slots=True)
class CsvFault:
    """Why the quote at `byte` makes no CSV. `escaped`: behind a backslash. `follows`: the character behind it, if known."""

    kind: FaultKind
    byte: int
    escaped: bool = False
    follows: str = ""


class RecordScanner:
    """Fed one file block after block, from a byte offset at which a record begins.

    Args:
        start_byte: that offset.
        dialect: of the file.
        cells: whether to count the cells of each record too.

    Attributes:
        cells: how many cells each of the records has that were returned last, if they are counted.
        open_byte: offset of the first byte that belongs to no finished record.
        in_quotes: the bytes fed end inside quotes.
        fault: the first one; nothing behind it is read.
    """

    def __init__(self, start_byte: int = 0, dialect: CsvDialect = _RFC, *, cells: bool = False) -> None:
        self._width = dialect.unit_bytes
        self._unit = np.dtype({"utf-16-le": "<u2", "utf-16-be": ">u2"}.get(dialect.encoding, "u1"))
        self._doubles = dialect.escape == "double"
        # Behind what a quote may open, and before what one may close.
        self._edge = np.zeros(1 << (8 * self._width), dtype=np.bool_)
        self._edge[[LF, CR, ord(dialect.delimiter)]] = True
        self._edge[QUOTE] = self._doubles
        self._delimiter = ord(dialect.delimiter) if cells else None
        self._open_cells = 0  # delimiters since the last line end
        self.cells: Offsets = _NONE
        self._fed = start_byte
        self._rest = b""  # half a unit
        self._before = LF  # the unit before the next block
        self._slashes = 0  # the backslashes before the next block, where they escape
        self._after_slash = False  # the last quote stands behind a backslash
        self.open_byte = start_byte
        self.in_quotes = False
        self.fault: CsvFault | None = None

    def feed(self, block: bytes) -> Offsets:
        """The offsets at which those records begin that end in this block, before any fault."""
        self.cells = _NONE
        if self._width > 1:
            block = self._rest + block
            whole = len(block) - len(block) % self._width
            block, self._rest = block[:whole], block[whole:]
        if not block or self.fault is not None:
            return _NONE
        data = np.frombuffer(block, dtype=self._unit)
        if self._width > 1:
            data = data.astype(np.uint16, copy=False)
        ends, delimiters = self._ends(data)
        at = self._fed
        self._fed += len(block)
        if not self._doubles:
            self._slashes = _run_at_end(data, self._slashes)
        self._before = int(data[-1])
        return self._records(ends * self._width + at, self._counted(ends, delimiters))

    def finish(self) -> Offsets:
        """The offset of the record that the end of the file ends, if there is one."""
        if self._rest and self.fault is None:
            self._fail("half a character", 0)
        self.cells = _NONE
        if self.fault is not None or self.in_quotes:
            return _NONE
        end = np.array([self._fed], dtype=np.int64)
        return self._records(end, self._counted(end, _NONE))

    def _counted(self, ends: Offsets, delimiters: Offsets) -> Offsets:
        """The cells of each record that ends, empty lines included."""
        if self._delimiter is None:
            return _NONE
        before = np.searchsorted(delimiters, ends)
        cells: Offsets = np.diff(before, prepend=-self._open_cells) + 1
        self._open_cells = len(delimiters) - int(before[-1]) if len(ends) else self._open_cells + len(delimiters)
        return cells

    def _records(self, ends: Offsets, cells: Offsets) -> Offsets:
        if not len(ends):
            return _NONE
        starts = np.empty_like(ends)
        starts[0] = self.open_byte
        starts[1:] = ends[:-1] + self._width
        self.open_byte = int(ends[-1]) + self._width
        filled = ends > starts
        self.cells = cells[filled] if len(cells) else cells
        return starts[filled]

    def _fail(self, kind: FaultKind, unit: int, *, escaped: bool = False, follows: str = "") -> None:
        self.fault = CsvFault(kind, self._fed + unit * self._width, escaped, follows)

    def _ends(self, data: Units) -> tuple[Offsets, Offsets]:
        """The positions of the line ends outside quotes, up to the first fault; and of delimiters, if cells are counted."""
        if self._before == QUOTE and not self.in_quotes and not self._edge[data[0]]:
            kind: FaultKind = "doubled quote" if data[0] == QUOTE else "text after quote"
            self._fail(kind, -1, escaped=self._after_slash, follows=chr(data[0]))
            return _NONE, _NONE
        marks = self._marks(data)
        codes = data[marks]
        is_quote = codes == QUOTE
        if is_quote.any():
            outside = self._outside(data, marks, is_quote)
            marks, codes = marks[: len(outside)], codes[: len(outside)]
        elif self.in_quotes:
            return _NONE, _NONE
        else:
            outside = np.ones(len(marks), np.bool_)
        ends: Offsets = marks[outside & ((codes == LF) | (codes == CR))]
        return ends, _NONE if self._delimiter is None else marks[outside & (codes == self._delimiter)]

    def _marks(self, data: Units) -> Offsets:
        """Where line ends, quotes and delimiters stand, and perhaps some other units that are about as rare.

        Found by two comparisons, for each is a pass over everything: nothing but a space is frequent among the first units.
        """
        mark = data < _FIRST_UNITS
        mark &= data != SPACE
        if self._delimiter is not None and self._delimiter >= _FIRST_UNITS:
            mark |= data == self._delimiter
        return np.flatnonzero(mark)

    def _outside(self, data: Units, marks: Offsets, is_quote: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which of the marks stand outside of quotes, up to the first fault, in a block that has quotes."""
        escaped = _NONE
        if not self._doubles:
            quotes = marks[is_quote]
            escapes = escaped_quotes(data, quotes, self._previous(data, quotes), self._slashes)
            escaped = quotes[escapes]
            is_quote[is_quote] = ~escapes
        quotes = marks[is_quote]
        previous = self._previous(data, quotes)
        fault_at = self._judge(data, quotes, previous, escaped)
        outside: npt.NDArray[np.bool_] = np.logical_xor.accumulate(is_quote) == self.in_quotes
        if fault_at is not None:
            return outside[: np.searchsorted(marks, fault_at)]
        if len(quotes):
            self.in_quotes = bool((len(quotes) + self.in_quotes) % 2)
            self._after_slash = bool(previous[-1] == BACKSLASH)
        return outside

    def _previous(self, data: Units, quotes: Offsets) -> Units:
        """The unit before each of some quotes."""
        previous = data[quotes - 1]
        if len(quotes) and quotes[0] == 0:
            previous[0] = self._before
        return previous

    def _judge(self, data: Units, quotes: Offsets, previous: Units, escaped: Offsets) -> int | None:
        """Where the first fault of the block is, if there is one."""
        begin = int(self.in_quotes)
        opens_wrong = begin + 2 * np.flatnonzero(~self._edge[previous[begin::2]])
        closers = quotes[1 - begin :: 2]
        # What follows a quote at the end of the block is judged with the next one.
        closes_wrong = 1 - begin + 2 * np.flatnonzero(~self._edge[data[np.minimum(closers + 1, len(data) - 1)]])
        if len(closes_wrong) and quotes[closes_wrong[-1]] == len(data) - 1:
            closes_wrong = closes_wrong[:-1]
        outside = escaped[(np.searchsorted(quotes, escaped) + begin) % 2 == 0]
        first: tuple[int, FaultKind, bool] | None = None
        if len(opens_wrong):
            at = opens_wrong[0]
            first = (int(quotes[at]), "stray quote", bool(previous[at] == BACKSLASH))
        if len(closes_wrong) and (first is None or quotes[closes_wrong[0]] < first[0]):
            at = closes_wrong[0]
            kind: FaultKind = "doubled quote" if data[quotes[at] + 1] == QUOTE else "text after quote"
            first = (int(quotes[at]), kind, bool(previous[at] == BACKSLASH))
        if len(outside) and (first is None or outside[0] < first[0]):
            first = (int(outside[0]), "stray quote", True)
        if first is None:
            return None
        follows = chr(data[first[0] + 1]) if first[0] + 1 < len(data) else ""
        self._fail(first[1], first[0], escaped=first[2], follows=follows)
        return first[0]


def count_cells(record: bytes, delimiter: str) -> int:
    """How many cells a record has; RFC 4180 in an encoding of which ASCII's bytes stand for themselves."""
    data = np.frombuffer(record, dtype=np.uint8)
    quotes, delimiters = np.flatnonzero(data == QUOTE), np.flatnonzero(data == ord(delimiter))
    return 1 + int((np.searchsorted(quotes, delimiters) % 2 == 0).sum())


# --------------------------------------------------------------------------- backslashes


def escaped_quotes(data: Units, quotes: Offsets, previous: Units, slashes_before: int = 0) -> npt.NDArray[np.bool_]:
    """Which of these quotes stand behind an odd run of backslashes; `previous` is the unit before each."""
    escapes: npt.NDArray[np.bool_] = previous == BACKSLASH
    if not escapes.any():
        return escapes
    suspects = quotes[escapes]
    slashes = np.flatnonzero(data == BACKSLASH)
    runs = np.full(len(suspects), slashes_before, dtype=np.int64)  # what a quote at the very beginning has before it
    inner = suspects > 0
    last = np.searchsorted(slashes, suspects[inner]) - 1
    places = _places(slashes)[last]
    begins_block = slashes[last - places] == 0
    runs[inner] = places + 1 + np.where(begins_block, slashes_before, 0)
    escapes[escapes] = runs % 2 == 1
    return escapes


def undo_backslashes(records: bytes) -> bytes:
    """Whole records in which backslashes escape, as RFC 4180 writes them. ASCII's bytes must stand for themselves.

    Inside a quoted cell a pair of backslashes stands for one, as Spark writes it; everywhere else they are text.
    """
    data = np.frombuffer(records, dtype=np.uint8)
    slashes = np.flatnonzero(data == BACKSLASH)
    quotes = np.flatnonzero(data == QUOTE)
    if not len(slashes) or not len(quotes):
        return records
    previous = data[quotes - 1]
    if quotes[0] == 0:
        previous[0] = LF
    escapes = escaped_quotes(data, quotes, previous)
    slashes = slashes[np.searchsorted(quotes[~escapes], slashes) % 2 == 1]
    doubled = data.copy()
    doubled[quotes[escapes] - 1] = QUOTE
    kept = np.ones(len(data), dtype=np.bool_)
    kept[slashes[_places(slashes) % 2 == 1]] = False
    return doubled[kept].tobytes()


def _places(slashes: Offsets) -> Offsets:
    """Of each backslash, how many stand before it in its run."""
    order = np.arange(len(slashes))
    places: Offsets = order - np.maximum.accumulate(np.where(np.diff(slashes, prepend=-2) != 1, order, 0))
    return places


def _run_at_end(data: Units, before: int) -> int:
    if data[-1] != BACKSLASH:
        return 0
    others = np.flatnonzero(data != BACKSLASH)
    return int(len(data) - 1 - others[-1]) if len(others) else len(data) + before
