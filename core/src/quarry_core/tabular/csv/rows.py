"""The rows of a CSV source, by row range, as Arrow batches of strings.

CSV is read in blocks between offsets that the count noted. pyarrow's own streaming reader was measured against this
and left: it reads 34 blocks ahead in a thread of its own (bytes paid for and thrown away at every shard's end), and
refuses a row longer than its block.

Every block is brought into UTF-8 and RFC 4180 first, if it is written otherwise; so one parser reads all dialects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from quarry_core.contract.csv_dialect import CsvDialect
from quarry_core.ports import ObjectRef, Objects
from quarry_core.tabular.counted import Count
from quarry_core.tabular.csv.records import RecordScanner, undo_backslashes
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.row_bytes import BATCH_ROWS_MAX

_RFC = CsvDialect()
_MARK = b"\xef\xbb\xbf"
# Notes are up to 1 MiB apart, or 4,096 rows, which may be little.
BLOCK_BYTES_MAX = 3 << 19
# Of a block of which no more than one in so many rows is wanted, only these are parsed; the others are looked for by
# so many bytes at a time.
FEW_OF = 4
FEW_BYTES = 1 << 16


def read_csv(objects: Objects, ref: ObjectRef, count: Count, first: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Rows [first, first + rows) of a counted CSV object. Raises as `rows.read_rows`."""
    until = first + rows
    noted = _together(count.noted(first, until))
    with objects.stream(ref, noted[0][1], noted[-1][1]) as body:
        for (row, byte), (next_row, next_byte) in pairwise(noted):
            data = body.read(next_byte - byte)
            begin, end = max(first - row, 0), min(until, next_row) - row
            few = _few(data, count, begin, end) if (end - begin) * FEW_OF <= next_row - row else None
            if few is not None:
                table = parse_block(ref.key, few, count.columns, row + begin, byte, count.dialect, sound=True)
                begin, end = 0, end - begin
            else:
                table = _block(data, ref.key, count, (row, byte), (next_row, next_byte))
            del data, few  # not to be held while rows are used
            yield from table.slice(begin, end - begin).to_batches(BATCH_ROWS_MAX)


