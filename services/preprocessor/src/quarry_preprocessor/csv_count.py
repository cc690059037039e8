"""Counting a CSV file: one pass in blocks of 1 MiB, which notes where rows begin and refuses what cannot be parsed.

So a worker can start in the middle, and a row that cannot be parsed refuses the run before anything is paid for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pacsv

from quarry_core.counted import Count, SourceError
from quarry_core.csv_records import Offsets, RecordScanner
from quarry_core.csv_rows import parse_block
from quarry_preprocessor.column_names import checked_names

OFFSET_EVERY_ROWS = 4_096
OFFSET_EVERY_BYTES = 1 << 20
BLOCK_BYTES = 1 << 20
RECORD_BYTES_MAX = 32 * 1024 * 1024

_UTF8_MARK = b"\xef\xbb\xbf"
_SIGNS = (
    (b"\xff\xfe", "is UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16; save it as UTF-8"),
    (b"\x1f\x8b", "is gzip data, which is not yet supported; unpack it"),
    (b"PAR1", "is Parquet data; name it .parquet"),
)


def count_csv(body: BinaryIO, key: str) -> Count:
    """Count a CSV file's rows and note where they begin, in one pass with flat memory. Raises SourceError."""
    block = body.read(BLOCK_BYTES)
    for sign, what in _SIGNS:
        if block.startswith(sign):
            raise SourceError(f"{key} {what}")
    at = len(_UTF8_MARK) if block.startswith(_UTF8_MARK) else 0
    scanner, notes, judge = RecordScanner(at), _Notes(), _Judge(key, at)
    block = block[at:]
    while block:
        at += len(block)
        judge.take(block)
        notes.take(scanner.feed(block))
        judge.judge(notes.offsets)
        if at - scanner.open_byte > RECORD_BYTES_MAX:
            raise SourceError(f"{key}: {_where(notes, scanner)} is over {RECORD_BYTES_MAX} bytes{_quoted(scanner)}")
        block = body.read(BLOCK_BYTES)
    if scanner.in_quotes:
        raise SourceError(f"{key}: {_where(notes, scanner)} opens a quote that is never closed; close it")
    notes.take(scanner.finish())
    if notes.records == 0:
        raise SourceError(f"{key} is empty; give a source with a header and at least one row")
    if notes.records == 1:
        raise SourceError(f"{key} has a header and no rows; give a source with at least one row")
    judge.judge([*notes.offsets, (notes.records - 1, at)])
    return Count(
        format="csv", rows=notes.records - 1, columns=judge.columns, size_bytes=at, offsets=tuple(notes.offsets)
    )


def _where(notes: _Notes, scanner: RecordScanner) -> str:
    return f"data row {notes.records} (byte {scanner.open_byte})" if notes.records else "the header"


def _quoted(scanner: RecordScanner) -> str:
    return "; most likely a quote in it is never closed" if scanner.in_quotes else "; split it"


def _header(record: bytes, key: str) -> list[str]:
    try:
        record.decode()
        # An empty line in front: a U+FEFF behind the byte order mark would be part of the first name.
        framed = b"\n" + record + b"\n"
        options = pacsv.ReadOptions(use_threads=False, block_size=len(framed) + 1)
        parsed = pacsv.read_csv(pa.BufferReader(framed), options, pacsv.ParseOptions(newlines_in_values=True))
    except UnicodeDecodeError as error:
        raise SourceError(f"{key}: the header is not UTF-8 ({error.reason}); save the file as UTF-8") from error
    names: list[str] = parsed.column_names
    return names


class _Notes:
    """Counts records (the header is the first) and notes where rows begin, often enough to start anywhere."""

    def __init__(self) -> None:
        self.records = 0
        self.offsets: list[tuple[int, int]] = []

    def take(self, starts: Offsets) -> None:
        if not len(starts):
            return
        row = self.records - 1  # the data row that starts[0] is; -1 is the header
        self.records += len(starts)
        while True:
            if self.offsets:
                noted_row, noted_byte = self.offsets[-1]
                by_bytes = int(starts.searchsorted(noted_byte + OFFSET_EVERY_BYTES))
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

    def __init__(self, key: str, begin: int) -> None:
        self.columns: tuple[str, ...] = ()
        self._key = key
        self._begin = begin  # the byte at which what is not judged yet begins
        self._data = bytearray()
        self._judged = 0  # notes
        self._row = 0

    def take(self, block: bytes) -> None:
        self._data += block

    def judge(self, notes: Sequence[tuple[int, int]]) -> None:
        """Judge up to the last of these notes. Raises SourceError."""
        for row, byte in notes[self._judged :]:
            length = byte - self._begin
            if not self.columns:
                self.columns = checked_names(_header(bytes(self._data[:length]), self._key), self._key)
            else:
                with memoryview(self._data) as data, data[:length] as stretch:
                    parse_block(self._key, stretch, self.columns, self._row, self._begin)
            del self._data[:length]
            self._begin, self._row = byte, row
            self._judged += 1
