"""Counting a CSV file: one pass in blocks of 512 KiB, which notes where rows begin and refuses what cannot be parsed.

So a worker can start in the middle, and a row that cannot be parsed refuses the run before anything is paid for. The
scanner tells what is no CSV and how many cells each record has; a stretch in which a record does not fit the header, or that
is not UTF-8, is parsed by the parser that would read it later, which names the row. Other dialects are parsed throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from quarry_core.contract.csv_dialect import RECORD_BYTES_MAX, Csv, CsvDialect
from quarry_core.tabular.counted import Count
from quarry_core.tabular.csv.header import HEADER_BYTES_MAX, OTHER_DELIMITERS, header_names, is_header
from quarry_core.tabular.csv.records import CsvFault, Offsets, RecordScanner
from quarry_core.tabular.csv.rows import parse_block
from quarry_core.tabular.csv.start import START_BYTES, shown_delimiter, start_of
from quarry_core.tabular.csv.utf8 import is_utf8
from quarry_core.tabular.errors import SourceError

OFFSET_EVERY_ROWS = 4_096
OFFSET_EVERY_BYTES = 1 << 20
# What a column costs its reader, whatever is in it, is to be worth it.
OFFSET_EVERY_COLUMN_BYTES = 512
BLOCK_BYTES = 1 << 19


def count_csv(body: BinaryIO, key: str, options: Csv | None = None, *, may_be_empty: bool = False) -> Count:
    """Count a CSV file's rows and note where they begin, in one pass with flat memory.

    Args:
        body: the file, from its beginning on.
        key: its name, for messages.
        options: what the manifest says of its form.
        may_be_empty: that there is nothing in it, not even a header, is no sign of a broken upload.

    Raises:
        SourceError: it is no CSV of that form; the text names the place and the remedy.
    """
    options = options or Csv()
    head = body.read(START_BYTES)
    start = start_of(head, key, options)
    at = start.byte
    notes, judge = _Notes(has_header=not isinstance(options.header, tuple)), _Judge(key, options, start.dialect, at)
    scanner = RecordScanner(at, start.dialect, cells=judge.by_bytes)
    for block in _blocks(head[at:], body):
        at += len(block)
        judge.take(block)
        starts = scanner.feed(block)
        judge.first_record(starts, scanner.open_byte)
        judge.look(scanner.cells, notes.next_row)
        notes.take(starts, len(judge.columns))
        judge.judge(notes.offsets)
        if scanner.fault is not None:
            raise SourceError(f"{key}: {_where(notes, scanner)} {_no_csv(scanner.fault, options)}")
        bytes_max = RECORD_BYTES_MAX if notes.named else HEADER_BYTES_MAX
        if at - scanner.open_byte > bytes_max:
            hint = "most likely a quote in it is never closed" if scanner.in_quotes else "split it"
            hint += judge.spark_hint() if scanner.in_quotes else ""
            raise SourceError(f"{key}: {_where(notes, scanner)} is over {bytes_max} bytes; {hint}")
    starts = scanner.finish()
    if scanner.fault is not None:
        raise SourceError(f"{key}: {_where(notes, scanner)} {_no_csv(scanner.fault, options)}")
    if scanner.in_quotes:
        hint = judge.spark_hint()
        if start.dialect.escape == "backslash":
            hint = ", and put two backslashes where a cell ends with one"
        raise SourceError(f"{key}: {_where(notes, scanner)} opens a quote that is never closed; close it{hint}")
    judge.first_record(starts, at)
    judge.look(scanner.cells, notes.next_row)
    notes.take(starts, len(judge.columns))
    if notes.records == 0 and may_be_empty:
        return Count(format="csv", rows=0, columns=(), size_bytes=at, dialect=start.dialect)
    if notes.records == 0:
        raise SourceError(f"{key} is empty; give a source with a header and at least one row")
    judge.judge([*notes.offsets, (notes.rows, at)])
    return Count(
        format="csv",
        rows=notes.rows,
        columns=judge.columns,
        size_bytes=at,
        offsets=tuple(notes.offsets),
        dialect=start.dialect,
    )


def _blocks(head: bytes, body: BinaryIO) -> Iterator[bytes]:
    """The rest of the file in blocks; the bytes that were looked at come first."""
    for at in range(0, len(head), BLOCK_BYTES):
        yield head[at : at + BLOCK_BYTES]
    while block := body.read(BLOCK_BYTES):
        yield block


def _where(notes: _Notes, scanner: RecordScanner) -> str:
    return f"data row {notes.rows + 1} (byte {scanner.open_byte})" if notes.named else "the header"


def _no_csv(fault: CsvFault, options: Csv) -> str:
    """What is wrong at the scanner's fault, and what to do about it."""
    if fault.kind == "half a character":
        return f"ends with half a character (byte {fault.byte}); set csv.encoding to what the file is"
    if fault.kind == "doubled quote":
        return (
            f'has a doubled quote inside a quoted cell (byte {fault.byte}), and csv.escape is "backslash"; '
            'set csv.escape to "double"'
        )
    if fault.kind == "stray quote":
        text = (
            f"has a quote inside a cell that does not begin with one (byte {fault.byte}); "
            "put the whole cell in double quotes, and double the quotes inside"
        )
    else:
        text = (
            f"has text after the closing quote of a cell (byte {fault.byte}); "
            'double each quote inside a quoted cell, as in "say ""hi""", and close each cell that one opens'
        )
        if options.delimiter is None and fault.follows in OTHER_DELIMITERS:
            return text + f"; if {shown_delimiter(fault.follows)} separates the cells, set csv.delimiter to it"
    return text + (_SPARK if fault.escaped and options.escape != "backslash" else "")


