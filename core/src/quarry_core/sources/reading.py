"""The `Objects` port over S3 and the Hugging Face Hub: each call goes to where the bucket lies, each write to S3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO

from quarry_core.contract.hub_names import in_hub
from quarry_core.ports import ObjectInfo, ObjectRef, Objects, Upload
from quarry_core.sources.hub.objects import HubObjects


class SourceObjects:
    """Args:
    objects: the environment's bucket, and what else is in S3.
    hub: reads what stands in a bucket `hf://...`.
    """

    def __init__(self, objects: Objects, hub: HubObjects) -> None:
        self._objects = objects
        self.hub = hub

    def head(self, ref: ObjectRef) -> ObjectInfo:
        return self._of(ref).head(ref)

    def read(self, ref: ObjectRef, start_byte: int = 0, length_bytes: int | None = None) -> bytes:
        return self._of(ref).read(ref, start_byte, length_bytes)

    def stream(self, ref: ObjectRef, start_byte: int = 0, end_byte: int | None = None) -> BinaryIO:
        return self._of(ref).stream(ref, start_byte, end_byte)

    def random_access(self, ref: ObjectRef) -> BinaryIO:
        return self._of(ref).random_access(ref)

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
        return self._objects.put_once(key, body, metadata)

    def create(self, key: str, metadata: Mapping[str, str]) -> Upload:
        return self._objects.create(key, metadata)

    def list(self, prefix: str, bucket: str = "", owner: str | None = None) -> Iterator[ObjectInfo]:
        return self._objects.list(prefix, bucket, owner)

    def delete(self, key: str) -> None:
        self._objects.delete(key)

    def _of(self, ref: ObjectRef) -> Objects | HubObjects:
        return self.hub if in_hub(ref.bucket) else self._objects


def hub_of(objects: Objects) -> HubObjects | None:
    """The Hub that a port also reads from; None if it reads S3 alone."""
    return objects.hub if isinstance(objects, SourceObjects) else None
