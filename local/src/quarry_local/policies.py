"""The policies of an environment, as documents. Pure: names in, JSON-ready dicts out.

The same rules as Terraform's, for one account: least privilege, never a bare `*` where AWS knows a resource. The role of
Bedrock follows contract section 6: trust bound to account and job, three S3 actions on two prefixes of one bucket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quarry_core.contract import names
from quarry_core.contract.job_request import TAG_ENV

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
    """What Bedrock may do: read and list its input, write and list its output, and follow profiles to their models."""
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
        {"Sid": "InvokeProfilesAndTheirModels", "Action": "bedrock:InvokeModel", "Resource": _any_model(place)},
    )


def _any_model(place: Place) -> list[str]:
    """Every model may be tried here. An inference profile is this account's; its models stand in other regions too."""
    return [
        "arn:aws:bedrock:*::foundation-model/*",
        f"arn:aws:bedrock:{place.region}:{place.account}:inference-profile/*",
        _application_profiles(place),
    ]


def _application_profiles(place: Place) -> str:
    return f"arn:aws:bedrock:{place.region}:{place.account}:application-inference-profile/*"


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


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one service asks of AWS, as its code reads: queues, item actions, and prefixes of the environment's bucket.

    The table in terraform/modules/service_roles/README.md gives the reason for each; Terraform grants the same.
    `gets` holds what the service writes too: who finds an object standing looks whether it is its own.
    """

    receives: tuple[str, ...]
    wakes: tuple[str, ...]
    items: tuple[str, ...]
    gets: tuple[str, ...] = ()
    puts: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()  # of `puts`, those that are written in upload parts
    deletes: tuple[str, ...] = ()


_READINGS = {
    "preprocessor": _Reading(
        receives=("manifests", "slices"),
        wakes=("manifests", "slices", "scheduler", "collector", "on-demand"),
        items=("GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem"),
        gets=("inputs", "prompts", "plans", "rows", "batch-input", "again", "results"),
        puts=("plans", "rows", "batch-input", "again"),
        uploads=("rows", "batch-input", "again"),
    ),
    "scheduler": _Reading(
        receives=("scheduler", "events", "on-demand"),
        wakes=("slices", "collector", "on-demand"),
        items=("GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem"),
        gets=("batch-input", "on-demand"),
        puts=("on-demand",),
        uploads=("on-demand",),
    ),
    "collector": _Reading(
        receives=("collector",),
        wakes=("scheduler", "collector", "on-demand"),
        items=("GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem"),
        gets=("inputs", "plans", "rows", "batch-input", "batch-output", "on-demand", "outcomes", "again", "results"),
        puts=("plans", "batch-input", "outcomes", "again", "results"),
        uploads=("batch-input", "outcomes", "again", "results"),
        deletes=("batch-input",),
    ),
}
# Where sources stand: the one thing that is pinned for days, and asked for by its version when it was overwritten. The
# results of an earlier run may be a source too; nothing overwrites them.
_SOURCES = ("inputs",)


def service_trust(place: Place) -> Document:
    return _trust(
        "ecs-tasks.amazonaws.com",
        StringEquals={"aws:SourceAccount": place.account},
        ArnLike={"aws:SourceArn": f"arn:aws:ecs:{place.region}:{place.account}:*"},
    )


def service_access(place: Place, service: str) -> Document:
    """A task role's policy: its own queues, its own prefixes, the ledger; for the scheduler, Bedrock and PassRole."""
    reading = _READINGS[service]
    statements: list[Mapping[str, Any]] = [
        {
            "Sid": "TakeMessages",
            "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"],
            "Resource": _queue_arns(place, reading.receives),
        },
        {"Sid": "SendMessages", "Action": "sqs:SendMessage", "Resource": _queue_arns(place, reading.wakes)},
        {
            "Sid": "DeadLetterMessages",
            "Action": "sqs:SendMessage",
            "Resource": _dead_letter_queue_arns(place, reading.receives),
        },
        {
            "Sid": "CountMessages",
            "Action": "sqs:GetQueueAttributes",
            "Resource": [
                *_queue_arns(place, reading.receives),
                *_dead_letter_queue_arns(place, reading.receives),
                # Whose workers the sweep wakes, it asks first whether they are behind. And no service reads what could
                # not be delivered; the scheduler, whose events they are, counts it.
                *(_queue_arns(place, ("slices", "collector")) if service == "scheduler" else []),
                *([place.queue_arn(place.event_target_dlq)] if service == "scheduler" else []),
            ],
        },
        {
            # A transaction is no IAM action: the item actions are what it is checked by.
            "Sid": "KeepLedger",
            "Action": [f"dynamodb:{action}" for action in reading.items],
            "Resource": place.table_arn,
        },
        *_objects(place, reading),
    ]
    if service == "preprocessor":
        # An application profile's ARN does not say which model it stands for.
        statements.append(
            {
                "Sid": "SeeApplicationProfiles",
                "Action": "bedrock:GetInferenceProfile",
                "Resource": _application_profiles(place),
            }
        )
    if service == "scheduler":
        statements += _bedrock_calls(place)
    if service == "collector":
        statements.append(
            {
                "Sid": "ReportRuns",
                "Action": "events:PutEvents",
                "Resource": f"arn:aws:events:{place.region}:{place.account}:event-bus/default",
                # Others speak on this bus too. Every entry has a source, so IfExists lets no other one pass.
                "Condition": {"StringEqualsIfExists": {"events:source": f"quarry.{place.env}"}},
            }
        )
    return _document(*statements)


