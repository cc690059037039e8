"""The rows of a CSV source, by row range, as Arrow batches of strings.

CSV is read in blocks between offsets that the count noted. pyarrow's own streaming reader was measured against this
and left: it reads 34 blocks ahead in a thread of its own (bytes paid for and thrown away at every shard's end), and
refuses a row longer than its block.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from quarry_core.counted import BATCH_ROWS_MAX, Count, SourceError
from quarry_core.csv_records import RecordScanner
from quarry_core.ports import ObjectRef, Objects


def read_csv(objects: Objects, ref: ObjectRef, count: Count, first: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Rows [first, first + rows) of a counted CSV object. Raises as `rows.read_rows`."""
    nearest = bisect_right(count.offsets, first, key=lambda noted: noted[0]) - 1
    until = first + rows
    noted = [*count.offsets[nearest:], (count.rows, count.size_bytes)]
    with objects.stream(ref, noted[0][1]) as body:
        for (row, byte), (next_row, next_byte) in pairwise(noted):
            if row >= until:
                return
            data = body.read(next_byte - byte)
            table = parse_block(ref.key, data, count.columns, row, byte)
            if len(data) != next_byte - byte or table.num_rows != next_row - row:
                raise SourceError(
                    f"{ref.key}: {table.num_rows} rows from data row {row + 1} (byte {byte}), "
                    f"{next_row - row} were counted; pin the object, and count it again if it was replaced"
                )
            begin = max(first - row, 0)
            yield from table.slice(begin, min(until, next_row) - row - begin).to_batches(BATCH_ROWS_MAX)


def parse_csv(data: bytes | memoryview, columns: Sequence[str]) -> pa.Table:
    """Whole records as a table of strings: "NA", "null" and the empty text are text. Raises `pa.ArrowInvalid`."""
    # The empty line in front keeps pyarrow from taking a first cell's own U+FEFF for a byte order mark; the one
    # behind ends a last record without line end. Blocks end with records, so no line is looked for inside quotes.
    framed = b"".join((b"\n", data, b"\n"))
    return pacsv.read_csv(
        pa.BufferReader(framed),
        pacsv.ReadOptions(use_threads=False, block_size=len(framed) + 1, column_names=list(columns)),
        pacsv.ParseOptions(newlines_in_values=False),
        pacsv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False),
    )


def parse_block(key: str, data: bytes | memoryview, columns: Sequence[str], row: int, byte: int) -> pa.Table:
    """As `parse_csv`, for records from data row `row + 1` on, which stand at `byte`. Raises SourceError naming one."""
    try:
        return parse_csv(data, columns)
    except pa.ArrowInvalid as error:
        data = bytes(data)
        scanner = RecordScanner()
        starts = [*scanner.feed(data).tolist(), *scanner.finish().tolist(), len(data)]
        for index, (start, end) in enumerate(pairwise(starts)):
            fault = _fault(data[start:end], columns)
            if fault:
                raise SourceError(f"{key}: data row {row + index + 1} (byte {byte + start}) {fault}") from error
        raise SourceError(f"{key}: from data row {row + 1} (byte {byte}): {error}") from error


def _fault(record: bytes, columns: Sequence[str]) -> str | None:
    """What is wrong with one record, and what to do about it."""
    try:
        record.decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8 ({error.reason} at its byte {error.start}); save the file as UTF-8"
    found = [len(columns)]

    def remember(bad: Any) -> str:
        found[0] = bad.actual_columns
        return "skip"

    framed = pa.BufferReader(b"\n" + record + b"\n")
    names = pacsv.ReadOptions(use_threads=False, block_size=len(record) + 8, column_names=list(columns))
    pacsv.read_csv(framed, names, pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=remember))
    if found[0] != len(columns):
        return (
            f"has {found[0]} fields, the header has {len(columns)}; "
            "put fields with commas or line ends in double quotes, and double the quotes inside"
        )
    return None
