"""For each action that a policy of Quarry's grants, a call that asks for it: what the services and the command call.

A probe gets whose call it is, the resource as the policy names it, and the statement. It need not succeed: that there is
no such key, or that a receipt is made up, is told only to who was let in. What it must tell is whether the caller was.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import botocore.exceptions

from quarry_core.contract.job_request import TAG_ENV
from quarry_local.bedrock.iam.roles import Roles
from quarry_local.bedrock.jobs.job import Job
from quarry_local.bedrock.jobs.records import Unfit
from quarry_local.bedrock.models.identity import resolve
from quarry_local.policies import Place
from tests.infra.applied import BEDROCK, CLAUDE, JOB, PROFILE, Applied
from tests.infra.enforcing import Caller

# Actions that the emulator denies to whom they are granted, since it takes them to be about something else, and why AWS
# does not. These are judged by the document.
MISJUDGED: Mapping[str, str] = {
    **dict.fromkeys(
        ("sqs:StartMessageMoveTask", "sqs:ListMessageMoveTasks", "sqs:CancelMessageMoveTask"),
        "the call names the queue by its ARN or by a task, where the emulator looks for a URL",
    ),
    **dict.fromkeys(
        ("events:DescribeRule", "events:ListTargetsByRule"),
        "the ARN of a rule on the default bus does not name the bus; the emulator's does",
    ),
    "logs:GetQueryResults": "the call names a query, whose log groups AWS knows; the emulator sees none",
    "iam:SimulatePrincipalPolicy": "the resource is the principal that is asked about; the emulator sees none",
}
DENIED = {"AccessDenied", "AccessDeniedException", "403"}
NOWHERE = "probe/nothing"
KEY = {"pk": {"S": "probe"}, "sk": {"S": "probe"}}
RECEIPT = "made-up"


@dataclass(frozen=True)
class Grant:
    """One action on one resource, and the statement that allows it."""

    statement: Mapping[str, Any]
    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.statement['Sid']}: {self.action} on {self.resource}"

    @property
    def service(self) -> str:
        return self.action.partition(":")[0]


def many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def grants(policy: Mapping[str, Any]) -> list[Grant]:
    """Every action on every resource that a policy allows."""
    return [
        Grant(statement, action, resource)
        for statement in many(policy["Statement"])
        for action in many(statement["Action"])
        for resource in many(statement["Resource"])
    ]


def without(policy: Mapping[str, Any], grant: Grant) -> dict[str, Any]:
    """The policy with this one action on this one resource taken out, and nothing else."""
    left = []
    for statement in many(policy["Statement"]):
        if statement is not grant.statement:
            left.append(statement)
            continue
        others = [action for action in many(statement["Action"]) if action != grant.action]
        elsewhere = [resource for resource in many(statement["Resource"]) if resource != grant.resource]
        if others:
            left.append({**statement, "Sid": f"{statement['Sid']}Others", "Action": others})
        if elsewhere:
            left.append({**statement, "Action": grant.action, "Resource": elsewhere})
    return {**policy, "Statement": left}


_NAMES = itertools.count()


def job_request(place: Place, model_id: str, role: str = BEDROCK) -> dict[str, Any]:
    """Create's parameters, for a job that finds no input."""
    source, target = (f"s3://{place.bucket}/{prefix}/{NOWHERE}" for prefix in ("batch-input", "batch-output"))
    return {
        "jobName": f"probe-{next(_NAMES)}",
        "roleArn": place.role_arn(role),
        "modelId": model_id,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"{source}.jsonl"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"{target}/"}},
    }


def judge_of_roles(world: Applied, **changes: Any) -> Roles:
    """The simulated Bedrock's judge of roles; it reads anew whatever it is asked."""
    settings: dict[str, Any] = {
        "region": world.place.region,
        "account": world.place.account,
        "check_role": True,
        "check_access": True,
        "check_profiles": True,
        "caller_role": None,
        **changes,
    }
    later = itertools.count(step=3600)
    return Roles(world.iam, world.root.client("s3"), **settings, monotonic=lambda: next(later))


