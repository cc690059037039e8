"""The AWS adapter of the `Versions` port: every version of an object, and its deletion for good.

Owns no state but the client; every method may be called twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quarry_core.errors import Refused, Throttled, Unknown, raise_for
from quarry_core.ports import ERASED_AT_ONCE_MAX, ObjectVersion

RETRYABLE = frozenset({"InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout"})


class S3Versions:
    """`Versions` over one environment's bucket.

    Args:
        bucket: the environment's own, versioned or not.
        client: made by `s3_client`.
    """

    def __init__(self, bucket: str, client: Any) -> None:
        self._bucket = bucket
        self._client = client

    def under(self, prefix: str) -> Iterator[ObjectVersion]:
        doing = f"list the versions of s3://{self._bucket}/{prefix}"
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
        try:
            for page in pages:
                for found in page.get("Versions", ()):
                    yield ObjectVersion(found["Key"], found["VersionId"], int(found["Size"]))
                for found in page.get("DeleteMarkers", ()):
                    yield ObjectVersion(found["Key"], found["VersionId"])
        except (ClientError, BotoCoreError) as error:
            raise_for(error, doing)

    def erase(self, versions: Sequence[ObjectVersion]) -> None:
        if not versions:
            return
        if len(versions) > ERASED_AT_ONCE_MAX:
            raise ValueError(f"{len(versions)} versions at once; S3 takes {ERASED_AT_ONCE_MAX}")
        objects = [{"Key": each.key, "VersionId": each.version_id} for each in versions]
        doing = f"erase {len(versions)} versions of s3://{self._bucket}/{versions[0].key} ..."
        try:
            answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects})
        except (ClientError, BotoCoreError) as error:
            raise_for(error, doing)
        if failed := answer.get("Errors"):
            code, key = str(failed[0].get("Code")), failed[0].get("Key")
            what = f"{doing}: {len(failed)} were not erased, the first is {key}: {code}: {failed[0].get('Message')}"
            if code in RETRYABLE:
                raise Throttled(what) if code == "SlowDown" else Unknown(what)
            raise Refused(what, code)
