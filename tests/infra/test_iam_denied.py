"""What must not be: each of these calls is tried, or judged by the policy as it was applied, and refused.

Where the emulator enforces a policy, the call is made. Where it cannot (nobody there speaks as `events.amazonaws.com` or as
`bedrock.amazonaws.com`, and every call comes over plain HTTP), the applied document is judged, twice: with the fault, and
without it, so that a judge that always says no is found out.
"""

from __future__ import annotations

import dataclasses
import json

import pytest
from botocore.exceptions import ClientError

from quarry_cli.aws.policy import Act, Holds, by_resource
from quarry_core.contract.job_request import TAG_ENV
from quarry_core.contract.names import QUEUES, queue_url_variable
from quarry_local.bedrock.errors import ApiError
from quarry_local.bedrock.iam.policy import by_identity
from quarry_local.policies import SERVICES
from tests.infra import enforcing
from tests.infra.applied import BEDROCK, CLAUDE, OPERATOR
from tests.infra.probes import DENIED, job_of, job_request, judge_of_roles

STRANGER = "111122223333"
CALLERS = [*SERVICES, BEDROCK, OPERATOR]
PREFIXES = (
    "inputs",
    "prompts",
    "plans",
    "rows",
    "batch-input",
    "batch-output",
    "on-demand",
    "outcomes",
    "results",
    "results/compact_parts",
    "again",
    "other",
)
READS = {
    "preprocessor": {"inputs", "prompts", "plans", "rows", "batch-input", "again", "results", "results/compact_parts"},
    "scheduler": {"batch-input", "on-demand"},
    "collector": {
        "inputs",
        "plans",
        "rows",
        "batch-input",
        "batch-output",
        "on-demand",
        "outcomes",
        "results",
        "results/compact_parts",
        "again",
    },
    BEDROCK: {"batch-input", "batch-output"},
    # Sources and prompts to check a manifest before it is sent, the rest to verify a run and to say why a row is as it is.
    OPERATOR: {
        "results",
        "results/compact_parts",
        "outcomes",
        "inputs",
        "prompts",
        "plans",
        "rows",
        "batch-output",
        "on-demand",
    },
}
WRITES = {
    "preprocessor": {"plans", "rows", "batch-input", "again"},
    "scheduler": {"on-demand"},
    "collector": {"plans", "batch-input", "outcomes", "results", "results/compact_parts", "again"},
    BEDROCK: {"batch-input", "batch-output"},
    OPERATOR: {"inputs", "prompts", "results/compact_parts"},
}

DELETES = {"collector": {"batch-input"}}
ENCRYPTION = "s3:x-amz-server-side-encryption"


def refused(call, **arguments):
    """Whether a call is refused for want of a permission; another error is none of this."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"] in DENIED
    return False


@pytest.fixture
def place(world):
    return world.place


@pytest.fixture
def bucket_policy(world):
    return json.loads(world.root.client("s3").get_bucket_policy(Bucket=world.place.bucket)["Policy"])


@pytest.fixture
def queue_policies(world):
    """Queue ARN to its policy, of all queues of the environment."""
    sqs, found = world.root.client("sqs"), {}
    for url in sqs.list_queues(QueueNamePrefix=f"{world.place.env}-quarry-")["QueueUrls"]:
        reported = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn", "Policy"])["Attributes"]
        found[reported["QueueArn"]] = json.loads(reported["Policy"])
    assert len(found) == 2 * len(QUEUES) + 1
    return found


# ------------------------------------------------------------------------------------------------ another account


@pytest.mark.parametrize("name", [*SERVICES, BEDROCK])
def test_another_account_takes_no_role(world, place, name):
    stranger = dataclasses.replace(world.root, keys=enforcing.root(world.clients, STRANGER).keys)
    with pytest.raises(ClientError, match="AccessDenied"):
        enforcing.assume(stranger, place.role_arn(name))


def test_no_one_in_the_account_takes_the_role_of_bedrock(world, place):
    for caller in (world.root, *world.callers.values()):
        with pytest.raises(ClientError, match="AccessDenied"):
            enforcing.assume(caller, place.role_arn(BEDROCK))


@pytest.mark.parametrize("name", CALLERS)
@pytest.mark.parametrize("role", SERVICES)
def test_no_service_takes_anothers_role(world, place, name, role):
    """The trust names the account, which leaves it to the callers' own policies: none of them grants it."""
    with pytest.raises(ClientError, match="AccessDenied"):
        enforcing.assume(world.callers[name], place.role_arn(role))


