"""An environment as its API tells it: every attribute by a path, whoever made it.

The environment's name is taken out of every value, so that two environments side by side can be compared. A policy is
told as the set of its grants, one line for each principal, action and resource with its conditions: how statements are
grouped, ordered and named says nothing about who may do what.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from quarry_local.clients import Clients
from quarry_local.policies import Place

PASSING = {"QueueArn", "CreatedTimestamp", "LastModifiedTimestamp"}  # and what SQS counts
TABLE = (
    "KeySchema",
    "AttributeDefinitions",
    "BillingModeSummary",
    "DeletionProtectionEnabled",
    "SSEDescription",
    "StreamSpecification",
    "TableClassSummary",
)
Reading = dict[str, str]


def read(clients: Clients, place: Place) -> Reading:
    """Path to value, as `queue events/VisibilityTimeout` to `120`."""
    found = [
        *_bucket(clients.client("s3"), place),
        *_table(clients.client("dynamodb"), place),
        *_queues(clients.client("sqs"), place),
        *_rule(clients.client("events"), place),
        *_schedules(clients.client("scheduler"), place),
        *_roles(clients.client("iam"), place),
    ]
    return {_nameless(path, place): _nameless(value, place) for path, value in found}


def grants(document: Mapping[str, Any]) -> Iterator[str]:
    """What a policy says, in lines."""
    for statement in _each(document["Statement"]):
        conditions = {
            operator: {key: sorted(map(str, _each(values))) for key, values in keys.items()}
            for operator, keys in statement.get("Condition", {}).items()
        }
        when = f" when {json.dumps(conditions, sort_keys=True)}" if conditions else ""
        for principal in _principals(statement):
            for action in _each(statement["Action"]):
                for resource in _resources(statement):
                    yield " ".join(filter(None, (statement["Effect"], principal, action, resource))) + when


def differences(left: Reading, right: Reading) -> dict[str, tuple[str, str]]:
    """Path to both values, where they differ; what one side has not is empty there."""
    paths = sorted({*left, *right})
    both = {path: (left.get(path, ""), right.get(path, "")) for path in paths}
    return {path: values for path, values in both.items() if values[0] != values[1]}


def _nameless(text: str, place: Place) -> str:
    return text.replace(place.env, "<env>")


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _resources(statement: Mapping[str, Any]) -> list[str]:
    if "NotResource" in statement:
        return [f"all but {', '.join(sorted(_each(statement['NotResource'])))}"]
    return _each(statement.get("Resource", [""]))


def _principals(statement: Mapping[str, Any]) -> Iterable[str]:
    principal = statement.get("Principal", "")
    if not isinstance(principal, dict):
        return [f"{{*: {principal}}}"] if principal else [""]
    return [f"{{{kind}: {one}}}" for kind, ones in principal.items() for one in _each(ones)]


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _flat(f"{path}/{key}", value[key])
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for one in value:
            inside = next((one[key] for key in ("ID", "Id", "AttributeName", "Key") if key in one), "")
            yield from _flat(f"{path}/{inside}", one)
    elif value is not None:
        yield path, json.dumps(value, sort_keys=True) if isinstance(value, list) else str(value)


def _policy(path: str, document: Any) -> Iterator[tuple[str, str]]:
    parsed = json.loads(document) if isinstance(document, str) else document
    return ((f"{path}: {grant}", "granted") for grant in grants(parsed))


def _or_nothing(call: Any, **arguments: Any) -> dict[str, Any]:
    """What a call answers, without its envelope; nothing where what is asked for was never set."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return {}
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def _bucket(s3: Any, place: Place) -> Iterator[tuple[str, str]]:
    bucket = {"Bucket": place.bucket}
    yield from _flat("bucket/versioning", _or_nothing(s3.get_bucket_versioning, **bucket))
    yield from _flat("bucket/encryption", _or_nothing(s3.get_bucket_encryption, **bucket))
    yield from _flat("bucket/public access", _or_nothing(s3.get_public_access_block, **bucket))
    yield from _flat("bucket/lifecycle", _or_nothing(s3.get_bucket_lifecycle_configuration, **bucket))
    yield from _flat("bucket/ownership", _or_nothing(s3.get_bucket_ownership_controls, **bucket))
    yield from _flat("bucket/tags", _or_nothing(s3.get_bucket_tagging, **bucket))
    if policy := _or_nothing(s3.get_bucket_policy, **bucket):
        yield from _policy("bucket/policy", policy["Policy"])


