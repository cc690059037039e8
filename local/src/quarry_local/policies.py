"""The policies of an environment, as documents. Pure: names in, JSON-ready dicts out.

The same rules as Terraform's, for one account: least privilege, never a bare `*` where AWS knows a resource. The role of
Bedrock follows contract section 6: trust bound to account and job, three S3 actions on two prefixes of one bucket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quarry_core import names

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an environment stands: what every ARN is made of."""

    env: str
    region: str
    account: str

    @property
    def bucket(self) -> str:
        return f"{self.env}-quarry-{self.account}"

    @property
    def table(self) -> str:
        return f"{self.env}-quarry-ledger"

    @property
    def rule(self) -> str:
        return f"{self.env}-quarry-job-events"

    @property
    def event_target_dlq(self) -> str:
        return f"{self.env}-quarry-event-target-dlq"

    @property
    def rule_arn(self) -> str:
        return f"arn:aws:events:{self.region}:{self.account}:rule/{self.rule}"

    @property
    def table_arn(self) -> str:
        return f"arn:aws:dynamodb:{self.region}:{self.account}:table/{self.table}"

    def queue_arn(self, queue: str) -> str:
        return f"arn:aws:sqs:{self.region}:{self.account}:{queue}"

    def role(self, name: str) -> str:
        return f"{self.env}-quarry-{name}"

    def role_arn(self, name: str) -> str:
        return f"arn:aws:iam::{self.account}:role/{self.role(name)}"


def _document(*statements: Mapping[str, Any]) -> Document:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]}


def _trust(service: str, **conditions: Mapping[str, str]) -> Document:
    return _document({"Principal": {"Service": service}, "Action": "sts:AssumeRole", "Condition": conditions})


def bedrock_trust(place: Place) -> Document:
    """Who may assume the role that Bedrock works under: Bedrock, for this account's batch jobs."""
    jobs = f"arn:aws:bedrock:{place.region}:{place.account}:model-invocation-job/*"
    return _trust(
        "bedrock.amazonaws.com",
        StringEquals={"aws:SourceAccount": place.account},
        ArnEquals={"aws:SourceArn": jobs},
    )


def bedrock_access(place: Place) -> Document:
    """What Bedrock may do: read and list its input, write and list its output."""
    bucket = f"arn:aws:s3:::{place.bucket}"
    own = {"StringEquals": {"aws:ResourceAccount": [place.account]}}
    prefixes = ["batch-input/*", "batch-output/*"]
    listed = {**own, "StringLike": {"s3:prefix": prefixes}}
    return _document(
        {
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": [f"{bucket}/{prefix}" for prefix in prefixes],
            "Condition": own,
        },
        {"Action": "s3:ListBucket", "Resource": bucket, "Condition": listed},
    )


def event_delivery(place: Place, queue: str) -> Document:
    """A queue's policy that lets the rule, and only it, deliver: by service and by the rule's ARN."""
    return _document(
        {
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": place.queue_arn(queue),
            "Condition": {"ArnEquals": {"aws:SourceArn": place.rule_arn}},
        }
    )


def event_pattern(place: Place) -> Document:
    """Bedrock's job events of this environment: job names end in `-<env>` (contract section 3)."""
    return {
        "source": ["aws.bedrock"],
        "detail-type": ["Batch Inference Job State Change"],
        "detail": {"batchJobName": [{"suffix": f"-{place.env}"}]},
    }


# --------------------------------------------------------------------------- the services' own roles

SERVICES = ("preprocessor", "scheduler", "collector")
_RECEIVES = {"preprocessor": ("manifests", "slices"), "scheduler": ("scheduler", "events"), "collector": ("collector",)}
_RINGS = {
    "preprocessor": ("slices", "scheduler"),
    "scheduler": ("slices", "collector", "scheduler"),
    "collector": ("scheduler", "collector", "manifests"),
}
# Prefixes of the environment's bucket (architecture section 7).
_READS = {
    "preprocessor": ("inputs", "prompts", "plans", "rows", "batch-input"),
    "scheduler": ("plans",),
    "collector": ("inputs", "plans", "rows", "batch-input", "batch-output", "outcomes", "again", "results"),
}
_WRITES = {
    "preprocessor": ("plans", "rows", "batch-input"),
    "scheduler": (),
    "collector": ("plans", "batch-input", "outcomes", "again", "results"),
}


def service_trust(place: Place) -> Document:
    return _trust("ecs-tasks.amazonaws.com", StringEquals={"aws:SourceAccount": place.account})


def service_access(place: Place, service: str) -> Document:
    """A task role's policy: its own queues, its own prefixes, the ledger; for the scheduler, Bedrock and PassRole."""
    receives, rings = (_queue_arns(place, queues) for queues in (_RECEIVES[service], _RINGS[service]))
    dead = [place.queue_arn(names.dead_letter_queue_name(place.env, queue)) for queue in _RECEIVES[service]]
    bucket = f"arn:aws:s3:::{place.bucket}"
    statements: list[Mapping[str, Any]] = [
        {
            "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"],
            "Resource": receives,
        },
        {"Action": "sqs:SendMessage", "Resource": sorted({*rings, *receives, *dead})},
        {"Action": "sqs:GetQueueAttributes", "Resource": sorted({*receives, *dead})},
        {
            # A transaction is no IAM action: the item actions are what it is checked by.
            "Action": [
                f"dynamodb:{action}"
                for action in ("GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem")
            ]
            + ["dynamodb:ConditionCheckItem"],
            "Resource": place.table_arn,
        },
        {"Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": _objects(bucket, _READS[service])},
        {"Action": "s3:ListBucket", "Resource": bucket},
    ]
    if _WRITES[service]:
        writes = _objects(bucket, _WRITES[service])
        statements.append(
            {"Action": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"], "Resource": writes}
        )
    if service == "scheduler":
        statements += _bedrock_calls(place)
    if service == "collector":
        bus = f"arn:aws:events:{place.region}:{place.account}:event-bus/default"
        statements.append({"Action": "events:PutEvents", "Resource": bus})
    return _document(*statements)


def _bedrock_calls(place: Place) -> list[Mapping[str, Any]]:
    jobs = f"arn:aws:bedrock:{place.region}:{place.account}:model-invocation-job/*"
    models = [
        f"arn:aws:bedrock:{place.region}::foundation-model/*",
        f"arn:aws:bedrock:{place.region}:{place.account}:inference-profile/*",
    ]
    return [
        {"Action": "bedrock:CreateModelInvocationJob", "Resource": [jobs, *models]},
        {
            "Action": ["bedrock:GetModelInvocationJob", "bedrock:StopModelInvocationJob", "bedrock:TagResource"],
            "Resource": jobs,
        },
        {"Action": "bedrock:ListModelInvocationJobs", "Resource": "*"},  # AWS knows no resource for List
        {
            "Action": "iam:PassRole",
            "Resource": place.role_arn("bedrock"),
            "Condition": {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}},
        },
    ]


def _queue_arns(place: Place, queues: Sequence[str]) -> list[str]:
    return [place.queue_arn(names.queue_name(place.env, queue)) for queue in queues]


def _objects(bucket: str, prefixes: Sequence[str]) -> list[str]:
    return [f"{bucket}/{prefix}/*" for prefix in prefixes]
