"""Section 3: the events of a job, as a queue behind a real rule receives them."""

from __future__ import annotations

import re

import pytest

from tests.conformance.world import ACCOUNT, HAIKU, REGION, TERMINAL, accepted, questions

DETAIL = {
    "version",
    "accountId",
    "batchJobName",
    "batchJobArn",
    "batchModelId",
    "status",
    "failureMessage",
    "creationTime",
}


@pytest.mark.conforms(
    "C3-source", "C3-detail", "C3-no-more", "C3-resources", "C3-envelope-time", "C3-creation-time", "C3-failure-message"
)
def test_an_event_has_the_documented_form(open_world):
    world = open_world()
    queue = world.listen()
    job = world.run(questions(), model=f"us.{HAIKU}", tags=[{"key": "a", "value": "b"}])
    for event in world.received(queue, 5):
        assert event["source"] == "aws.bedrock"
        assert event["detail-type"] == "Batch Inference Job State Change"
        assert set(event) == {
            "version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail",
        }  # fmt: skip
        assert (event["version"], event["account"], event["region"]) == ("0", ACCOUNT, REGION)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event["time"])
        assert event["resources"] == [job["jobArn"]]
        detail = event["detail"]
        assert set(detail) == DETAIL
        assert detail["batchJobArn"] == job["jobArn"]
        assert detail["batchJobName"] == job["jobName"]
        assert detail["batchModelId"] == job["modelId"]
        assert detail["batchModelId"].startswith("arn:")
        assert detail["accountId"] == ACCOUNT
        assert detail["failureMessage"] == ""
        assert re.fullmatch(r"[A-Z][a-z]{2} \d{1,2}, \d{4}, \d{1,2}:\d\d:\d\d [AP]M", detail["creationTime"])


@pytest.mark.conforms("C3-failure-message", "C3-every-change")
def test_the_event_of_a_failure_says_why(open_world):
    world = open_world()
    queue = world.listen()
    job = world.run(questions(1))
    reported = {event["detail"]["status"]: event["detail"]["failureMessage"] for event in world.received(queue, 3)}
    assert reported == {"Submitted": "", "Validating": "", "Failed": job["message"]}


@pytest.mark.conforms("C3-lossy")
def test_events_may_never_come(open_world):
    world = open_world(events_lost_share=1)
    world.listen()
    world.run(questions())
    figures = world.figures(5)
    assert (figures["lost"], figures["delivered"]) == (5, 0)


@pytest.mark.conforms("C3-repeated")
def test_events_may_come_twice_and_out_of_order(open_world):
    twice = open_world(events_doubled_share=1)
    queue = twice.listen()
    twice.run(questions())
    reported = [(event["id"], event["detail"]["status"]) for event in twice.received(queue, 10)]
    assert len(set(reported)) == 5
    turned = open_world(events_reordered_share=1)
    queue = turned.listen()
    turned.run(questions())
    order = [event["detail"]["status"] for event in turned.received(queue, 5)]
    assert sorted(order) == sorted(["Submitted", "Validating", "Scheduled", "InProgress", "Completed"])
    assert order[0] != "Submitted"


@pytest.mark.conforms("C3-completion-pattern")
def test_a_rule_for_the_ends_hears_of_nothing_else(open_world):
    world = open_world()
    queue = world.listen({"status": sorted(TERMINAL), "batchJobName": [{"prefix": f"job-{world.name}"}]})
    world.run(questions())
    world.run(questions(1))
    assert [event["detail"]["status"] for event in world.received(queue, 2)] == ["Completed", "Failed"]
    assert world.figures(8)["delivered"] == 2


@pytest.mark.conforms("C3-name-prefix")
def test_a_rule_may_pick_jobs_by_the_prefix_of_their_name(open_world):
    world = open_world()
    queue = world.listen({"batchJobName": [{"prefix": f"mine-{world.name}"}]})
    world.run(questions(1), jobName=f"other-{world.name}")
    world.run(questions(1), jobName=f"mine-{world.name}-1")
    assert {event["detail"]["batchJobName"] for event in world.received(queue, 3)} == {f"mine-{world.name}-1"}
    assert world.figures(6)["unmatched"] == 3


@pytest.mark.conforms("C3-before-the-answer", "C3-every-change")
def test_the_first_event_can_be_delivered_before_create_is_answered(open_world):
    world = open_world(submitted_s=3600, events_early_share=1)
    queue = world.listen()
    reply = world.send("CreateModelInvocationJob", world.request())
    assert world.page("/_quarry/stats")["events"]["delivered"] == 1
    event = world.received(queue, 1)[0]
    assert event["detail"]["status"] == "Submitted"
    assert event["detail"]["batchJobArn"] == accepted(reply, "CreateModelInvocationJob")["jobArn"]
