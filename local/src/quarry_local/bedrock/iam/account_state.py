"""What the emulator's IAM and S3 know of a role and of a bucket, as far as jobs are judged by it.

Answers are kept for a few real seconds, until they are told to be forgotten. What cannot be read is None, and told apart
from what is not there. May be called from several threads.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger(__name__)

_KEPT_S = 5.0
# IAM's roleNameType. Bedrock's model allows more behind `role/`, and an emulator may stumble over it.
_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Role:
    """What IAM says of a role; None for what it cannot tell."""

    there: bool | None
    trust: Document | None = None
    policies: tuple[Document, ...] | None = None

    @property
    def judged(self) -> bool:
        """Whether there is anything to judge: not for a stand-in."""
        return bool(self.trust and self.trust.get("Statement"))


@dataclass(frozen=True, slots=True)
class Bucket:
    """What S3 says of a bucket; None for what it cannot tell."""

    there: bool | None
    region: str | None = None
    policy: Document | None = None
    readable: bool = True
    """False: it has a policy that could not be read."""


class AccountState:
    def __init__(self, iam: Any, s3: Any, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._iam = iam
        self._s3 = s3
        self._monotonic = monotonic
        self._roles: dict[str, tuple[float, Role]] = {}
        self._buckets: dict[str, tuple[float, Bucket]] = {}

    def role(self, arn: str) -> Role:
        """The role of this ARN."""
        kept = self._roles.get(arn)
        if kept and self._monotonic() - kept[0] < _KEPT_S:
            return kept[1]
        role = self._read_role(arn)
        self._roles[arn] = (self._monotonic(), role)
        return role

    def _read_role(self, arn: str) -> Role:
        name = arn.rsplit("/", 1)[-1]
        if not _ROLE_NAME.fullmatch(name):
            return Role(False)
        try:
            found = self._iam.get_role(RoleName=name)["Role"]
        except ClientError as wrong:
            return Role(False if wrong.response["Error"]["Code"] == "NoSuchEntity" else None)
        except (BotoCoreError, KeyError):
            return Role(None)
        if found["Arn"] != arn:
            return Role(False)
        return Role(True, _document(found.get("AssumeRolePolicyDocument")), self._policies(name))

    def _policies(self, name: str) -> tuple[Document, ...] | None:
        """All policies of the role, or None when one of them cannot be read."""
        documents: list[Any] = []
        try:
            for page in self._iam.get_paginator("list_role_policies").paginate(RoleName=name):
                documents.extend(
                    self._iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                    for policy in page["PolicyNames"]
                )
            for page in self._iam.get_paginator("list_attached_role_policies").paginate(RoleName=name):
                for attached in page["AttachedPolicies"]:
                    arn = attached["PolicyArn"]
                    version = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
                    reported = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)
                    documents.append(reported["PolicyVersion"]["Document"])
        except (ClientError, BotoCoreError, KeyError) as wrong:
            log.warning("the policies of role %s cannot be read, so they are not evaluated: %s", name, wrong)
            return None
        read = [_document(document) for document in documents]
        # An AWS policy that the emulator knows by name only has no statements.
        if any(document is None or "Statement" not in document for document in read):
            return None
        return tuple(document for document in read if document is not None)

    def bucket(self, name: str) -> Bucket:
        """The bucket of this name."""
        kept = self._buckets.get(name)
        if kept and self._monotonic() - kept[0] < _KEPT_S:
            return kept[1]
        bucket = self._read_bucket(name)
        self._buckets[name] = (self._monotonic(), bucket)
        return bucket

    def _read_bucket(self, name: str) -> Bucket:
        try:
            where = self._s3.get_bucket_location(Bucket=name).get("LocationConstraint")
        except ClientError as wrong:
            return Bucket(False if wrong.response["Error"]["Code"] in {"NoSuchBucket", "404"} else None)
        except BotoCoreError:
            return Bucket(None)
        # S3's names for its two oldest regions.
        region = {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}.get(where, where)
        try:
            policy = _document(self._s3.get_bucket_policy(Bucket=name)["Policy"])
        except ClientError as wrong:
            return Bucket(True, region, readable=wrong.response["Error"]["Code"] == "NoSuchBucketPolicy")
        except BotoCoreError:
            return Bucket(True, region, readable=False)
        return Bucket(True, region, policy, readable=policy is not None)

    def forget(self, arn: str, *buckets: str) -> None:
        """A refusal is judged anew the next time: people fix the policy and try again."""
        self._roles.pop(arn, None)
        for bucket in buckets:
            self._buckets.pop(bucket, None)


def _document(given: Any) -> Document | None:
    """A policy as it came: decoded by the SDK, or JSON text."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return None
    return given if isinstance(given, dict) else None
