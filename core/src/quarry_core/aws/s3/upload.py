"""Writing one S3 object once: small bodies by PutObject, larger ones by a multipart upload.

Promises: nothing is visible before `commit`; an object that stands is never replaced (`If-None-Match: *` on PutObject
and on CompleteMultipartUpload; boto3's own upload helpers refuse that argument); whatever the service answers, what
counts in the end is what stands, judged by its metadata. Memory is two upload parts: one filling, one on its way in
the one upload thread. An upload that its process leaves behind is removed by the bucket's lifecycle rule.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from quarry_core.errors import Conflict, Missing, PortError, Refused, Unknown, raise_for

T = TypeVar("T")

UPLOAD_PART_BYTES_MIN = 5 * 1024 * 1024  # S3's own; the local emulator does not enforce it
UPLOAD_PART_BYTES_MAX = 5 * 1024 * 1024 * 1024
UPLOAD_PARTS_MAX = 10_000
METADATA_BYTES_MAX = 2_048
PUBLISH_TRIES_MAX = 4
PUBLISH_PAUSE_S = 0.5


def checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata, if S3 will return it unchanged: lower-case names, printable ASCII values, at most 2,048 bytes.

    Raises:
        ValueError: it would be refused, or come back changed, or it is empty: then no object could be recognised.
    """
    if not metadata:
        raise ValueError("a write-once object needs metadata that says what it is")
    for name, value in metadata.items():
        if not re.fullmatch(r"[a-z0-9-]+", name):
            raise ValueError(f"metadata name {name!r} is not of [a-z0-9-]")
        if not re.fullmatch(r"([!-~]([ -~]*[!-~])?)?", value):
            raise ValueError(f"metadata {name!r} is not printable ASCII without spaces around it: {value!r}")
    if sum(len(name) + len(value) for name, value in metadata.items()) > METADATA_BYTES_MAX:
        raise ValueError(f"metadata is over {METADATA_BYTES_MAX} bytes")
    return dict(metadata)


class Target:
    """The place of one write-once object: what stands there, and the publishing of ours."""

    def __init__(
        self, client: Any, bucket: str, key: str, metadata: Mapping[str, str], pause: Callable[[float], None]
    ) -> None:
        self.client = client
        self.name = {"Bucket": bucket, "Key": key}
        self.metadata = checked_metadata(metadata)
        self.doing = f"write s3://{bucket}/{key}"
        self._pause = pause

    def put(self, body: bytes) -> bool:
        """Publish a body by one PutObject; the answer is that of `publish`."""
        return self.publish(
            lambda: self.client.put_object(**self.name, Body=body, Metadata=self.metadata, IfNoneMatch="*")
        )

    def publish(self, send: Callable[[], object]) -> bool:
        """Do `send`, then believe what stands. True: created by this call. False: ours stood there already.

        Raises:
            Conflict: another object already exists there.
            PortError: nothing stands there, and `send` failed for this reason.
        """
        for tries in range(1, PUBLISH_TRIES_MAX + 1):
            try:
                send()
            except (ClientError, BotoCoreError) as error:
                answer = self._meaning(error)
            else:
                return True
            # The SDK re-sends what lost its reply, so even a "no" may follow a write of ours that was done.
            if self._stands_for_us(answer):
                return False
            if not isinstance(answer, Conflict):
                raise answer
            # Two conditional writers met (409), or what stood was deleted since: look again.
            if tries < PUBLISH_TRIES_MAX:
                self._pause(PUBLISH_PAUSE_S * tries)
        raise Unknown(f"{self.doing}: other writers interfered {PUBLISH_TRIES_MAX} times")

    def _meaning(self, error: Exception) -> PortError:
        try:
            raise_for(error, self.doing)
        except PortError as answer:
            return answer

    def _stands_for_us(self, answer: PortError) -> bool:
        try:
            standing = self.client.head_object(**self.name)["Metadata"]
        except (ClientError, BotoCoreError) as error:
            if isinstance(self._meaning(error), Missing):
                return False
            raise answer from error
        differing = sorted(name for name, value in self.metadata.items() if standing.get(name) != value)
        if differing:
            raise Conflict(
                f"{self.doing}: another object already exists there (its {', '.join(differing)})"
            ) from answer
        return True


