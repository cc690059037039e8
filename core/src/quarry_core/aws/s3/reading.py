"""Reading one S3 object by ranges: forward with resumption, and at random for Parquet.

Owns a connection at most. Promises that all bytes come from one object: what was not pinned by the caller is pinned
by the ETag of the first answer, so that a resumed or later range never mixes two versions. Resumptions are bounded.
A reader belongs to one thread.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from quarry_core.errors import Changed, Conflict, Missing, PortError, Unknown, raise_for
from quarry_core.ports import ObjectRef

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

RESUMES_MAX = 5  # for every RESUME_WINDOW_BYTES read
RESUME_WINDOW_BYTES = 1 << 30
RESUME_PAUSE_S = 0.2
READ_AHEAD_BYTES = 64 * 1024
PIECE_BYTES_MAX = 8 * 1024 * 1024
_RANGE_NOT_SATISFIABLE = 416
_BROKEN = (BotoCoreError, HTTPError, OSError)  # whatever a socket, TLS or urllib3 may say in the middle of a body


@dataclass(frozen=True, slots=True)
class Source:
    """Where an object is read from: a boto3 S3 client, the bucket already filled in, and how to wait.

    An ETag pins the bytes. While the current object has it there is no need to ask for a version, which would take
    `s3:GetObjectVersion` beside `s3:GetObject`; the version is asked for when the current object has become another.
    """

    client: Any
    ref: ObjectRef
    pause: Callable[[float], None]
    by_version: bool = False

    @classmethod
    def of(cls, client: Any, ref: ObjectRef, pause: Callable[[float], None]) -> Source:
        return cls(client, ref, pause, by_version=ref.etag is None and ref.version_id is not None)

    def ask(self, operation: str, **extra: str) -> tuple[dict[str, Any], Source]:
        """Call a read operation of S3: its answer, and the source as the next call should ask for it.

        Raises:
            Missing, Changed, Refused, Unknown: see the port.
            _PastTheEndError: the range begins behind the object's end.
        """
        try:
            answer = getattr(self.client, operation)(**self._arguments(), **extra)
        except (ClientError, BotoCoreError) as error:
            response = getattr(error, "response", {})
            if response.get("ResponseMetadata", {}).get("HTTPStatusCode") == _RANGE_NOT_SATISFIABLE:
                raise _PastTheEndError from error
            meaning = self._meaning(error)
            if self.ref.version_id is not None and not self.by_version and isinstance(meaning, (Changed, Missing)):
                return replace(self, by_version=True).ask(operation, **extra)
            raise meaning from error
        return answer, self._pinned(answer["ETag"])

    def _arguments(self) -> dict[str, str]:
        named = {"Bucket": self.ref.bucket, "Key": self.ref.key}
        if self.ref.owner is not None:
            named["ExpectedBucketOwner"] = self.ref.owner
        if self.by_version and self.ref.version_id is not None:
            named["VersionId"] = self.ref.version_id
        if self.ref.etag is not None:
            named["IfMatch"] = f'"{self.ref.etag.strip(chr(34))}"'
        return named

    def _meaning(self, error: Exception) -> PortError:
        doing = f"read s3://{self.ref.bucket}/{self.ref.key}"
        try:
            raise_for(error, doing)
        except Conflict:
            return Changed(f"{doing}: the object is not the one that was pinned")
        except Missing as answer:
            return Changed(f"{doing}: version {self.ref.version_id} is gone") if self.by_version else answer
        except PortError as answer:
            return answer

    def _pinned(self, etag: str) -> Source:
        return self if self.ref.etag is not None else replace(self, ref=replace(self.ref, etag=etag))


class _PastTheEndError(Exception):
    """Nothing stands behind an object's end; that is no error to a reader."""


