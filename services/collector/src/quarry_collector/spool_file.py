"""Bytes that are kept in the order in which they come and read back by place: in memory while they are few, then on disk.

Reading them back from a file in the order of the rows is a system call a row. So memory is lent to those whose answers
are a little more than few, out of one stock for the whole process: together they never have more than that.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from quarry_collector.columns import Numbers

WRITE_BYTES = 1 << 20
MEMORY_BYTES_MAX = 4 << 20  # above this they go to a temporary file, but for what is lent
LENT_BYTES_MAX = 32 << 20  # to all of a process together
LENT_BYTES = 2 << 20  # at once


class Lost(Exception):
    """What is read is not as long as what was written."""


class Stock:
    """Memory that is lent to whoever asks first. For any thread.

    Args:
        bytes_max: how much may be lent at any time.
    """

    def __init__(self, bytes_max: int) -> None:
        self._left = bytes_max
        self._lock = threading.Lock()

    def lend(self, size_bytes: int) -> bool:
        """Whether there was as much left."""
        with self._lock:
            there = self._left >= size_bytes
            self._left -= size_bytes if there else 0
        return there

    def take_back(self, size_bytes: int) -> None:
        with self._lock:
            self._left += size_bytes


_STOCK = Stock(LENT_BYTES_MAX)


class SpoolFile:
    """Belongs to one thread. `close` deletes it."""

    def __init__(self, folder: Path | None, stock: Stock = _STOCK) -> None:
        self._folder = folder
        self._stock = stock
        self._lent_bytes = 0
        self._file: BinaryIO | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._memory = b""
        self._closed = False
        self.end = 0

    def append(self, pieces: Sequence[bytes], size_bytes: int) -> int:
        """Where the first of these pieces stands; the others follow it. `size_bytes`: of all of them."""
        begin = self.end
        self._waiting.append(b"".join(pieces))
        self._waiting_bytes += size_bytes
        self.end += size_bytes
        if self._waiting_bytes >= (MEMORY_BYTES_MAX if self._file is None else WRITE_BYTES) and not self._borrow():
            self._write()
        return begin

    def _borrow(self) -> bool:
        """Whether what waits may go on waiting in memory."""
        while self._file is None and self._waiting_bytes >= MEMORY_BYTES_MAX + self._lent_bytes:
            if not self._stock.lend(LENT_BYTES):
                return False
            self._lent_bytes += LENT_BYTES
        return self._file is None

    def _return_lent(self) -> None:
        self._stock.take_back(self._lent_bytes)
        self._lent_bytes = 0

    def finish(self) -> None:
        """All is appended; what comes now is reading, or a few more pieces and `finish` again."""
        if self._file is not None:
            self._write()
        else:
            self._memory = b"".join(self._waiting)
            self._waiting = [self._memory]

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed by `close`
        for piece in self._waiting:
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._waiting.clear()
        self._waiting_bytes = 0
        self._return_lent()

    def read(self, offsets: Numbers, lengths: Numbers) -> list[bytes]:
        """The pieces that stand there, once all is finished. Raises Lost."""
        if self._closed:
            raise ValueError("read of a closed spool")
        if self._file is None:
            stops = offsets + lengths
            memory = self._memory
            found = [memory[start:stop] for start, stop in zip(offsets.tolist(), stops.tolist(), strict=True)]
        elif len(offsets) > 1 and (offsets[1:] == offsets[:-1] + lengths[:-1]).all():
            # The output was in the order of the rows: one read for all.
            whole = os.pread(self._file.fileno(), int(lengths.sum()), int(offsets[0]))
            begins = (offsets - offsets[0]).tolist()
            found = [whole[start : start + length] for start, length in zip(begins, lengths.tolist(), strict=True)]
        else:
            number = self._file.fileno()
            found = [
                os.pread(number, length, at) for length, at in zip(lengths.tolist(), offsets.tolist(), strict=True)
            ]
        if sum(map(len, found)) != int(np.sum(lengths)):
            raise Lost
        return found

    def close(self) -> None:
        self._closed = True
        self._return_lent()
        self._waiting.clear()
        self._memory = b""
        if self._file is not None:
            self._file.close()
