"""A consumer that stops, since all that it takes fails in the same way; and that it does not stop for anything else."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from quarry_core.errors import Unknown
from quarry_core.service.breaker import PAUSE_FIRST_S, PAUSE_MAX_S, Breaker
from quarry_core.service.consumer import Consumer, Limits
from quarry_core.service.failures import StepFailed
from quarry_core.service.process import note_health
from quarry_core.service.verdicts import DONE, Poison
from quarry_core.telemetry import metrics
from quarry_core.telemetry.status import Health
from tests.world.clock import FakeClock
from tests.world.queue import FakeQueue

ALIKE_MAX = 5
LIMITS = Limits(
    concurrency=1,
    visibility_timeout_s=30,
    receive_wait_s=0,
    retry_after_max_s=600,
    drain_s=5,
    wakeup_tries_max=5,
    alike_max=ALIKE_MAX,
)


def test_it_stops_at_the_last_of_so_many_distinct_messages_and_pauses_ever_longer():
    breaker = Breaker(3)
    assert [breaker.failed(message, "bug", 0.0) for message in ("a", "b", "a", "b")] == [0.0] * 4
    assert not breaker.open

    pauses, now_s = [], 0.0
    for number in range(6):
        pause_s = breaker.failed(f"c{number}", "bug", now_s)
        assert breaker.open
        assert breaker.pause_s(now_s) == pause_s
        assert breaker.failed("in flight", "bug", now_s) == 0.0, "a batch is one try"
        pauses.append(pause_s)
        now_s += pause_s

    assert pauses == [PAUSE_FIRST_S, 60.0, 120.0, 240.0, PAUSE_MAX_S, PAUSE_MAX_S]
    assert breaker.went_well()
    assert not breaker.open
    assert breaker.failed("d", "bug", now_s) == 0.0


def test_another_failure_in_between_or_a_message_that_goes_well_begins_the_count_anew():
    breaker = Breaker(3)
    for message, failure in (("a", "one"), ("b", "one"), ("c", "other"), ("d", "one"), ("e", "one")):
        assert breaker.failed(message, failure, 0.0) == 0.0
    breaker.went_well()
    assert breaker.failed("f", "one", 0.0) == 0.0
    assert breaker.alike == 1


@pytest.fixture
def clock():
    return FakeClock(auto_advance=False)


@pytest.fixture
def queue(clock):
    queue = FakeQueue("slices", clock)
    for number in range(30):
        queue.put(f"message {number}")
    return queue


async def run(consumer, clock, seconds):
    stop = asyncio.Event()
    with capture_logs() as lines:
        running = asyncio.create_task(consumer.run(stop))
        for _ in range(seconds):
            await clock.run_for(1)
        yielded = consumer.stopped
        stop.set()
        await clock.run_for(600)
        await running
    return yielded, [line for line in lines if line["event"] in ("stopped_receiving", "receiving_again")]


def bug(message):
    raise KeyError(f"attribute {message.body}")


async def planted(message):
    bug(message)


async def in_a_step(message):
    try:
        bug(message)
    except KeyError as error:
        raise StepFailed(f"told for {message.id}") from error


async def poisons(message):
    return Poison(f"{message.body} has no v")


@pytest.mark.promise("L8")
@pytest.mark.parametrize("handle", [planted, in_a_step, poisons])
async def test_a_bug_that_fails_every_message_stops_the_consumer_before_it_has_shovelled_its_queue_away(
    queue, clock, handle
):
    subject = Consumer(queue, handle, LIMITS, clock, "slice")

    stopped, lines = await run(subject, clock, 29)

    assert stopped
    assert queue.deliveries == ALIKE_MAX
    assert len(queue.dead) <= ALIKE_MAX
    assert len(queue.dead) + len(queue.bodies) == 30
    [line] = lines
    assert (line["queue"], line["messages"], line["pause_s"]) == ("slices", ALIKE_MAX, PAUSE_FIRST_S)
    assert metrics.CONSUMER_STOPPED.labels("slices")._value.get() == 1


@pytest.mark.promise("L8")
async def test_it_tries_again_slowly_and_goes_on_once_the_bug_is_gone(queue, clock):
    fixed = False

    async def handle(message):
        if not fixed:
            bug(message)
        return DONE

    subject = Consumer(queue, handle, LIMITS, clock, "slice")
    stop = asyncio.Event()
    with capture_logs() as lines:
        running = asyncio.create_task(subject.run(stop))
        await clock.run_for(PAUSE_FIRST_S + 60 + 120 - 1)
        assert queue.deliveries == ALIKE_MAX + 2, "one message after each pause"
        fixed = True
        for _ in range(60):
            await clock.run_for(20)
        assert not subject.stopped
        assert queue.bodies == ()
        stop.set()
        await clock.run_for(30)
        await running

    assert [line["event"] for line in lines if line["event"] == "receiving_again"] == ["receiving_again"]
    assert metrics.CONSUMER_STOPPED.labels("slices")._value.get() == 0


async def outage(message):
    raise Unknown(f"no answer for {message.body}")


def every_other():
    calls = itertools.count()

    async def handle(message):
        if next(calls) % 2:
            bug(message)
        return DONE

    return handle


@pytest.mark.promise("L8")
@pytest.mark.parametrize("handle", [outage, every_other()], ids=["outage", "every other"])
async def test_an_outage_and_messages_that_fail_among_others_stop_nothing(queue, clock, handle):
    stopped, lines = await run(Consumer(queue, handle, LIMITS, clock, "slice"), clock, 29)

    assert not stopped
    assert lines == []
    assert queue.deliveries > 4 * ALIKE_MAX


async def test_users_messages_that_are_wrong_by_themselves_stop_nothing_however_many(queue, clock):
    limits = replace(LIMITS, wakeup_tries_max=None)

    stopped, _ = await run(Consumer(queue, poisons, limits, clock, "arrive"), clock, 29)

    assert not stopped
    assert len(queue.dead) == 30


@pytest.mark.promise("L8")
async def test_a_process_whose_consumer_has_stopped_is_not_ready_and_says_which(queue, clock):
    subject = Consumer(queue, planted, LIMITS, clock, "slice")
    health = Health()
    note_health(health, [subject], draining=False)
    assert (health.ready, health.why) == (False, "")  # not polled yet

    stop = asyncio.Event()
    with capture_logs():
        running = asyncio.create_task(subject.run(stop))
        await clock.run_for(1)
        note_health(health, [subject], draining=False)
        assert not health.ready
        assert health.why == "takes no messages from slices: the last ones all failed alike"
        stop.set()
        await clock.run_for(60)
        await running
