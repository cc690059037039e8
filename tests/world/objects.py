"""The `Objects` port in memory, with S3's rules: pins, versions, write-once, nothing visible before commit.

`plant` is the user's hand: it writes to any bucket and replaces what stands, as only others than Quarry do. Everything
may be called from several threads. `bodies` shows what stands, for assertions. `for_worker` gives the same buckets as
one worker reaches them: each request is a call of its faults.
"""

from __future__ import annotations

import copy
import hashlib
import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import BinaryIO, cast

from quarry_core.aws.s3.objects import PUT_ONCE_BYTES_MAX
from quarry_core.aws.s3.upload import checked_metadata
from quarry_core.errors import Changed, Conflict, Missing, MissingBucket, Refused
from quarry_core.ports import ERASED_AT_ONCE_MAX, ObjectInfo, ObjectRef, ObjectVersion
from tests.world.faults import Faults

RESTORED = 1_000_000
VERSIONS_PAGE = 1_000  # as S3 lists them


@dataclass(frozen=True)
class Version:
    id: str
    body: bytes
    metadata: Mapping[str, str]
    deleted: bool = False

    @cached_property  # the file that a run reads is asked for it by each of its shards
    def etag(self) -> str:
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class Bucket:
    versions: dict[str, list[Version]] = field(default_factory=dict)

    def current(self, key: str) -> Version | None:
        standing = self.versions.get(key)
        return None if not standing or standing[-1].deleted else standing[-1]


@dataclass(slots=True)
class _Stored:
    buckets: dict[str, Bucket]
    numbered: int = 0
    stood: int = 0
    conflicts: int = 0