def job_of(world: Applied, tags: Mapping[str, str]) -> str:
    """The ARN of a new job with these tags, made past the proxy's check of who may tag."""
    given = [{"key": key, "value": value} for key, value in tags.items()]
    bedrock = world.callers["scheduler"].at(world.bedrock_url).client("bedrock")
    policy = world.policy("scheduler")
    anything = {"Sid": "TagAnything", "Effect": "Allow", "Action": "bedrock:TagResource", "Resource": "*"}
    with world.changed("scheduler", {**policy, "Statement": [*policy["Statement"], anything]}):
        made = bedrock.create_model_invocation_job(
            **job_request(world.place, CLAUDE), **({"tags": given} if given else {})
        )
    return str(made["jobArn"])


class Asking:
    """Makes the call of each grant in a caller's name; clients are made once."""

    def __init__(self, world: Applied, caller: Caller) -> None:
        self._world = world
        self._caller = caller
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._caller.client(service)
        return self._clients[service]

    @property
    def bedrock(self) -> Any:
        return self._at_bedrock("bedrock")

    @property
    def quotas(self) -> Any:
        return self._at_bedrock("service-quotas")

    def _at_bedrock(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._caller.at(self._world.bedrock_url).client(service)
        return self._clients[service]

    def denied(self, grant: Grant) -> bool:
        """Whether the caller is refused what the grant allows.

        Raises:
            KeyError: there is no probe of this action.
        """
        try:
            PROBES[grant.action](self, grant)
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]["Code"] in DENIED
        except Unfit as error:
            return "is not authorized to perform" in str(error)
        return False

    def url(self, grant: Grant) -> str:
        name = grant.resource.rpartition(":")[2].replace("*", "events")
        return f"{self._world.gateway.url}/{self._world.place.account}/{name}"

    def place_of(self, grant: Grant) -> dict[str, str]:
        """Bucket and key under the prefix that the grant names."""
        bucket, _, pattern = grant.resource.removeprefix("arn:aws:s3:::").partition("/")
        return {"Bucket": bucket, "Key": pattern.replace("*", NOWHERE)}

    def create(self, grant: Grant) -> None:
        """A job that needs the resource."""
        place = self._world.place
        request = job_request(place, self._model(grant))
        tags = [{"key": TAG_ENV, "value": place.env}, {"key": "team", "value": "research"}]
        self.bedrock.create_model_invocation_job(**request, tags=tags)

    def stop(self, grant: Grant) -> None:
        """A job of the environment's own, which the scheduler created."""
        self.bedrock.stop_model_invocation_job(jobIdentifier=job_of(self._world, {TAG_ENV: self._world.place.env}))

    def _model(self, grant: Grant) -> str:
        """The model that the grant is about, or the profile that leads to it."""
        at_home = f":{self._world.place.region}:" in grant.resource and "inference-profile" not in grant.resource
        if not at_home:
            return PROFILE
        return grant.resource.rpartition("/")[2] if "foundation-model/" in grant.resource else CLAUDE

    def invoke(self, grant: Grant) -> None:
        """Bedrock, in a job by the profile: what the simulated one finds of its role in Validating. Others: by a call."""
        place = self._world.place
        if self._caller is not self._world.callers[BEDROCK]:
            asked = [{"role": "user", "content": [{"text": "probe"}]}]
            self._at_bedrock("bedrock-runtime").converse(modelId=self._model(grant), messages=asked)
            return
        request = job_request(place, PROFILE)
        model = resolve(PROFILE, region=place.region, account=place.account)
        judge_of_roles(self._world).check_job(Job(JOB, f"arn:job/{JOB}", request, model, submit_time=0))

    def count_tokens(self, grant: Grant) -> None:
        """By a model's plain id."""
        asked = [{"role": "user", "content": [{"text": "probe"}]}]
        self._at_bedrock("bedrock-runtime").count_tokens(modelId=CLAUDE, input={"converse": {"messages": asked}})


Probe = Callable[[Asking, Grant], Any]


def _upload(asking: Asking, grant: Grant) -> None:
    asking.client("s3").abort_multipart_upload(**asking.place_of(grant), UploadId="nothing")


