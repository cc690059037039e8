"""Messages of short work come ten by a request; those of long work stay on the queue, for whoever is free."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from quarry_core.errors import Unknown
from quarry_core.service.consumer import Consumer, Limits
from quarry_core.service.pace import Pace
from quarry_core.service.verdicts import DONE
from tests.world.clock import FakeClock
from tests.world.faults import Faults
from tests.world.queue import FakeQueue

LIMITS = Limits(concurrency=2, ahead=10, visibility_timeout_s=30, receive_wait_s=2, retry_after_max_s=60, drain_s=5)
MESSAGES = 40


@pytest.fixture
def clock():
    return FakeClock(auto_advance=False)


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def queue(clock, faults):
    queue = FakeQueue("q", clock, faults=faults)
    for number in range(MESSAGES):
        queue.put(str(number))
    return queue


class Works:
    """A handler that takes so many seconds, and knows how many were at work at once."""

    def __init__(self, clock, seconds):
        self._clock, self._seconds = clock, seconds
        self.bodies = []
        self.at_once = self.most = 0

    async def __call__(self, message):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self._clock.wait(self._seconds)
        self.at_once -= 1
        self.bodies.append(message.body)
        return DONE


async def consume(queue, clock, handle, limits=LIMITS, *, until, within_s=1_000.0):
    """Run a consumer until something holds; it is stopped then."""
    stop = asyncio.Event()
    running = asyncio.create_task(Consumer(queue, handle, limits, clock, "step").run(stop))
    passed_s = 0.0
    while not until() and passed_s < within_s:
        await clock.run_for(0.05)
        passed_s += 0.05
    stop.set()
    await clock.run_for(100)
    await asyncio.wait_for(running, 5)


async def test_of_short_work_ten_messages_come_and_go_by_one_request(queue, clock, faults):
    works = Works(clock, 0.01)
    await consume(queue, clock, works, until=lambda: not queue.bodies)

    assert sorted(works.bodies, key=int) == [str(number) for number in range(MESSAGES)]
    assert works.most == LIMITS.concurrency, "more was begun at once than may be"
    calls = Counter(faults.calls)
    assert calls["queue.ack"] == 0
    assert calls["queue.ack_all"] <= MESSAGES / 10 + 3
    received = [name for name in faults.calls if name == "queue.receive"]
    assert len(received) <= MESSAGES / 10 + 6


async def test_of_long_work_no_more_is_taken_than_is_worked_on(queue, clock):
    works, most = Works(clock, 60), 0

    def seen():
        nonlocal most
        flying = sum(hidden_s > 0 for _, hidden_s in queue.waiting)
        unacked = len(works.bodies) - (MESSAGES - len(queue.bodies))
        most = max(most, flying - unacked)
        return len(works.bodies) >= 6

    await consume(queue, clock, works, until=seen)
    assert len(works.bodies) >= 6
    assert most == LIMITS.concurrency


async def test_a_message_in_line_stays_invisible_and_is_returned_at_once_when_the_process_stops(queue, clock):
    short, stuck = Works(clock, 0.01), asyncio.Event()

    async def handle(message):
        if len(short.bodies) < 12:
            return await short(message)
        await stuck.wait()
        return DONE

    def in_line():
        return len(short.bodies) >= 12 and sum(hidden_s > 0 for _, hidden_s in queue.waiting) > LIMITS.concurrency

    stop = asyncio.Event()
    running = asyncio.create_task(Consumer(queue, handle, LIMITS, clock, "step").run(stop))
    while not in_line():
        await clock.run_for(0.02)
    await clock.run_for(1)  # what was done is acknowledged
    flying = sum(hidden_s > 0 for _, hidden_s in queue.waiting)
    assert flying > LIMITS.concurrency
    await clock.run_for(10 * LIMITS.visibility_timeout_s)
    assert queue.redelivered == 0
    assert sum(hidden_s > 0 for _, hidden_s in queue.waiting) == flying

    stop.set()
    await clock.run_for(0.5)
    assert sum(hidden_s > 0 for _, hidden_s in queue.waiting) == LIMITS.concurrency, "only what is worked on is kept"
    stuck.set()
    await clock.run_for(1)
    await running


async def test_what_is_in_line_is_returned_when_the_process_pauses(queue, clock):
    done = 0

    async def handle(_):
        nonlocal done
        await clock.wait(0.01)
        done += 1
        if done > 12:
            raise MemoryError
        return DONE

    with capture_logs():
        await consume(queue, clock, handle, replace(LIMITS, wakeup_tries_max=5), until=lambda: done >= 13, within_s=5)
    assert done <= 13 + LIMITS.concurrency, "it went on beginning what it has no memory for"
    assert len(queue.bodies) >= MESSAGES - 12 - 1


async def test_an_acknowledgement_that_fails_leaves_the_message_to_come_again(clock):
    class Failing(FakeQueue):
        async def ack_all(self, messages):
            raise Unknown("away")

    queue = Failing("q", clock)
    queue.put("x")
    works = Works(clock, 0.01)
    with capture_logs() as logs:
        await consume(queue, clock, works, until=lambda: len(works.bodies) == 1, within_s=5)
    assert [line["event"] for line in logs if line["event"] == "conclude_failed"] == ["conclude_failed"]
    assert queue.bodies == ("x",)


def test_the_pace_is_that_of_the_last_ten():
    pace = Pace()
    assert pace.within(1.0, 4) == 0, "nothing is known"
    for _ in range(20):
        pace.note(60.0)
    assert pace.within(0.5, 4) == 0
    for _ in range(10):
        pace.note(0.1)
    assert pace.within(0.5, 4) == 20
    pace.note(0.0)
    assert pace.within(0.5, 4) == 22
