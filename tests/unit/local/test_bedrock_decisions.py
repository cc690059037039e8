"""The pure parts of the simulated Bedrock: models, the course of a job, events' faults, policies, requests' checks."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_local import bedrock
from quarry_local.bedrock.api.checks import Checks
from quarry_local.bedrock.errors import ApiError
from quarry_local.bedrock.events.envelope import Disorder, EventFigures, event_of
from quarry_local.bedrock.iam.policy import allows
from quarry_local.bedrock.jobs.job import ACTIVE, MOVES, TERMINAL, Job, Status, next_move, plan_progress
from quarry_local.bedrock.models.identity import Model, resolve
from quarry_local.bedrock.settings import LiveSettings

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:events"
RULE = "arn:aws:events:us-east-1:000000000000:rule/bedrock"


def a_job(**more: Any) -> Job:
    model = Model(HAIKU, f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}", "anthropic")
    return Job("abcdefghijkl", "arn:job", {"jobName": "job", **more}, model, submit_time=1000.0, entered_at=1000.0)


def test_it_is_a_second_opinion_and_reads_nothing_of_quarrys_own():
    sources = list(Path(str(bedrock.__file__)).parent.glob("*.py"))
    assert sources
    assert not [source.name for source in sources if re.search(r"\bquarry_(?!local)", source.read_text())]


@pytest.mark.parametrize(
    "named",
    [
        HAIKU,
        f"us.{HAIKU}",
        f"global.{HAIKU}",
        f"{HAIKU}:200k",
        f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}",
        f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{HAIKU}",
    ],
)
def test_all_names_of_a_model_are_one_pool(named):
    model = resolve(named, region="us-east-1", account="123456789012")
    assert model.pool == HAIKU
    assert model.arn.startswith("arn:aws:bedrock:us-east-1:")
    assert model.arn.endswith(named.rsplit("/", 1)[-1])


@pytest.mark.parametrize(
    "known",
    [
        "anthropic.claude-3-5-sonnet-20241022-v2:0",
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic.claude-opus-5",
        "us.anthropic.claude-sonnet-4-6",
        "amazon.titan-embed-text-v2:0",
    ],
)
def test_models_with_batch_inference_are_known(known):
    assert resolve(known, region="us-east-1", account="123456789012").pool in known


@pytest.mark.parametrize(
    "unknown",
    [
        "us.anthropic.claude-opus-4-7",
        "amazon.titan-embed-text-v1",
        f"arn:aws:bedrock:eu-west-1::foundation-model/{HAIKU}",
        f"arn:aws:bedrock:us-east-1:123456789012:provisioned-model/{HAIKU}",
    ],
)
def test_other_models_are_refused_in_the_known_words(unknown):
    with pytest.raises(ApiError, match="Batch inference is not supported for the requested model"):
        resolve(unknown, region="us-east-1", account="123456789012")


def test_no_job_leaves_a_terminal_status_and_every_active_one_can_end():
    assert {"Completed", "PartiallyCompleted", "Failed", "Expired", "Stopped"} == TERMINAL
    for status in ACTIVE:
        reached = {status}
        while new := {after for one in reached for after in MOVES[one]} - reached:
            reached |= new
        assert reached & TERMINAL
        assert Status.STOPPED in reached
    job = a_job()
    job.move(Status.STOPPING, 1001)
    job.move(Status.STOPPED, 1002)
    with pytest.raises(AssertionError):
        job.move(Status.IN_PROGRESS, 1003)


@given(
    total=st.integers(0, 50_000),
    per_1000_s=st.floats(0, 1e6),
    waited_s=st.floats(0, 24 * 3600),
    later_s=st.lists(st.floats(0, 1e7), min_size=2, max_size=5),
)
def test_progress_only_grows_ends_by_the_deadline_and_is_partial_only_by_time(total, per_1000_s, waited_s, later_s):
    job = a_job()
    began_at = job.submit_time + waited_s
    plan = plan_progress(job, total, began_at, LiveSettings(seconds_per_1000_records=per_1000_s))
    assert began_at <= plan.ends_at <= max(began_at, job.deadline)
    seen = [plan.processed(began_at + later) for later in sorted(later_s)]
    assert seen == sorted(seen)
    assert all(0 <= one <= plan.done <= total for one in seen)
    assert plan.processed(plan.ends_at) == plan.done
    if plan.ends_as is Status.COMPLETED:
        assert plan.done == total
    else:
        assert plan.ends_as is Status.PARTIALLY_COMPLETED
        assert plan.ends_at == max(began_at, job.deadline)


def test_a_waiting_job_expires_only_from_scheduled():
    live = LiveSettings(queue_s=30 * 3600)
    job = a_job()
    for status in (Status.VALIDATING, Status.SCHEDULED):
        due = next_move(job, live, capacity=True)
        assert due is not None
        assert due.to is status
        job.move(status, due.at)
    due = next_move(job, live, capacity=True)
    assert due is not None
    assert due.to is Status.EXPIRED
    assert 16 <= due.at - job.deadline <= 42
    entered_at = job.entered_at
    job.move(due.to, due.at)
    assert job.end_time == entered_at
    assert next_move(job, live, capacity=True) is None


def test_a_longer_timeout_is_counted_from_submission():
    assert a_job(timeoutDurationInHours=168).deadline == 1000 + 168 * 3600


COURSE = [Status.SUBMITTED, Status.VALIDATING, Status.SCHEDULED, Status.IN_PROGRESS, Status.COMPLETED]


def reported(live: LiveSettings, seed: int = 0) -> tuple[list[str], EventFigures]:
    figures = EventFigures()
    disorder = Disorder(seed, figures)
    job = a_job()
    statuses: list[str] = []
    for status in COURSE:
        job.status = status
        event = event_of(job, account="1", region="r", at=0)
        statuses += [json.loads(one.envelope)["detail"]["status"] for one in disorder.offer(event, live)]
    return statuses, figures


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 1000))
def test_every_event_is_lost_or_comes_once_or_twice_and_the_figures_say_so(lost, doubled, reordered, seed):
    live = LiveSettings(events_lost_share=lost, events_doubled_share=doubled, events_reordered_share=reordered)
    statuses, figures = reported(live, seed)
    assert reported(live, seed)[0] == statuses
    assert len(statuses) == len(COURSE) - figures.lost + figures.doubled
    assert len(set(statuses)) == len(COURSE) - figures.lost
    if not lost and not reordered:
        assert [one for one in COURSE if one in statuses] == list(dict.fromkeys(statuses))


def a_policy(effect: str = "Allow", **statement: Any) -> str:
    full = {
        "Effect": effect,
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
        "Condition": {"ArnEquals": {"aws:SourceArn": RULE}},
        **statement,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": full})


def may(policy: str | None) -> bool:
    context = {"aws:SourceArn": RULE, "aws:SourceAccount": "000000000000", "aws:SecureTransport": "true"}
    return allows(policy, service="events.amazonaws.com", action="sqs:SendMessage", resource=QUEUE, context=context)


@pytest.mark.parametrize(
    "statement",
    [
        {},
        {"Action": ["SQS:*"]},
        {"Resource": "*"},
        {"Resource": QUEUE[:-3] + "*"},
        {"Principal": "*"},
        {"Principal": {"AWS": "*"}},
        {"Condition": {"ArnLike": {"aws:SourceArn": [RULE[:-3] + "*"]}}},
        {"Condition": {"StringEquals": {"AWS:SourceArn": RULE, "aws:SourceAccount": ["000000000000"]}}},
        {"Condition": {"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}}},
        {"Condition": {}},
    ],
)
def test_a_policy_that_names_the_rule_lets_it_send(statement):
    assert may(a_policy(**statement))


@pytest.mark.parametrize(
    "statement",
    [
        {"Principal": {"Service": "sns.amazonaws.com"}},
        {"Principal": {"AWS": "arn:aws:iam::000000000000:root"}},
        {"Action": "sqs:ReceiveMessage"},
        {"Resource": QUEUE + "-other"},
        {"Condition": {"ArnEquals": {"aws:SourceArn": RULE + "2"}}},
        {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}},
        {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
    ],
)
def test_a_policy_that_does_not_name_it_does_not(statement):
    assert not may(a_policy(**statement))


def test_no_policy_allows_nothing_and_a_denial_wins():
    assert not may(None)
    allowing = json.loads(a_policy())["Statement"]
    for condition, allowed in (
        ({}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, True),
        ({"ArnNotEquals": {"aws:SourceArn": RULE}}, True),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
    ):
        denying = json.loads(a_policy("Deny", Principal="*", Condition=condition))["Statement"]
        assert may(json.dumps({"Statement": [allowing, denying]})) is allowed


@pytest.fixture(scope="module")
def checks() -> Checks:
    return Checks()


def create(**changes: Any) -> bytes:
    request = {
        "jobName": "job",
        "roleArn": "arn:aws:iam::123456789012:role/batch",
        "modelId": HAIKU,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/in/a.jsonl"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}},
        **changes,
    }
    return json.dumps({name: value for name, value in request.items() if value is not None}).encode()


def read(checks: Checks, body: bytes) -> dict[str, Any]:
    return checks.read("CreateModelInvocationJob", path={}, query={}, body=body)


@pytest.mark.parametrize("key", ["", "/", "/a.jsonl", "/a/b/", "/a_b-c.d!e*f'g(h)/i.jsonl"])
def test_uris_of_the_contract_are_taken(checks, key):
    read(checks, create(inputDataConfig={"s3InputDataConfig": {"s3Uri": f"s3://bucket{key}"}}))


@pytest.mark.parametrize("key", ["dt=1/a", "a b", "a+b", "a@b", "a:b", "a~b", "a//b", "ä"])
def test_uris_outside_the_contract_are_refused(checks, key):
    with pytest.raises(ApiError, match="regular expression pattern"):
        read(checks, create(inputDataConfig={"s3InputDataConfig": {"s3Uri": f"s3://bucket/{key}"}}))


@pytest.mark.parametrize(
    "changes",
    [
        {"jobName": None},
        {"jobName": ""},
        {"jobName": 5},
        {"inputDataConfig": {}},
        {"inputDataConfig": []},
        {"inputDataConfig": {"s3InputDataConfig": {}}},
        {"timeoutDurationInHours": 23},
        {"timeoutDurationInHours": "24"},
        {"timeoutDurationInHours": True},
        {"vpcConfig": {"subnetIds": ["s"]}},
        {"vpcConfig": {"subnetIds": [], "securityGroupIds": ["g"]}},
        {"modelId": "x" * 2049},
        {"roleArn": "arn:aws:iam::123456789012:user/me"},
        {"tags": [{"key": "k"}]},
    ],
)
def test_each_breach_of_a_request_is_refused(checks, changes):
    with pytest.raises(ApiError) as refused:
        read(checks, create(**changes))
    assert (refused.value.code, refused.value.status) == ("ValidationException", 400)


def test_all_breaches_are_reported_at_once(checks):
    with pytest.raises(ApiError, match=r"2 validation errors detected: .*jobName.*modelInvocationType"):
        read(checks, create(jobName="a b", modelInvocationType="Chat"))


@given(st.text(alphabet="ab-+._", max_size=70))
def test_a_job_name_is_taken_exactly_when_the_contract_takes_it(name):
    fits = 1 <= len(name) <= 63 and name[0] in "ab" and "_" not in name
    try:
        read(CHECKS, create(jobName=name))
        assert fits
    except ApiError:
        assert not fits


# Hypothesis and fixtures of a function do not go together.
CHECKS = Checks()
