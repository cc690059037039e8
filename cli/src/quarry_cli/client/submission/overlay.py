"""The environment's objects as they are, with a folder on this machine for everything that would be written.

So that what counts a source in the services can count it here too, and nothing is written to AWS. What a plan writes under
its own names is looked for here alone: S3 would answer "forbidden" to whoever may not list it. Bytes that are read are
counted, for whoever shows how far it is. Called from one thread.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from quarry_core.errors import Conflict, Missing
from quarry_core.ports import ObjectInfo, ObjectRef, Objects, Upload
from quarry_core.sources.hub.objects import HubObjects
from quarry_core.sources.reading import SourceObjects, hub_of

_OWN = ("plans/", "rows/")


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    info: ObjectInfo


class Overlay:
    """The `Objects` port.

    Args:
        objects: what is read.
        bucket: the environment's own, by name.
        folder: where what is written stays; its owner removes it.
        run_id: of the run that is planned; what is under its names is nowhere else.
        read: called with the number of bytes of each read from `objects`.
    """

    def __init__(
        self, objects: Objects, bucket: str, folder: Path, run_id: str, read: Callable[[int], None] = lambda _: None
    ) -> None:
        self._objects = objects
        self._bucket = bucket
        self._folder = folder
        self._names = tuple(f"{own}{run_id}{end}" for own in _OWN for end in ("/", "."))
        self._read = read
        self._kept: dict[str, _Kept] = {}

    # ----------------------------------------------------------------- reading

    def head(self, ref: ObjectRef) -> ObjectInfo:
        kept = self._find(ref)
        return kept.info if kept else self._objects.head(ref)

    def read(self, ref: ObjectRef, start_byte: int = 0, length_bytes: int | None = None) -> bytes:
        kept = self._find(ref)
        if kept is None:
            body = self._objects.read(ref, start_byte, length_bytes)
            self._read(len(body))
            return body
        with kept.path.open("rb") as file:
            file.seek(start_byte)
            return file.read() if length_bytes is None else file.read(length_bytes)

    def stream(self, ref: ObjectRef, start_byte: int = 0, end_byte: int | None = None) -> BinaryIO:
        kept = self._find(ref)
        if kept is None:
            return cast("BinaryIO", _Counted(self._objects.stream(ref, start_byte, end_byte), self._read))
        file = kept.path.open("rb")
        file.seek(start_byte)
        return file if end_byte is None else cast("BinaryIO", io.BufferedReader(_Until(file, end_byte)))

    def random_access(self, ref: ObjectRef) -> BinaryIO:
        kept = self._find(ref)
        if kept is None:
            return cast("BinaryIO", _Counted(self._objects.random_access(ref), self._read))
        return kept.path.open("rb")

    def list(self, prefix: str, bucket: str = "", owner: str | None = None) -> Iterator[ObjectInfo]:
        if bucket in ("", self._bucket) and prefix.startswith(self._names):
            return iter(
                sorted(
                    (kept.info for key, kept in self._kept.items() if key.startswith(prefix)), key=lambda info: info.key
                )
            )
        return self._objects.list(prefix, bucket, owner)

    def _find(self, ref: ObjectRef) -> _Kept | None:
        if ref.bucket not in ("", self._bucket):
            return None
        kept = self._kept.get(ref.key)
        if kept is None and ref.key.startswith(self._names):
            raise Missing(f"{ref.key} does not exist")
        return kept

    # ----------------------------------------------------------------- writing

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
        upload = self.create(key, metadata)
        upload.write(body)
        return upload.commit()

    def create(self, key: str, metadata: Mapping[str, str]) -> Upload:
        return _LocalUpload(self, key, metadata, self._folder / hashlib.sha256(key.encode()).hexdigest())

    def delete(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            kept.path.unlink(missing_ok=True)

    def publish(self, key: str, path: Path, etag: str, metadata: Mapping[str, str]) -> bool:
        """Let an object be seen that was written whole. As `Upload.commit`."""
        standing = self._kept.get(key)
        if standing is not None:
            if any(standing.info.metadata.get(name) != value for name, value in metadata.items()):
                raise Conflict(f"{key}: another object already exists there")
            return False
        self._kept[key] = _Kept(path, ObjectInfo(key, path.stat().st_size, etag, None, dict(metadata)))
        return True


class _Until(io.RawIOBase):
    """A file that ends at a byte, and is closed with its reader."""

    def __init__(self, file: io.BufferedReader, end_byte: int) -> None:
        self._file = file
        self._end = end_byte

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill at most the whole buffer; 0 at the end."""
        return self._file.readinto(memoryview(buffer)[: max(0, self._end - self._file.tell())])

    def close(self) -> None:
        self._file.close()
        super().close()


class HubOverlay(SourceObjects):
    """An overlay over a port that reads the Hugging Face Hub too, as which it is known."""

    def __init__(self, overlay: Overlay, hub: HubObjects) -> None:
        super().__init__(overlay, hub)
        self._overlay = overlay

    def _of(self, ref: ObjectRef) -> Objects:  # noqa: ARG002 all of them go one way
        return self._overlay  # what is below it knows the way, and reads are counted


def overlaid(
    objects: Objects, bucket: str, folder: Path, run_id: str, read: Callable[[int], None] = lambda _: None
) -> Objects:
    """An `Overlay` with these arguments, which reads the Hub where `objects` does."""
    overlay, hub = Overlay(objects, bucket, folder, run_id, read), hub_of(objects)
    return overlay if hub is None else HubOverlay(overlay, hub)


class _LocalUpload:
    def __init__(self, overlay: Overlay, key: str, metadata: Mapping[str, str], path: Path) -> None:
        self._overlay = overlay
        self._key = key
        self._metadata = metadata
        self._path = path
        self._part = path.with_suffix(".part")
        self._digest = hashlib.md5(usedforsecurity=False)
        self._file: BinaryIO | None = self._part.open("wb")

    def write(self, data: bytes | bytearray | memoryview) -> int:
        assert self._file is not None, "the upload is over"
        self._digest.update(data)
        return self._file.write(data)

    def commit(self) -> bool:
        assert self._file is not None, "the upload is over"
        self._close()
        path = self._part.rename(self._path)
        return self._overlay.publish(self._key, path, self._digest.hexdigest(), self._metadata)

    def abort(self) -> None:
        if self._file is not None:
            self._close()
            self._part.unlink(missing_ok=True)

    def _close(self) -> None:
        assert self._file is not None
        self._file.close()
        self._file = None


class _Counted(io.RawIOBase):
    """Passes everything on, and tells how much was read."""

    def __init__(self, body: BinaryIO, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._body = body
        self._tell = tell

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._body.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._body.seek(offset, whence)

    def tell(self) -> int:
        return self._body.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._body.read(-1 if size is None else size)
        self._tell(len(data))
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._body.close()
        super().close()