_SPARK = '; this looks like Spark\'s CSV: set csv.escape to "backslash"'


class _Notes:
    """Counts records and notes where rows begin, often enough to start anywhere."""

    def __init__(self, *, has_header: bool) -> None:
        self._headers = int(has_header)
        self.records = 0
        self.offsets: list[tuple[int, int]] = []

    @property
    def rows(self) -> int:
        return max(0, self.records - self._headers)

    @property
    def next_row(self) -> int:
        """The data row that the next record is; -1 is the header."""
        return self.records - self._headers

    @property
    def named(self) -> bool:
        """Whether the columns have their names, so that what comes is a row."""
        return self.records >= self._headers

    def take(self, starts: Offsets, columns: int) -> None:
        if not len(starts):
            return
        every_bytes = max(OFFSET_EVERY_BYTES, OFFSET_EVERY_COLUMN_BYTES * columns)
        row = self.next_row
        self.records += len(starts)
        while True:
            if self.offsets:
                noted_row, noted_byte = self.offsets[-1]
                by_bytes = int(starts.searchsorted(noted_byte + every_bytes))
                index = min(noted_row + OFFSET_EVERY_ROWS - row, by_bytes)
            else:
                index = -row
            if index >= len(starts):
                return
            self.offsets.append((row + index, int(starts[index])))


class _Judge:
    """Reads the header, and holds each stretch between two notes against it.

    So a row that cannot be parsed refuses the run before anything is paid for, and not when half of it is.
    """

    def __init__(self, key: str, options: Csv, dialect: CsvDialect, begin: int) -> None:
        self.columns: tuple[str, ...] = options.header if isinstance(options.header, tuple) else ()
        self._key = key
        self._options = options
        self._dialect = dialect
        self._begin = begin  # the byte at which what is not judged yet begins
        self._data = bytearray()
        self._first_seen = False
        self._judged = 0  # notes
        self._row = 0
        self._odd: list[int] = []  # rows not judged yet that do not fit the header
        self.by_bytes = dialect.encoding == "utf-8" and dialect.escape == "double"

    def take(self, block: bytes) -> None:
        self._data += block

    def spark_hint(self) -> str:
        """What to say of an open quote, if a backslash stands before one in what is open."""
        sign = '\\"'.encode(self._dialect.encoding)
        return _SPARK if self._dialect.escape == "double" and sign in self._data else ""

    def first_record(self, starts: Offsets, open_byte: int) -> None:
        """Take the column names from the first record as soon as it has ended, or see that it does not hold them."""
        if self._first_seen or not len(starts):
            return
        self._first_seen = True
        end = int(starts[1]) if len(starts) > 1 else open_byte
        record = bytes(self._data[: end - self._begin])
        if not self.columns:
            self.columns = header_names(record, self._key, self._dialect, self._options)
            del self._data[: end - self._begin]
            self._begin = end
        elif is_header(record, self.columns, self._dialect):
            raise SourceError(f"{self._key}: the first record equals csv.header word for word; leave csv.header out")

    def look(self, cells: Offsets, row: int) -> None:
        """Hold the cells of the next records against the header; the first of them is data row `row`."""
        odd = np.flatnonzero(cells != len(self.columns)) + row
        self._odd += odd[odd >= 0].tolist()

    def _judge_rows(self, stretch: memoryview, behind: int) -> None:
        """Judge the rows up to `behind`."""
        fit = not self._odd or self._odd[0] >= behind
        self._odd = [row for row in self._odd if row >= behind]
        if self.by_bytes and fit and is_utf8(stretch):
            return
        parse_block(self._key, stretch, self.columns, self._row, self._begin, self._dialect)

    def judge(self, notes: Sequence[tuple[int, int]]) -> None:
        """Judge up to the last of these notes. Raises SourceError."""
        for row, byte in notes[self._judged :]:
            length = byte - self._begin
            if length and row:  # before the first row there is nothing but empty lines
                with memoryview(self._data) as data, data[:length] as stretch:
                    self._judge_rows(stretch, row)
            del self._data[:length]
            self._begin, self._row = byte, row
            self._judged += 1
