"""What the embedded AWS enforces with `AUTH=true`: the ground that proofs of sufficiency and necessity stand on.

A test here that fails after the emulator's version changed means that a proof elsewhere no longer proves what it says.
What it does not enforce stands at the end, as firmly.
"""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest
from botocore.exceptions import ClientError

from tests.infra import enforcing

ACCOUNT, STRANGER = "000000000000", "111122223333"
ROOT_ARN = f"arn:aws:iam::{ACCOUNT}:root"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    with enforcing.running(tmp_path_factory.mktemp("enforcing")) as clients:
        yield clients


@pytest.fixture
def root(clients):
    return enforcing.root(clients)


@pytest.fixture
def name():
    return f"name{next(_numbers)}"


@pytest.fixture
def bucket(root, name):
    root.client("s3").create_bucket(Bucket=name)
    for key in ("mine/a", "theirs/a"):
        root.client("s3").put_object(Bucket=name, Key=key, Body=b"x")
    return name


@pytest.fixture
def queue(root, name):
    return root.client("sqs").create_queue(QueueName=name)["QueueUrl"]


@pytest.fixture
def table(root, name):
    root.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.fixture
def role(root, name):
    """Makes a role with a policy and returns a caller under it."""

    def make(*statements, trust=None):
        iam = root.client("iam")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust or trusting({"AWS": ROOT_ARN})))
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="access", PolicyDocument=document(*statements))
        return enforcing.assume(root, role_arn(name))

    return make


def role_arn(name):
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def queue_arn(name):
    return f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"


def allow(action, resource, **condition):
    return {
        "Effect": "Allow",
        "Action": action,
        "Resource": resource,
        **({"Condition": condition} if condition else {}),
    }