def test_bedrock_takes_its_role_for_this_accounts_jobs_only(world, place):
    role = {"roleArn": place.role_arn(BEDROCK)}
    judge_of_roles(world).check_create(role)
    with pytest.raises(ApiError, match="cannot be assumed"):
        judge_of_roles(world, region="eu-west-1").check_create(role)


@pytest.mark.parametrize(
    ("fault", "context"),
    [
        ("", {}),
        ("SourceAccount", {"aws:SourceAccount": STRANGER}),
        (
            "SourceArn",
            {"aws:SourceArn": f"arn:aws:bedrock:us-east-1:{STRANGER}:model-invocation-job/000000000000"},
        ),
        ("SourceArn is no job", {"aws:SourceArn": "arn:aws:bedrock:us-east-1:000000000000:agent/000000000000"}),
        ("neither is told", {"aws:SourceAccount": None, "aws:SourceArn": None}),
    ],
)
def test_the_trust_of_bedrocks_role_is_bound_to_account_and_jobs(world, place, fault, context):
    trust = world.iam.get_role(RoleName=place.role(BEDROCK))["Role"]["AssumeRolePolicyDocument"]
    job = f"arn:aws:bedrock:{place.region}:{place.account}:model-invocation-job/000000000000"
    reported = {"aws:SourceAccount": place.account, "aws:SourceArn": job, **context}
    verdict = by_resource(trust, {"bedrock.amazonaws.com"}, Act("sts:AssumeRole", None, reported))
    assert verdict.allowed is (not fault)
    assert verdict.refused is bool(fault)


# ------------------------------------------------------------------------------------------------ passing a role


def creating(world, name, role):
    bedrock = world.callers[name].at(world.bedrock_url).client("bedrock")
    return refused(bedrock.create_model_invocation_job, **job_request(world.place, CLAUDE, role))


@pytest.mark.parametrize(
    ("name", "role", "allowed"),
    [
        ("scheduler", BEDROCK, True),
        *(("scheduler", role, False) for role in (*SERVICES, "sweep", OPERATOR)),
        *((name, BEDROCK, False) for name in ("preprocessor", "collector", OPERATOR)),
    ],
)
def test_only_the_scheduler_creates_jobs_and_only_with_bedrocks_role(world, name, role, allowed):
    assert creating(world, name, role) is not allowed


@pytest.mark.parametrize("name", [*SERVICES, BEDROCK])
def test_the_simulated_bedrock_takes_the_role_from_the_scheduler_alone(world, place, name):
    judge = judge_of_roles(world, caller_role=place.role(name))
    if name == "scheduler":
        judge.check_create({"roleArn": place.role_arn(BEDROCK)})
        with pytest.raises(ApiError, match="iam:PassRole"):
            judge.check_create({"roleArn": place.role_arn("collector")})
        return
    with pytest.raises(ApiError, match="iam:PassRole"):
        judge.check_create({"roleArn": place.role_arn(BEDROCK)})


@pytest.mark.parametrize("name", CALLERS)
@pytest.mark.parametrize("service", ["bedrock", "ecs-tasks", "lambda", "ec2", "sagemaker", "scheduler"])
def test_no_role_is_passed_to_another_service(world, place, name, service):
    policy, passed = world.policy(name), {"iam:PassedToService": f"{service}.amazonaws.com"}
    verdicts = {
        role: by_identity([policy], action="iam:PassRole", resource=place.role_arn(role), context=passed)
        for role in (*SERVICES, BEDROCK, "sweep")
    }
    expected = {BEDROCK} if (name, service) == ("scheduler", "bedrock") else set()
    assert {role for role, verdict in verdicts.items() if verdict.allowed} == expected


# ------------------------------------------------------------------------------------------------ another prefix


@pytest.mark.parametrize("name", CALLERS)
def test_nobody_reads_or_writes_beyond_their_prefixes(world, place, name):
    s3 = world.callers[name].client("s3")
    read, written = set(), set()
    for prefix in PREFIXES:
        at = {"Bucket": place.bucket, "Key": f"{prefix}/probe/denied"}
        if not refused(s3.get_object, **at):
            read.add(prefix)
        if not refused(s3.put_object, **at, Body=b""):
            written.add(prefix)
            world.root.client("s3").delete_object(**at)
    assert read == READS[name]
    assert written == WRITES[name]


