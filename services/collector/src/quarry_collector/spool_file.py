"""Bytes by row: kept as they come, and read back for any stretch of rows.

Theory of operation. They come in the order of the output, and are wanted in that of the rows. So they are gathered until they are
`RUN_BYTES` together, put into the order of their rows, and written as a run to a temporary file; few bytes stay in memory as
the only run. Of a stretch of rows each run has its pieces side by side: that is a read a run, and not one for each row. Memory is a run,
however much there is.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from quarry_collector import columns
from quarry_collector.columns import Numbers

RUN_BYTES = 4 << 20  # all there is, if it is no more, stays in memory
# Longer pieces, as vectors are, stay in the order in which they came, and are read one by one: putting them in order is a copy more,
# and costs more than a system call for each.
LONG_BYTES = 2_048


class Lost(Exception):
    """What is read is not as long as what was written."""


class SpoolFile:
    """Belongs to one thread. `close` deletes it.

    Args:
        folder: where the temporary file lies; the system's own place if None.
        rows: how many there are.

    Attributes:
        end: how many bytes were put in, those among them that were replaced.
    """

    def __init__(self, folder: Path | None, rows: int) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._memory = b""
        self._offset = array("q", bytes(8 * rows))
        self._length = array("q", bytes(8 * rows))
        self._rows: list[Numbers] = []
        self._lengths: list[Numbers] = []
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._written = 0
        self._closed = False
        self.end = 0

    def put(self, rows: Numbers, pieces: Sequence[bytes], lengths: Numbers) -> None:
        """Each piece is its row's from now on."""
        self._rows.append(rows)
        self._lengths.append(lengths)
        self._pieces.append(b"".join(pieces))
        self._waiting_bytes += len(self._pieces[-1])
        self.end += len(self._pieces[-1])
        if self._waiting_bytes > RUN_BYTES:
            self._write_run()

    def put_for_all(self, rows: Numbers, piece: bytes) -> None:
        """The same piece is all of these rows'."""
        self._write_run()
        np.frombuffer(self._offset, np.int64)[rows] = self._written
        np.frombuffer(self._length, np.int64)[rows] = len(piece)
        self._write(piece)
        self.end += len(piece)

    def finish(self) -> None:
        """All is put in; what comes now is reading, or a few more pieces and `finish` again."""
        self._write_run()

    def lengths(self, start: int, stop: int) -> Numbers:
        """Of the pieces of these rows, once all is finished."""
        return columns.view(self._length, start, stop)

    def read(self, rows: Numbers) -> pa.Array:
        """The pieces of these rows as a binary array, once all is finished. Raises Lost."""
        if self._closed:
            raise ValueError("read of a closed spool")
        offsets = np.frombuffer(self._offset, np.int64)[rows]
        lengths = np.frombuffer(self._length, np.int64)[rows]
        if int(lengths.sum()) > LONG_BYTES * len(rows):
            return self._read_each(offsets, lengths)
        order = np.argsort(offsets, kind="stable")
        offsets, lengths = offsets[order], lengths[order]
        ends = offsets + lengths
        # A piece that many rows share lies on itself: it is read for each.
        begins = np.flatnonzero(np.append(True, offsets[1:] != ends[:-1]))
        stops = np.append(begins[1:], len(order)) - 1
        data = b"".join(map(self._stretch, offsets[begins].tolist(), ends[stops].tolist())) if len(order) else b""
        if len(data) != int(lengths.sum()):
            raise Lost
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        return columns.pieces(data, lengths).take(columns.indices(places))

    def close(self) -> None:
        self._closed = True
        self._pieces.clear()
        self._memory = b""
        if self._file is not None:
            self._file.close()

    def _read_each(self, offsets: Numbers, lengths: Numbers) -> pa.Array:
        data = b"".join(map(self._stretch, offsets.tolist(), (offsets + lengths).tolist()))
        if len(data) != int(lengths.sum()):
            raise Lost
        return columns.pieces(data, lengths)

    def _stretch(self, begin: int, end: int) -> bytes:
        if self._file is None:
            return self._memory[begin:end]
        return os.pread(self._file.fileno(), end - begin, begin)

    def _write_run(self) -> None:
        """Put what waits into the order of its rows, and write it."""
        if not self._rows:
            return
        rows, lengths = np.concatenate(self._rows), np.concatenate(self._lengths)
        data = b"".join(self._pieces)
        self._rows.clear()
        self._lengths.clear()
        self._pieces.clear()
        self._waiting_bytes = 0
        order = np.argsort(rows, kind="stable") if len(data) <= LONG_BYTES * len(rows) else np.arange(len(rows))
        # Of pieces of one row the last stays the last, and is its own.
        begin = self._written
        if (np.diff(order) == 1).all():
            self._write(data)
        else:
            taken = columns.pieces(data, lengths).take(columns.indices(order)).buffers()[2]
            self._write(memoryview(taken or b"")[: len(data)])
        rows, lengths = rows[order], lengths[order]
        np.frombuffer(self._offset, np.int64)[rows] = begin + np.cumsum(lengths) - lengths
        np.frombuffer(self._length, np.int64)[rows] = lengths

    def _write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        self._written += len(rest)
        if self._file is None and self._written <= RUN_BYTES:
            self._memory += bytes(rest)
            return
        if self._file is None:
            file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed by `close`
            self._file = file
            rest = memoryview(self._memory + bytes(rest))
            self._memory = b""
        while rest:
            rest = rest[self._file.write(rest) :]
