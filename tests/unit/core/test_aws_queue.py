"""What no emulator shows of SQS: receipts in every stage of decay, foreign attributes, queues with a small limit."""

from __future__ import annotations

import pytest

from quarry_core.aws.queue import SqsQueue
from quarry_core.errors import Missing, Refused, Throttled, Unknown
from quarry_core.ports import Message
from tests.unit.core.scripted import CUT, Answer, scripted, set_credentials, wrong

URL, DEAD_URL = "https://sqs/1/work", "https://sqs/1/work-dlq"
MESSAGE = Message("the-id", "body", "receipt")
GONE = ["ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"]


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    set_credentials(monkeypatch)


def queue_at(aws):
    return SqsQueue(aws, "work", URL, DEAD_URL)


@pytest.mark.parametrize("code", GONE)
async def test_a_receipt_that_no_longer_holds_is_nothing_to_ack_and_missing_to_extend(code):
    async with scripted("sqs", [wrong(code)]) as (aws, _):
        await queue_at(aws).ack(MESSAGE)
        with pytest.raises(Missing, match="the-id"):
            await queue_at(aws).extend(MESSAGE, 30)


@pytest.mark.promise("S6")
@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (wrong("AWS.SimpleQueueService.NonExistentQueue"), Missing),
        (wrong("AccessDeniedException", 403), Refused),
        (wrong("RequestThrottled", 403), Throttled),
        (wrong("InternalError", 500), Unknown),
        (CUT, Unknown),
    ],
    ids=str,
)
async def test_an_ack_that_was_not_heard_of_is_reported(line, kind):
    async with scripted("sqs", [line]) as (aws, _):
        with pytest.raises(kind):
            await queue_at(aws).ack(MESSAGE)
        with pytest.raises(kind):
            await queue_at(aws).extend(MESSAGE, 30)


async def test_of_messages_acked_together_the_one_that_is_not_deleted_is_reported_and_one_that_is_gone_is_not():
    def failed(code):
        return Answer({"Successful": [{"Id": "0"}], "Failed": [{"Id": "1", "Code": code, "SenderFault": False}]})

    messages = [MESSAGE, Message("another", "body", "its receipt")]
    async with scripted("sqs", [failed("ReceiptHandleIsInvalid"), failed("InternalError")]) as (aws, reported):
        await queue_at(aws).ack_all(messages)
        with pytest.raises(Unknown, match="InternalError"):
            await queue_at(aws).ack_all(messages)
    assert reported.requests[0].body == {
        "QueueUrl": URL,
        "Entries": [{"Id": "0", "ReceiptHandle": "receipt"}, {"Id": "1", "ReceiptHandle": "its receipt"}],
    }


async def test_only_texts_are_read_of_a_messages_attributes():
    reported_message = {
        "MessageId": "the-id",
        "ReceiptHandle": "receipt",
        "Body": "body",
        "MessageAttributes": {
            "text": {"DataType": "String", "StringValue": "a"},
            "own": {"DataType": "String.json", "StringValue": "{}"},
            "number": {"DataType": "Number", "StringValue": "1"},
            "bytes": {"DataType": "Binary", "BinaryValue": "AA=="},
        },
        "Attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1700000000123"},
    }
    async with scripted("sqs", [Answer({"Messages": [reported_message]})]) as (aws, reported):
        (message,) = await queue_at(aws).receive(7, 20)
    attributes = {"text": "a", "own": "{}"}
    assert message == Message("the-id", "body", "receipt", attributes, receive_count=3, sent_at_ms=1_700_000_000_123)
    assert reported.requests[0].body == {
        "QueueUrl": URL,
        "MaxNumberOfMessages": 7,
        "WaitTimeSeconds": 20,
        "MessageAttributeNames": ["All"],
        "MessageSystemAttributeNames": ["ApproximateReceiveCount", "SenderId", "SentTimestamp"],
    }


async def test_a_message_with_nothing_but_a_body_is_one_too():
    bare = {"MessageId": "the-id", "ReceiptHandle": "receipt", "Body": "body"}
    async with scripted("sqs", [Answer({"Messages": [bare]})]) as (aws, _):
        assert list(await queue_at(aws).receive(1, 0)) == [MESSAGE]


@pytest.mark.promise("S9")
async def test_a_dead_letter_message_that_is_too_large_for_its_queue_is_cut_and_sent_again():
    def small_queue(request):
        size = len(request.body["MessageBody"])
        return Answer({"MessageId": "new"}) if size <= 200_000 else wrong("InvalidParameterValue")

    async with scripted("sqs", small_queue) as (aws, reported):
        await queue_at(aws).dead_letter(Message("the-id", "x" * 300_000, "receipt", {"a": "b"}), "reason", "step")
    whole, cut = (request.body for request in reported.requests)
    assert whole["QueueUrl"] == cut["QueueUrl"] == DEAD_URL
    assert len(whole["MessageBody"]) == 300_000
    assert len(cut["MessageBody"]) == 131_072
    reported_attributes = {name: value["StringValue"] for name, value in cut["MessageAttributes"].items()}
    assert reported_attributes == {
        "a": "b",
        "quarry_reason": "reason",
        "quarry_step": "step",
        "quarry_origin_id": "the-id",
        "quarry_body_bytes": "300000",
    }


@pytest.mark.promise("S6")
@pytest.mark.parametrize(
    ("line", "kind"),
    [(CUT, Unknown), (wrong("RequestThrottled", 403), Throttled), (wrong("AccessDenied", 403), Refused)],
)
async def test_a_dead_letter_message_that_failed_is_reported_so_that_nobody_acks(line, kind):
    async with scripted("sqs", [line]) as (aws, _):
        with pytest.raises(kind):
            await queue_at(aws).dead_letter(MESSAGE, "reason", "step")


async def test_depth_asks_both_queues():
    def counted(request):
        dead = request.body["QueueUrl"] == DEAD_URL
        numbers = ("1", "2", "0") if dead else ("5", "6", "7")
        names = ("", "NotVisible", "Delayed")
        return Answer(
            {"Attributes": {f"ApproximateNumberOfMessages{n}": v for n, v in zip(names, numbers, strict=True)}}
        )

    async with scripted("sqs", counted) as (aws, _):
        assert await queue_at(aws).depth() == {"visible": 5, "in_flight": 6, "delayed": 7, "dead": 3}