@pytest.mark.parametrize("name", [*SERVICES, BEDROCK])
def test_the_bucket_denies_other_prefixes_even_to_a_role_that_was_given_everything(place, bucket_policy, name):
    """Judged by the document: to AWS `aws:PrincipalArn` is the role, to the emulator the role's session."""
    reported = dict.fromkeys((ENCRYPTION, f"{ENCRYPTION}-customer-algorithm"))
    reported |= {"aws:PrincipalArn": place.role_arn(name), "aws:SecureTransport": "true"}
    left: dict[str, set[str]] = {"s3:GetObject": set(), "s3:PutObject": set()}
    for action, prefixes in left.items():
        for prefix in PREFIXES:
            act = Act(action, f"arn:aws:s3:::{place.bucket}/{prefix}/a", reported)
            if by_resource(bucket_policy, {place.role_arn(name)}, act).deny is Holds.NO:
                prefixes.add(prefix)
    assert left["s3:GetObject"] == READS[name]
    assert left["s3:PutObject"] == WRITES[name] | DELETES.get(name, set())


@pytest.mark.parametrize("name", SERVICES)
def test_nobody_takes_from_anothers_queue(world, place, name):
    sqs, taken = world.callers[name].client("sqs"), set()
    for queue in QUEUES:
        url = world.environment[queue_url_variable(queue)]
        if not refused(sqs.receive_message, QueueUrl=url, VisibilityTimeout=0):
            taken.add(queue)
    assert (
        taken
        == {
            "preprocessor": {"manifests", "slices"},
            "scheduler": {"scheduler", "events", "on-demand"},
            "collector": {"collector"},
        }[name]
    )


# ------------------------------------------------------------------------------------------------ a foreign sender


@pytest.mark.parametrize("name", CALLERS)
def test_nobody_sends_to_the_events_queue(world, place, name):
    url = f"{world.gateway.url}/{place.account}/{place.env}-quarry-events"
    assert refused(world.callers[name].client("sqs").send_message, QueueUrl=url, MessageBody="{}")


# ------------------------------------------------------------------------------------------------ whose job it is


@pytest.mark.parametrize(
    ("whose", "own"),
    [({TAG_ENV: "proof"}, True), ({TAG_ENV: "other"}, False), ({"team": "research"}, False), ({}, False)],
)
@pytest.mark.parametrize("name", ["scheduler", OPERATOR])
def test_only_the_environments_own_jobs_are_stopped(world, name, whose, own):
    assert world.place.env == "proof"
    bedrock = world.callers[name].at(world.bedrock_url).client("bedrock")
    assert refused(bedrock.stop_model_invocation_job, jobIdentifier=job_of(world, whose)) is not own


@pytest.mark.parametrize(
    ("whose", "own"), [({TAG_ENV: "proof", "team": "a"}, True), ({TAG_ENV: "other"}, False), ({"team": "a"}, False)]
)
def test_the_scheduler_tags_jobs_as_its_environments_only(world, place, whose, own):
    bedrock = world.callers["scheduler"].at(world.bedrock_url).client("bedrock")
    tags = [{"key": key, "value": value} for key, value in whose.items()]
    assert refused(bedrock.create_model_invocation_job, **job_request(place, CLAUDE), tags=tags) is not own


def test_another_account_sends_to_no_queue(world, place, queue_policies):
    keys = enforcing.root(world.clients, STRANGER).keys
    sqs = dataclasses.replace(world.root, keys=keys).client("sqs")
    for arn in queue_policies:
        url = f"{world.gateway.url}/{place.account}/{arn.rpartition(':')[2]}"
        assert refused(sqs.send_message, QueueUrl=url, MessageBody="{}")


@pytest.mark.parametrize(
    ("fault", "principal", "rule"),
    [
        ("", "events.amazonaws.com", "{rule}"),
        ("another rule", "events.amazonaws.com", "{rule}-other"),
        ("another account's rule", "events.amazonaws.com", "arn:aws:events:us-east-1:111122223333:rule/x"),
        ("no rule", "events.amazonaws.com", None),
        ("another service", "sns.amazonaws.com", "{rule}"),
        ("another account", f"arn:aws:iam::{STRANGER}:root", "{rule}"),
        ("everybody", "*", None),
    ],
)
def test_only_the_rule_delivers_and_only_to_two_queues(place, queue_policies, fault, principal, rule):
    source = rule and rule.format(rule=place.rule_arn)
    context = {"aws:SourceArn": source, "aws:SecureTransport": "true"}
    open_to_it = {
        arn.rpartition(":")[2]
        for arn, policy in queue_policies.items()
        if not by_resource(policy, {principal}, Act("sqs:SendMessage", arn, context)).refused
    }
    expected = {f"{place.env}-quarry-events", place.event_target_dlq}
    assert open_to_it == (set() if fault else expected)


