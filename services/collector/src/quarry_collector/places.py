"""Which row of a shard a record id names, and back. Pure.

In a shard of the source an id *is* a position. The records of a retry shard keep the ids that they had, and their place in it
is that of their id in the list that was written with its input. Either way an id is never trusted: what is none of the
shard's has no row.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pyarrow as pa

from quarry_collector import columns
from quarry_collector.columns import Numbers
from quarry_core.contract.names import record_id, row_of

ID_CHARS = 11
NO_ROW = -1


class Places(Protocol):
    def row_of(self, record: str) -> int | None: ...

    def rows_of(self, records: list[str]) -> Numbers:
        """As `row_of`, of many; -1 for what is none of the shard's."""
        ...

    def record_id(self, row: int) -> str: ...

    def record_ids(self, start: int, stop: int) -> pa.Array: ...


class ByPosition:
    """Of a shard of the source."""

    def __init__(self, shard: str) -> None:
        self._shard = shard

    def row_of(self, record: str) -> int | None:
        return row_of(record, self._shard)

    def rows_of(self, records: list[str]) -> Numbers:
        return columns.rows_of(records, self._shard)

    def record_id(self, row: int) -> str:
        return record_id(self._shard, row)

    def record_ids(self, start: int, stop: int) -> pa.Array:
        return columns.record_ids(self._shard, start, stop)


class Listed:
    """Of a retry shard. `ids`: one a line, in the order of its input. Raises ValueError: they are no record ids."""

    def __init__(self, ids: bytes) -> None:
        lines = ids.decode("ascii").split()
        if not all(len(line) == ID_CHARS and line.isdigit() for line in lines):
            raise ValueError("the list holds something that is no record id")
        self._numbers = np.array([int(line) for line in lines], np.int64)
        self._order = np.argsort(self._numbers, kind="stable")
        self._sorted = self._numbers[self._order]
        if len(lines) > 1 and not (np.diff(self._sorted) > 0).all():
            raise ValueError("the list names a record twice")

    def __len__(self) -> int:
        return len(self._numbers)

    def row_of(self, record: str) -> int | None:
        row = int(self.rows_of([record])[0])
        return None if row == NO_ROW else row

    def rows_of(self, records: list[str]) -> Numbers:
        numbers = np.fromiter((_number(record) for record in records), np.int64, len(records))
        if not len(self._sorted):
            return np.full(len(numbers), NO_ROW)
        found = np.minimum(np.searchsorted(self._sorted, numbers), len(self._sorted) - 1)
        return np.where(self._sorted[found] == numbers, self._order[found], NO_ROW)

    def record_id(self, row: int) -> str:
        return f"{self._numbers[row]:0{ID_CHARS}d}"

    def record_ids(self, start: int, stop: int) -> pa.Array:
        return pa.array([self.record_id(row) for row in range(start, stop)], pa.string())


def _number(record: str) -> int:
    return int(record) if len(record) == ID_CHARS and record.isascii() and record.isdigit() else NO_ROW
