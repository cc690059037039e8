"""The bucket: there, in the region of the jobs, versioned, closed to the public, encrypted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from quarry_cli.aws.environment import Patient
from quarry_cli.aws.finding import Fault, NotKnown, command, setting
from quarry_core.errors import Missing

# S3's names for its two oldest regions.
_OLD_REGIONS = {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}
_BLOCKED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


async def region(patient: Patient) -> str | Sequence[Fault]:
    told = await patient.asking.found("s3", "get_bucket_location", Bucket=patient.bucket)
    if told is None:
        where = [] if patient.region == "us-east-1" else [f'{{"LocationConstraint":"{patient.region}"}}']
        configuration = ["--create-bucket-configuration", *where] if where else []
        return [
            Fault(
                told=f"there is no bucket {patient.bucket}",
                remedy="Make it, or give QUARRY_BUCKET the bucket's name as `terraform output` tells it.",
                cure=command("s3api", "create-bucket", "--bucket", patient.bucket, *configuration),
            )
        ]
    there = _OLD_REGIONS.get(told.get("LocationConstraint"), told.get("LocationConstraint"))
    if there == patient.region:
        return f"{patient.bucket} is in {there}, where the jobs run"
    return [
        Fault(
            told=f"{patient.bucket} is in {there}, the jobs are to run in {patient.region}: they stay in Submitted, or fail",
            remedy=f"Use one region for both: run Quarry in {there}, or give it a bucket in {patient.region}.",
            cure=setting("QUARRY_REGION", there),
        )
    ]


async def versioning(patient: Patient) -> str | Sequence[Fault]:
    told = await _of_the_bucket(patient, "get_bucket_versioning")
    if told.get("Status") == "Enabled":
        return "every version of a source is kept, so that a run reads what it was given"
    change = ["--versioning-configuration", '{"Status":"Enabled"}']
    return [
        Fault(
            told=f"versioning of {patient.bucket} is {str(told.get('Status', 'off')).lower()}",
            remedy="Switch it on: a source that is overwritten while its run goes on would fail the run.",
            cure=command("s3api", "put-bucket-versioning", "--bucket", patient.bucket, *change),
        )
    ]


async def public_access(patient: Patient) -> str | Sequence[Fault]:
    await _there(patient)
    told = await patient.asking.found("s3", "get_public_access_block", Bucket=patient.bucket)
    flags: Mapping[str, Any] = told["PublicAccessBlockConfiguration"] if told else {}
    off = [name for name in _BLOCKED if flags.get(name) is not True]
    if not off:
        return "all four blocks of public access are on"
    change = ["--public-access-block-configuration", json.dumps(dict.fromkeys(_BLOCKED, True))]
    return [
        Fault(
            told=f"public access to {patient.bucket} is not blocked: {', '.join(off)}",
            remedy="Block it on all four.",
            cure=command("s3api", "put-public-access-block", "--bucket", patient.bucket, *change),
        )
    ]


async def encryption(patient: Patient) -> str | Sequence[Fault]:
    rule = await default_encryption(patient)
    algorithm = rule.get("SSEAlgorithm")
    if algorithm:
        return f"objects are encrypted ({algorithm})"
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    change = ["--server-side-encryption-configuration", json.dumps(rules)]
    return [
        Fault(
            told=f"{patient.bucket} has no default encryption",
            remedy="Give it one.",
            cure=command("s3api", "put-bucket-encryption", "--bucket", patient.bucket, *change),
        )
    ]


async def default_encryption(patient: Patient) -> Mapping[str, Any]:
    """The bucket's default rule; empty if it has none."""
    await _there(patient)
    told = await patient.asking.found("s3", "get_bucket_encryption", Bucket=patient.bucket)
    rules = told["ServerSideEncryptionConfiguration"]["Rules"] if told else []
    found: Mapping[str, Any] = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
    return found


async def _of_the_bucket(patient: Patient, operation: str) -> Mapping[str, Any]:
    try:
        return await patient.asking("s3", operation, Bucket=patient.bucket)
    except Missing as error:
        raise NotKnown("there is no such bucket: see the check `bucket`") from error


async def _there(patient: Patient) -> None:
    """What S3 answers for a setting that is absent is told from a bucket that is."""
    await _of_the_bucket(patient, "get_bucket_location")
