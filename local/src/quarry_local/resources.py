"""One environment in an AWS account: bucket, ledger, queues, rule, roles, prompts.

`create` may be called any number of times: what stands is brought to the same shape, nothing is emptied. It is meant for
emulators; for AWS itself there is Terraform, which makes the same things by the same names.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from quarry_core.contract import names
from quarry_local import policies
from quarry_local.clients import Clients
from quarry_local.policies import Place

VISIBILITY_TIMEOUT_S = 120
RECEIVE_COUNT_MAX = 30
# A dead-letter message's age counts from its first sending: the dead-letter queue must keep longer than its source.
SOURCE_RETENTION_S = 4 * 24 * 3600
DEAD_RETENTION_S = 14 * 24 * 3600
# What a manifest may be; SQS itself takes four times as much.
MESSAGE_BYTES_MAX = 256 * 1024
EVENT_AGE_MAX_S = 24 * 3600
EVENT_RETRIES_MAX = 185
EVENT_TARGET_ID = "events-queue"
# What Quarry makes for itself. inputs/, prompts/ and results/ are the user's and never expire.
EXPIRE_AFTER_DAYS = dict.fromkeys(
    ("batch-input", "rows", "batch-output", "on-demand", "outcomes", "again", "plans"), 30
)
NONCURRENT_DAYS = 30
UPLOAD_DAYS_MAX = 7
SHIPPED_PROMPTS = importlib.resources.files("quarry_core") / "shipped_prompts"


@dataclass(frozen=True, slots=True)
class Resources:
    """What was made, as clients and services need to know it."""

    place: Place
    queue_urls: Mapping[str, str]
    dead_letter_urls: Mapping[str, str]
    event_target_dlq_url: str

    def environment(self) -> dict[str, str]:
        """The variables that tell a client or service where everything is."""
        urls = {names.queue_url_variable(name): url for name, url in self.queue_urls.items()}
        dead = {
            names.queue_url_variable(name).replace("_QUEUE_URL", "_DLQ_URL"): url
            for name, url in self.dead_letter_urls.items()
        }
        return {
            "QUARRY_ENV": self.place.env,
            "QUARRY_REGION": self.place.region,
            "QUARRY_BUCKET": self.place.bucket,
            "QUARRY_TABLE": self.place.table,
            "QUARRY_BEDROCK_ROLE_ARN": self.place.role_arn("bedrock"),
            **urls,
            **dead,
            "QUARRY_EVENT_TARGET_DLQ_URL": self.event_target_dlq_url,
        }


def create(clients: Clients, env: str, visibility_timeout_s: int = VISIBILITY_TIMEOUT_S) -> Resources:
    """Make everything of an environment, or bring what stands to shape.

    Args:
        clients: of the emulator.
        env: the environment's name, `[a-z0-9]{1,8}`.
        visibility_timeout_s: the queues' own; a message whose holder was killed comes back after it.

    Raises:
        ValueError: `env` is not of the form [a-z0-9]{1,8}.
        ClientError: the emulator refused something.
    """
    if names.ENV_PATTERN.fullmatch(env) is None:
        raise ValueError(f"environment {env!r} must be 1 to 8 lower-case letters and digits")
    account = clients.client("sts").get_caller_identity()["Account"]
    place = Place(env, clients.region, account)
    _bucket(clients.client("s3"), place)
    _table(clients.client("dynamodb"), place)
    resources = _queues(clients.client("sqs"), place, visibility_timeout_s)
    _rule(clients.client("events"), place)
    _roles(clients.client("iam"), place)
    _prompts(clients.client("s3"), place)
    return resources


def _absent(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in {
        "404",
        "NoSuchBucket",
        "NoSuchEntity",
        "NoSuchKey",
        "ResourceNotFoundException",
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
    }


def _bucket(s3: Any, place: Place) -> None:
    try:
        s3.head_bucket(Bucket=place.bucket)
    except ClientError as error:
        if not _absent(error):
            raise
        # us-east-1 is the one region that S3 does not let one name.
        where = {} if place.region == "us-east-1" else {"LocationConstraint": place.region}
        s3.create_bucket(Bucket=place.bucket, **({"CreateBucketConfiguration": where} if where else {}))
    s3.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_public_access_block(
        Bucket=place.bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    s3.put_bucket_encryption(
        Bucket=place.bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]
        },
    )
    s3.put_bucket_lifecycle_configuration(Bucket=place.bucket, LifecycleConfiguration={"Rules": _lifecycle()})


def _lifecycle() -> list[dict[str, Any]]:
    expire = [
        {"ID": f"expire-{prefix}", "Filter": {"Prefix": f"{prefix}/"}, "Expiration": {"Days": days}}
        for prefix, days in EXPIRE_AFTER_DAYS.items()
    ]
    # To expire in a versioned bucket is to become noncurrent; this is what deletes.
    clean_up = {
        "ID": "clean-up",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UPLOAD_DAYS_MAX},
        "NoncurrentVersionExpiration": {"NoncurrentDays": NONCURRENT_DAYS},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
    }
    return [{"Status": "Enabled", **rule} for rule in (*expire, clean_up)]


def _table(dynamodb: Any, place: Place) -> None:
    try:
        dynamodb.describe_table(TableName=place.table)
    except ClientError as error:
        if not _absent(error):
            raise
        dynamodb.create_table(
            TableName=place.table,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.get_waiter("table_exists").wait(TableName=place.table, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    ttl = dynamodb.describe_time_to_live(TableName=place.table)["TimeToLiveDescription"]
    if ttl["TimeToLiveStatus"] == "DISABLED":  # asking again for what is on is an error
        dynamodb.update_time_to_live(
            TableName=place.table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
        )
    dynamodb.update_continuous_backups(
        TableName=place.table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )


def _queues(sqs: Any, place: Place, visibility_timeout_s: int) -> Resources:
    queue_urls: dict[str, str] = {}
    dead_letter_urls: dict[str, str] = {}
    for name in names.QUEUES:
        source, dead = names.queue_name(place.env, name), names.dead_letter_queue_name(place.env, name)
        allow = {"redrivePermission": "byQueue", "sourceQueueArns": [place.queue_arn(source)]}
        dead_letter_urls[name] = _queue(
            sqs, dead, {"MessageRetentionPeriod": str(DEAD_RETENTION_S), "RedriveAllowPolicy": json.dumps(allow)}
        )
        redrive = {"deadLetterTargetArn": place.queue_arn(dead), "maxReceiveCount": RECEIVE_COUNT_MAX}
        attributes = {
            "MessageRetentionPeriod": str(SOURCE_RETENTION_S),
            "VisibilityTimeout": str(visibility_timeout_s),
            "RedrivePolicy": json.dumps(redrive),
        }
        if name == "events":
            attributes["Policy"] = json.dumps(policies.event_delivery(place, source))
        queue_urls[name] = _queue(sqs, source, attributes)
    target_dlq = _queue(
        sqs,
        place.event_target_dlq,
        {
            "MessageRetentionPeriod": str(DEAD_RETENTION_S),
            "Policy": json.dumps(policies.event_delivery(place, place.event_target_dlq)),
        },
    )
    return Resources(place, queue_urls, dead_letter_urls, target_dlq)


def _queue(sqs: Any, name: str, attributes: Mapping[str, str]) -> str:
    """Make a queue, or set its attributes: CreateQueue refuses a queue that stands with others."""
    wanted = {"SqsManagedSseEnabled": "true", "MaximumMessageSize": str(MESSAGE_BYTES_MAX), **attributes}
    try:
        url = str(sqs.get_queue_url(QueueName=name)["QueueUrl"])
    except ClientError as error:
        if not _absent(error):
            raise
        return str(sqs.create_queue(QueueName=name, Attributes=wanted)["QueueUrl"])
    sqs.set_queue_attributes(QueueUrl=url, Attributes=wanted)
    return url


def _rule(events: Any, place: Place) -> None:
    events.put_rule(
        Name=place.rule,
        EventPattern=json.dumps(policies.event_pattern(place)),
        State="ENABLED",
        Description=f"Bedrock's batch jobs of environment {place.env}",
    )
    events.put_targets(
        Rule=place.rule,
        Targets=[
            {
                "Id": EVENT_TARGET_ID,
                "Arn": place.queue_arn(names.queue_name(place.env, "events")),
                "RetryPolicy": {
                    "MaximumRetryAttempts": EVENT_RETRIES_MAX,
                    "MaximumEventAgeInSeconds": EVENT_AGE_MAX_S,
                },
                "DeadLetterConfig": {"Arn": place.queue_arn(place.event_target_dlq)},
            }
        ],
    )


def _roles(iam: Any, place: Place) -> None:
    runs_jobs = f"Bedrock runs the batch jobs of environment {place.env} under it"
    _role(iam, place.role("bedrock"), runs_jobs, policies.bedrock_trust(place), policies.bedrock_access(place))
    for service in policies.SERVICES:
        trust, access = policies.service_trust(place), policies.service_access(place, service)
        _role(iam, place.role(service), f"Quarry {place.env}: the {service}", trust, access)


def _role(iam: Any, name: str, description: str, trust: policies.Document, access: policies.Document) -> None:
    try:
        iam.get_role(RoleName=name)
    except ClientError as error:
        if not _absent(error):
            raise
        iam.create_role(RoleName=name, Description=description, AssumeRolePolicyDocument=json.dumps(trust))
    else:
        iam.update_role(RoleName=name, Description=description)
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName=name, PolicyName="access", PolicyDocument=json.dumps(access))


def _prompts(s3: Any, place: Place) -> None:
    """Put the prompts that ship with Quarry; one that stands already may be the user's own and stays."""
    if not SHIPPED_PROMPTS.is_dir():
        return
    for prompt in SHIPPED_PROMPTS.iterdir():
        if prompt.name.endswith(".yaml"):
            key = names.prompt_key(prompt.name.removesuffix(".yaml"))
            try:
                s3.put_object(Bucket=place.bucket, Key=key, Body=prompt.read_bytes(), IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