class S3Upload:
    """An `Upload` (see the port). Belongs to one thread; the upload thread is its own."""

    def __init__(self, target: Target, part_bytes: int) -> None:
        self._target = target
        self._part_bytes = part_bytes
        self._filling = io.BytesIO()
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._thread: ThreadPoolExecutor | None = None
        self._sending: Future[dict[str, Any]] | None = None
        self._over = False

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes. Raises what the upload thread met; the upload is then given up."""
        self._must_be_open()
        view = memoryview(data).cast("B")
        taken = 0
        while taken < len(view):
            piece = view[taken : taken + self._part_bytes - self._filling.tell()]
            taken += self._filling.write(piece)
            if self._filling.tell() == self._part_bytes:
                self._guarded(self._send)
        return taken

    def commit(self) -> bool:
        """See the port. Whatever happens, the upload is over."""
        self._must_be_open()
        committed = self._guarded(self._publish)
        if not committed:
            self._discard()
        self._end()
        return committed

    def abort(self) -> None:
        if not self._over:
            self._discard()
            self._end()

    def _publish(self) -> bool:
        if self._upload_id is None:
            return self._target.put(self._filling.getvalue())
        if self._filling.tell():
            self._send()
        self._settle()
        named = {**self._target.name, "UploadId": self._upload_id}
        parts = {"Parts": self._parts}
        return self._target.publish(
            lambda: self._target.client.complete_multipart_upload(**named, MultipartUpload=parts, IfNoneMatch="*")
        )

    def _send(self) -> None:
        """Hand the filled part to the upload thread, once that has done the part before."""
        self._settle()
        number = len(self._parts) + 1
        if number > UPLOAD_PARTS_MAX:
            raise Refused(f"{self._target.doing}: over {UPLOAD_PARTS_MAX} upload parts", "EntityTooLarge")
        if self._upload_id is None or self._thread is None:
            self._upload_id = self._begin()
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="quarry-upload")
        # getvalue() shares its bytes with the buffer, which is then dropped: no copy.
        self._sending = self._thread.submit(self._send_part, number, self._upload_id, self._filling.getvalue())
        self._filling = io.BytesIO()

    def _begin(self) -> str:
        try:
            # Named here, in each upload part and at the end: S3 refuses a mixture.
            answer = self._target.client.create_multipart_upload(
                **self._target.name, Metadata=self._target.metadata, ChecksumAlgorithm="CRC32"
            )
        except (ClientError, BotoCoreError) as error:
            raise_for(error, self._target.doing)
        return str(answer["UploadId"])

    def _send_part(self, number: int, upload_id: str, body: bytes) -> dict[str, Any]:
        try:
            answer = self._target.client.upload_part(
                **self._target.name, UploadId=upload_id, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32"
            )
        except (ClientError, BotoCoreError) as error:
            raise_for(error, f"{self._target.doing} (upload part {number})")
        part = {"PartNumber": number, "ETag": answer["ETag"]}
        return part | ({"ChecksumCRC32": answer["ChecksumCRC32"]} if "ChecksumCRC32" in answer else {})

    def _settle(self) -> None:
        if self._sending is not None:
            sending, self._sending = self._sending, None
            self._parts.append(sending.result())

    def _guarded(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except BaseException:
            self._discard()
            self._end()
            raise

    def _discard(self) -> None:
        """Take back the upload parts. Best effort: the bucket's lifecycle rule removes what stays behind."""
        if self._sending is not None:
            self._sending.exception()  # a part still on its way would outlive the abort
            self._sending = None
        if self._upload_id is not None:
            try:
                self._target.client.abort_multipart_upload(**self._target.name, UploadId=self._upload_id)
            except (ClientError, BotoCoreError):
                return

    def _end(self) -> None:
        self._over = True
        self._filling = io.BytesIO()
        if self._thread is not None:
            self._thread.shutdown()

    def _must_be_open(self) -> None:
        if self._over:
            raise ValueError("the upload is over")
