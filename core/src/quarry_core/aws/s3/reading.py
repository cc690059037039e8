"""Reading one S3 object by ranges: forward with resumption, and at random for Parquet.

Owns a connection at most. Promises that all bytes come from one object: what was not pinned by the caller is pinned
by the ETag of the first answer, so that a resumed or later range never mixes two versions. Resumptions are bounded.
A reader belongs to one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from quarry_core.errors import Changed, Conflict, Missing, PortError, raise_for
from quarry_core.ports import ObjectRef
from quarry_core.remote_file import ForwardFile, SeekableFile

READ_AHEAD_BYTES = 64 * 1024
_RANGE_NOT_SATISFIABLE = 416


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

    @property
    def name(self) -> str:
        return f"s3://{self.ref.bucket}/{self.ref.key}"

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
        doing = f"read {self.name}"
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


class ForwardReader(ForwardFile):
    """Bytes [start, end) of one object in order; `read(n)` gives n bytes unless the object ends before.

    The first request is made at once. Raises `Missing`, `Changed`, `Refused`, and `Unknown` when the connection broke
    more often than is reasonable.
    """

    _broken = (BotoCoreError, HTTPError, OSError)  # whatever a socket, TLS or urllib3 may say in the middle of a body

    def __init__(self, source: Source, start_byte: int = 0, end_byte: int | None = None) -> None:
        super().__init__(source.name, source.pause, start_byte, end_byte)
        self._source = source
        self._body: Any = None
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

    def _from_body(self, most: int) -> bytes:
        piece: bytes = self._body.read(most)
        return piece

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


class RandomReader(SeekableFile):
    """A seekable view of one object: each read is one ranged request, small ones read a little ahead.

    The object's last bytes are fetched once and kept, for a Parquet file's footer stands there, and is read piece by
    piece. Holds at most twice `READ_AHEAD_BYTES` between reads, so its memory does not depend on the object's size.
    """

    def __init__(self, source: Source) -> None:
        size_bytes = source.ref.size_bytes if source.ref.etag is not None else None
        if size_bytes is None:
            looked, source = source.ask("head_object")
            size_bytes = int(looked["ContentLength"])
        super().__init__(size_bytes)
        self._source = source
        self._ahead = b""
        self._ahead_at = 0
        self._tail = b""
        self._tail_at = max(size_bytes - READ_AHEAD_BYTES, 0)

    def _bytes(self, at: int, wanted: int) -> bytes:
        if at >= self._tail_at:
            return self._of_tail(at, wanted)
        skip = at - self._ahead_at
        piece = self._ahead[skip : skip + wanted] if skip >= 0 else b""
        return piece if len(piece) == wanted else self._fetch(at, wanted)

    def _of_tail(self, at: int, wanted: int) -> bytes:
        if not self._tail:
            self._tail = self._get(self._tail_at, self._size)
        skip = at - self._tail_at
        return self._tail[skip : skip + wanted]

    def _fetch(self, at: int, wanted: int) -> bytes:
        fetched = self._get(at, min(at + max(wanted, READ_AHEAD_BYTES), self._size))
        if wanted < READ_AHEAD_BYTES:
            self._ahead, self._ahead_at = fetched, at
        return fetched[:wanted]

    def _get(self, start: int, end: int) -> bytes:
        with ForwardReader(self._source, start, end) as body:
            fetched = body.read(end - start)
            self._source = body.source  # by version, once the current object has become another
        return fetched