def _table(dynamodb: Any, place: Place) -> Iterator[tuple[str, str]]:
    table = dynamodb.describe_table(TableName=place.table)["Table"]
    for attribute in TABLE:
        yield from _flat(f"table/{attribute}", _still(table.get(attribute)))
    ttl = dynamodb.describe_time_to_live(TableName=place.table)["TimeToLiveDescription"]
    yield from _flat("table/ttl", ttl)
    backups = dynamodb.describe_continuous_backups(TableName=place.table)["ContinuousBackupsDescription"]
    yield from _flat("table/backups", _still(backups))
    yield from _flat("table/tags", _tags(dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"]).get("Tags", [])))


def _still(value: Any) -> Any:
    """Without the times at which things were set."""
    if isinstance(value, dict):
        return {key: _still(inner) for key, inner in value.items() if not key.endswith(("DateTime", "Timestamp"))}
    return value


def _tags(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _queues(sqs: Any, place: Place) -> Iterator[tuple[str, str]]:
    for url in sqs.list_queues(QueueNamePrefix=f"{place.env}-quarry-").get("QueueUrls", []):
        path = f"queue {url.rsplit('/', 1)[-1]}"
        yield path, "stands"
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        for name, value in attributes.items():
            if name == "Policy" and value:
                yield from _policy(f"{path}/Policy", value)
            elif name in {"RedrivePolicy", "RedriveAllowPolicy"} and value:
                yield from _flat(f"{path}/{name}", json.loads(value))
            elif name not in PASSING and not name.startswith("Approximate"):
                yield f"{path}/{name}", str(value)
        yield from _flat(f"{path}/tags", sqs.list_queue_tags(QueueUrl=url).get("Tags", {}))


def _rule(events: Any, place: Place) -> Iterator[tuple[str, str]]:
    rule = events.describe_rule(Name=place.rule)
    pattern = json.dumps(json.loads(rule["EventPattern"]), sort_keys=True)
    yield from _flat("rule", {**{key: rule.get(key) for key in ("State", "Description", "EventBusName")}})
    yield "rule/EventPattern", pattern
    yield from _flat("rule/targets", events.list_targets_by_rule(Rule=place.rule)["Targets"])
    yield from _flat("rule/tags", _tags(events.list_tags_for_resource(ResourceARN=place.rule_arn).get("Tags", [])))


def _schedules(scheduler: Any, place: Place) -> Iterator[tuple[str, str]]:
    for one in scheduler.list_schedules(NamePrefix=f"{place.env}-quarry").get("Schedules", []):
        yield f"schedule {one['Name']}", "stands"


def _roles(iam: Any, place: Place) -> Iterator[tuple[str, str]]:
    for one in iam.get_paginator("list_roles").paginate().search("Roles[]"):
        name = one["RoleName"]
        if not name.startswith(f"{place.env}-quarry-"):
            continue
        role, path = iam.get_role(RoleName=name)["Role"], f"role {name}"
        yield path, "stands"
        yield from _policy(f"{path}/trust", role["AssumeRolePolicyDocument"])
        for attribute in ("MaxSessionDuration", "Description", "Path", "PermissionsBoundary"):
            yield from _flat(f"{path}/{attribute}", role.get(attribute))
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            yield from _policy(f"{path}/policy {policy}", document)
        for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            yield f"{path}/attached {attached['PolicyName']}", "attached"
        yield from _flat(f"{path}/tags", _tags(role.get("Tags", [])))
    for managed in iam.list_policies(Scope="Local")["Policies"]:
        if managed["PolicyName"].startswith(f"{place.env}-quarry-"):
            yield f"managed policy {managed['PolicyName']}", "stands"
