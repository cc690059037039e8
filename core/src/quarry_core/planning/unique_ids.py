"""Whether the ids of a dataset are all different, in flat memory, however many there are.

Theory of operation. Of each id a hash of 128 bits and the number of its row go to a temporary file, sorted on the way
into partitions by the first byte of the hash; equal ids are in one partition, so partitions are looked at one after
the other. Memory is what the partitions have waiting and one partition. At 128 bits two ids of one hash are not met
with: among a billion random ids the chance is 1 in 10^21.

A tracker belongs to one pass over the rows, in their order, and is thrown away with it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

PARTITIONS = 256
ROW_BYTES = 24
# Of the temporary file: about 130 million ids. Helm gives the preprocessor `tmpSizeLimit` for it.
IDS_BYTES_MAX = 3 << 30
# So much of a partition waits for being written at once.
WAITING_BYTES_MAX = 32 << 10

_Rows = np.ndarray[Any, np.dtype[np.uint64]]


class TooManyIds(ValueError):
    """There are more ids than can be compared; the text says how many can be."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """The first id that stands a second time, by the rows that bear it, counted from 0."""

    first: int
    again: int


class UniqueIds:
    """Takes the ids of all rows, batch after batch. Use it as a context manager: leaving it deletes the file.

    Args:
        folder: where the temporary file lies; the system's own place if None.
        bytes_max: how large it may grow.
        waiting_bytes_max: how much of one partition waits in memory.
    """

    def __init__(
        self,
        folder: Path | None = None,
        bytes_max: int = IDS_BYTES_MAX,
        waiting_bytes_max: int = WAITING_BYTES_MAX,
    ) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by __exit__
        self._bytes_max = bytes_max
        self._waiting_bytes_max = waiting_bytes_max
        self._waiting = [bytearray() for _ in range(PARTITIONS)]
        self._stretches: list[list[tuple[int, int]]] = [[] for _ in range(PARTITIONS)]
        self._end = 0
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, ids: pa.Array) -> None:
        """Take the ids of the next rows: text or bytes, null for a row without one.

        Raises:
            TooManyIds: the temporary file would pass its limit.
        """
        for row, value in enumerate(ids.cast(pa.large_binary()).to_pylist(), self.rows):
            if value is None:
                continue
            digest = hashlib.blake2b(value, digest_size=16).digest()
            waiting = self._waiting[digest[0]]
            waiting += digest
            waiting += row.to_bytes(8, "little")
            if len(waiting) >= self._waiting_bytes_max:
                self._write(digest[0])
        self.rows += len(ids)

    def repeated(self) -> Repeated | None:
        """The first row whose id an earlier row has, and that earlier row; None if all ids differ."""
        found: Repeated | None = None
        for partition in range(PARTITIONS):
            self._write(partition)
            one = _repeated_in(self._read(partition))
            if one is not None and (found is None or one.again < found.again):
                found = one
        return found

    def _write(self, partition: int) -> None:
        data = memoryview(bytes(self._waiting[partition]))
        if not data:
            return
        if self._end + len(data) > self._bytes_max:
            raise TooManyIds(
                f"more than {self._bytes_max // ROW_BYTES} ids cannot be compared: send the dataset as several runs"
            )
        self._waiting[partition].clear()
        self._stretches[partition].append((self._end, len(data)))
        self._end += len(data)
        while data:
            data = data[self._file.write(data) :]

    def _read(self, partition: int) -> _Rows:
        number = self._file.fileno()
        data = b"".join(os.pread(number, length, offset) for offset, length in self._stretches[partition])
        return np.frombuffer(data, "<u8").reshape(-1, ROW_BYTES // 8)


def _repeated_in(rows: _Rows) -> Repeated | None:
    """Of rows of (hash, hash, row), in the order of rows."""
    order = np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))
    ordered = rows[order]
    same = (ordered[1:, :2] == ordered[:-1, :2]).all(axis=1)
    places = np.flatnonzero(same)
    if not len(places):
        return None
    # Of an id that stands three times the second is named beside the first, since neighbours are compared.
    again = places[np.argmin(ordered[places + 1, 2])]
    return Repeated(int(ordered[again, 2]), int(ordered[again + 1, 2]))
