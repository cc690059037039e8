"""The port Queue, on the fake and on SQS."""

from __future__ import annotations

import json

import pytest

from quarry_core.aws.queue import SqsQueue
from quarry_core.errors import Missing, Refused
from quarry_core.ports import Message
from tests.contract.emulated import reach
from tests.world.clock import FakeClock
from tests.world.queue import FakeQueue

MAX_RECEIVE = 3


class Fake:
    """The queue under test, and a way to look into its dead-letter queue."""

    def __init__(self):
        self.queue = FakeQueue("work", FakeClock(), max_receive=MAX_RECEIVE)

    async def dead(self):
        return list(self.queue.dead)


class Real:
    def __init__(self, reached, queue, dead_letter_queue):
        self.queue = queue
        self._dead_letter_queue = dead_letter_queue

    async def dead(self):
        return list(await self._dead_letter_queue.receive(10, 0))


@pytest.fixture(params=["fake", pytest.param("aws", marks=pytest.mark.emulator)])
async def world(request, fresh_env, monkeypatch):
    if request.param == "fake":
        yield Fake()
        return
    aws = request.getfixturevalue("aws")
    sqs = aws.client("sqs")
    dead_url = sqs.create_queue(QueueName=f"{fresh_env}-work-dlq")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVE})
    attributes = {"VisibilityTimeout": "30", "RedrivePolicy": redrive}
    url = sqs.create_queue(QueueName=f"{fresh_env}-work", Attributes=attributes)["QueueUrl"]
    async with reach(aws, monkeypatch) as reached:
        yield Real(reached, SqsQueue(reached, "work", url, dead_url), SqsQueue(reached, "dead", dead_url, dead_url))


@pytest.fixture
def queue(world):
    return world.queue


async def the_one(queue):
    (message,) = await queue.receive(10, 0)
    return message


async def test_a_message_arrives_as_it_was_sent(queue):
    body = json.dumps({"text": "ünïcode \U0001f600"}, ensure_ascii=False)
    sent = await queue.send(body, {"origin": "me", "note": "é"})
    message = await the_one(queue)
    assert (message.id, message.body) == (sent, body)
    assert message.attributes == {"origin": "me", "note": "é"}
    assert message.receive_count == 1
    assert message.sent_at_ms > 1_700_000_000_000


async def test_a_message_may_bear_a_group_which_orders_nothing(queue):
    for number in range(3):
        await queue.send(str(number), group="r1")
    first = await queue.receive(1, 0)
    others = await queue.receive(10, 0)
    assert len(first) == 1
    assert sorted(message.body for message in (*first, *others)) == ["0", "1", "2"]


async def test_an_empty_queue_gives_nothing(queue):
    assert list(await queue.receive(10, 0)) == []
    assert list(await queue.receive(1, 1)) == []


async def test_no_more_messages_come_than_are_asked_for(queue):
    for number in range(12):
        await queue.send(str(number))
    bodies = []
    for most, wanted in ((1, 1), (3, 3), (10, 8)):
        taken = await queue.receive(most, 0)
        assert len(taken) == wanted
        bodies += [message.body for message in taken]
    assert sorted(bodies, key=int) == [str(number) for number in range(12)]


async def test_a_message_in_flight_is_given_to_nobody_else(queue):
    await queue.send("x")
    await the_one(queue)
    assert list(await queue.receive(10, 0)) == []
    assert await queue.depth() == {"visible": 0, "in_flight": 1, "delayed": 0, "dead": 0}


@pytest.mark.promise("L7")
async def test_a_message_that_is_handed_back_comes_again_at_once_and_is_counted(queue):
    await queue.send("x", {"a": "b"})
    first = await the_one(queue)
    await queue.extend(first, 0)
    second = await the_one(queue)
    assert (second.id, second.body, second.attributes) == (first.id, "x", {"a": "b"})
    assert second.receive_count == 2
    assert second.sent_at_ms == first.sent_at_ms


async def test_an_acked_message_is_gone_and_may_be_acked_again(queue):
    await queue.send("x")
    message = await the_one(queue)
    await queue.ack(message)
    assert await queue.depth() == {"visible": 0, "in_flight": 0, "delayed": 0, "dead": 0}
    await queue.ack(message)


async def test_ten_messages_are_acked_at_once_and_one_that_is_gone_keeps_none_of_them(queue):
    for number in range(11):
        await queue.send(str(number))
    messages = [*await queue.receive(10, 0), *await queue.receive(10, 0)]
    await queue.ack(messages[3])
    await queue.ack_all(messages[:10])
    assert await queue.depth() == {"visible": 0, "in_flight": 1, "delayed": 0, "dead": 0}
    await queue.ack_all(messages[10:])
    assert await queue.depth() == {"visible": 0, "in_flight": 0, "delayed": 0, "dead": 0}
    for wrong in ([], messages):
        with pytest.raises(ValueError, match="10"):
            await queue.ack_all(wrong)


