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

What is known (`account_state`) is kept for a few real seconds, unless it led to a refusal. May be called from several threads.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from quarry_local.bedrock.errors import denied, invalid
from quarry_local.bedrock.iam.account_state import AccountState, Document, Role
from quarry_local.bedrock.iam.policy import by_identity, by_resource
from quarry_local.bedrock.jobs.job import Job
from quarry_local.bedrock.jobs.records import Unfit, split_uri
from quarry_local.bedrock.models.foundation_models import model_arn
from quarry_local.bedrock.models.profiles import targets

_SERVICE = "bedrock.amazonaws.com"


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
        self._known = AccountState(iam, s3, monotonic)
        self._region = region
        self._account = account
        self._check_role = check_role
        self._check_access = check_access
        self._check_profiles = check_profiles
        self._caller_role = caller_role

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
        role = self._known.role(arn)
        absent = self._check_role and role.there is False
        if absent or (self._check_access and role.judged and not self._trusts(role)):
            self._known.forget(arn)
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
            role = self._known.role(arn)
            if role.judged and role.policies is not None:
                self._check_files(arn, role.policies, source, target, job.id)
                self._check_key(arn, role.policies, target.get("s3EncryptionKeyId"))
                if self._check_profiles:
                    self._check_profile(arn, role.policies, job)
        except Unfit:
            self._known.forget(arn, split_uri(source["s3Uri"])[0], split_uri(target["s3Uri"])[0])
            raise

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
        role = self._known.role(f"arn:aws:iam::{self._account}:role/{caller}")
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
            self._known.forget(f"arn:aws:iam::{self._account}:role/{caller}")
            raise denied(message)

    def _check_bucket(self, config: Mapping[str, Any]) -> None:
        name, _ = split_uri(config["s3Uri"])
        bucket = self._known.bucket(name)
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
        bucket = self._known.bucket(name)
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


def _denied(arn: str, action: str, resource: str) -> Unfit:
    return Unfit(f"Access denied: the role {arn} is not authorized to perform: {action} on resource: {resource}")
