"""Parts of a result are read in the caller's thread: what other threads hold when a process ends can abort it."""

from __future__ import annotations

import io
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_cli.client.results.parts import batches_of, open_part, tables_of

ROWS = 5_000


class _Noting(io.BytesIO):
    """A file of Python's that notes which threads read it."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.threads: set[int] = set()

    def read(self, size: int | None = -1) -> bytes:
        self.threads.add(threading.get_ident())
        return super().read(size)

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        self.threads.add(threading.get_ident())
        return super().readinto(buffer)


@pytest.fixture
def part() -> _Noting:
    rows = pa.table({f"column {at}": [f"{at} of {row}" for row in range(ROWS)] for at in range(8)})
    body = io.BytesIO()
    pq.write_table(rows, body, row_group_size=ROWS // 2)
    return _Noting(body.getvalue())


def test_batches_are_read_in_the_callers_thread(part):
    with open_part(part) as file:
        assert sum(batch.num_rows for batch in batches_of(file, 1_000)) == ROWS
    assert part.threads == {threading.get_ident()}


@pytest.mark.parametrize("columns", [None, ["column 3", "column 7"]])
def test_tables_are_read_in_the_callers_thread(part, columns):
    with open_part(part) as file:
        assert sum(table.num_rows for table in tables_of(file, columns)) == ROWS
    assert part.threads == {threading.get_ident()}
