"""`quarry dlq` on the queues of a whole environment in the session's AWS."""

from __future__ import annotations

import asyncio
import json
import os

import pytest
from typer.testing import CliRunner

from quarry_cli.main import app
from quarry_core.aws.client import Aws
from quarry_core.aws.queue import SqsQueue
from quarry_core.contract.manifest_identity import run_id_of
from quarry_local.resources import RECEIVE_COUNT_MAX

MANIFEST = {"s3_uri": "s3://somebodys-bucket/k.csv", "prompt": "Tell {topic}"}
FIRST_ID = "the-first-id"


@pytest.fixture
def quarry(aws, resources, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("AWS_", "QUARRY_")):
            monkeypatch.delenv(name)
    for name, value in {**aws.variables(), **resources.environment()}.items():
        monkeypatch.setenv(name, value)
    return lambda *args, **given: CliRunner().invoke(app, ["dlq", *args], env={"COLUMNS": "200"}, **given)


def shown(quarry, queue, *options):
    result = quarry("show", queue, "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def dead_letter(resources, queue, bodies):
    """As a consumer does, of messages that had been moved back once before."""

    async def through():
        async with Aws() as aws:
            held = SqsQueue(aws, queue, resources.queue_urls[queue], resources.dead_letter_urls[queue])
            for body in bodies:
                await held.send(body, {"mine": "kept", "quarry_origin_id": FIRST_ID})
            while messages := await held.receive(10, 0):
                for message in messages:
                    await held.dead_letter(message, f"KeyError: {message.body}", "arrive")
                    await held.ack(message)

    asyncio.run(through())


def bodies_on(aws, url):
    sqs, found = aws.client("sqs"), {}
    asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
    while messages := sqs.receive_message(**asked).get("Messages"):
        for message in messages:
            attributes = message.get("MessageAttributes", {})
            found[message["Body"]] = {name: each["StringValue"] for name, each in attributes.items()}
    return found


@pytest.mark.promise("I4")
def test_dead_letter_messages_are_listed_shown_and_moved_back_by_reason(aws, resources, quarry):
    dead_letter(resources, "slices", [f"wake-up {number}" for number in range(12)])

    listed = {each["queue"]: each for each in json.loads(quarry("list", "--json").stdout)}
    dead_letters = shown(quarry, "slices", "--limit", "100")
    moved = quarry("redrive", "slices", "--reason", "wake-up 1", "--yes")

    assert {name: each["visible"] for name, each in listed.items() if each["visible"]} == {"slices": 12}
    assert listed["slices"]["oldest"]["reason"].startswith("KeyError: wake-up")
    assert {(dead_letter["reason"], dead_letter["origin_id"], dead_letter["step"]) for dead_letter in dead_letters} == {
        (f"KeyError: wake-up {number}", FIRST_ID, "arrive") for number in range(12)
    }
    assert moved.exit_code == 0, moved.output
    kept = {"mine": "kept", "quarry_origin_id": FIRST_ID}
    back = bodies_on(aws, resources.queue_urls["slices"])
    assert back == {"wake-up 1": kept, "wake-up 10": kept, "wake-up 11": kept}
    assert len(shown(quarry, "slices", "--limit", "100")) == 9


@pytest.mark.promise("I4")
def test_a_manifest_that_sqs_itself_gave_up_keeps_its_run_id(aws, resources, quarry):
    sqs, url = aws.client("sqs"), resources.queue_urls["manifests"]
    sent = sqs.send_message(QueueUrl=url, MessageBody=json.dumps(MANIFEST))["MessageId"]
    for _ in range(RECEIVE_COUNT_MAX + 1):
        sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)

    (dead_letter,) = shown(quarry, "manifests")
    moved = quarry("redrive", "manifests", "--yes")

    assert (dead_letter["reason"], dead_letter["origin_id"]) == ("", sent)
    assert dead_letter["run_id"] == run_id_of(MANIFEST, sent)
    assert moved.exit_code == 0, moved.output
    assert bodies_on(aws, url) == {json.dumps(MANIFEST): {"quarry_origin_id": sent}}
    assert shown(quarry, "manifests") == []


def test_what_eventbridge_could_not_deliver_goes_to_the_events_queue(aws, resources, quarry):
    error = {"ERROR_CODE": {"DataType": "String", "StringValue": "NO_PERMISSIONS"}}
    aws.client("sqs").send_message(
        QueueUrl=resources.event_target_dlq_url, MessageBody='{"source": "aws.bedrock"}', MessageAttributes=error
    )

    (dead_letter,) = shown(quarry, "event-target")
    quarry("redrive", "event-target", "--yes")

    assert dead_letter["reason"] == "NO_PERMISSIONS"
    assert list(bodies_on(aws, resources.queue_urls["events"])) == ['{"source": "aws.bedrock"}']


def test_purge_deletes_what_was_counted(aws, resources, quarry):
    for number in range(12):
        aws.client("sqs").send_message(QueueUrl=resources.dead_letter_urls["events"], MessageBody=f"{number}")

    result = quarry("purge", "events", input="12\n")

    assert "12 deleted" in result.stdout
    assert shown(quarry, "events") == []
