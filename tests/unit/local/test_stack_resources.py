"""Making an environment in an AWS account: `quarry_local.resources`, and the policies that it writes."""

from __future__ import annotations

import json

import pytest

from quarry_core.contract import names
from quarry_local import policies
from quarry_local import resources as local_resources
from quarry_local.policies import Place

PLACE = Place("dev", "eu-west-1", "123456789012")


def statements(document):
    return document["Statement"]


def granted(document, action):
    """The resources on which a policy grants an action."""
    found = []
    for statement in statements(document):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        if action in actions:
            resource = statement["Resource"]
            found += resource if isinstance(resource, list) else [resource]
    return found


def test_making_an_environment_twice_changes_nothing(aws, fresh_env):
    first = local_resources.create(aws.clients, fresh_env)
    s3, sqs = aws.client("s3"), aws.client("sqs")
    s3.put_object(Bucket=first.place.bucket, Key="prompts/mine.yaml", Body=b"mine")
    sqs.send_message(QueueUrl=first.queue_urls["manifests"], MessageBody="{}")
    role = aws.client("iam").get_role(RoleName=first.place.role("bedrock"))["Role"]

    assert local_resources.create(aws.clients, fresh_env) == first

    assert s3.get_object(Bucket=first.place.bucket, Key="prompts/mine.yaml")["Body"].read() == b"mine"
    assert len(sqs.receive_message(QueueUrl=first.queue_urls["manifests"])["Messages"]) == 1
    assert aws.client("iam").get_role(RoleName=first.place.role("bedrock"))["Role"]["RoleId"] == role["RoleId"]
    assert len(aws.client("events").list_targets_by_rule(Rule=first.place.rule)["Targets"]) == 1


def test_what_was_bent_is_brought_to_shape_again(aws, resources, fresh_env):
    sqs, events = aws.client("sqs"), aws.client("events")
    url = resources.queue_urls["events"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": "", "VisibilityTimeout": "1"})
    events.disable_rule(Name=resources.place.rule)

    local_resources.create(aws.clients, fresh_env, visibility_timeout_s=20)

    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "20"
    expected = policies.event_delivery(resources.place, names.queue_name(fresh_env, "events"))
    assert json.loads(attributes["Policy"]) == expected
    assert events.describe_rule(Name=resources.place.rule)["State"] == "ENABLED"


def test_what_quarry_makes_for_itself_expires_and_what_is_the_users_does_not(aws, resources):
    rules = aws.client("s3").get_bucket_lifecycle_configuration(Bucket=resources.place.bucket)["Rules"]
    expiring = {rule["Filter"]["Prefix"] for rule in rules if "Days" in rule.get("Expiration", {})}
    assert expiring == {"batch-input/", "rows/", "batch-output/", "on-demand/", "outcomes/", "again/", "plans/"}
    assert [rule["NoncurrentVersionExpiration"] for rule in rules if rule["ID"] == "clean-up"] == [
        {"NoncurrentDays": 30}
    ]


def test_a_shipped_prompt_that_the_user_changed_stays_as_it_is(aws, fresh_env, tmp_path, monkeypatch):
    shipped = tmp_path / "shipped_prompts"
    shipped.mkdir()
    (shipped / "summary.yaml").write_text("template: '{text}'")
    (shipped / "notes.txt").write_text("not a prompt")
    monkeypatch.setattr(local_resources, "SHIPPED_PROMPTS", shipped)
    made = local_resources.create(aws.clients, fresh_env)
    s3, where = aws.client("s3"), {"Bucket": made.place.bucket, "Key": "prompts/summary.yaml"}
    assert s3.get_object(**where)["Body"].read() == b"template: '{text}'"
    s3.put_object(**where, Body=b"mine")

    local_resources.create(aws.clients, fresh_env)

    assert s3.get_object(**where)["Body"].read() == b"mine"
    assert s3.list_objects_v2(Bucket=made.place.bucket)["KeyCount"] == 1


@pytest.mark.parametrize("env", ["", "Dev", "toolongname", "a-b"])
def test_a_name_that_is_no_environment_is_refused_before_anything_is_made(aws, env):
    with pytest.raises(ValueError, match="must be 1 to 8"):
        local_resources.create(aws.clients, env)


def test_bedrock_may_touch_two_prefixes_of_one_bucket_in_this_account_only():
    document = policies.bedrock_access(PLACE)

    for action in ("s3:GetObject", "s3:PutObject"):
        prefix = "arn:aws:s3:::dev-quarry-123456789012"
        assert granted(document, action) == [f"{prefix}/batch-input/*", f"{prefix}/batch-output/*"]
    files, models = statements(document)[:2], statements(document)[2:]
    for statement in files:
        assert statement["Condition"]["StringEquals"] == {"aws:ResourceAccount": ["123456789012"]}
    assert [statement["Action"] for statement in models] == ["bedrock:InvokeModel"]


def test_bedrock_may_follow_a_profile_of_this_account_to_its_models_in_every_region():
    assert granted(policies.bedrock_access(PLACE), "bedrock:InvokeModel") == [
        "arn:aws:bedrock:*::foundation-model/*",
        "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/*",
        "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/*",
    ]


def test_only_the_scheduler_may_create_jobs_and_pass_the_role_and_only_that_role_to_bedrock():
    for service in policies.SERVICES:
        document = policies.service_access(PLACE, service)
        may = service == "scheduler"
        assert bool(granted(document, "bedrock:CreateModelInvocationJob")) is may
        assert granted(document, "iam:PassRole") == ([PLACE.role_arn("bedrock")] if may else [])


def test_no_service_is_granted_everything_of_anything_but_a_list_that_knows_no_resource():
    for service in policies.SERVICES:
        for statement in statements(policies.service_access(PLACE, service)):
            assert "*" not in statement["Action"]
            if statement["Resource"] == "*":
                assert statement["Action"] in {
                    "bedrock:ListModelInvocationJobs",
                    "bedrock:ListFoundationModels",
                    "servicequotas:ListServiceQuotas",
                    "servicequotas:ListAWSDefaultServiceQuotas",
                }


def test_every_queue_is_received_from_by_exactly_one_service():
    for name in names.QUEUES:
        arn = PLACE.queue_arn(names.queue_name("dev", name))
        receivers = [
            service
            for service in policies.SERVICES
            if arn in granted(policies.service_access(PLACE, service), "sqs:ReceiveMessage")
        ]
        assert len(receivers) == 1, name


def test_who_receives_may_dead_letter_in_that_queues_dead_letter_queue():
    for name in names.QUEUES:
        arn, dead = (PLACE.queue_arn(make("dev", name)) for make in (names.queue_name, names.dead_letter_queue_name))
        for service in policies.SERVICES:
            document = policies.service_access(PLACE, service)
            if arn in granted(document, "sqs:ReceiveMessage"):
                assert dead in granted(document, "sqs:SendMessage")
