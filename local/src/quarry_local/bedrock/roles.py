"""Roles: may Bedrock assume the job's role, may the role reach the job's files, may the caller pass it on?

What the emulator's IAM and S3 know is read and judged here, for the emulator itself enforces none of it. What they do
not know is never held against a job: a role or policy that cannot be read, and a role whose trust policy has no
statements, which AWS would not have taken and which somebody made as a stand-in.

When each is told (contract sections 6 and 7):

* at Create, ValidationException: the role is not there, or does not let Bedrock assume it. Whether live AWS tells this
  at Create or in Validating is not documented; to who assumes it, both look the same, so they are told together.
* at Create, AccessDeniedException: the caller may not pass the role. The text was seen live. Who calls is not known
  here (no signature is checked), so only the role that the setting `caller_role` names is judged.
* in Validating, the job ends Failed: S3, the key, the profile's models, the bucket's region. That S3 access is checked
  then is documented; the texts are not known.

A role's and a bucket's answers are kept for a few real seconds, unless they led to a refusal. May be called from
several threads.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quarry_local.bedrock.errors import denied, invalid
from quarry_local.bedrock.foundation_models import model_arn
from quarry_local.bedrock.jobs import Job
from quarry_local.bedrock.policy import by_identity, by_resource
from quarry_local.bedrock.profiles import targets
from quarry_local.bedrock.records import Unfit, split_uri

log = logging.getLogger(__name__)

_KEPT_S = 5.0
_SERVICE = "bedrock.amazonaws.com"

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


class Roles:
    def __init__(
        self,
        iam: Any,
        s3: Any,
        *,
        region: str,
        account: str,
        check_role: bool,
        check_access: bool,
        check_profiles: bool,
        caller_role: str | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._iam = iam
        self._s3 = s3
        self._region = region
        self._account = account
        self._check_role = check_role
        self._check_access = check_access
        self._check_profiles = check_profiles
        self._caller_role = caller_role
        self._monotonic = monotonic
        self._roles: dict[str, tuple[float, Role]] = {}
        self._buckets: dict[str, tuple[float, Bucket]] = {}

    def check_create(self, request: Mapping[str, Any]) -> None:
        """What Create tells of the role.

        Raises:
            ApiError: ValidationException or AccessDeniedException.
        """
        arn = str(request["roleArn"])
        if self._caller_role:
            self._check_pass(self._caller_role, arn)
        if not self._check_role and not self._check_access:
            return
        role = self._role(arn)
        absent = self._check_role and role.there is False
        if absent or (self._check_access and role.judged and not self._trusts(role)):
            self._forget(arn)
            raise invalid(f"The provided role {arn} does not exist or cannot be assumed by Amazon Bedrock")

    def check_job(self, job: Job) -> None:
        """What Validating finds of the role and the buckets, before any file is read.

        Raises:
            Unfit: with the failed job's message.
        """
        if not self._check_access:
            return
        arn = str(job.request["roleArn"])
        source = job.request["inputDataConfig"]["s3InputDataConfig"]
        target = job.request["outputDataConfig"]["s3OutputDataConfig"]
        try:
            for config in (source, target):
                self._check_bucket(config)
            role = self._role(arn)
            if role.judged and role.policies is not None:
                self._check_files(arn, role.policies, source, target, job.id)
                self._check_key(arn, role.policies, target.get("s3EncryptionKeyId"))
                if self._check_profiles:
                    self._check_profile(arn, role.policies, job)
        except Unfit:
            self._forget(arn, split_uri(source["s3Uri"])[0], split_uri(target["s3Uri"])[0])
            raise

    # ----------------------------------------------------------------------- judging

    def _trusts(self, role: Role) -> bool:
        # The job's id is not known before Create, so a policy can name all jobs only (contract section 6).
        jobs = f"arn:aws:bedrock:{self._region}:{self._account}:model-invocation-job/000000000000"
        verdict = by_resource(
            role.trust or {},
            principals={_SERVICE},
            action="sts:AssumeRole",
            resource=None,
            context={"aws:SourceAccount": self._account, "aws:SourceArn": jobs, "aws:SecureTransport": "true"},
        )
        return verdict.allowed and not verdict.denied

    def _check_pass(self, caller: str, arn: str) -> None:
        role = self._role(f"arn:aws:iam::{self._account}:role/{caller}")
        if role.policies is None:
            return
        verdict = by_identity(
            role.policies, action="iam:PassRole", resource=arn, context={"iam:PassedToService": _SERVICE}
        )
        if verdict.denied or not verdict.allowed:
            why = (
                "with an explicit deny in an identity-based policy"
                if verdict.denied
                else "because no identity-based policy allows the iam:PassRole action"
            )
            user = f"arn:aws:sts::{self._account}:assumed-role/{caller.rsplit('/', 1)[-1]}/session"
            # Contract section 7, seen live.
            message = f"User: {user} is not authorized to perform: iam:PassRole on resource: {arn} {why}"
            self._forget(f"arn:aws:iam::{self._account}:role/{caller}")
            raise denied(message)

    def _check_bucket(self, config: Mapping[str, Any]) -> None:
        name, _ = split_uri(config["s3Uri"])
        bucket = self._bucket(name)
        if bucket.there is False:
            raise Unfit(f"The job's files could not be read or written: the bucket {name} does not exist")
        if config.get("s3BucketOwner", self._account) != self._account:
            # The emulator's buckets all belong to the one account that it knows.
            raise Unfit(f"Access denied: the bucket {name} does not belong to the account {config['s3BucketOwner']}")
        if bucket.region is not None and bucket.region != self._region:
            raise Unfit(f"The bucket {name} is in {bucket.region}; the job is in {self._region}")

    def _check_files(
        self,
        arn: str,
        policies: tuple[Document, ...],
        source: Mapping[str, Any],
        target: Mapping[str, Any],
        job_id: str,
    ) -> None:
        """Read and list the input, write the output: without these no job can work.

        The documented policy grants all three actions on both; that the others are needed was not seen.
        """
        bucket, key = split_uri(source["s3Uri"])
        file = key if key.endswith(".jsonl") else f"{key.rstrip('/')}/any.jsonl".lstrip("/")
        self._check_s3(arn, policies, "s3:ListBucket", bucket, None, {"s3:prefix": key})
        self._check_s3(arn, policies, "s3:GetObject", bucket, file, {})
        bucket, key = split_uri(target["s3Uri"])
        folder = f"{key.rstrip('/')}/{job_id}".lstrip("/")
        self._check_s3(arn, policies, "s3:PutObject", bucket, f"{folder}/manifest.json.out", {})

    def _check_s3(
        self,
        arn: str,
        policies: tuple[Document, ...],
        action: str,
        name: str,
        key: str | None,
        more: Mapping[str, str],
    ) -> None:
        resource = f"arn:aws:s3:::{name}" + (f"/{key}" if key is not None else "")
        context = {**self._context(arn), "s3:ResourceAccount": self._account, **more}
        mine = by_identity(policies, action=action, resource=resource, context=context)
        bucket = self._bucket(name)
        theirs = by_resource(
            bucket.policy or {},
            principals={arn, self._account, f"arn:aws:iam::{self._account}:root"},
            action=action,
            resource=resource,
            context=context,
        )
        if mine.denied or theirs.denied:
            raise _denied(arn, action, resource)
        # Within one account either policy suffices. A whole account named in the bucket's policy leaves it to the role.
        direct = by_resource(bucket.policy or {}, principals={arn}, action=action, resource=resource, context=context)
        if not mine.allowed and not direct.allowed and bucket.readable:
            raise _denied(arn, action, resource)

    def _check_key(self, arn: str, policies: tuple[Document, ...], key: str | None) -> None:
        """May the role encrypt the output? Derived, not documented (contract section 6). Key policies are not read."""
        if key is None or "alias/" in key:
            # Which key an alias means was not asked.
            return
        resource = key if key.startswith("arn:") else f"arn:aws:kms:{self._region}:{self._account}:key/{key}"
        context = {**self._context(arn), "kms:ViaService": f"s3.{self._region}.amazonaws.com"}
        verdict = by_identity(policies, action="kms:GenerateDataKey", resource=resource, context=context)
        if verdict.denied or not verdict.allowed:
            raise _denied(arn, "kms:GenerateDataKey", resource)

    def _check_profile(self, arn: str, policies: tuple[Document, ...], job: Job) -> None:
        """With a profile, the role invokes it and the model in each of its regions (contract section 6)."""
        if job.model.profile is None:
            return
        geography = job.model.profile.partition(".")[0]
        models = [model_arn(job.model.id, region) for region in targets(geography, self._region)]
        for resource in (job.model.arn, *models):
            verdict = by_identity(policies, action="bedrock:InvokeModel", resource=resource, context=self._context(arn))
            if verdict.denied or not verdict.allowed:
                raise _denied(arn, "bedrock:InvokeModel", resource)

    def _context(self, arn: str) -> dict[str, str]:
        return {
            "aws:PrincipalArn": arn,
            "aws:PrincipalAccount": self._account,
            "aws:PrincipalType": "AssumedRole",
            "aws:ResourceAccount": self._account,
            "aws:RequestedRegion": self._region,
            "aws:SecureTransport": "true",
        }

    # ----------------------------------------------------------------------- reading

    def _role(self, arn: str) -> Role:
        kept = self._roles.get(arn)
        if kept and self._monotonic() - kept[0] < _KEPT_S:
            return kept[1]
        role = self._read_role(arn)
        self._roles[arn] = (self._monotonic(), role)
        return role

    def _read_role(self, arn: str) -> Role:
        name = arn.rsplit("/", 1)[-1]
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
                    told = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)
                    documents.append(told["PolicyVersion"]["Document"])
        except (ClientError, BotoCoreError, KeyError) as wrong:
            log.warning("the policies of role %s cannot be read, so they are not judged: %s", name, wrong)
            return None
        read = [_document(document) for document in documents]
        # An AWS policy that the emulator knows by name only has no statements.
        if any(document is None or "Statement" not in document for document in read):
            return None
        return tuple(document for document in read if document is not None)

    def _bucket(self, name: str) -> Bucket:
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

    def _forget(self, arn: str, *buckets: str) -> None:
        """A refusal is judged anew the next time: people mend the policy and try again."""
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


def _denied(arn: str, action: str, resource: str) -> Unfit:
    return Unfit(f"Access denied: the role {arn} is not authorized to perform: {action} on resource: {resource}")
