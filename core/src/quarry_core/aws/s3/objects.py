"""The AWS adapter of the `Objects` port, on boto3: bulk bytes move in threads, where asyncio gains nothing.

Owns no state but the client, which threads may share; every method may be called twice. Reading stands in
`object_reading`, the write-once upload in `object_upload`, what is told of each call in `object_watch`.

Checksums: requests carry the SDK's CRC32 (`when_supported`), which guards the bytes from our memory to S3's disk.
Answers are not checked (`when_required`): S3 tells checksums for whole objects only, while we resume by ranges; pins
and TLS guard those. botocore before 1.36, which the command may find installed, has neither setting and checks no answer
either; the command only reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from quarry_core import __version__
from quarry_core.aws.access import AS_USUAL, Access
from quarry_core.aws.retries import retries
from quarry_core.aws.s3.reading import ForwardReader, RandomReader, Source
from quarry_core.aws.s3.upload import UPLOAD_PART_BYTES_MAX, UPLOAD_PART_BYTES_MIN, S3Upload, Target
from quarry_core.aws.s3.watch import Observe, watch
from quarry_core.aws.whole import require_whole_answers
from quarry_core.errors import raise_for
from quarry_core.ports import ObjectInfo, ObjectRef

USER_AGENT = f"quarry/{__version__}"
PUT_ONCE_BYTES_MAX = 64 * 1024 * 1024
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
ATTEMPTS_MAX = 5
HASTY_TIMEOUT_S = 5
HASTY_ATTEMPTS_MAX = 2
CONNECTIONS_MAX = 32
UPLOAD_PART_BYTES = 16 * 1024 * 1024
CHECKSUMS = {"request_checksum_calculation": "when_supported", "response_checksum_validation": "when_required"}


def s3_client(
    region: str | None = None,
    endpoint_url: str | None = None,
    addressing_style: Literal["auto", "path", "virtual"] = "auto",
    *,
    hasty: bool = False,
    access: Access = AS_USUAL,
) -> Any:
    """A boto3 S3 client with bounded time and attempts; what is not given comes the SDK's usual way (also the CA bundle).

    Args:
        hasty: for a person who waits, and would rather do without the answer.
        access: where AWS is and who asks, if not the variables say it.
    """
    client = boto3.Session(botocore_session=access.session()).client(
        "s3",
        region_name=region,
        endpoint_url=endpoint_url or access.endpoint_url("s3"),
        config=Config(
            connect_timeout=HASTY_TIMEOUT_S if hasty else CONNECT_TIMEOUT_S,
            read_timeout=HASTY_TIMEOUT_S if hasty else READ_TIMEOUT_S,
            retries=retries(HASTY_ATTEMPTS_MAX if hasty else ATTEMPTS_MAX),
            max_pool_connections=CONNECTIONS_MAX,
            tcp_keepalive=True,
            user_agent_extra=USER_AGENT,
            signature_version="s3v4",  # links too, which the SDK signs by the older version otherwise
            s3={"addressing_style": addressing_style},
            **access.options("s3"),
            **{name: when for name, when in CHECKSUMS.items() if name in Config.OPTION_DEFAULTS},
        ),
    )
    require_whole_answers(client)
    return client


class S3Objects:
    """`Objects` over one environment's bucket; other buckets can only be read.

    Args:
        bucket: the environment's own.
        region: of the bucket.
        client: instead of `region`, one made by `s3_client`.
        upload_part_bytes: size of an upload part, at least 5 MiB; an upload holds two of them.
        pause: waits that many seconds between tries.
        observe: told of every call as (`s3`, operation, outcome, seconds), from whichever thread makes it.
    """

    def __init__(
        self,
        bucket: str,
        *,
        region: str | None = None,
        client: Any = None,
        upload_part_bytes: int = UPLOAD_PART_BYTES,
        pause: Callable[[float], None] = time.sleep,
        observe: Observe | None = None,
    ) -> None:
        if not UPLOAD_PART_BYTES_MIN <= upload_part_bytes <= UPLOAD_PART_BYTES_MAX:
            raise ValueError(
                f"upload_part_bytes is {upload_part_bytes}; S3 takes {UPLOAD_PART_BYTES_MIN} to {UPLOAD_PART_BYTES_MAX}"
            )
        self.bucket = bucket
        self._client = s3_client(region) if client is None else client
        if observe is not None:
            watch(self._client, observe)
        self._upload_part_bytes = upload_part_bytes
        self._pause = pause

    def head(self, ref: ObjectRef) -> ObjectInfo:
        answer, _ = self._source(ref).ask("head_object")
        return ObjectInfo(
            key=ref.key,
            size_bytes=int(answer["ContentLength"]),
            etag=answer["ETag"].strip('"'),
            version_id=answer.get("VersionId"),
            metadata=dict(answer["Metadata"]),
        )

    def read(self, ref: ObjectRef, start_byte: int = 0, length_bytes: int | None = None) -> bytes:
        if length_bytes == 0:
            self.head(ref)  # no range of S3's is empty, but the pin must hold all the same
            return b""
        end = None if length_bytes is None else start_byte + length_bytes
        with ForwardReader(self._source(ref), start_byte, end) as body:
            return body.read()

    def stream(self, ref: ObjectRef, start_byte: int = 0, end_byte: int | None = None) -> BinaryIO:
        return ForwardReader(self._source(ref), start_byte, end_byte)

    def random_access(self, ref: ObjectRef) -> BinaryIO:
        return RandomReader(self._source(ref))

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
        if len(body) > PUT_ONCE_BYTES_MAX:
            raise ValueError(f"{key}: {len(body)} bytes are over {PUT_ONCE_BYTES_MAX}; use create()")
        return self._target(key, metadata).put(body)

    def create(self, key: str, metadata: Mapping[str, str]) -> S3Upload:
        return S3Upload(self._target(key, metadata), self._upload_part_bytes)

    def list(self, prefix: str, bucket: str = "", owner: str | None = None) -> Iterator[ObjectInfo]:
        bucket = bucket or self.bucket
        owned = {} if owner is None else {"ExpectedBucketOwner": owner}
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **owned)
        try:
            for page in pages:
                for found in page.get("Contents", ()):
                    yield ObjectInfo(found["Key"], int(found["Size"]), found["ETag"].strip('"'))
        except (ClientError, BotoCoreError) as error:
            raise_for(error, f"list s3://{bucket}/{prefix}")

    def delete(self, key: str) -> None:
        try:
            self._client.delete_object(Bucket=self.bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise_for(error, f"delete s3://{self.bucket}/{key}")

    def _source(self, ref: ObjectRef) -> Source:
        return Source.of(self._client, replace(ref, bucket=ref.bucket or self.bucket), self._pause)

    def _target(self, key: str, metadata: Mapping[str, str]) -> Target:
        return Target(self._client, self.bucket, key, metadata, self._pause)
