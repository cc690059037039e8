"""Files of this machine, put into the environment's bucket under names that follow from their bytes.

`inputs/<hash>/<name>`: the same bytes under the same name are one object, however often they are brought, and are sent
once. The hash is the first half of SHA-256; the whole of it is in the object's metadata, and is compared. A name keeps its
ending, which tells its format; what S3's patterns or a log would trip over in it becomes `_`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from quarry_cli.errors import NotSubmitted
from quarry_core.contract.names import s3_uri
from quarry_core.errors import Conflict, Missing
from quarry_core.ports import ObjectRef, Objects
from quarry_core.text import shown_name

FILES_MAX = 1_000
PIECE_BYTES = 1 << 20
NAME_CHARS_MAX = 100
_HASH_CHARS = 32
_UNFIT = re.compile(r"[^A-Za-z0-9._=-]+")
_SHA256 = "sha256"

# Called with the bytes done so far, and all of them.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as it was when it was hashed."""

    path: Path
    size_bytes: int
    sha256: str

    @property
    def key(self) -> str:
        return f"inputs/{self.sha256[:_HASH_CHARS]}/{safe_name(self.path.name)}"


def safe_name(name: str) -> str:
    """A file's name as the end of a key: its ending stays, and nothing in it is a wildcard or a control character."""
    fit = _UNFIT.sub("_", name).lstrip(".") or "data"
    return fit[-NAME_CHARS_MAX:].lstrip(".")


def look_at(paths: Sequence[Path], progress: Progress | None = None) -> list[LocalFile]:
    """Read the files once, for their hashes.

    Raises:
        NotSubmitted: one is not there, is no file, is empty, or there are too many; the text names it.
    """
    if len(paths) > FILES_MAX:
        raise NotSubmitted(
            f"{len(paths):,} files are given; at most {FILES_MAX:,} are taken: put them into one, or name a folder in S3"
        )
    sizes = [_size_of(path) for path in paths]
    done, found = 0, []
    for path in paths:
        digest, read = hashlib.sha256(), 0
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
                read += len(piece)
                if progress is not None:
                    progress(done + read, sum(sizes))
        done += read
        found.append(LocalFile(path, read, digest.hexdigest()))
    return found


def _size_of(path: Path) -> int:
    named = shown_name(str(path))
    if path.is_dir():
        raise NotSubmitted(f"{named} is a directory: name its files, as in {named}/*.parquet")
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise NotSubmitted(f"{named} cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise NotSubmitted(f"{named} is no regular file: write it into one first")
    if not size_bytes:
        raise NotSubmitted(f"{named} is empty")
    return size_bytes


def bring(objects: Objects, bucket: str, files: Sequence[LocalFile], progress: Progress | None = None) -> int:
    """Upload those that do not stand in the bucket yet; how many that were.

    Raises:
        NotSubmitted: a file changed since it was hashed, or another object has its name.
        PortError: as `Objects.create` does.
    """
    done, new = 0, 0
    for file in files:
        if not _stands(objects, file):
            new += _upload(objects, bucket, file, partial(_tell, progress, files, done))
        done += file.size_bytes
        _tell(progress, files, done, 0)
    return new


def _tell(progress: Progress | None, files: Sequence[LocalFile], done: int, more: int) -> None:
    if progress is not None:
        progress(done + more, sum(file.size_bytes for file in files))


def _stands(objects: Objects, file: LocalFile) -> bool:
    try:
        info = objects.head(ObjectRef(file.key))
    except Missing:
        return False
    return info.size_bytes == file.size_bytes and info.metadata.get(_SHA256) == file.sha256


def _upload(objects: Objects, bucket: str, file: LocalFile, tell: Callable[[int], None]) -> bool:
    digest, read = hashlib.sha256(), 0
    upload = objects.create(file.key, {_SHA256: file.sha256})
    try:
        with file.path.open("rb") as body:
            while piece := body.read(PIECE_BYTES):
                digest.update(piece)
                upload.write(piece)
                read += len(piece)
                tell(read)
        if digest.hexdigest() != file.sha256:
            raise NotSubmitted(f"{shown_name(str(file.path))} changed while it was being uploaded: try again")
        return upload.commit()
    except Conflict as error:
        uri = s3_uri(bucket, file.key)
        raise NotSubmitted(
            f"{uri} is another object than Quarry would write there: delete it, or rename the file"
        ) from error
    finally:
        upload.abort()