class FakeObjects:
    """One environment's bucket, versioned as Terraform makes it, and any others that `plant` made."""

    def __init__(self, bucket: str = "world", faults: Faults | None = None) -> None:
        self.bucket = bucket
        self.account = "123456789012"
        self.owners: dict[str, str] = {}  # of buckets that another account owns
        self.denied: set[str] = set()  # how the URIs of objects begin that nobody may read
        self._stored = _Stored({bucket: Bucket()})
        self._lock = threading.RLock()
        self._faults = faults or Faults()

    def for_worker(self, faults: Faults) -> FakeObjects:
        """The same S3, as another worker reaches it."""
        seen = copy.copy(self)
        seen._faults = faults
        return seen

    @property
    def _buckets(self) -> dict[str, Bucket]:
        return self._stored.buckets

    # ------------------------------------------------------------- the world's side

    def plant(self, key: str, body: bytes, bucket: str = "", metadata: Mapping[str, str] | None = None) -> ObjectRef:
        """Put an object as a user does, replacing what stands; gives a reference pinned to it."""
        with self._lock:
            version = self._append(bucket or self.bucket, key, body, metadata or {})
        return ObjectRef(key, bucket, version.etag, version.id)

    @property
    def bodies(self) -> dict[str, bytes]:
        """What stands in the environment's bucket, by key."""
        with self._lock:
            home = self._buckets[self.bucket]
            return {key: version.body for key in sorted(home.versions) if (version := home.current(key))}

    @property
    def stood(self) -> int:
        """How many writes found their own object there already."""
        return self._stored.stood

    @property
    def conflicts(self) -> int:
        """How many writes found another object there."""
        return self._stored.conflicts

    @property
    def standing(self) -> dict[str, dict[str, Version]]:
        """What stands in every bucket, by bucket and key."""
        with self._lock:
            return {
                name: {key: version for key in sorted(bucket.versions) if (version := bucket.current(key))}
                for name, bucket in self._buckets.items()
            }

    def restore(self, standing: Mapping[str, Mapping[str, Version]]) -> None:
        """These objects and no others, with the ids of their versions."""
        with self._lock:
            self._stored.buckets = {self.bucket: Bucket()}
            for name, objects in standing.items():
                home = self._buckets.setdefault(name, Bucket())
                home.versions = {key: [version] for key, version in objects.items()}
            self._stored.numbered += RESTORED  # an id that was given before is not given again

    def _append(
        self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], *, deleted: bool = False
    ) -> Version:
        self._stored.numbered += 1
        version = Version(f"v{self._stored.numbered}", body, dict(metadata), deleted)
        self._buckets.setdefault(bucket, Bucket()).versions.setdefault(key, []).append(version)
        return version

    # ------------------------------------------------------------- the port

    def head(self, ref: ObjectRef) -> ObjectInfo:
        with self._faults.blocking_call("objects.head", ref.key):
            version = self._find(ref)
        return ObjectInfo(ref.key, len(version.body), version.etag, version.id, dict(version.metadata))

    def read(self, ref: ObjectRef, start_byte: int = 0, length_bytes: int | None = None) -> bytes:
        end = None if length_bytes is None else start_byte + length_bytes
        with self._faults.blocking_call("objects.read", ref.key):
            return self._find(ref).body[start_byte:end]

    def stream(self, ref: ObjectRef, start_byte: int = 0, end_byte: int | None = None) -> BinaryIO:
        with self._faults.blocking_call("objects.stream", ref.key):
            body = self._find(ref).body
        if end_byte is None:
            whole = io.BytesIO(body)  # shares the bytes
            whole.seek(start_byte)
            return cast("BinaryIO", _Forward(whole))
        return cast("BinaryIO", _Forward(io.BytesIO(body[start_byte:end_byte]), start_byte))

    def random_access(self, ref: ObjectRef) -> BinaryIO:
        with self._faults.blocking_call("objects.random_access", ref.key):
            version = self._find(ref)
        if ref.etag is None and ref.version_id is None:
            ref = replace(ref, etag=version.etag)
        return cast("BinaryIO", _Random(self, ref, len(version.body)))

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
        if len(body) > PUT_ONCE_BYTES_MAX:
            raise ValueError(f"{key}: {len(body)} bytes are over {PUT_ONCE_BYTES_MAX}; use create()")
        with self._faults.blocking_call("objects.put_once", key):
            return self._publish(key, bytes(body), checked_metadata(metadata))

    def create(self, key: str, metadata: Mapping[str, str]) -> FakeUpload:
        return FakeUpload(self, key, checked_metadata(metadata))

    def list(self, prefix: str, bucket: str = "", owner: str | None = None) -> Iterator[ObjectInfo]:
        name = bucket or self.bucket
        with self._faults.blocking_call("objects.list", prefix):
            if name not in self._buckets:
                raise MissingBucket(f"there is no bucket {name}")
        if owner is not None and owner != self.owners.get(name, self.account):
            raise Refused(f"list s3://{name}/{prefix}: AccessDenied: Access Denied", "AccessDenied")
        home = self._buckets[name]
        for key in sorted(home.versions, key=str.encode):
            version = home.current(key)
            if version is not None and key.startswith(prefix):
                yield ObjectInfo(key, len(version.body), version.etag)

    def delete(self, key: str) -> None:
        with self._faults.blocking_call("objects.delete", key), self._lock:
            if self._buckets[self.bucket].current(key) is not None:
                self._append(self.bucket, key, b"", {}, deleted=True)

    # ------------------------------------------------------------- the port `Versions`, of the environment's bucket

    def under(self, prefix: str) -> Iterator[ObjectVersion]:
        with self._lock:
            there = [
                ObjectVersion(key, each.id, len(each.body))
                for key, versions in sorted(self._buckets[self.bucket].versions.items())
                if key.startswith(prefix)
                for each in reversed(versions)
            ]
        for first in range(0, max(len(there), 1), VERSIONS_PAGE):
            with self._faults.blocking_call("versions.under", prefix):
                page = there[first : first + VERSIONS_PAGE]
            yield from page

    def erase(self, versions: Sequence[ObjectVersion]) -> None:
        if len(versions) > ERASED_AT_ONCE_MAX:
            raise ValueError(f"{len(versions)} versions at once; S3 takes {ERASED_AT_ONCE_MAX}")
        with self._faults.blocking_call("versions.erase", len(versions)), self._lock:
            gone = {(each.key, each.version_id) for each in versions}
            bucket = self._buckets[self.bucket]
            for key in {each.key for each in versions}:
                left = [each for each in bucket.versions.get(key, ()) if (key, each.id) not in gone]
                if left:
                    bucket.versions[key] = left
                else:
                    bucket.versions.pop(key, None)

    # ------------------------------------------------------------- S3's rules

    def _find(self, ref: ObjectRef) -> Version:
        with self._lock:
            name = ref.bucket or self.bucket
            if name not in self._buckets:
                raise MissingBucket(f"there is no bucket {name}")
            if ref.owner is not None and ref.owner != self.owners.get(name, self.account):
                raise Refused(f"read s3://{name}/{ref.key}: 403: Forbidden", "403")
            if self.denied and f"s3://{name}/{ref.key}".startswith(tuple(self.denied)):
                raise Refused(f"read s3://{name}/{ref.key}: AccessDenied: Access Denied", "AccessDenied")
            bucket = self._buckets[name]
            if ref.version_id is None:
                found = bucket.current(ref.key)
                if found is None:
                    raise Missing(f"{ref.key} does not exist")
            else:
                by_id = {version.id: version for version in bucket.versions.get(ref.key, ())}
                found = by_id.get(ref.version_id)
                if found is None:
                    raise Changed(f"{ref.key}: version {ref.version_id} is gone")
        if ref.etag is not None and ref.etag.strip('"') != found.etag:
            raise Changed(f"{ref.key} is not the object that was pinned")
        return found

    def _publish(self, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
        with self._lock:
            standing = self._buckets[self.bucket].current(key)
            if standing is None:
                self._append(self.bucket, key, body, metadata)
                return True
        if any(standing.metadata.get(name) != value for name, value in metadata.items()):
            self._stored.conflicts += 1
            raise Conflict(f"{key}: another object already exists there")
        self._stored.stood += 1
        return False


class FakeUpload:
    def __init__(self, objects: FakeObjects, key: str, metadata: Mapping[str, str]) -> None:
        self._objects = objects
        self._key = key
        self._metadata = metadata
        self._body = bytearray()
        self._over = False

    def write(self, data: bytes | bytearray | memoryview) -> int:
        self._must_be_open()
        self._body += data
        return memoryview(data).nbytes

    def commit(self) -> bool:
        self._must_be_open()
        self._over = True
        with self._objects._faults.blocking_call("objects.commit", self._key):
            return self._objects._publish(self._key, bytes(self._body), self._metadata)

    def abort(self) -> None:
        self._over = True

    def _must_be_open(self) -> None:
        if self._over:
            raise ValueError("the upload is over")


class _Forward(io.RawIOBase):
    """Forward only, so that nobody comes to rely on seeking in a stream."""

    def __init__(self, body: io.BytesIO, first_byte: int = 0) -> None:
        super().__init__()
        self._body = body
        self._first_byte = first_byte  # of the object, where the body does not begin at its beginning

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._first_byte + self._body.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        if self.closed:
            raise ValueError("read of a closed object")
        return self._body.read(size)

    def readinto(self, buffer) -> int:
        return self._body.readinto(buffer)


class _Random(io.RawIOBase):
    """Looks the pin up at every read, as ranged requests do."""

    def __init__(self, objects: FakeObjects, ref: ObjectRef, size: int) -> None:
        super().__init__()
        self._objects = objects
        self._ref = ref
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError(f"cannot seek to byte {at}")
        self._at = at
        return at

    def read(self, size: int | None = -1, /) -> bytes:
        if self.closed:
            raise ValueError("read of a closed object")
        length = max(self._size - self._at, 0) if size is None or size < 0 else size
        piece = self._objects.read(self._ref, self._at, length)
        self._at += len(piece)
        return piece

    def readinto(self, buffer) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
