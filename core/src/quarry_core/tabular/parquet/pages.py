"""What a Parquet reader is about to decode, read from the pages' own headers as they pass, before it decodes them.

Theory of operation. A footer says how large a column chunk is in the file, not how large it becomes: one string in a
dictionary may stand in a million rows, a run of one value takes two bytes whatever its length, and a page of nothing
but zeros compresses to nothing. The headers of the pages tell more. `PageWatch` is the file as pyarrow reads it, reads
nothing on its own, and looks at what it hands on. From the headers, and from the dictionaries, which it opens, it
knows two sums: what the open pages take, and what the next rows can take at most when they are decoded. If either is
over its limit, the read fails before pyarrow has the bytes, and the reader begins again with fewer rows at a time.

Fields and numbers: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Self

import numpy as np
import pyarrow as pa

from quarry_core.tabular.parquet.thrift_compact import read_struct, read_varint
from quarry_core.tabular.row_bytes import BATCH_ROWS_MAX

MIB = 1 << 20
# What the open pages of all columns may take together, decompressed, where a process does not say otherwise.
PAGES_BYTES_MAX = 224 * MIB
PAGES_SETTING = "QUARRY_PARQUET_PAGES_BYTES_MAX"
# What the rows that are decoded at once may take, and what a single row may.
BATCH_BYTES_MAX = 16 * MIB
ROW_BYTES_MAX = 32 * MIB
# Lists of which a whole row group is smaller are let be: one row may as well hold them all.
LISTS_BYTES_MAX = 48 * MIB
# Where lists are to be counted: of one row group, and at once.
LIST_ROWS_MAX = 16_000_000
LIST_VALUES_AT_ONCE = 1 << 20
HEADER_BYTES_MAX = 16 * MIB

_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_BY_DICTIONARY = (2, 8)
_BY_PREFIX = 7  # DELTA_BYTE_ARRAY
# Beside a value itself: its offset or, in lists, its two levels as well.
_VALUE_BYTES = 4
_LIST_VALUE_BYTES = 12
# Of values of one length in succession: after so many, so many more are looked at at once.
_ALIKE_MIN = 32
_ALIKE_AT_ONCE = 4_096
# pyarrow holds a dictionary as a page and as values.
_DICTIONARY_COPIES = 2
_CODECS = {
    "SNAPPY": "snappy",
    "GZIP": "gzip",
    "BROTLI": "brotli",
    "ZSTD": "zstd",
    "LZ4": "lz4_raw",
    "LZ4_RAW": "lz4_raw",
}


_pages_bytes_max = PAGES_BYTES_MAX


def allow_pages(bytes_max: int) -> None:
    """How many bytes of open pages this process takes: a property of its memory, chosen once when it starts."""
    global _pages_bytes_max  # noqa: PLW0603 like Arrow's own pool, it is the process's
    _pages_bytes_max = bytes_max


class TooMuch(Exception):
    """The rows to be decoded at once would take too much; `rows` of them would not, by what is known now."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"read {rows} rows at once")
        self.rows = rows


class ListsUnknown(Exception):
    """How long the lists of a column chunk are must be known before it is decoded."""

    def __init__(self, chunk: Chunk) -> None:
        super().__init__(chunk.path)
        self.chunk = chunk


class Unbounded(Exception):
    """What must be in memory at once is over a limit, however few rows are read; the text names column and remedy."""


@dataclass(slots=True)
class Chunk:
    """One leaf column in one row group, as the footer tells it.

    Attributes:
        path: of the leaf, with dots.
        start: the byte at which its first page begins.
        rows: of the row group.
        values: with nulls; as many as rows, unless it is nested.
        width: bytes of a value; 0 if they vary.
        repeats: how many lists lie in each other; 0 for a flat column.
        codec: as pyarrow names it.
        lists: the values of each row, where they were counted.
        longest: bytes of the longest entry of its dictionary, where it was looked at.
    """

    path: str
    start: int
    rows: int
    values: int
    width: int
    repeats: int
    codec: str
    lists: np.ndarray[Any, Any] | None = None
    longest: int | None = None


@dataclass(frozen=True, slots=True)
class PageHeader:
    """`length` is the header's own; sizes are the page's behind it."""

    length: int
    kind: int
    bytes: int
    compressed_bytes: int
    values: int
    encoding: int
    levels_bytes: int | None = None
    compressed: bool = True