# ------------------------------------------------------------------------------------------------ plain HTTP, encryption


@pytest.mark.parametrize("name", CALLERS)
def test_plain_http_reaches_no_object_and_no_queue(world, place, name):
    """What the emulator is told of the way a call came is all it knows; all else goes by way of TLS, and passes."""
    plain = dataclasses.replace(world.callers[name], endpoint_url=world.clients.endpoint_url, transport="http")
    prefix = next(iter(sorted(READS[name])), "inputs")
    at = {"Bucket": place.bucket, "Key": f"{prefix}/probe/denied"}
    assert refused(plain.client("s3").get_object, **at)
    assert refused(plain.over("https").client("s3").get_object, **at) is (not READS[name])
    url = f"{world.clients.endpoint_url}/{place.account}/{place.env}-quarry-scheduler"
    assert refused(plain.client("sqs").get_queue_attributes, QueueUrl=url, AttributeNames=["All"])


@pytest.mark.parametrize("secure", ["true", "false"])
def test_plain_http_is_denied_to_everybody_by_every_policy(place, bucket_policy, queue_policies, secure):
    acts = [
        (
            bucket_policy,
            Act(action, resource, {"aws:SecureTransport": secure, "aws:PrincipalArn": "arn:aws:iam::1:root"}),
        )
        for action, resource in (
            ("s3:GetObject", f"arn:aws:s3:::{place.bucket}/inputs/a"),
            ("s3:ListBucket", f"arn:aws:s3:::{place.bucket}"),
            ("s3:GetBucketPolicy", f"arn:aws:s3:::{place.bucket}"),
        )
    ]
    acts += [
        (policy, Act(action, arn, {"aws:SecureTransport": secure}))
        for arn, policy in queue_policies.items()
        for action in ("sqs:SendMessage", "sqs:ReceiveMessage", "sqs:PurgeQueue")
    ]
    denials = {by_resource(policy, {place.role_arn("collector")}, act).deny.name for policy, act in acts}
    assert denials == {"YES" if secure == "false" else "NO"}


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        ("", {}),  # the bucket encrypts by itself
        ("", {"ServerSideEncryption": "AES256"}),
        ("a key of AWS's", {"ServerSideEncryption": "aws:kms"}),
        ("another key", {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "11111111-2222-3333-4444-555555555555"}),
        ("the caller's own key", {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}),
    ],
)
def test_an_object_is_encrypted_as_the_bucket_says_or_refused(place, bucket_policy, fault, asked):
    named = {
        ENCRYPTION: asked.get("ServerSideEncryption"),
        f"{ENCRYPTION}-aws-kms-key-id": asked.get("SSEKMSKeyId"),
        f"{ENCRYPTION}-customer-algorithm": asked.get("SSECustomerAlgorithm"),
        "aws:SecureTransport": "true",
        "aws:PrincipalArn": place.role_arn("collector"),
    }
    act = Act("s3:PutObject", f"arn:aws:s3:::{place.bucket}/results/probe", named)
    verdict = by_resource(bucket_policy, {place.role_arn("collector")}, act)
    assert verdict.deny.name == ("YES" if fault else "NO")


def test_the_emulator_too_refuses_another_encryption(world, place):
    s3 = world.callers["collector"].client("s3")
    at = {"Bucket": place.bucket, "Key": "results/probe/encrypted", "Body": b""}
    assert not refused(s3.put_object, **at)
    assert not refused(s3.put_object, **at, ServerSideEncryption="AES256")
    assert refused(s3.put_object, **at, ServerSideEncryption="aws:kms")
    reported = s3.get_object(Bucket=at["Bucket"], Key=at["Key"])
    assert reported.get("ServerSideEncryption") == "AES256"
    world.root.client("s3").delete_object(Bucket=at["Bucket"], Key=at["Key"])
