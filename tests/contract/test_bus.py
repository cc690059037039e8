"""The port Bus, on the fake and on EventBridge."""

from __future__ import annotations

import json

import pytest

from quarry_core.aws.bus import EventBus
from tests.contract.emulated import reach
from tests.world.bus import FakeBus

ENDED = {"run_id": "r1", "state": "SUCCEEDED", "rows": {"ok": 3, "error": 0}, "report_uri": "s3://b/é"}


class Fake:
    def __init__(self):
        self.bus = FakeBus("test")

    def heard(self):
        return [(event.source, event.detail_type, event.detail) for event in self.bus.events]


class Real:
    """A rule that carries everything of one source to a queue."""

    def __init__(self, aws, reached, env):
        self._sqs, events = aws.client("sqs"), aws.client("events")
        self._url = self._sqs.create_queue(QueueName=f"{env}-heard")["QueueUrl"]
        asked = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        events.put_rule(Name=f"{env}-heard", EventPattern=json.dumps({"source": ["quarry.test"]}))
        target = {"Id": "queue", "Arn": asked["Attributes"]["QueueArn"]}
        events.put_targets(Rule=f"{env}-heard", Targets=[target])
        self.bus = EventBus(reached, "test")

    def heard(self):
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        events = [json.loads(message["Body"]) for message in answer.get("Messages", [])]
        return [(event["source"], event["detail-type"], event["detail"]) for event in events]


@pytest.fixture(params=["fake", pytest.param("aws", marks=pytest.mark.emulator)])
async def world(request, fresh_env, monkeypatch):
    if request.param == "fake":
        yield Fake()
        return
    aws = request.getfixturevalue("aws")
    async with reach(aws, monkeypatch) as reached:
        yield Real(aws, reached, fresh_env)


async def test_an_event_is_reported_under_the_environments_source(world):
    await world.bus.put("Run Ended", ENDED)
    assert world.heard() == [("quarry.test", "Run Ended", ENDED)]


async def test_what_json_cannot_tell_is_an_error_of_the_caller(world):
    with pytest.raises(TypeError):
        await world.bus.put("Run Ended", {"when": object()})
    assert world.heard() == []