class ForwardReader(io.RawIOBase, BinaryIO):
    """Bytes [start, end) of one object in order; `read(n)` gives n bytes unless the object ends before.

    The first request is made at once. Raises `Missing`, `Changed`, `Refused`, and `Unknown` when the connection broke
    more often than is reasonable.
    """

    def __init__(self, source: Source, start_byte: int = 0, end_byte: int | None = None) -> None:
        super().__init__()
        self._source = source
        self._at = self._start = start_byte
        self._end = end_byte
        self._body: Any = None
        self._skip = 0
        self._resumes = 0
        self._request()

    @property
    def source(self) -> Source:
        """As the next request should ask for it."""
        return self._source

    def _request(self) -> None:
        ranged = bool(self._at) or self._end is not None
        extra = {"Range": f"bytes={self._at}-{'' if self._end is None else self._end - 1}"} if ranged else {}
        try:
            answer, self._source = self._source.ask("get_object", **extra)
        except _PastTheEndError:
            self._end = self._at
            return
        self._body, length = answer["Body"], int(answer["ContentLength"])
        # A server may ignore a range and send the whole (RFC 9110, section 14.2; the local emulator does, for a
        # version): what is not ours is then dropped here.
        whole = ranged and "ContentRange" not in answer
        self._skip = self._at if whole else 0
        behind = length if whole else self._at + length
        self._end = behind if self._end is None else min(self._end, behind)

    def _some(self, most: int) -> bytes:
        """One piece of at most `most` bytes; empty only at the end."""
        while self._end is None or self._at < self._end:
            broken: Exception | None = None
            wanted = self._skip or (most if self._end is None else min(most, self._end - self._at))
            try:
                piece: bytes = self._body.read(min(wanted, PIECE_BYTES_MAX))
            except _BROKEN as error:
                broken, piece = error, b""
            if piece and self._skip:
                self._skip -= len(piece)
            elif piece:
                self._at += len(piece)
                return piece
            else:
                # An early end without an error is a broken connection too: the answer told its length.
                self._resume(broken)
        return b""

    def _resume(self, broken: Exception | None) -> None:
        self._drop()
        self._resumes += 1
        if self._resumes > RESUMES_MAX * (1 + (self._at - self._start) // RESUME_WINDOW_BYTES):
            raise Unknown(
                f"read s3://{self._source.ref.bucket}/{self._source.ref.key}: "
                f"the connection broke {self._resumes} times, last at byte {self._at}"
            ) from broken
        self._source.pause(RESUME_PAUSE_S * self._resumes)
        self._request()

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        if self.closed:
            raise ValueError("read of a closed object")
        wanted = None if size is None or size < 0 else size
        pieces: list[bytes] = []
        have = 0
        while wanted is None or have < wanted:
            piece = self._some(PIECE_BYTES_MAX if wanted is None else wanted - have)
            if not piece:
                break
            pieces.append(piece)
            have += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        piece = self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()

    def __enter__(self) -> Self:
        return self


class RandomReader(io.RawIOBase, BinaryIO):
    """A seekable view of one object: each read is one ranged request, small ones read a little ahead.

    The object's last bytes are fetched once and kept, for a Parquet file's footer stands there, and is read piece by
    piece. Holds at most twice `READ_AHEAD_BYTES` between reads, so its memory does not depend on the object's size.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        size_bytes = source.ref.size_bytes if source.ref.etag is not None else None
        if size_bytes is None:
            looked, source = source.ask("head_object")
            size_bytes = int(looked["ContentLength"])
        self._source = source
        self._size = size_bytes
        self._at = 0
        self._ahead = b""
        self._ahead_at = 0
        self._tail = b""
        self._tail_at = max(size_bytes - READ_AHEAD_BYTES, 0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if self.closed:
            raise ValueError("seek in a closed object")
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError(f"cannot seek to byte {at}")
        self._at = at
        return at

    def read(self, size: int | None = -1, /) -> bytes:
        if self.closed:
            raise ValueError("read of a closed object")
        left = max(self._size - self._at, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted == 0:
            return b""
        skip = self._at - self._ahead_at
        piece = self._ahead[skip : skip + wanted] if skip >= 0 else b""
        if self._at >= self._tail_at:
            piece = self._of_tail(wanted)
        elif len(piece) < wanted:
            piece = self._fetch(wanted)
        self._at += len(piece)
        return piece

    def _of_tail(self, wanted: int) -> bytes:
        if not self._tail:
            self._tail = self._get(self._tail_at, self._size)
        skip = self._at - self._tail_at
        return self._tail[skip : skip + wanted]

    def _fetch(self, wanted: int) -> bytes:
        end = min(self._at + max(wanted, READ_AHEAD_BYTES), self._size)
        fetched = self._get(self._at, end)
        if wanted < READ_AHEAD_BYTES:
            self._ahead, self._ahead_at = fetched, self._at
        return fetched[:wanted]

    def _get(self, start: int, end: int) -> bytes:
        with ForwardReader(self._source, start, end) as body:
            fetched = body.read(end - start)
            self._source = body.source  # by version, once the current object has become another
        return fetched

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        piece = self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def __enter__(self) -> Self:
        return self
