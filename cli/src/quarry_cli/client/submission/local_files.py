"""Files of this machine as if they had been uploaded, so that what counts a source can count them where they are."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import BinaryIO

from quarry_cli.client.connections import Connections
from quarry_cli.client.submission.uploading import LocalFile
from quarry_core.errors import Missing, Refused
from quarry_core.ports import Item, Key, ObjectInfo, ObjectRef, Objects, Upload, Write

_ETAG_CHARS = 32


class LocalFiles:
    """The `Objects` port, for reading.

    Args:
        files: each is found under its key in the environment's bucket.
        bucket: that bucket, by name.
        objects: everything else; None: there is nothing else.
    """

    def __init__(self, files: Sequence[LocalFile], bucket: str, objects: Objects | None) -> None:
        self._files = {file.key: file for file in files}
        self._bucket = bucket
        self._objects = objects

    def head(self, ref: ObjectRef) -> ObjectInfo:
        file = self._found(ref)
        if file is None:
            return self._others(ref.key).head(ref)
        return _info(file)

    def read(self, ref: ObjectRef, start_byte: int = 0, length_bytes: int | None = None) -> bytes:
        file = self._found(ref)
        if file is None:
            return self._others(ref.key).read(ref, start_byte, length_bytes)
        with file.path.open("rb") as body:
            body.seek(start_byte)
            return body.read() if length_bytes is None else body.read(length_bytes)

    def stream(self, ref: ObjectRef, start_byte: int = 0, end_byte: int | None = None) -> BinaryIO:
        file = self._found(ref)
        if file is None:
            return self._others(ref.key).stream(ref, start_byte, end_byte)
        if end_byte is not None:
            return io.BytesIO(self.read(ref, start_byte, end_byte - start_byte))
        body = file.path.open("rb")
        body.seek(start_byte)
        return body

    def random_access(self, ref: ObjectRef) -> BinaryIO:
        file = self._found(ref)
        return self._others(ref.key).random_access(ref) if file is None else file.path.open("rb")

    def list(self, prefix: str, bucket: str = "", owner: str | None = None) -> Iterator[ObjectInfo]:
        if bucket in ("", self._bucket) and (found := [f for key, f in self._files.items() if key.startswith(prefix)]):
            return map(_info, sorted(found, key=lambda file: file.key))
        return iter(()) if self._objects is None else self._objects.list(prefix, bucket, owner)

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:  # noqa: ARG002 the port's
        raise Refused(f"{key}: nothing is written while something is estimated")

    def create(self, key: str, metadata: Mapping[str, str]) -> Upload:  # noqa: ARG002 the port's
        raise Refused(f"{key}: nothing is written while something is estimated")

    def delete(self, key: str) -> None:
        raise Refused(f"{key}: nothing is deleted while something is estimated")

    def _found(self, ref: ObjectRef) -> LocalFile | None:
        return self._files.get(ref.key) if ref.bucket in ("", self._bucket) else None

    def _others(self, key: str) -> Objects:
        if self._objects is None:
            raise Missing(f"{key} does not exist: no environment is given, in which it could be looked for")
        return self._objects


def _info(file: LocalFile) -> ObjectInfo:
    return ObjectInfo(file.key, file.size_bytes, file.sha256[:_ETAG_CHARS])


def with_files(
    connections: Connections, files: Sequence[LocalFile], objects: Callable[[], Objects] | None
) -> Connections:
    """The same connections, with files of this machine where they would be uploaded to.

    Args:
        objects: what else there is; None: nothing.
    """

    def local() -> LocalFiles:
        return LocalFiles(files, connections.bucket, None if objects is None else objects())

    return replace(connections, objects=local, glance=local)


class NoTable:
    """The `Table` port where there is no environment: nothing stands in it."""

    async def get(self, key: Key) -> Item | None:  # noqa: ARG002 the port's
        return None

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Item]:  # noqa: ARG002 the port's
        return {}

    async def query(
        self,
        pk: str,  # noqa: ARG002 the port's
        prefix: str = "",  # noqa: ARG002 the port's
        *,
        most: int,  # noqa: ARG002 the port's
        after: str | None = None,  # noqa: ARG002 the port's
        backwards: bool = False,  # noqa: ARG002 the port's
    ) -> Sequence[Item]:
        return ()

    async def transact(self, writes: Sequence[Write]) -> None:  # noqa: ARG002 the port's
        raise Refused("nothing is written while something is estimated")
