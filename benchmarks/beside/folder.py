"""The `Objects` port on a local folder, for measuring: no network, no copies, and every byte that is asked for is counted.

Random access goes through the real reader of S3, so what is counted of it is what S3 would be asked for.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from quarry_core.aws.s3.reading import RandomReader, Source
from quarry_core.errors import Missing
from quarry_core.ports import ObjectInfo, ObjectRef


class Folder:
    """Every key is a path below `root`, and an object's metadata stands in a file beside it.

    Attributes:
        asked: `requests` that read, and the `bytes` of their ranges.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.asked: Counter[str] = Counter()

    def head(self, ref: ObjectRef) -> ObjectInfo:
        path = self._path(ref.key)
        notes = Path(f"{path}.metadata")
        metadata = json.loads(notes.read_text()) if notes.exists() else {}
        return ObjectInfo(ref.key, path.stat().st_size, _etag(path), None, metadata)

    def read(self, ref: ObjectRef, start_byte: int = 0, length_bytes: int | None = None) -> bytes:
        with self._path(ref.key).open("rb", 0) as file:
            file.seek(start_byte)
            return self._counted(file.read(-1 if length_bytes is None else length_bytes))

    def stream(self, ref: ObjectRef, start_byte: int = 0, end_byte: int | None = None) -> BinaryIO:
        path = self._path(ref.key)
        end = path.stat().st_size if end_byte is None else min(end_byte, path.stat().st_size)
        self.asked.update(requests=1, bytes=end - start_byte)
        file = path.open("rb", 0)
        file.seek(start_byte)
        return file

    def random_access(self, ref: ObjectRef) -> BinaryIO:
        path = self._path(ref.key)
        pinned = ObjectRef(ref.key, "folder", _etag(path), size_bytes=path.stat().st_size)
        return RandomReader(Source.of(_Client(self, path), pinned, lambda _: None))

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
        upload = self.create(key, metadata)
        upload.write(body)
        return upload.commit()

    def create(self, key: str, metadata: Mapping[str, str]) -> FolderUpload:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{path}.metadata").write_text(json.dumps(dict(metadata)))
        return FolderUpload(path)

    def list(self, prefix: str, bucket: str = "", owner: str | None = None) -> Iterator[ObjectInfo]:  # noqa: ARG002
        for path in sorted(self._root.glob(f"{prefix}*")):
            if path.suffix != ".metadata":
                yield ObjectInfo(str(path.relative_to(self._root)), path.stat().st_size, _etag(path))

    def delete(self, key: str) -> None:
        (self._root / key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        path = self._root / key
        if not path.exists():
            raise Missing(f"{key} is not there")
        return path

    def _counted(self, data: bytes) -> bytes:
        self.asked.update(requests=1, bytes=len(data))
        return data


class FolderUpload:
    """An `Upload` that writes through."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        return self._file.write(data) or 0

    def commit(self) -> bool:
        self._file.close()
        return True

    def abort(self) -> None:
        self._file.close()


class _Client:
    """What `RandomReader` asks of an S3 client."""

    def __init__(self, folder: Folder, path: Path) -> None:
        self._folder = folder
        self._path = path

    def get_object(self, *, Range: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803 boto3's name
        size = self._path.stat().st_size
        begin, _, last = Range.removeprefix("bytes=").partition("-")
        start, end = int(begin or 0), min(int(last) + 1, size) if last else size
        self._folder.asked.update(requests=1, bytes=end - start)
        with self._path.open("rb", 0) as file:
            file.seek(start)
            body = io.BytesIO(file.read(end - start))
        answer = {"Body": body, "ContentLength": end - start, "ETag": _etag(self._path)}
        return answer | ({"ContentRange": f"bytes {start}-{end - 1}/{size}"} if Range else {})


def _etag(path: Path) -> str:
    return f"{path.stat().st_mtime_ns:x}"