def _list(asking: Asking, grant: Grant) -> None:
    """The first of the prefixes that the statement lets one list."""
    prefixes = next(
        iter(
            grant.statement["Condition"][operator]["s3:prefix"]
            for operator in _LIKE
            if operator in grant.statement["Condition"]
        )
    )
    asking.client("s3").list_objects_v2(Bucket=asking.place_of(grant)["Bucket"], Prefix=many(prefixes)[0].rstrip("*"))


_LIKE = ("StringLikeIfExists", "StringLike")


def _put_events(asking: Asking, grant: Grant) -> None:
    source = grant.statement["Condition"]["StringEqualsIfExists"]["events:source"]
    entry = {"Source": many(source)[0], "DetailType": "probe", "Detail": "{}"}
    asking.client("events").put_events(Entries=[entry])


def _insights(asking: Asking, grant: Grant) -> None:
    group = grant.resource.partition("log-group:")[2].replace("*", "scheduler")
    asking.client("logs").start_query(logGroupName=group, startTime=0, endTime=1, queryString="fields @message")


def _bucket(operation: str) -> Probe:
    return lambda asking, grant: getattr(asking.client("s3"), operation)(Bucket=asking.place_of(grant)["Bucket"])


def _object(operation: str, **more: Any) -> Probe:
    return lambda asking, grant: getattr(asking.client("s3"), operation)(**asking.place_of(grant), **more)


def _queue(operation: str, **more: Any) -> Probe:
    return lambda asking, grant: getattr(asking.client("sqs"), operation)(QueueUrl=asking.url(grant), **more)


def _table(operation: str, **more: Any) -> Probe:
    return lambda asking, grant: getattr(asking.client("dynamodb"), operation)(
        TableName=grant.resource.rpartition("/")[2], **more
    )


def _role(operation: str, **more: Any) -> Probe:
    return lambda asking, grant: getattr(asking.client("iam"), operation)(
        RoleName=grant.resource.rpartition("/")[2], **more
    )


def _rule(operation: str, parameter: str) -> Probe:
    return lambda asking, grant: getattr(asking.client("events"), operation)(
        **{parameter: grant.resource.rpartition("/")[2]}
    )


def _job(operation: str) -> Probe:
    return lambda asking, grant: getattr(asking.bedrock, operation)(
        jobIdentifier=grant.resource.replace("*", "000000000000")
    )


def _attached(operation: str, **more: Any) -> Probe:
    return lambda asking, grant: getattr(asking.client("iam"), operation)(
        PolicyArn=grant.resource.replace("*", "nothing"), **more
    )


def _profile(asking: Asking, grant: Grant) -> None:
    asking.bedrock.get_inference_profile(inferenceProfileIdentifier=grant.resource.replace("*", PROFILE))