@dataclass(slots=True)
class _Track:
    """What is known of a chunk that is being read."""

    chunk: Chunk
    next: int
    kept: bytes = b""
    lost: bool = False
    page_bytes: int = 0
    dictionary_bytes: int = 0
    lists_bytes: float = 0
    window_bytes: float = 0
    recent: deque[tuple[float, float]] = field(default_factory=deque)
    recent_rows: float = 0


class PageWatch(io.RawIOBase, BinaryIO):
    """A file for pyarrow, and what its next pages will take; belongs to one reader.

    `verdict` is why a read failed, for pyarrow may put an error of its own in its place.
    """

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._tracks: list[_Track] = []
        self._starts: list[int] = []
        self._rows = 1
        self._held_bytes = 0
        self._window_bytes = 0.0
        self.verdict: TooMuch | ListsUnknown | Unbounded | None = None

    def expect(self, chunks: Iterable[Chunk], rows: int) -> None:
        """From now on these chunks are read, so many rows at once."""
        self._tracks = [_Track(chunk, chunk.start) for chunk in sorted(chunks, key=lambda one: one.start)]
        self._starts = [track.chunk.start for track in self._tracks]
        self._rows = rows
        self.verdict = None
        self._held_bytes = 0
        self._window_bytes = 0.0
        for track in self._tracks:
            if not track.chunk.repeats:
                self._widen(track, min(rows, track.chunk.rows) * track.chunk.width)

    def read(self, size: int | None = -1, /) -> bytes:
        at = self._source.tell()
        data = self._source.read(-1 if size is None else size)
        place = bisect_right(self._starts, at) - 1
        if place >= 0 and data:
            self._pass(self._tracks[place], at, data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def __enter__(self) -> Self:
        return self

    # ----------------------------------------------------------------------- pages

    def _pass(self, track: _Track, at: int, data: bytes) -> None:
        """Look at the headers in `data`, which stands at the byte `at`."""
        if track.lost:
            return
        have = track.next + len(track.kept)
        if at > have:
            track.lost = True  # pyarrow reads chunks from their beginning on, without a gap
            return
        if at + len(data) <= have:
            return
        data = track.kept + data[have - at :]
        offset = 0
        while offset < len(data):
            header = read_header(data, offset)
            if header is None:
                if len(data) - offset > HEADER_BYTES_MAX:
                    self._fail(
                        Unbounded(f"column {track.chunk.path!r}: its page boundaries cannot be found; write it again")
                    )
                track.kept = data[offset:]
                return
            body, end = offset + header.length, offset + header.length + header.compressed_bytes
            if header.kind == _DICTIONARY:
                self._hold(track, 0, _DICTIONARY_COPIES * header.bytes + 16 * header.values)
                if track.chunk.width == 0 and track.chunk.longest is None:
                    if len(data) < end:
                        track.kept = data[offset:]
                        return
                    track.chunk.longest = self._longest(track.chunk, header, data[body:end])
            elif header.kind in (_DATA, _DATA_V2):
                self._data_page(track, header)
            track.next += end - offset
            offset = end
        track.kept = b""

    def _longest(self, chunk: Chunk, header: PageHeader, body: bytes) -> int:
        """The longest entry of a dictionary, or a bound for it that is short enough."""
        if self._rows * header.bytes <= BATCH_BYTES_MAX // 8:
            return header.bytes
        return longest_entry(decompressed(chunk, header, body))

    def _data_page(self, track: _Track, header: PageHeader) -> None:
        chunk = track.chunk
        self._hold(track, header.bytes, 0)
        if header.encoding in _BY_DICTIONARY and chunk.width == 0:
            taken = header.values * (chunk.longest or 0)
        elif header.encoding == _BY_PREFIX and chunk.width == 0:
            taken = header.values * header.bytes
        else:
            taken = max(header.bytes, header.values * chunk.width)
        taken += header.values * (_LIST_VALUE_BYTES if chunk.repeats else _VALUE_BYTES)
        rows = header.values if not chunk.repeats else header.values * chunk.rows / max(chunk.values, 1)
        if chunk.lists is not None:
            self._widen(track, _most(chunk.lists, self._rows) * taken / max(header.values, 1))
            return
        if chunk.repeats:
            track.lists_bytes += taken
            self._judge_lists()
        track.recent.append((rows, taken))
        track.recent_rows += rows
        while track.recent_rows - track.recent[0][0] >= self._rows:
            track.recent_rows -= track.recent.popleft()[0]
        over = max(track.recent_rows - self._rows, 0)
        first_rows, first_bytes = track.recent[0]
        window = sum(bytes_ for _, bytes_ in track.recent) - (first_bytes * over / first_rows if first_rows else 0)
        self._widen(track, window)

    def _judge_lists(self) -> None:
        unknown = [one for one in self._tracks if one.chunk.repeats and one.chunk.lists is None]
        if sum(one.lists_bytes for one in unknown) > LISTS_BYTES_MAX:
            self._fail(ListsUnknown(max(unknown, key=lambda one: one.lists_bytes).chunk))

    def _hold(self, track: _Track, page_bytes: int, dictionary_bytes: int) -> None:
        """Note the pages of a chunk that are open: the largest of its data, and its dictionary."""
        before = track.page_bytes + track.dictionary_bytes
        track.page_bytes = max(track.page_bytes, page_bytes)
        track.dictionary_bytes = max(track.dictionary_bytes, dictionary_bytes)
        self._held_bytes += track.page_bytes + track.dictionary_bytes - before
        if self._held_bytes > _pages_bytes_max:
            largest = max(self._tracks, key=lambda one: one.page_bytes + one.dictionary_bytes)
            self._fail(
                Unbounded(
                    f"the pages of {len(self._tracks)} columns that must be open at once have"
                    f" {self._held_bytes // MIB} "
                    f"MiB (the largest are those of {largest.chunk.path!r}), and Quarry opens"
                    f" {_pages_bytes_max // MIB} "
                    "MiB at most; write it with fewer rows to a row group (DuckDB: ROW_GROUP_SIZE), or give the"
                    " services "
                    f"more memory and a larger {PAGES_SETTING}"
                )
            )

    def _widen(self, track: _Track, window_bytes: float) -> None:
        """Note what the rows that are decoded at once take of a chunk."""
        self._window_bytes += max(window_bytes - track.window_bytes, 0)
        track.window_bytes = max(window_bytes, track.window_bytes)
        window = self._window_bytes
        if window <= (BATCH_BYTES_MAX if self._rows > 1 else ROW_BYTES_MAX):
            return
        if self._rows > 1:
            self._fail(TooMuch(max(1, int(self._rows * min(BATCH_BYTES_MAX / window * 0.7, 0.5)))))
        largest = max(self._tracks, key=lambda one: one.window_bytes)
        self._fail(
            Unbounded(
                f"a single row has up to {int(window) // MIB + 1} MiB, most of it in column"
                f" {largest.chunk.path!r}, and "
                f"Quarry reads rows of {ROW_BYTES_MAX // MIB} MiB at most; shorten its values, or leave it out"
            )
        )

    def _fail(self, verdict: TooMuch | ListsUnknown | Unbounded) -> None:
        self.verdict = verdict
        raise verdict


# --------------------------------------------------------------------------- lists


def count_lists(source: BinaryIO, chunk: Chunk) -> np.ndarray[Any, Any]:
    """How many values each row of a nested chunk has; reads the chunk's pages once, one at a time.

    Raises:
        Unbounded: a page is too large, or cannot be looked into.
    """
    if chunk.rows > LIST_ROWS_MAX:
        raise Unbounded(
            f"column {chunk.path!r} has lists in {chunk.rows} rows of a row group; write smaller row groups"
        )
    bits = max(chunk.repeats.bit_length(), 1)
    lengths: list[np.ndarray[Any, Any]] = []
    seen, at = 0, chunk.start
    while seen < chunk.values:
        header = None
        for header_bytes in (64 * 1024, HEADER_BYTES_MAX):
            source.seek(at)
            header = header or read_header(source.read(header_bytes), 0)
        if header is None:
            raise Unbounded(f"column {chunk.path!r}: its page boundaries cannot be found; write it again")
        if header.bytes > _pages_bytes_max:
            raise Unbounded(
                f"column {chunk.path!r} has a page of {header.bytes // MIB} MiB; write it with smaller pages"
            )
        if header.kind in (_DATA, _DATA_V2):
            source.seek(at + header.length)
            levels = _repetition_levels(chunk, header, source.read(header.compressed_bytes))
            lengths.append(_runs(levels, header.values, bits))
            seen += header.values
        at += header.length + header.compressed_bytes
    return _closed(lengths)


def _repetition_levels(chunk: Chunk, header: PageHeader, body: bytes) -> bytes:
    if header.kind == _DATA_V2:
        return body[: header.levels_bytes or 0]
    body = decompressed(chunk, header, body)
    return body[4 : 4 + int.from_bytes(body[:4], "little")]


def _runs(levels: bytes, values: int, bits: int) -> np.ndarray[Any, Any]:
    """Lengths of rows: [rest of the row before, first row, second row, …], of the RLE and bit-packed hybrid."""
    lengths: list[np.ndarray[Any, Any]] = []
    open_values = seen = at = 0
    byte_width = -(-bits // 8)
    while seen < values and at < len(levels):
        head, at = read_varint(levels, at)
        run = min((head >> 1) * (8 if head & 1 else 1), values - seen)
        if head & 1:
            behind = at + (head >> 1) * bits
            for begun in range(0, run, LIST_VALUES_AT_ONCE):
                count = min(LIST_VALUES_AT_ONCE, run - begun)
                packed = np.frombuffer(levels, np.uint8)[at + begun * bits // 8 : at + -(-(begun + count) * bits // 8)]
                digits = np.unpackbits(packed, bitorder="little")[: count * bits]
                begins = np.flatnonzero(~digits.reshape(-1, bits).any(axis=1))
                if len(begins):
                    lengths.append(np.diff(begins, prepend=-open_values).astype(np.int32))
                    open_values = count - int(begins[-1])
                else:
                    open_values += count
            at = behind
        else:
            if any(levels[at : at + byte_width]):
                open_values += run
            elif run:  # so many rows of one value; more than are ever read at once tell nothing more
                lengths.append(np.ones(min(run, BATCH_ROWS_MAX), np.int32))
                lengths[-1][0] = open_values
                open_values = 1
            at += byte_width
        seen += run
    return np.concatenate([*lengths, [open_values]])


def _closed(pages: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Rows that go on in the next page are one row."""
    rows: list[np.ndarray[Any, Any]] = []
    carried = 0
    for page in pages:
        whole = page.copy()
        whole[0] += carried
        rows.append(whole[:-1])
        carried = int(whole[-1])
    return np.concatenate([*rows, [carried]]) if rows else np.zeros(0, np.int64)


def _most(lists: np.ndarray[Any, Any], rows: int) -> int:
    """The most values that so many rows in succession have."""
    ends = np.concatenate(([0], np.cumsum(lists)))
    return int((ends[rows:] - ends[:-rows]).max()) if len(ends) > rows else int(ends[-1])


# --------------------------------------------------------------------------- bytes


def decompressed(chunk: Chunk, header: PageHeader, body: bytes) -> bytes:
    """The body of a page of the first kind. Raises Unbounded where it cannot be opened."""
    if chunk.codec == "UNCOMPRESSED":
        return body
    try:
        opened: bytes = pa.decompress(body, header.bytes, _CODECS[chunk.codec], asbytes=True)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise Unbounded(
            f"column {chunk.path!r} has a page that cannot be decompressed ({error}); write it again"
        ) from error
    return opened


def longest_entry(dictionary: bytes) -> int:
    """The length of the longest of the values in a dictionary's page: a length in four bytes, then so many bytes, and so on.

    Each length says where the next one stands, so they are followed one by one; but numbers, dates and keys are many of
    one length, which are passed over together.
    """
    longest = at = alike = before = 0
    end = len(dictionary) - 3
    length_at = struct.Struct("<I").unpack_from
    while at < end:
        (length,) = length_at(dictionary, at)
        if length != before:
            alike, before = 0, length
            longest = max(longest, length)
        alike += 1
        at += 4 + length
        if alike == _ALIKE_MIN:
            at += _alike(dictionary, at, length) * (4 + length)
            alike = 0
    return longest


def _alike(dictionary: bytes, at: int, length: int) -> int:
    """How many values of this length stand there one behind the other, of the next so many."""
    step = 4 + length
    most = min((len(dictionary) - at) // step, _ALIKE_AT_ONCE)
    found = np.frombuffer(dictionary, np.uint8, most * step, at).reshape(most, step)[:, :4]
    other = np.flatnonzero((found != np.frombuffer(length.to_bytes(4, "little"), np.uint8)).any(axis=1))
    return int(other[0]) if len(other) else most


def read_header(data: bytes, offset: int) -> PageHeader | None:
    """The page header that begins at `offset`; None if it does not end within `data`, or is none."""
    try:
        fields, end = read_struct(data, offset)
        kind = fields[1]
        inner = fields.get({_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}.get(kind, 0), {})
        header = PageHeader(
            length=end - offset,
            kind=kind,
            bytes=fields[2],
            compressed_bytes=fields[3],
            values=inner.get(1, 0),
            encoding=inner.get(4 if kind == _DATA_V2 else 2, 0),
            levels_bytes=inner.get(6),
        )
        return header if min(header.bytes, header.compressed_bytes, header.values, header.encoding) >= 0 else None
    except (IndexError, KeyError, TypeError, AttributeError):
        return None
