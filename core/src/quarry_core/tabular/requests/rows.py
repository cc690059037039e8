"""The rows of a file of ready requests, by row range, as Arrow batches: the ids, the requests, what else there is.

A row is a line that is not blank. The file is read in blocks between the offsets that the count noted, as CSV is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pyarrow as pa

from quarry_core.contract.requests import BODY_COLUMNS, ID_COLUMNS, OTHER_COLUMN, RequestFormat
from quarry_core.ports import ObjectRef, Objects
from quarry_core.tabular.counted import Count
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.requests.lines import Line, NotARequest, read_line
from quarry_core.tabular.row_bytes import BATCH_ROWS_MAX

BOM = b"\xef\xbb\xbf"


def request_columns(form: RequestFormat, *, others: bool) -> tuple[str, ...]:
    """The columns of a file of requests; `others`: a line of it has further members."""
    return (ID_COLUMNS[form], BODY_COLUMNS[form], *([OTHER_COLUMN] if others else []))


def request_schema(columns: Sequence[str]) -> pa.Schema:
    """All are text: the two that are JSON too, so that they come back as they were written."""
    return pa.schema([(column, pa.string()) for column in columns])


def read_requests(objects: Objects, ref: ObjectRef, count: Count, first: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Rows [first, first + rows) of a counted file of requests. Raises as `rows.read_rows`."""
    assert count.requests is not None, "counted as something else"
    until = first + rows
    noted = count.noted(first, until)
    with objects.stream(ref, noted[0][1], noted[-1][1]) as body:
        for (row, byte), (next_row, next_byte) in pairwise(noted):
            data = body.read(next_byte - byte)
            found = _lines(data, ref.key, count.requests, row, byte)
            if len(data) != next_byte - byte or len(found) != next_row - row:
                raise SourceError(
                    f"{ref.key}: {len(found)} rows from data row {row + 1} (byte {byte}), {next_row - row} were"
                    " counted; pin the object, and count it again if it was replaced"
                )
            begin = max(first - row, 0)
            wanted = found[begin : min(until, next_row) - row]
            for start in range(0, len(wanted), BATCH_ROWS_MAX):
                yield batch_of(wanted[start : start + BATCH_ROWS_MAX], count.columns)


def batch_of(lines: Sequence[Line], columns: Sequence[str]) -> pa.RecordBatch:
    """Requests as a batch of the columns that `request_columns` names."""
    arrays = [
        pa.array([line.id for line in lines], pa.string()),
        pa.array([line.body for line in lines], pa.binary()).cast(pa.string()),
        pa.array([line.other for line in lines], pa.binary()).cast(pa.string()),
    ]
    return pa.RecordBatch.from_arrays(arrays[: len(columns)], schema=request_schema(columns))


def _lines(data: bytes, key: str, form: RequestFormat, row: int, byte: int) -> list[Line]:
    """The requests of whole lines, the first of which is row `row` and stands at `byte`."""
    lines = []
    for line in data.split(b"\n"):
        if not line or line.isspace():
            continue
        try:
            lines.append(read_line(line, form))
        except NotARequest as error:
            raise SourceError(f"{key}: data row {row + len(lines) + 1} (from byte {byte}) {error}") from error
    return lines