_EVENT: dict[str, Any] = {"id": "x", "account": "000000000000", "source": "x", "time": "2026-01-01T00:00:00Z"}
_EVENT |= {"region": "us-east-1", "resources": [], "detail-type": "x", "detail": {}}
_READ: dict[str, Any] = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "probe"}}}
PROBES: Mapping[str, Probe] = {
    "s3:GetObject": _object("get_object"),
    "s3:GetObjectVersion": _object("get_object", VersionId="11111111-1111-4111-8111-111111111111"),
    "s3:PutObject": _object("put_object", Body=b""),
    "s3:AbortMultipartUpload": _upload,
    "s3:DeleteObject": _object("delete_object"),
    "s3:ListBucket": _list,
    "s3:GetBucketLocation": _bucket("get_bucket_location"),
    "s3:GetBucketPolicy": _bucket("get_bucket_policy"),
    "s3:GetBucketPublicAccessBlock": _bucket("get_public_access_block"),
    "s3:GetBucketVersioning": _bucket("get_bucket_versioning"),
    "s3:GetEncryptionConfiguration": _bucket("get_bucket_encryption"),
    "sqs:ReceiveMessage": _queue("receive_message", VisibilityTimeout=0),
    "sqs:DeleteMessage": _queue("delete_message", ReceiptHandle=RECEIPT),
    "sqs:ChangeMessageVisibility": _queue("change_message_visibility", ReceiptHandle=RECEIPT, VisibilityTimeout=0),
    "sqs:SendMessage": _queue("send_message", MessageBody="probe"),
    "sqs:GetQueueAttributes": _queue("get_queue_attributes", AttributeNames=["All"]),
    "sqs:GetQueueUrl": lambda asking, grant: asking.client("sqs").get_queue_url(
        QueueName=asking.url(grant).rpartition("/")[2]
    ),
    "sqs:StartMessageMoveTask": lambda asking, grant: asking.client("sqs").start_message_move_task(
        SourceArn=grant.resource
    ),
    "sqs:ListMessageMoveTasks": lambda asking, grant: asking.client("sqs").list_message_move_tasks(
        SourceArn=grant.resource
    ),
    "sqs:CancelMessageMoveTask": lambda asking, grant: asking.client("sqs").cancel_message_move_task(
        TaskHandle=RECEIPT
    ),
    "dynamodb:GetItem": _table("get_item", Key=KEY),
    "dynamodb:BatchGetItem": lambda asking, grant: asking.client("dynamodb").batch_get_item(
        RequestItems={grant.resource.rpartition("/")[2]: {"Keys": [KEY]}}
    ),
    "dynamodb:Query": _table("query", **_READ),
    "dynamodb:PutItem": _table("put_item", Item=KEY),
    "dynamodb:UpdateItem": _table("update_item", Key=KEY),
    "dynamodb:DeleteItem": _table("delete_item", Key=KEY),
    "dynamodb:DescribeContinuousBackups": _table("describe_continuous_backups"),
    "dynamodb:DescribeTable": _table("describe_table"),
    "dynamodb:DescribeTimeToLive": _table("describe_time_to_live"),
    "logs:StartQuery": _insights,
    "logs:GetQueryResults": lambda asking, grant: asking.client("logs").get_query_results(queryId=RECEIPT),
    "events:PutEvents": _put_events,
    "events:DescribeRule": _rule("describe_rule", "Name"),
    "events:ListTargetsByRule": _rule("list_targets_by_rule", "Rule"),
    "events:TestEventPattern": lambda asking, grant: asking.client("events").test_event_pattern(
        EventPattern='{"source": ["x"]}', Event=json.dumps(_EVENT)
    ),
    "scheduler:GetSchedule": lambda asking, grant: asking.client("scheduler").get_schedule(
        Name=grant.resource.rpartition("/")[2]
    ),
    "scheduler:ListSchedules": lambda asking, grant: asking.client("scheduler").list_schedules(),
    "iam:GetRole": _role("get_role"),
    "iam:GetRolePolicy": _role("get_role_policy", PolicyName="access"),
    "iam:ListAttachedRolePolicies": _role("list_attached_role_policies"),
    "iam:ListRolePolicies": _role("list_role_policies"),
    "iam:SimulatePrincipalPolicy": lambda asking, grant: asking.client("iam").simulate_principal_policy(
        PolicySourceArn=grant.resource, ActionNames=["s3:GetObject"]
    ),
    "iam:GetPolicy": _attached("get_policy"),
    "iam:GetPolicyVersion": _attached("get_policy_version", VersionId="v1"),
    "iam:PassRole": Asking.create,
    "bedrock:CreateModelInvocationJob": Asking.create,
    "bedrock:InvokeModel": Asking.invoke,
    "bedrock:CountTokens": Asking.count_tokens,
    "bedrock:TagResource": Asking.create,
    "bedrock:GetModelInvocationJob": _job("get_model_invocation_job"),
    "bedrock:StopModelInvocationJob": Asking.stop,
    "bedrock:ListModelInvocationJobs": lambda asking, grant: asking.bedrock.list_model_invocation_jobs(),
    "bedrock:ListFoundationModels": lambda asking, grant: asking.bedrock.list_foundation_models(),
    "bedrock:ListInferenceProfiles": lambda asking, grant: asking.bedrock.list_inference_profiles(),
    "bedrock:GetInferenceProfile": _profile,
    "bedrock:GetFoundationModelAvailability": lambda asking, grant: asking.bedrock.get_foundation_model_availability(
        modelId=CLAUDE
    ),
    "servicequotas:ListServiceQuotas": lambda asking, grant: asking.quotas.list_service_quotas(ServiceCode="bedrock"),
    "servicequotas:ListAWSDefaultServiceQuotas": lambda asking, grant: asking.quotas.list_aws_default_service_quotas(
        ServiceCode="bedrock"
    ),
}
