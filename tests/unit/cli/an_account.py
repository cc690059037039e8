"""An AWS account with one healthy environment, as its read-only API answers, and doctor's connection to it.

Everything is written out by hand, as Terraform would make it, and is there to be spoiled: change a dictionary, or let an
operation fail. Times and requests are noted.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from datetime import UTC
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from quarry_cli.aws.connections import Reading
from quarry_core.errors import Missing, PortError, Refused
from tests.world.clock import FakeClock

ACCOUNT = "123456789012"
REGION = "eu-west-1"
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
PROFILE = "eu.anthropic.claude-3-haiku-20240307-v1:0"
QUEUES = ("manifests", "slices", "scheduler", "events", "collector", "on-demand")
VARIABLES = {
    "QUARRY_ENV": "dev",
    "QUARRY_REGION": REGION,
    "QUARRY_TABLE": "dev-quarry-ledger",
    "QUARRY_BUCKET": "dev-quarry-bucket",
}


def allow(action: Any, resource: Any, **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def policy(*statements: Mapping[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


class Account:
    """`answers` is by (service, operation); a function takes the request's parameters, an exception is raised."""

    def __init__(self, partition: str = "aws", region: str = REGION) -> None:
        self.partition, self.region = partition, region
        self.asked: list[tuple[str, str, str]] = []
        self.models: list[str] = []
        self.clock = FakeClock()
        self.bedrock_role = f"arn:{partition}:iam::{ACCOUNT}:role/dev-quarry-bedrock"
        jobs = f"arn:{partition}:bedrock:{region}:{ACCOUNT}:model-invocation-job/*"
        bucket = f"arn:{partition}:s3:::dev-quarry-bucket"
        own = {"aws:ResourceAccount": ACCOUNT}
        models = [f"arn:{partition}:bedrock:{region}::foundation-model/*"]
        models += [f"arn:{partition}:bedrock:{region}:{ACCOUNT}:inference-profile/*"]
        self.trust = policy(
            {
                "Effect": "Allow",
                "Principal": {"Service": "bedrock.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": {"aws:SourceArn": jobs}},
            }
        )
        self.inline = {
            "dev-quarry-bedrock": policy(
                allow(
                    ["s3:Get*", "s3:PutObject"],
                    [f"{bucket}/batch-input/*", f"{bucket}/batch-output/*"],
                    StringEquals=own,
                ),
                allow("s3:ListBucket", bucket, StringEquals=own),
            ),
            "dev-quarry-scheduler": policy(
                allow("bedrock:CreateModelInvocationJob", [jobs, *models]),
                # A profile is asked in its other regions too.
                allow("bedrock:InvokeModel", [f"arn:{partition}:bedrock:*::foundation-model/*", models[1]]),
                allow("iam:PassRole", self.bedrock_role, StringEquals={"iam:PassedToService": "bedrock.amazonaws.com"}),
            ),
        }
        self.attached: dict[str, dict[str, Any]] = {}
        self.simulated: dict[str, Any] = {"EvalDecision": "allowed"}
        self.queues = {name: self._queue(name) for name in QUEUES}
        self.queues |= {f"{name}-dlq": self._queue(f"{name}-dlq") for name in QUEUES}
        self.queues["event-target-dlq"] = self._queue("event-target-dlq")
        for name in QUEUES:
            target = self.queues[f"{name}-dlq"]["QueueArn"]
            self.queues[name]["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 30})
        rule = f"arn:{partition}:events:{region}:{ACCOUNT}:rule/dev-quarry-job-events"
        for name in ("events", "event-target-dlq"):
            self.queues[name]["Policy"] = json.dumps(
                policy(
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": self.queues[name]["QueueArn"],
                        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
                    }
                )
            )
        self.quotas = {
            "Minimum number of records per batch inference job for Claude 3 Haiku": 100.0,
            "Records per batch inference job for Claude 3 Haiku": 50_000.0,
            "Sum of in-progress and submitted batch inference jobs using a base model for Claude 3 Haiku": 20.0,
        }
        self.raised: dict[str, float] = {}
        key = f"arn:{partition}:kms:{region}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
        member = f"arn:{partition}:bedrock:{region}::foundation-model/{CLAUDE}"
        profile = f"arn:{partition}:bedrock:{region}:{ACCOUNT}:inference-profile/{PROFILE}"
        self.profile = {
            "inferenceProfileId": PROFILE,
            "inferenceProfileArn": profile,
            "inferenceProfileName": "EU Claude 3 Haiku",
            "models": [{"modelArn": member}, {"modelArn": member.replace(region, "eu-central-1")}],
            "type": "SYSTEM_DEFINED",
        }
        self.model = {
            "modelId": CLAUDE,
            "modelName": "Claude 3 Haiku",
            "providerName": "Anthropic",
            "inferenceTypesSupported": ["ON_DEMAND"],
            "modelLifecycle": {"status": "ACTIVE"},
        }
        self.answers: dict[tuple[str, str], Any] = {
            ("sts", "get_caller_identity"): lambda _: {
                "Account": ACCOUNT,
                "Arn": f"arn:{partition}:sts::{ACCOUNT}:assumed-role/somebody/session",
                "ResponseMetadata": {"HTTPHeaders": {"date": self.date()}},
            },
            ("s3", "get_bucket_location"): {"LocationConstraint": region},
            ("s3", "get_bucket_versioning"): {"Status": "Enabled"},
            ("s3", "get_public_access_block"): {
                "PublicAccessBlockConfiguration": dict.fromkeys(
                    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
                )
            },
            ("s3", "get_bucket_encryption"): encrypted({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}),
            ("s3", "get_bucket_policy"): Missing("NoSuchBucketPolicy"),
            ("kms", "describe_key"): {"KeyMetadata": {"Arn": key, "KeyManager": "CUSTOMER", "KeyState": "Enabled"}},
            ("kms", "get_key_policy"): {
                "Policy": json.dumps(
                    policy(
                        {
                            "Effect": "Allow",
                            "Principal": {"AWS": f"arn:{partition}:iam::{ACCOUNT}:root"},
                            "Action": "kms:*",
                            "Resource": "*",
                        }
                    )
                )
            },
            ("iam", "get_role"): self._role,
            ("iam", "list_role_policies"): lambda given: {
                "PolicyNames": ["access"] if given["RoleName"] in self.inline else []
            },
            ("iam", "get_role_policy"): lambda given: {"PolicyDocument": self.inline[given["RoleName"]]},
            ("iam", "list_attached_role_policies"): lambda given: {
                "AttachedPolicies": [{"PolicyArn": given["RoleName"]}] if given["RoleName"] in self.attached else []
            },
            ("iam", "get_policy"): {"Policy": {"DefaultVersionId": "v3"}},
            ("iam", "get_policy_version"): lambda given: {
                "PolicyVersion": {"Document": quote(json.dumps(self.attached[given["PolicyArn"]]))}
            },
            ("iam", "simulate_principal_policy"): lambda _: {"EvaluationResults": [self.simulated]},
            ("bedrock", "list_foundation_models"): lambda _: {"modelSummaries": [self.model]},
            ("bedrock", "list_inference_profiles"): lambda _: {"inferenceProfileSummaries": [self.profile]},
            ("bedrock", "get_inference_profile"): self._get_profile,
            ("bedrock", "get_foundation_model_availability"): {
                "agreementAvailability": {"status": "AVAILABLE"},
                "authorizationStatus": "AUTHORIZED",
                "entitlementAvailability": "AVAILABLE",
                "regionAvailability": "AVAILABLE",
            },
            ("service-quotas", "list_aws_default_service_quotas"): lambda _: {"Quotas": listed(self.quotas)},
            ("service-quotas", "list_service_quotas"): lambda _: {"Quotas": listed(self.raised)},
            ("sqs", "get_queue_url"): self._queue_url,
            ("sqs", "get_queue_attributes"): lambda given: {
                "Attributes": self._known(self.queues, given["QueueUrl"].rsplit("/dev-quarry-", 1)[-1])
            },
            ("events", "describe_rule"): {"State": "ENABLED", "EventPattern": '{"source":["aws.bedrock"]}'},
            ("events", "test_event_pattern"): {"Result": True},
            ("events", "list_targets_by_rule"): lambda _: {
                "Targets": [
                    {
                        "Id": "any",
                        "Arn": self.queues["events"]["QueueArn"],
                        "DeadLetterConfig": {"Arn": self.queues["event-target-dlq"]["QueueArn"]},
                    }
                ]
            },
            ("dynamodb", "describe_table"): {
                "Table": {
                    "KeySchema": [
                        {"AttributeName": "pk", "KeyType": "HASH"},
                        {"AttributeName": "sk", "KeyType": "RANGE"},
                    ],
                    "AttributeDefinitions": [
                        {"AttributeName": "pk", "AttributeType": "S"},
                        {"AttributeName": "sk", "AttributeType": "S"},
                    ],
                }
            },
            ("dynamodb", "describe_time_to_live"): {
                "TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
            },
            ("dynamodb", "describe_continuous_backups"): {
                "ContinuousBackupsDescription": {
                    "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"}
                }
            },
            ("scheduler", "list_schedules"): lambda _: {
                "Schedules": [
                    {
                        "Name": "dev-quarry-sweep",
                        "State": "ENABLED",
                        "Target": {"Arn": self.queues["scheduler"]["QueueArn"]},
                    }
                ]
            },
        }
        self.inline["dev-quarry-bedrock"]["Statement"] += [
            allow(["kms:Decrypt", "kms:GenerateDataKey"], key),
            allow("bedrock:InvokeModel", [profile, f"arn:{partition}:bedrock:*::foundation-model/{CLAUDE}"]),
        ]

    # ------------------------------------------------------------------ the connection

    @contextlib.asynccontextmanager
    async def reading(self, settings):
        async def open_models():
            return self.models

        yield Reading(self.ask, open_models, self.clock)

    async def ask(self, service: str, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append((service, operation, json.dumps(parameters, sort_keys=True)))
        answer = self.answers[service, operation]
        if isinstance(answer, Exception):
            raise answer
        found: Mapping[str, Any] = answer(parameters) if callable(answer) else answer
        return found

    def deny(self, service: str, operation: str) -> None:
        self.answers[service, operation] = denied(service, operation)

    def date(self) -> str:
        return format_datetime(self.clock.now().astimezone(UTC).replace(microsecond=0), usegmt=True)

    # ------------------------------------------------------------------ answers

    def _queue(self, name: str) -> dict[str, str]:
        arn = f"arn:{self.partition}:sqs:{self.region}:{ACCOUNT}:dev-quarry-{name}"
        return {"QueueArn": arn, "ApproximateNumberOfMessages": "0"}

    def _queue_url(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        name = given["QueueName"]
        self._known(self.queues, name.removeprefix("dev-quarry-"))
        return {"QueueUrl": f"https://queues/{ACCOUNT}/{name}"}

    def _role(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        name = given["RoleName"]
        if name not in self.inline and name not in self.attached:
            raise Missing("NoSuchEntity")
        arn = f"arn:{self.partition}:iam::{ACCOUNT}:role/{name}"
        return {"Role": {"Arn": arn, "AssumeRolePolicyDocument": self.trust}}

    def _get_profile(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if given["inferenceProfileIdentifier"] not in (PROFILE, self.profile["inferenceProfileArn"]):
            raise Missing("no such profile")
        return self.profile

    def _known(self, among: Mapping[str, Any], name: str) -> Any:
        if name not in among:
            raise Missing(f"no {name}")
        return among[name]


def denied(service: str, operation: str) -> PortError:
    return Refused(f"{service} {operation}: AccessDenied: you may not", "AccessDenied")


def encrypted(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {"ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]}}


def listed(quotas: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {"QuotaName": name, "QuotaCode": f"L-{number:08d}", "Value": value, "Adjustable": True}
        for number, (name, value) in enumerate(quotas.items())
    ]
