"""Looking at a source before it is planned: its format, schema, number of rows, and a sample for estimating bytes.

Owns nothing and writes nothing; the same pinned object gives the same `Count`, so any worker may do it again. A
Parquet file tells its rows in its footer; a CSV file is read once, in blocks of 1 MiB, and notes on the way where
rows begin, so that a worker can start in the middle.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from quarry_core.csv_records import Offsets, RecordScanner
from quarry_core.ports import ObjectRef, Objects
from quarry_core.rows import (
    BATCH_ROWS_MAX,
    Count,
    SourceError,
    SourceFormat,
    open_parquet,
    parquet_group,
    parse_block,
    read_rows,
)

OFFSET_EVERY_ROWS = 4_096
OFFSET_EVERY_BYTES = 1 << 20
BLOCK_BYTES = 1 << 20
RECORD_BYTES_MAX = 32 * 1024 * 1024
SAMPLE_ROWS = 200
SAMPLE_PLACES = 8

_FORMATS: dict[str, SourceFormat] = {".csv": "csv", ".parquet": "parquet"}
_NOT_YET = (".jsonl", ".json", ".tsv", ".csv.gz", ".csv.zst", ".csv.bz2", ".jsonl.gz", ".arrow", ".feather", ".xlsx")
_UTF8_MARK = b"\xef\xbb\xbf"
_SIGNS = (
    (b"\xff\xfe", "is UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16; save it as UTF-8"),
    (b"\x1f\x8b", "is gzip data, which is not yet supported; unpack it"),
    (b"PAR1", "is Parquet data; name it .parquet"),
)


def source_format(key: str) -> SourceFormat:
    """The format that a key's suffix names, in either case.

    Raises:
        SourceError: it names none that is supported; the message says what to do.
    """
    name = key.lower()
    for suffix, known in _FORMATS.items():
        if name.endswith(suffix):
            return known
    if name.endswith("/") or not name:
        raise SourceError(f"{key!r} is a folder, which is not yet supported; give one .csv or .parquet object")
    for suffix in _NOT_YET:
        if name.endswith(suffix):
            raise SourceError(f"{key!r}: {suffix} is not yet supported; convert it to .csv or .parquet")
    raise SourceError(f"{key!r} ends neither in .csv nor in .parquet; name the object for its format")


def inspect(objects: Objects, ref: ObjectRef, form: SourceFormat) -> Count:
    """Count a source's rows and read its schema, in one pass with flat memory.

    Raises:
        SourceError: it is empty, not of its format, or its columns cannot be told apart.
        PortError: as `Objects.stream` and `Objects.random_access` do.
    """
    if form == "csv":
        with objects.stream(ref) as body:
            return _count_csv(body, ref.key)
    with objects.random_access(ref) as source, open_parquet(source, ref.key) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
        size_bytes = source.seek(0, 2)
    columns = _checked(schema.names, ref.key)
    if rows == 0:
        raise SourceError(f"{ref.key} has no rows; give a source with at least one")
    schema_ipc = base64.b64encode(schema.serialize()).decode()
    return Count(format="parquet", rows=rows, columns=columns, size_bytes=size_bytes, schema_ipc=schema_ipc)


def count_gaps(objects: Objects, ref: ObjectRef, form: SourceFormat, columns: Sequence[str]) -> int:
    """At most how many rows lack a value in one of these columns: rows that no prompt can be made of.

    A CSV file's cells are text and never null. A Parquet file tells it in its footer, row group by row group; a column
    whose writer left that out is read.

    Raises:
        PortError: as `Objects.random_access` does.
    """
    if form == "csv":
        return 0
    with objects.random_access(ref) as source, open_parquet(source, ref.key) as file:
        return sum(_gaps_told(file, column) or 0 for column in columns) + sum(
            _gaps_read(file, column) for column in columns if _gaps_told(file, column) is None
        )


def _gaps_told(file: pq.ParquetFile, column: str) -> int | None:
    """The column's nulls by the footer; None if it does not tell, as for nested columns, whose parts it counts."""
    places = [place for place in range(len(file.schema)) if file.schema.column(place).path == column]
    if not places:
        return None
    gaps = 0
    for group in range(file.metadata.num_row_groups):
        statistics = file.metadata.row_group(group).column(places[0]).statistics
        if statistics is None or not statistics.has_null_count:
            return None
        gaps += statistics.null_count
    return gaps


def _gaps_read(file: pq.ParquetFile, column: str) -> int:
    batches = file.iter_batches(batch_size=BATCH_ROWS_MAX, columns=[column], use_threads=False)
    return sum(int(batch.column(0).null_count) for batch in batches)


def _checked(columns: Sequence[str], key: str) -> tuple[str, ...]:
    if not columns:
        raise SourceError(f"{key} has no columns; give a source with at least one")
    unnamed = [place for place, column in enumerate(columns, 1) if not column.strip()]
    if unnamed:
        raise SourceError(f"{key}: column {unnamed[0]} of {len(columns)} has no name; name every column")
    twice = [column for column, times in Counter(columns).items() if times > 1]
    if twice:
        raise SourceError(f"{key}: several columns are named {twice[0]!r}; give each a name of its own")
    return tuple(columns)


# --------------------------------------------------------------------------- counting CSV


def _count_csv(body: BinaryIO, key: str) -> Count:
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
                self.columns = _checked(_header(bytes(self._data[:length]), self._key), self._key)
            else:
                with memoryview(self._data) as data, data[:length] as stretch:
                    parse_block(self._key, stretch, self.columns, self._row, self._begin)
            del self._data[:length]
            self._begin, self._row = byte, row
            self._judged += 1


# --------------------------------------------------------------------------- sampling


def sample(
    objects: Objects,
    ref: ObjectRef,
    form: SourceFormat,
    count: Count,
    rows: int = SAMPLE_ROWS,
    places: int = SAMPLE_PLACES,
) -> pa.RecordBatch:
    """About `rows` rows from up to `places` places spread over the source, in order; all of them if it has no more.

    A place is a noted offset (CSV) or the beginning of a row group (Parquet), so that nothing is decoded to be
    dropped. A Parquet file with few row groups is therefore sampled at few places. Raises as `read_rows`.
    """
    if count.rows <= rows:
        taken = list(read_rows(objects, ref, count, 0, count.rows))
    elif form == "csv":
        taken = list(_csv_places(objects, ref, count, rows, places))
    else:
        taken = list(_parquet_places(objects, ref, rows, places))
    return pa.Table.from_batches(taken).combine_chunks().to_batches()[0]


def _csv_places(objects: Objects, ref: ObjectRef, count: Count, rows: int, places: int) -> Iterator[pa.RecordBatch]:
    chosen = _spread(len(count.offsets), places)
    each = -(-rows // len(chosen))
    begins = [count.offsets[place][0] for place in chosen]
    for begin, end in pairwise([*begins, count.rows]):
        yield from read_rows(objects, ref, count, begin, min(each, end - begin))


def _parquet_places(objects: Objects, ref: ObjectRef, rows: int, places: int) -> Iterator[pa.RecordBatch]:
    with objects.random_access(ref) as source, open_parquet(source, ref.key) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        groups = [group for group, size in enumerate(sizes) if size]
        chosen = [groups[place] for place in _spread(len(groups), places)]
        each = -(-rows // len(chosen))
        for group in chosen:
            yield from parquet_group(file, ref.key, group, 0, min(each, sizes[group]))


def _spread(things: int, most: int) -> list[int]:
    """Up to `most` indexes of `things`, evenly."""
    taken = min(things, most)
    return [place * things // taken for place in range(taken)]