def trusting(principal, **condition):
    one = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [{**one, **({"Condition": condition} if condition else {})}]}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def denial(call, **arguments):
    """The code that a call is refused with; empty if it is not."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


DENIED = {"AccessDenied", "AccessDeniedException"}
PLAIN_HTTP = {"Bool": {"aws:SecureTransport": "false"}}


# ------------------------------------------------------------------------------------------------ who calls


def test_the_key_test_is_root_whatever_its_secret(root):
    assert root.client("sts").get_caller_identity()["Arn"] == ROOT_ARN
    assert denial(root.client("s3").list_buckets) == ""


def test_twelve_digits_are_the_root_of_that_account(clients):
    identity = enforcing.root(clients, STRANGER).client("sts").get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::{STRANGER}:root"


def test_a_key_that_was_not_given_out_is_refused(root):
    unknown = dataclasses.replace(root, keys={"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "x"})
    assert denial(unknown.client("s3").list_buckets) == "InvalidAccessKeyId"
    assert denial(unknown.client("sqs").list_queues) == "InvalidClientTokenId"


@pytest.mark.parametrize(
    ("part", "code"), [("SecretAccessKey", "SignatureDoesNotMatch"), ("SessionToken", "InvalidToken")]
)
def test_the_keys_of_a_role_are_checked_whole(role, bucket, part, code):
    caller = role(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"))
    bent = dataclasses.replace(caller, keys={**caller.keys, part: "bent"})
    assert denial(caller.client("s3").get_object, Bucket=bucket, Key="mine/a") == ""
    assert denial(bent.client("s3").get_object, Bucket=bucket, Key="mine/a") == code


def test_a_caller_under_a_role_is_named_for_its_session(role, name):
    arn = role().client("sts").get_caller_identity()["Arn"]
    assert arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{enforcing.SESSION_NAME}"


# ------------------------------------------------------------------------------------------------ identity policies


def test_a_role_without_a_policy_may_nothing(role, bucket, queue, table):
    caller = role()
    assert denial(caller.client("s3").get_object, Bucket=bucket, Key="mine/a") in DENIED
    assert denial(caller.client("sqs").send_message, QueueUrl=queue, MessageBody="x") in DENIED
    assert denial(caller.client("dynamodb").get_item, TableName=table, Key={"pk": {"S": "a"}}) in DENIED
    assert (
        denial(caller.client("events").put_events, Entries=[{"Source": "x", "DetailType": "x", "Detail": "{}"}])
        in DENIED
    )


def test_objects_are_told_apart_by_prefix_and_action(role, bucket):
    s3 = role(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/mine/*")).client("s3")
    assert denial(s3.get_object, Bucket=bucket, Key="mine/a") == ""
    assert denial(s3.get_object, Bucket=bucket, Key="theirs/a") in DENIED
    assert denial(s3.put_object, Bucket=bucket, Key="mine/a", Body=b"y") in DENIED


def test_listing_is_bound_by_the_prefix_that_it_asks_for(role, bucket):
    s3 = role(allow("s3:ListBucket", f"arn:aws:s3:::{bucket}", StringLike={"s3:prefix": ["mine/*"]})).client("s3")
    assert denial(s3.list_objects_v2, Bucket=bucket, Prefix="mine/") == ""
    assert denial(s3.list_objects_v2, Bucket=bucket, Prefix="theirs/") in DENIED
    assert denial(s3.list_objects_v2, Bucket=bucket) in DENIED


@pytest.mark.parametrize(("owner", "allowed"), [(ACCOUNT, True), (STRANGER, False)])
def test_the_resources_account_is_a_condition(role, bucket, owner, allowed):
    bound = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", StringEquals={"aws:ResourceAccount": owner})
    assert (denial(role(bound).client("s3").get_object, Bucket=bucket, Key="mine/a") == "") is allowed


def test_queues_are_told_apart_by_arn_and_action(role, root, queue, name):
    other = root.client("sqs").create_queue(QueueName=f"{name}-other")["QueueUrl"]
    sqs = role(allow("sqs:SendMessage", queue_arn(name))).client("sqs")
    assert denial(sqs.send_message, QueueUrl=queue, MessageBody="x") == ""
    assert denial(sqs.send_message, QueueUrl=other, MessageBody="x") in DENIED
    assert denial(sqs.receive_message, QueueUrl=queue) in DENIED


def test_a_transaction_is_checked_by_the_actions_of_its_items(role, table, root):
    arn = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/{table}"
    dynamodb = role(allow("dynamodb:PutItem", arn)).client("dynamodb")
    put = {"Put": {"TableName": table, "Item": {"pk": {"S": "a"}}}}
    check = {
        "ConditionCheck": {
            "TableName": table,
            "Key": {"pk": {"S": "b"}},
            "ConditionExpression": "attribute_not_exists(pk)",
        }
    }
    assert denial(dynamodb.transact_write_items, TransactItems=[put]) == ""
    assert denial(dynamodb.transact_write_items, TransactItems=[put, check]) in DENIED
    assert denial(dynamodb.scan, TableName=table) in DENIED


def test_a_policy_that_changes_counts_at_once(role, root, bucket, name):
    """So an action can be removed and restored between two probes, with no new session."""
    s3 = role(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*")).client("s3")
    assert denial(s3.get_object, Bucket=bucket, Key="mine/a") == ""
    root.client("iam").put_role_policy(
        RoleName=name, PolicyName="access", PolicyDocument=document(allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*"))
    )
    assert denial(s3.get_object, Bucket=bucket, Key="mine/a") in DENIED


def test_a_denial_overrides_what_is_allowed(role, bucket):
    no = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/theirs/*"}
    s3 = role(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"), no).client("s3")
    assert denial(s3.get_object, Bucket=bucket, Key="mine/a") == ""
    assert denial(s3.get_object, Bucket=bucket, Key="theirs/a") in DENIED


def test_a_managed_policy_and_a_boundary_count(role, root, bucket, name):
    caller = role()
    iam, get = root.client("iam"), {"Bucket": bucket, "Key": "mine/a"}
    arn = iam.create_policy(PolicyName=name, PolicyDocument=document(allow("s3:*", "*")))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    assert denial(caller.client("s3").get_object, **get) == ""
    bound = document(allow("sqs:*", "*"))
    boundary = iam.create_policy(PolicyName=f"{name}-b", PolicyDocument=bound)["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary)
    assert denial(caller.client("s3").get_object, **get) in DENIED


def test_a_sessions_policy_narrows_the_role(role, root, bucket, name):
    role(allow("s3:*", "*"))
    narrow = document(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/mine/*"))
    s3 = enforcing.assume(root, role_arn(name), Policy=narrow).client("s3")
    assert denial(s3.get_object, Bucket=bucket, Key="mine/a") == ""
    assert denial(s3.get_object, Bucket=bucket, Key="theirs/a") in DENIED


# ------------------------------------------------------------------------------------------------ resource policies


def test_a_buckets_denial_of_plain_http_binds_a_role(role, root, bucket):
    caller = role(allow("s3:*", "*"))
    no = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    root.client("s3").put_bucket_policy(Bucket=bucket, Policy=document({**no, "Condition": PLAIN_HTTP}))
    assert denial(caller.client("s3").get_object, Bucket=bucket, Key="mine/a") == ""
    assert denial(caller.over("http").client("s3").get_object, Bucket=bucket, Key="mine/a") in DENIED


def test_a_buckets_policy_sees_the_encryption_that_is_asked_for(role, root, bucket):
    caller = role(allow("s3:*", "*"))
    no = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    wrong = {
        "StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"},
        "Null": {"s3:x-amz-server-side-encryption": "false"},
    }
    root.client("s3").put_bucket_policy(Bucket=bucket, Policy=document({**no, "Condition": wrong}))
    put = {"Bucket": bucket, "Key": "mine/b", "Body": b"x"}
    assert denial(caller.client("s3").put_object, **put) == ""
    assert denial(caller.client("s3").put_object, **put, ServerSideEncryption="AES256") == ""
    assert denial(caller.client("s3").put_object, **put, ServerSideEncryption="aws:kms") in DENIED


def test_a_buckets_policy_alone_opens_it_to_the_role_that_it_names(role, root, bucket, name):
    caller = role()
    yes = {**allow("s3:GetObject", f"arn:aws:s3:::{bucket}/mine/*"), "Principal": {"AWS": role_arn(name)}}
    root.client("s3").put_bucket_policy(Bucket=bucket, Policy=document(yes))
    assert denial(caller.client("s3").get_object, Bucket=bucket, Key="mine/a") == ""
    assert denial(caller.client("s3").get_object, Bucket=bucket, Key="theirs/a") in DENIED


def test_a_queues_denial_of_plain_http_binds_everybody_root_too(role, root, queue, name):
    caller = role(allow("sqs:*", "*"))
    no = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": queue_arn(name), "Condition": PLAIN_HTTP}
    root.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": document(no)})
    for who in (caller, root):
        assert denial(who.client("sqs").send_message, QueueUrl=queue, MessageBody="x") == ""
        assert denial(who.over("http").client("sqs").send_message, QueueUrl=queue, MessageBody="x") in DENIED


def test_another_account_reaches_nothing(clients, bucket, queue):
    stranger = enforcing.root(clients, STRANGER)
    assert denial(stranger.client("s3").get_object, Bucket=bucket, Key="mine/a") in DENIED
    assert denial(stranger.client("sqs").send_message, QueueUrl=queue, MessageBody="x") in DENIED


# ------------------------------------------------------------------------------------------------ trust policies


def test_a_trust_policy_that_names_another_account_lets_nobody_here_in(role):
    with pytest.raises(ClientError, match="AccessDenied"):
        role(trust=trusting({"AWS": f"arn:aws:iam::{STRANGER}:root"}))


def test_another_account_assumes_only_a_role_that_names_it(clients, root, role, name):
    role()
    stranger = enforcing.root(clients, STRANGER)
    arn = role_arn(name)
    with pytest.raises(ClientError, match="AccessDenied"):
        enforcing.assume(stranger, arn)
    trust = json.dumps(trusting({"AWS": f"arn:aws:iam::{STRANGER}:root"}))
    root.client("iam").update_assume_role_policy(RoleName=name, PolicyDocument=trust)
    assert enforcing.assume(stranger, arn).client("sts").get_caller_identity()["Account"] == ACCOUNT


@pytest.mark.parametrize(
    ("reported", "allowed"), [({"ExternalId": "right"}, True), ({"ExternalId": "wrong"}, False), ({}, False)]
)
def test_the_conditions_of_a_trust_policy_count(root, role, name, reported, allowed):
    role()
    trust = json.dumps(trusting({"AWS": ROOT_ARN}, StringEquals={"sts:ExternalId": "right"}))
    root.client("iam").update_assume_role_policy(RoleName=name, PolicyDocument=trust)
    sts = root.client("sts")
    refused = denial(sts.assume_role, RoleArn=role_arn(name), RoleSessionName="xx", **reported)
    assert (refused == "") is allowed


def test_a_services_role_that_is_bound_to_an_account_cannot_be_assumed_from_outside(role):
    """No caller can say `aws:SourceAccount`: a run under a task role needs a trust of its own, as `runtime = none` gives."""
    bound = trusting({"Service": "ecs-tasks.amazonaws.com"}, StringEquals={"aws:SourceAccount": ACCOUNT})
    with pytest.raises(ClientError, match="AccessDenied"):
        role(trust=bound)


# ------------------------------------------------------------------------------------------------ what it does not do


def test_root_passes_for_every_service_in_a_trust_policy_without_conditions(role):
    assert role(trust=trusting({"Service": "bedrock.amazonaws.com"})).keys["SessionToken"]


def test_no_bucket_policy_binds_root(root, bucket):
    no = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    root.client("s3").put_bucket_policy(Bucket=bucket, Policy=document(no))
    assert denial(root.client("s3").get_object, Bucket=bucket, Key="mine/a") == ""


def test_batches_are_wrongly_refused_to_who_may_send_or_delete_one(role, queue, name):
    """AWS checks `sqs:SendMessage` and `sqs:DeleteMessage`. Quarry sends no batches; its deletions pass `BatchedDeletions`."""
    sqs = role(allow(["sqs:SendMessage", "sqs:DeleteMessage"], queue_arn(name))).client("sqs")
    sent, deleted = [{"Id": "1", "MessageBody": "x"}], [{"Id": "1", "ReceiptHandle": "made-up"}]
    assert denial(sqs.send_message_batch, QueueUrl=queue, Entries=sent) in DENIED
    assert denial(sqs.delete_message_batch, QueueUrl=queue, Entries=deleted) in DENIED


def test_passing_a_role_is_not_checked(role, root, name):
    """The simulated Bedrock checks it for jobs; elsewhere nothing does."""
    target = f"{name}-target"
    trust = json.dumps(trusting({"Service": "ecs-tasks.amazonaws.com"}))
    root.client("iam").create_role(RoleName=target, AssumeRolePolicyDocument=trust)
    ecs = role(allow("ecs:RegisterTaskDefinition", "*")).client("ecs")
    container = [{"name": "c", "image": "i", "memory": 8}]
    task = {"family": name, "containerDefinitions": container, "taskRoleArn": role_arn(target)}
    assert denial(ecs.register_task_definition, **task) == ""


def test_a_caller_under_a_role_is_no_such_principal_to_a_condition(role, root, bucket, name):
    """To AWS `aws:PrincipalArn` is the role; here it is the session, so a denial to the role's ARN binds nobody."""
    caller = role(allow("s3:*", "*"))
    no = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}

    def denied_to(arn):
        policy = document({**no, "Condition": {"ArnEquals": {"aws:PrincipalArn": arn}}})
        root.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
        return denial(caller.client("s3").get_object, Bucket=bucket, Key="mine/a") in DENIED

    assert not denied_to(role_arn(name))
    assert denied_to(f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{enforcing.SESSION_NAME}")


def test_a_simulation_of_policies_does_not_know_the_conditions_it_is_reported(role, root, name):
    """SimulatePrincipalPolicy answers, and denies what is bound to a service, though the service is told."""
    passing = allow("iam:PassRole", role_arn("r"), StringEquals={"iam:PassedToService": "bedrock.amazonaws.com"})
    role(passing, allow("s3:GetObject", "*"))
    reported = {
        "ContextKeyName": "iam:PassedToService",
        "ContextKeyType": "string",
        "ContextKeyValues": ["bedrock.amazonaws.com"],
    }

    def decision(action, resource):
        answer = root.client("iam").simulate_principal_policy(
            PolicySourceArn=role_arn(name), ActionNames=[action], ResourceArns=[resource], ContextEntries=[reported]
        )
        return answer["EvaluationResults"][0]["EvalDecision"]

    assert decision("s3:GetObject", "arn:aws:s3:::b/k") == "allowed"
    assert decision("s3:PutObject", "arn:aws:s3:::b/k") == "implicitDeny"
    assert decision("iam:PassRole", role_arn("r")) == "implicitDeny"
