"""A directory in place of S3, for a simulator that stands alone: `<directory>/<bucket>/<key>`.

As much of boto3's S3 client as the simulator uses, for its own use in this process: nothing listens for S3 requests.
Whoever wants a file read puts it there, and finds the output beside it. A bucket is a directory that somebody made. An
object appears whole or not at all; no path leads out of the directory, whatever a job's URIs say. A job's key encrypts
nothing here.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import ClientError

from quarry_local.bedrock.events.envelope import EventFigures

DEFAULT_ACCOUNT = "000000000000"
_UPLOADS = ".uploads"


class DirectoryStore:
    """May be called from several threads; each upload from one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._uploads = self._directory / _UPLOADS
        self._uploads.mkdir(parents=True, exist_ok=True)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, BinaryIO]:  # noqa: N803 - S3's names, here and below
        return {"Body": self._existing(Bucket, Key).open("rb")}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, int]:  # noqa: N803
        return {"ContentLength": self._existing(Bucket, Key).stat().st_size}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **_encryption: str) -> None:  # noqa: N803
        upload_id = self.create_multipart_upload(Bucket=Bucket, Key=Key)["UploadId"]
        self.upload_part(Bucket=Bucket, Key=Key, UploadId=upload_id, PartNumber=1, Body=Body)
        self.complete_multipart_upload(Bucket=Bucket, Key=Key, UploadId=upload_id, MultipartUpload={})

    def create_multipart_upload(self, *, Bucket: str, Key: str, **_encryption: str) -> dict[str, str]:  # noqa: N803
        self._path(Bucket, Key)
        return {"UploadId": secrets.token_hex(8)}

    def upload_part(
        self,
        *,
        Bucket: str,  # noqa: ARG002, N803
        Key: str,  # noqa: ARG002, N803
        UploadId: str,  # noqa: N803
        PartNumber: int,  # noqa: N803
        Body: bytes,  # noqa: N803
    ) -> dict[str, str]:
        """The next part; they come in order, as the simulator sends them."""
        with (self._uploads / UploadId).open("ab") as file:
            file.write(Body)
        return {"ETag": str(PartNumber)}

    def complete_multipart_upload(
        self,
        *,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        UploadId: str,  # noqa: N803
        MultipartUpload: Any,  # noqa: ARG002, N803
    ) -> None:
        path = self._path(Bucket, Key)
        path.parent.mkdir(parents=True, exist_ok=True)
        (self._uploads / UploadId).replace(path)

    def abort_multipart_upload(self, *, Bucket: str, Key: str, UploadId: str) -> None:  # noqa: ARG002, N803
        (self._uploads / UploadId).unlink(missing_ok=True)

    def get_paginator(self, operation: str) -> "_Pages":
        if operation != "list_objects_v2":
            raise NotImplementedError(operation)
        return _Pages(self)

    def keys(self, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys with this prefix, in order, and their sizes."""
        root = self._bucket(bucket)
        found = [
            (Path(folder, name).relative_to(root).as_posix(), Path(folder, name))
            for folder, _, names in os.walk(root)
            for name in names
        ]
        for key, path in sorted(found):
            if key.startswith(prefix):
                yield key, path.stat().st_size

    def _bucket(self, bucket: str) -> Path:
        path = (self._directory / bucket).resolve()
        if path.parent != self._directory or bucket == _UPLOADS or not path.is_dir():
            raise _refusal("NoSuchBucket", f"The specified bucket does not exist: there is no directory {path}")
        return path

    def _path(self, bucket: str, key: str) -> Path:
        root = self._bucket(bucket)
        path = (root / key).resolve()
        if root not in path.parents:
            raise _refusal("InvalidURI", f"{key} points outside its bucket")
        return path

    def _existing(self, bucket: str, key: str) -> Path:
        path = self._path(bucket, key)
        if not path.is_file():
            raise _refusal("NoSuchKey", f"The specified key does not exist: there is no file {path}")
        return path


class _Pages:
    def __init__(self, store: DirectoryStore) -> None:
        self._store = store

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        yield {"Contents": [{"Key": key, "Size": size} for key, size in self._store.keys(Bucket, Prefix)]}


def _refusal(code: str, message: str) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 404}}
    return ClientError(answer, "DirectoryStore")


@dataclass(frozen=True, slots=True)
class Alone:
    """What the simulator has in place of an emulator's clients when it stands alone: files, and no other service."""

    s3: DirectoryStore
    region: str
    account: str = DEFAULT_ACCOUNT
    iam: Any = None

    @classmethod
    def at(cls, directory: Path) -> "Alone":
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        return cls(DirectoryStore(directory), region)

    def close(self) -> None:
        """There is nothing to close."""


class Handing:
    """Hands each event's envelope, JSON, to whoever asked for it; used from one thread at a time."""

    def __init__(self, hand: Callable[[str], None], figures: EventFigures) -> None:
        self._hand = hand
        self._figures = figures

    def deliver(self, envelope: str) -> None:
        self._hand(envelope)
        self._figures.delivered += 1
