"""Reading one file of the Hub: forward with resumption, and at random for Parquet.

A reader belongs to one thread. `Open` is how it gets bytes: a range of one pinned file, whose answer has been held
against the pin already. Resumptions are bounded.

At random, each request asks for a run of bytes and hands them out as they are wanted, for columns are read piece by
piece, several at once. What is asked for costs little before it is read, so a few runs stay open, and a row group takes a
request, or a few, instead of one for each mebibyte. A run that was read to its end is followed by one of twice its
length: what is read without a gap takes ever fewer requests, and of what is read here and there little is thrown away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from urllib3.exceptions import HTTPError

from quarry_core.errors import Changed
from quarry_core.remote_file import ForwardFile, SeekableFile

ENDING_BYTES = 64 << 10
RUN_BYTES_MIN = 4 << 20
RUN_BYTES_MAX = 32 << 20
RUNS_MAX = 16
SKIP_BYTES_MAX = 1 << 20
SHA256_DIGITS = 64
PARTIAL = 206


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes [start, end) of a file of `size_bytes`, on their way; no response of urllib3 where there are none."""

    start: int
    end: int
    size_bytes: int
    response: Any = None


class Content:
    """The hash of a whole file, taken as it passes by, against the one that was pinned.

    Args:
        etag: SHA-256 of the content (LFS), or git's id of the blob.
    """

    def __init__(self, etag: str, name: str) -> None:
        self._etag = etag
        self._name = name
        self._hash: Any = None

    def begin(self, size_bytes: int) -> None:
        if len(self._etag) == SHA256_DIGITS:
            self._hash = hashlib.sha256()
        else:
            # Git's own name for a content; no secret hangs on it.
            self._hash = hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)

    def pass_by(self, piece: bytes) -> None:
        self._hash.update(piece)

    def check(self) -> None:
        """Raises Changed."""
        if self._hash.hexdigest() != self._etag:
            raise Changed(f"read {self._name}: its content has the hash {self._hash.hexdigest()}, not the pinned one")


Open = Callable[[int, int | None], Body]
"""Gives a body from a byte on, up to a byte or the file's end; one that begins earlier is the whole file."""


class ForwardReader(ForwardFile):
    """Bytes [start, end) of one file in order; `read(n)` gives n bytes unless the file ends before.

    Args:
        begin: see `Open`.
        name: of the file, for messages.
        pause: waits that many seconds.
        start_byte, end_byte: what is read; up to the end by default.
        content: what is read from the beginning to the end must be.

    Attributes:
        ranged: whether the file was given as the range that was asked for, and so can be read in the middle.
    """

    _broken = (HTTPError, OSError)

    def __init__(
        self,
        begin: Open,
        name: str,
        pause: Callable[[float], None],
        start_byte: int = 0,
        end_byte: int | None = None,
        content: Content | None = None,
    ) -> None:
        super().__init__(name, pause, start_byte, end_byte)
        self._begin = begin
        self._body: Body | None = None
        self._content = content
        body = self._request()
        self.ranged = body.response is None or body.response.status == PARTIAL
        if content is not None:
            content.begin(body.size_bytes)

    def _request(self) -> Body:
        self._body = body = self._begin(self._at, self._end)
        self._end = body.end if self._end is None else min(self._end, body.end)
        self._skip = self._at - body.start
        return body

    def _from_body(self, most: int) -> bytes:
        piece: bytes = b"" if self._body is None else self._body.response.read(most)
        return piece

    def _passed(self, piece: bytes) -> None:
        if self._content is not None:
            self._content.pass_by(piece)

    def _ended(self) -> None:
        if self._content is not None:
            self._content.check()
            self._content = None

    def _drop(self) -> None:
        """Give the connection back if all of it was read, else close it: the rest of the body is in it."""
        if self._body is not None:
            response = self._body.response
            if response is not None and self._at >= self._body.end:
                response.drain_conn()
                response.release_conn()
            elif response is not None:
                response.close()
            self._body = None

    @property
    def length(self) -> int:
        """Bytes from the beginning to the end."""
        assert self._end is not None
        return self._end - self._start

    @property
    def left(self) -> int:
        """Bytes up to the end."""
        assert self._end is not None
        return self._end - self._at


class RandomReader(SeekableFile):
    """A seekable view of one file.

    Holds the file's last `ENDING_BYTES` between reads, so its memory does not depend on the file's size.

    Args:
        begin: see `Open`.
        name: of the file, for messages.
        pause: waits that many seconds.
        size_bytes: of the file.
        ending: the file's last bytes, where they are known.
        keep: is given the file's last bytes when they were read.
    """

    def __init__(
        self,
        begin: Open,
        name: str,
        pause: Callable[[float], None],
        size_bytes: int,
        ending: bytes = b"",
        keep: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        super().__init__(size_bytes)
        self._begin = begin
        self._name = name
        self._pause = pause
        self._runs: list[ForwardReader] = []
        self._grown: dict[int, int] = {}  # where a run was read to its end, and how long the next may be
        self._ending = ending
        self._keep = keep

    def _bytes(self, at: int, wanted: int) -> bytes:
        return self._from_ending(at, wanted) or self._from_runs(at, wanted)

    def _from_ending(self, at: int, wanted: int) -> bytes:
        """Out of the file's last bytes, which are read once; empty where it begins before them."""
        begins = max(self._size - ENDING_BYTES, 0)
        if at < begins:
            return b""
        if not self._ending:
            self._ending = self._from_runs(begins, self._size - begins)
            self._keep(self._ending)
        return self._ending[at - begins :][:wanted]

    def _from_runs(self, at: int, length: int) -> bytes:
        pieces: list[bytes] = []
        while length:
            run = self._run(at, length)
            piece = run.read(min(length, run.left))
            if not run.left:
                self._runs.remove(run)
                run.close()
                while len(self._grown) >= RUNS_MAX:
                    del self._grown[next(iter(self._grown))]
                self._grown[run.tell()] = min(2 * run.length, RUN_BYTES_MAX)
            pieces.append(piece)
            at += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _run(self, at: int, length: int) -> ForwardReader:
        """The run that stands at a byte or a little before it, or a new one."""
        for run in self._runs:
            if 0 <= at - run.tell() <= min(SKIP_BYTES_MAX, run.left - 1):
                run.read(at - run.tell())
                self._runs.remove(run)
                break
        else:
            if len(self._runs) >= RUNS_MAX:
                self._runs.pop(0).close()
            end = min(at + max(length, self._grown.pop(at, RUN_BYTES_MIN)), self._size)
            run = ForwardReader(self._begin, self._name, self._pause, at, end)
        self._runs.append(run)  # the one read last is closed last
        return run

    def close(self) -> None:
        if not self.closed:
            for run in self._runs:
                run.close()
            self._runs.clear()
        super().close()