def _objects(place: Place, reading: _Reading) -> list[Mapping[str, Any]]:
    bucket = f"arn:aws:s3:::{place.bucket}"
    versions = [prefix for prefix in reading.gets if prefix in _SOURCES]
    found: list[Mapping[str, Any]] = [
        {"Sid": sid, "Action": action, "Resource": [f"{bucket}/{prefix}/*" for prefix in prefixes]}
        for sid, action, prefixes in (
            ("ReadObjects", "s3:GetObject", reading.gets),
            ("ReadPinnedVersions", "s3:GetObjectVersion", versions),
            ("WriteObjects", "s3:PutObject", reading.puts),
            ("AbortUploads", "s3:AbortMultipartUpload", reading.uploads),
            ("DeleteObjects", "s3:DeleteObject", reading.deletes),
        )
        if prefixes
    ]
    if reading.gets:
        found.append(
            {
                # Without List, S3 answers 403 where there is no such key, and "not there yet" is what the code goes by
                # (an outcome that nobody wrote, a source that was deleted). Such a GET or HEAD bears no s3:prefix, hence
                # IfExists; a listing that names a prefix must name one that may be read.
                "Sid": "ListObjects",
                "Action": "s3:ListBucket",
                "Resource": bucket,
                "Condition": {"StringLikeIfExists": {"s3:prefix": [f"{prefix}/*" for prefix in reading.gets]}},
            }
        )
    return found


def _bedrock_calls(place: Place) -> list[Mapping[str, Any]]:
    jobs = f"arn:aws:bedrock:{place.region}:{place.account}:model-invocation-job/*"
    return [
        {"Sid": "CreateJobs", "Action": "bedrock:CreateModelInvocationJob", "Resource": [jobs, *_any_model(place)]},
        {"Sid": "FollowJobs", "Action": "bedrock:GetModelInvocationJob", "Resource": jobs},
        {
            # A job's ARN does not say whose it is; its tags do.
            "Sid": "StopOwnJobs",
            "Action": "bedrock:StopModelInvocationJob",
            "Resource": jobs,
            "Condition": {"StringEquals": {f"aws:ResourceTag/{TAG_ENV}": place.env}},
        },
        {
            # Tags go with Create. Nothing may be tagged as another environment's.
            "Sid": "TagOwnJobs",
            "Action": "bedrock:TagResource",
            "Resource": jobs,
            "Condition": {"StringEquals": {f"aws:RequestTag/{TAG_ENV}": place.env}},
        },
        {
            "Sid": "ListJobs",
            "Action": "bedrock:ListModelInvocationJobs",
            "Resource": "*",  # AWS knows no resource for List
        },
        # Nor for the account's quotas, and for the models' names, by which alone a quota says whose it is.
        {"Sid": "ReadQuotas", "Action": "servicequotas:ListServiceQuotas", "Resource": "*"},
        {"Sid": "ReadDefaultQuotas", "Action": "servicequotas:ListAWSDefaultServiceQuotas", "Resource": "*"},
        {"Sid": "NameModels", "Action": "bedrock:ListFoundationModels", "Resource": "*"},
        # Converse is no action of its own: IAM compares it as InvokeModel.
        {"Sid": "AskOnDemand", "Action": "bedrock:InvokeModel", "Resource": _any_model(place)},
        {
            "Sid": "PassBedrockRole",
            "Action": "iam:PassRole",
            "Resource": place.role_arn("bedrock"),
            "Condition": {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}},
        },
    ]


def _queue_arns(place: Place, queues: Sequence[str]) -> list[str]:
    return [place.queue_arn(names.queue_name(place.env, queue)) for queue in queues]


def _dead_letter_queue_arns(place: Place, queues: Sequence[str]) -> list[str]:
    return [place.queue_arn(names.dead_letter_queue_name(place.env, queue)) for queue in queues]
