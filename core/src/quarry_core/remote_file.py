"""Reading a file that is elsewhere: in order with resumption, and at random. The frame; who answers is the adapter's part.

A reader belongs to one thread. Reading in order goes on where a connection broke, a bounded number of times. Neither reader
knows how bytes are asked for: `aws.s3.reading` and `sources.hub.reading` say that.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Self

from quarry_core.errors import Unknown

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

RESUMES_MAX = 5  # for every RESUME_WINDOW_BYTES read
RESUME_WINDOW_BYTES = 1 << 30
RESUME_PAUSE_S = 0.2
PIECE_BYTES_MAX = 8 << 20


class RemoteFile(io.RawIOBase, BinaryIO):
    """What both have in common: they are read, and know where they stand."""

    _at = 0  # of the file, the next byte that is read

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        if self.closed:
            raise ValueError("read of a closed file")
        return self._read(None if size is None or size < 0 else size)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        piece = self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def _read(self, most: int | None) -> bytes:
        """Up to `most` bytes, all there are for None; fewer only at the end."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self


class ForwardFile(RemoteFile):
    """Bytes [start, end) of one file in order; `read(n)` gives n bytes unless the file ends before.

    An adapter asks for the bytes from `_at` on (`_request`), reads from the answer (`_from_body`) and lets go of it
    (`_drop`). Raises what these raise, and `Unknown` when the connection broke more often than is reasonable.

    Args:
        name: of the file, for messages.
        pause: waits that many seconds.
        start_byte, end_byte: what is read; up to the end by default.
    """

    # What a connection that breaks in the middle of a body may raise.
    _broken: ClassVar[tuple[type[Exception], ...]] = (OSError,)

    def __init__(
        self, name: str, pause: Callable[[float], None], start_byte: int = 0, end_byte: int | None = None
    ) -> None:
        super().__init__()
        self._name = name
        self._pause = pause
        self._at = self._start = start_byte
        self._end = end_byte
        self._skip = 0  # what the answer has before `_at`, and is dropped here
        self._resumes = 0

    def _request(self) -> object:
        """Ask for the bytes from `_at` on; sets `_end`, and `_skip` where the answer begins earlier."""
        raise NotImplementedError

    def _from_body(self, most: int) -> bytes:
        """At most `most` bytes of the answer; empty where it has no more."""
        raise NotImplementedError

    def _drop(self) -> None:
        """Let go of the answer, if there is one."""
        raise NotImplementedError

    def _passed(self, piece: bytes) -> None:
        """Hear of each piece that is handed out."""

    def _ended(self) -> None:
        """Hear of the end: all has been handed out."""

    def _some(self, most: int) -> bytes:
        """One piece of at most `most` bytes; empty only at the end."""
        assert self._end is not None
        while self._at < self._end:
            broken: Exception | None = None
            wanted = self._skip or min(most, self._end - self._at)
            try:
                piece = self._from_body(min(wanted, PIECE_BYTES_MAX))
            except self._broken as error:
                broken, piece = error, b""
            if piece and self._skip:
                self._skip -= len(piece)
            elif piece:
                self._at += len(piece)
                self._passed(piece)
                return piece
            else:
                # An early end without an error is a broken connection too: the answer gave its length.
                self._resume(broken)
        self._ended()
        return b""

    def _resume(self, broken: Exception | None) -> None:
        self._drop()
        self._resumes += 1
        if self._resumes > RESUMES_MAX * (1 + (self._at - self._start) // RESUME_WINDOW_BYTES):
            raise Unknown(
                f"read {self._name}: the connection broke {self._resumes} times, last at byte {self._at}"
            ) from broken
        self._pause(RESUME_PAUSE_S * self._resumes)
        self._request()

    def _read(self, most: int | None) -> bytes:
        pieces: list[bytes] = []
        have = 0
        while most is None or have < most:
            piece = self._some(PIECE_BYTES_MAX if most is None else most - have)
            if not piece:
                break
            pieces.append(piece)
            have += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()


class SeekableFile(RemoteFile):
    """A seekable view of one file of a known size.

    An adapter gives the bytes that are wanted (`_bytes`).
    """

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self._size = size_bytes

    def _bytes(self, at: int, wanted: int) -> bytes:
        """`wanted` bytes (one at least) from `at` on, which the file has."""
        raise NotImplementedError

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if self.closed:
            raise ValueError("seek in a closed file")
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError(f"cannot seek to byte {at}")
        self._at = at
        return at

    def _read(self, most: int | None) -> bytes:
        left = max(self._size - self._at, 0)
        wanted = left if most is None else min(most, left)
        if wanted == 0:
            return b""
        piece = self._bytes(self._at, wanted)
        self._at += len(piece)
        return piece
