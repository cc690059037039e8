"""The statements that Quarry needs, as the fix of a check that misses them. Pure: Terraform grants the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from quarry_cli.aws.environment import Environment
from quarry_cli.aws.finding import Statement

BEDROCK = "bedrock.amazonaws.com"
EVENTS = "events.amazonaws.com"
# No account of anybody's: whoever lets it in lets everybody in.
STRANGER = "000000000001"
# What Bedrock reads and writes (contract of batch inference: the job's input file and the prefix of its output).
PREFIXES = ("batch-input/*", "batch-output/*")
EVENT_RETRY = {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86_400}
EVENT_TARGET_ID = "events-queue"


def trust(environment: Environment) -> Statement:
    """Who may assume the role: Bedrock, for batch jobs of this account and region only."""
    return {
        "Effect": "Allow",
        "Principal": {"Service": BEDROCK},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": environment.account},
            "ArnEquals": {"aws:SourceArn": environment.jobs_arn},
        },
    }


def s3_access(environment: Environment) -> list[Statement]:
    """The three actions that AWS documents, on the two prefixes, in a bucket of this account only."""
    own = {"StringEquals": {"aws:ResourceAccount": environment.account}}
    return [
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": [f"{environment.bucket_arn}/{prefix}" for prefix in PREFIXES],
            "Condition": own,
        },
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": environment.bucket_arn,
            "Condition": {**own, "StringLike": {"s3:prefix": list(PREFIXES)}},
        },
    ]


def key_use(key_arn: str) -> Statement:
    return {
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"],
        "Resource": key_arn,
    }


def key_policy(role_arn: str) -> Statement:
    """In a key's own policy `*` is the key."""
    return {**key_use("*"), "Principal": {"AWS": role_arn}}


def invoke(resources: Sequence[str]) -> Statement:
    return {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": list(resources)}


def pass_role(environment: Environment) -> Statement:
    return {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": environment.bedrock_role_arn,
        "Condition": {"StringEquals": {"iam:PassedToService": BEDROCK}},
    }


def create_job(resources: Sequence[str]) -> Statement:
    return {"Effect": "Allow", "Action": "bedrock:CreateModelInvocationJob", "Resource": list(resources)}


def event_key(rule_arn: str) -> Statement:
    """In the policy of a queue's key: the rule that delivers to the queue may use it."""
    return {
        "Effect": "Allow",
        "Principal": {"Service": EVENTS},
        "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
        "Resource": "*",
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }


def delivery(queue_arn: str, rule_arn: str) -> Statement:
    """A queue's policy that lets one rule deliver."""
    return {
        "Effect": "Allow",
        "Principal": {"Service": EVENTS},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }


def event_pattern(environment: Environment) -> str:
    """Job events of this environment: the names of its jobs end in `-<env>`."""
    return json.dumps(
        {
            "source": ["aws.bedrock"],
            "detail-type": ["Batch Inference Job State Change"],
            "detail": {"batchJobName": [{"suffix": f"-{environment.env}"}]},
        }
    )


def policy(*statements: Statement) -> str:
    """A whole document, as commands take it."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def event(environment: Environment) -> dict[str, Any]:
    """An event of a job of this environment, as Bedrock sends it."""
    job = f"arn:{environment.partition}:bedrock:{environment.region}:{environment.account}:model-invocation-job/000000000000"
    return {
        "version": "0",
        "id": "00000000-0000-4000-8000-000000000000",
        "detail-type": "Batch Inference Job State Change",
        "source": "aws.bedrock",
        "account": environment.account,
        "time": "2026-01-01T00:00:00Z",
        "region": environment.region,
        "resources": [job],
        "detail": {
            "version": "0.0",
            "accountId": environment.account,
            "batchJobName": f"doctor-run-00000-1-{environment.env}",
            "batchJobArn": job,
            "batchModelId": f"arn:{environment.partition}:bedrock:{environment.region}::foundation-model/any.model",
            "status": "Completed",
            "failureMessage": "",
            "creationTime": "Jan 1, 2026, 12:00:00 AM",
        },
    }