async def test_who_keeps_a_message_that_is_gone_is_reported(queue):
    await queue.send("x")
    message = await the_one(queue)
    await queue.extend(message, 60)
    await queue.ack(message)
    with pytest.raises(Missing, match=message.id):
        await queue.extend(message, 60)


async def test_an_old_receipt_acks_nothing(queue):
    await queue.send("x")
    old = await the_one(queue)
    await queue.extend(old, 0)
    new = await the_one(queue)
    await queue.ack(old)
    with pytest.raises(Missing):
        await queue.extend(old, 60)
    await queue.extend(new, 0)
    assert (await the_one(queue)).id == old.id


async def test_a_delayed_message_waits(queue):
    await queue.send("x", delay_s=900)
    assert list(await queue.receive(10, 0)) == []
    assert await queue.depth() == {"visible": 0, "in_flight": 0, "delayed": 1, "dead": 0}


async def test_depth_counts_what_is_visible(queue):
    await queue.send("x")
    await queue.send("y")
    assert await queue.depth() == {"visible": 2, "in_flight": 0, "delayed": 0, "dead": 0}


@pytest.mark.promise("L6")
async def test_a_dead_lettered_message_tells_why_where_and_which(world, queue):
    await queue.send("poison", {"a": "b"})
    message = await the_one(queue)
    await queue.dead_letter(message, "no such key: modle_id", "arrive")
    assert (await queue.depth())["in_flight"] == 1, "dead-lettering is not acking"
    await queue.ack(message)
    assert await queue.depth() == {"visible": 0, "in_flight": 0, "delayed": 0, "dead": 1}
    (dead_letter,) = await world.dead()
    assert dead_letter.body == "poison"
    assert dead_letter.attributes == {
        "a": "b",
        "quarry_reason": "no such key: modle_id",
        "quarry_step": "arrive",
        "quarry_origin_id": message.id,
    }


@pytest.mark.promise("I4")
async def test_a_message_that_is_dead_lettered_again_keeps_its_first_origin(world, queue):
    await queue.send("poison", {"quarry_origin_id": "first", "quarry_reason": "old"})
    await queue.dead_letter(await the_one(queue), "new", "arrive")
    (dead_letter,) = await world.dead()
    assert dead_letter.attributes["quarry_origin_id"] == "first"
    assert dead_letter.attributes["quarry_reason"] == "new"


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    ("body", "attributes", "reason"),
    [
        ("x" * 1_048_500, {}, "r" * 5_000),
        ("x", {f"a{number}": "v" for number in range(10)}, "reason"),
        ("x", {"a": "v"}, ""),
        ("x", {"a": "v"}, "wake-up \x07, nul \x00, surrogate \ud800"),
        ("", {}, "an empty body"),
        ("nul \x00", {}, "a body that SQS would not take"),
    ],
    ids=["large", "ten attributes", "no reason", "bad characters", "empty body", "bad body"],
)
async def test_nothing_about_a_message_keeps_it_from_being_dead_lettered(world, queue, body, attributes, reason):
    message = Message("the-id", body, "receipt", attributes)
    await queue.dead_letter(message, reason, "step")
    (dead_letter,) = await world.dead()
    assert dead_letter.attributes["quarry_origin_id"] == "the-id"
    assert len(dead_letter.attributes) <= 10
    assert 1 <= len(dead_letter.attributes["quarry_reason"]) <= 1_000
    assert dead_letter.body


async def test_a_body_that_was_cut_says_how_long_it_was(world, queue):
    await queue.dead_letter(Message("the-id", "é" * 524_280, "receipt", {"a": "v" * 5_000}), "r" * 1_000, "step")
    (dead_letter,) = await world.dead()
    assert dead_letter.attributes["quarry_body_bytes"] == str(2 * 524_280)
    assert dead_letter.body == "é" * (131_072 // 2)


@pytest.mark.promise("L6")
async def test_a_message_that_kills_its_process_ends_in_the_dead_letter_queue_by_itself(queue):
    await queue.send("killer")
    for number in range(MAX_RECEIVE):
        message = await the_one(queue)
        assert message.receive_count == number + 1
        await queue.extend(message, 0)
    assert list(await queue.receive(10, 0)) == []
    assert await queue.depth() == {"visible": 0, "in_flight": 0, "delayed": 0, "dead": 1}


async def test_an_empty_or_too_large_body_is_refused(queue):
    for body in ("", "x" * 1_100_000):
        with pytest.raises(Refused):
            await queue.send(body)


async def test_what_sqs_would_not_take_is_an_error_of_the_caller(queue):
    message = Message("id", "x", "receipt")
    for wrong in (
        queue.receive(0, 0),
        queue.receive(11, 0),
        queue.receive(1, 21),
        queue.receive(1, -1),
        queue.send("x", delay_s=901),
        queue.send("x", {f"a{number}": "v" for number in range(11)}),
        queue.send("x", {"a": ""}),
        queue.extend(message, -1),
        queue.extend(message, 43_201),
    ):
        with pytest.raises(ValueError, match=r"SQS|empty"):
            await wrong