def _together(noted: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of some notes those between which so much stands that parsing it costs more than beginning to parse."""
    kept = [noted[0]]
    for note, following in pairwise(noted[1:]):
        if following[1] - kept[-1][1] > BLOCK_BYTES_MAX:
            kept.append(note)
    return [*kept, noted[-1]]


def _few(data: bytes, count: Count, begin: int, end: int) -> bytes | None:
    """The bytes of the records [begin, end) of a block, found without parsing those before and behind them.

    None where they are not in it, or the block is no CSV: who parses it all says so.
    """
    scanner = RecordScanner(0, count.dialect)
    starts: list[int] = []
    for at in range(0, len(data), FEW_BYTES):
        starts += scanner.feed(data[at : at + FEW_BYTES]).tolist()
        if len(starts) > end:
            return data[starts[begin] : starts[end]]
        if scanner.fault is not None:
            return None
    starts += scanner.finish().tolist()
    return data[starts[begin] :] if len(starts) == end else None


def _block(data: bytes, key: str, count: Count, begin: tuple[int, int], end: tuple[int, int]) -> pa.Table:
    (row, byte), (next_row, next_byte) = begin, end
    table = parse_block(key, data, count.columns, row, byte, count.dialect, sound=True)
    if len(data) != next_byte - byte or table.num_rows != next_row - row:
        raise SourceError(
            f"{key}: {table.num_rows} rows from data row {row + 1} (byte {byte}), "
            f"{next_row - row} were counted; pin the object, and count it again if it was replaced"
        )
    return table


def in_rfc_form(data: bytes | memoryview, dialect: CsvDialect) -> bytes | memoryview:
    """Whole records of any dialect as RFC 4180 in UTF-8, the delimiter apart. Raises UnicodeDecodeError.

    UTF-8 itself is not checked here: the parser does it.
    """
    if dialect.encoding != "utf-8":
        data = str(data, dialect.encoding).encode()
    return data if dialect.escape == "double" else undo_backslashes(bytes(data))


def parse_csv(
    data: bytes | memoryview, columns: Sequence[str], dialect: CsvDialect = _RFC, *, sound: bool = False
) -> pa.Table:
    """Whole records as a table of strings: "NA", "null" and the empty text are text.

    Args:
        data: the records.
        columns: of the header.
        dialect: in which they are written.
        sound: that they are of the dialect's encoding was seen before: it takes a third of the time to see it again.

    Raises:
        pa.ArrowInvalid: a record has not as many cells as there are columns, or a cell is not UTF-8.
        UnicodeDecodeError: the bytes are not of the dialect's encoding.
    """
    # Blocks end with records, so no line is looked for inside quotes.
    framed = bytes(in_rfc_form(data, dialect))
    if bytes(framed[:3]) == _MARK or bytes(framed[-1:]) not in (b"\n", b"\r"):
        # The empty line in front keeps pyarrow from taking a first cell's own U+FEFF for a byte order mark; the one
        # behind ends a last record without line end. Most blocks need neither, and are not copied.
        framed = b"".join((b"\n", framed, b"\n"))
    return pacsv.read_csv(
        pa.BufferReader(framed),
        pacsv.ReadOptions(use_threads=False, block_size=len(framed) + 1, column_names=list(columns)),
        pacsv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=False),
        pacsv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False, check_utf8=not sound
        ),
    )


def parse_block(
    key: str,
    data: bytes | memoryview,
    columns: Sequence[str],
    row: int,
    byte: int,
    dialect: CsvDialect = _RFC,
    *,
    sound: bool = False,
) -> pa.Table:
    """As `parse_csv`, for records from data row `row + 1` on, which stand at `byte`. Raises SourceError naming one."""
    try:
        return parse_csv(data, columns, dialect, sound=sound)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        data = bytes(data)
        scanner = RecordScanner(0, dialect)
        starts = [*scanner.feed(data).tolist(), *scanner.finish().tolist(), len(data)]
        for index, (start, end) in enumerate(pairwise(starts)):
            fault = _fault(data[start:end], columns, dialect)
            if fault:
                raise SourceError(f"{key}: data row {row + index + 1} (byte {byte + start}) {fault}") from error
        raise SourceError(f"{key}: from data row {row + 1} (byte {byte}): {error}") from error


def encoding_fault(data: bytes, dialect: CsvDialect) -> str | None:
    """What of these bytes is not of the dialect's encoding, and what to do about it."""
    try:
        data.decode(dialect.encoding)
    except UnicodeDecodeError as error:
        if dialect.encoding == "utf-8":
            remedy = "save the file as UTF-8, or name its encoding in csv.encoding"
            return f"is not UTF-8 ({error.reason} at its byte {error.start}); {remedy}"
        name = "UTF-16" if dialect.unit_bytes > 1 else dialect.encoding
        return f"is not {name} ({error.reason} at its byte {error.start}); set csv.encoding to what the file is"
    return None


def _fault(record: bytes, columns: Sequence[str], dialect: CsvDialect) -> str | None:
    """What is wrong with one record, and what to do about it."""
    fault = encoding_fault(record, dialect)
    if fault:
        return fault
    found = [len(columns)]

    def remember(bad: Any) -> str:
        found[0] = bad.actual_columns
        return "skip"

    framed = b"".join((b"\n", in_rfc_form(record, dialect), b"\n"))
    names = pacsv.ReadOptions(use_threads=False, block_size=len(framed) + 1, column_names=list(columns))
    parsing = pacsv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True, invalid_row_handler=remember)
    pacsv.read_csv(pa.BufferReader(framed), names, parsing)
    if found[0] != len(columns):
        return (
            f"has {found[0]} fields, the header has {len(columns)}; "
            "put fields with delimiters or line ends in double quotes, and double the quotes inside"
        )
    return None
