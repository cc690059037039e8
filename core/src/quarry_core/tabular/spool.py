"""A file of a source that cannot be read in the middle, read once and kept so that it can be.

A compressed file is unpacked while it is counted, and what comes out goes into the environment's bucket, write-once.
Everything after the count reads that object by byte offsets, as if the source had never been compressed. A second
worker that counts the same pinned file writes the same bytes under the same name, and finds them standing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Self

from quarry_core.contract.magic import magic_of
from quarry_core.ports import ObjectRef, Objects, Upload
from quarry_core.tabular.compressed import MAGIC_BYTES, Chunks, compression_of, unpacked
from quarry_core.tabular.counted import Spool
from quarry_core.tabular.errors import SourceError


@dataclass(frozen=True, slots=True)
class SpoolPlace:
    """Where a file goes if it has to be kept.

    Attributes:
        key: in the environment's bucket.
        identity: metadata that says what the object is.
    """

    key: str
    identity: dict[str, str]


class Body(io.RawIOBase, BinaryIO):
    """A file of text, unpacked if it was compressed.

    Attributes:
        packed: whether it was.
        size_bytes: of what has been read.
    """

    def __init__(self, inner: BinaryIO, upload: Upload | None, *, packed: bool) -> None:
        super().__init__()
        self._inner = inner
        self._upload = upload
        self.packed = packed
        self.size_bytes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._inner.read(-1 if size is None else size)
        if self._upload is not None and data:
            self._upload.write(data)
        self.size_bytes += len(data)
        return data

    def __enter__(self) -> Self:
        return self

    def publish(self, objects: Objects, place: SpoolPlace) -> Spool | None:
        """Publish what was kept, when all of it was read; where it stands. None: the file itself can be read."""
        if self._upload is None:
            return None
        self._upload.commit()
        return Spool(key=place.key, etag=objects.head(ObjectRef(place.key)).etag, size_bytes=self.size_bytes)


@contextmanager
def open_body(objects: Objects, ref: ObjectRef, place: SpoolPlace | None) -> Iterator[Body]:
    """A file from its beginning on; what is read of a compressed one goes to `place` too, if there is one.

    Raises:
        SourceError: it is compressed in a way that is not read; later, as `unpacked` does.
        PortError: as `Objects.stream` does.
    """
    with objects.stream(ref) as raw:
        head = raw.read(MAGIC_BYTES)
        compression = compression_of(head, ref.key)
        whole: BinaryIO = Chunks(_rejoined(head, raw))
        if compression is not None:
            whole = unpacked(whole, compression, ref.key)
            inner = whole.read(MAGIC_BYTES)
            _check_inner(inner, ref.key)
            whole = Chunks(_rejoined(inner, whole))
        upload = None
        # What gives no ranges cannot be read in the middle either.
        needed = compression is not None or not getattr(raw, "ranged", True)
        if place is not None and needed:
            upload = objects.create(place.key, place.identity)
        try:
            yield Body(whole, upload, packed=compression is not None)
        finally:
            if upload is not None:
                upload.abort()


def keep(objects: Objects, ref: ObjectRef, place: SpoolPlace) -> Spool:
    """Keep a file as it is, byte for byte; where it stands. Raises as `Objects.stream` and `Upload.commit` do."""
    upload = objects.create(place.key, place.identity)
    size_bytes = 0
    try:
        with objects.stream(ref) as raw:
            while data := raw.read(1 << 20):
                upload.write(data)
                size_bytes += len(data)
        upload.commit()
    finally:
        upload.abort()
    return Spool(key=place.key, etag=objects.head(ObjectRef(place.key)).etag, size_bytes=size_bytes)


def _check_inner(head: bytes, key: str) -> None:
    kind = magic_of(head)
    if kind in ("gzip", "zstd"):
        raise SourceError(f"{key} is compressed twice; unpack it once")
    if kind in ("parquet", "encrypted"):
        raise SourceError(f"{key} is Parquet inside of a compressed file; unpack it, for Parquet is compressed inside")


def _rejoined(head: bytes, raw: BinaryIO) -> Iterator[bytes]:
    yield head
    while data := raw.read(1 << 20):
        yield data
