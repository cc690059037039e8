"""The bucket: there, in the region of the jobs, versioned, closed to the public, encrypted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from quarry_cli.aws.environment import Environment
from quarry_cli.aws.finding import Fault, NotKnown, command, setting
from quarry_core.errors import Missing

# S3's names for its two oldest regions.
_OLD_REGIONS = {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}
_BLOCKED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


async def region(environment: Environment) -> str | Sequence[Fault]:
    message = await environment.asking.found("s3", "get_bucket_location", Bucket=environment.bucket)
    if message is None:
        where = [] if environment.region == "us-east-1" else [f'{{"LocationConstraint":"{environment.region}"}}']
        configuration = ["--create-bucket-configuration", *where] if where else []
        return [
            Fault(
                message=f"there is no bucket {environment.bucket}",
                remedy="Create it, or set QUARRY_BUCKET to the name that `terraform output` prints.",
                fix=command("s3api", "create-bucket", "--bucket", environment.bucket, *configuration),
            )
        ]
    there = _OLD_REGIONS.get(message.get("LocationConstraint"), message.get("LocationConstraint"))
    if there == environment.region:
        return f"{environment.bucket} is in {there}, where the jobs run"
    return [
        Fault(
            message=(
                f"{environment.bucket} is in {there}, the jobs are to run in {environment.region}: they stay"
                " in Submitted, or fail"
            ),
            remedy=f"Use one region for both: run Quarry in {there}, or give it a bucket in {environment.region}.",
            fix=setting("QUARRY_REGION", there),
        )
    ]


async def versioning(environment: Environment) -> str | Sequence[Fault]:
    message = await _of_the_bucket(environment, "get_bucket_versioning")
    if message.get("Status") == "Enabled":
        return "every version of a source is kept, so that a run reads what it was given"
    change = ["--versioning-configuration", '{"Status":"Enabled"}']
    return [
        Fault(
            message=f"versioning of {environment.bucket} is {str(message.get('Status', 'off')).lower()}",
            remedy="Enable it: a source that is overwritten during its run would fail the run.",
            fix=command("s3api", "put-bucket-versioning", "--bucket", environment.bucket, *change),
        )
    ]


async def public_access(environment: Environment) -> str | Sequence[Fault]:
    await _there(environment)
    message = await environment.asking.found("s3", "get_public_access_block", Bucket=environment.bucket)
    flags: Mapping[str, Any] = message["PublicAccessBlockConfiguration"] if message else {}
    off = [name for name in _BLOCKED if flags.get(name) is not True]
    if not off:
        return "all four blocks of public access are on"
    change = ["--public-access-block-configuration", json.dumps(dict.fromkeys(_BLOCKED, True))]
    return [
        Fault(
            message=f"public access to {environment.bucket} is not blocked: {', '.join(off)}",
            remedy="Turn on all four blocks.",
            fix=command("s3api", "put-public-access-block", "--bucket", environment.bucket, *change),
        )
    ]


async def encryption(environment: Environment) -> str | Sequence[Fault]:
    rule = await default_encryption(environment)
    algorithm = rule.get("SSEAlgorithm")
    if algorithm:
        return f"objects are encrypted ({algorithm})"
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    change = ["--server-side-encryption-configuration", json.dumps(rules)]
    return [
        Fault(
            message=f"{environment.bucket} has no default encryption",
            remedy="Add one.",
            fix=command("s3api", "put-bucket-encryption", "--bucket", environment.bucket, *change),
        )
    ]


async def default_encryption(environment: Environment) -> Mapping[str, Any]:
    """The bucket's default rule; empty if it has none."""
    await _there(environment)
    message = await environment.asking.found("s3", "get_bucket_encryption", Bucket=environment.bucket)
    rules = message["ServerSideEncryptionConfiguration"]["Rules"] if message else []
    found: Mapping[str, Any] = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
    return found


async def _of_the_bucket(environment: Environment, operation: str) -> Mapping[str, Any]:
    try:
        return await environment.asking("s3", operation, Bucket=environment.bucket)
    except Missing as error:
        raise NotKnown("the bucket does not exist: see the check `bucket`") from error


async def _there(environment: Environment) -> None:
    """What S3 answers for a setting that is absent is told from a bucket that is."""
    await _of_the_bucket(environment, "get_bucket_location")
