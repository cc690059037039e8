"""The loop: verdicts, heartbeats, poison, and what SIGTERM does."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from quarry_core.errors import Stale, Throttled, Unknown
from quarry_core.service import consumer as loop
from quarry_core.service.consumer import Consumer, Limits
from quarry_core.service.failures import StepFailed
from quarry_core.service.verdicts import DONE, Poison, Retry
from tests.world.clock import FakeClock
from tests.world.queue import FakeQueue

LIMITS = Limits(concurrency=4, visibility_timeout_s=30, receive_wait_s=0, retry_after_max_s=60, drain_s=5)


@pytest.fixture(autouse=True)
def _idle():
    """A traceback for each failure costs more than all the rest."""
    with capture_logs():
        yield


@pytest.fixture
def clock():
    return FakeClock(auto_advance=False)


@pytest.fixture
def queue(clock):
    return FakeQueue("q", clock)


def consumer(queue, clock, handle, limits=LIMITS):
    return Consumer(queue, handle, limits, clock, "step")


@pytest.mark.promise("S6")
async def test_done_acks_after_the_handler_and_not_before(queue, clock):
    queue.put("work")
    seen = []

    async def handle(message):
        seen.append((message.body, len(queue.bodies)))
        return DONE

    counts = await consumer(queue, clock, handle).run_once()

    assert seen == [("work", 1)]
    assert counts.done == 1
    assert queue.bodies == ()


async def test_retry_hands_the_message_back_after_its_pause(queue, clock):
    queue.put("later")
    counts = await consumer(queue, clock, lambda _: _value(Retry(10, "not now"))).run_once()
    assert counts.retry == 1
    assert not await queue.receive(10, 0)
    clock.advance(11)
    assert [message.body for message in await queue.receive(10, 0)] == ["later"]


@pytest.mark.promise("L6", "S9")
async def test_poison_goes_to_the_dead_letter_queue_with_its_reason_on_first_sight(queue, clock):
    queue.put("bad")
    queue.put("good")

    async def handle(message):
        return Poison("no JSON") if message.body == "bad" else DONE

    counts = await consumer(queue, clock, handle).run_once()

    assert (counts.done, counts.poison) == (1, 1)
    assert [(dead.body, dead.attributes["quarry_reason"], dead.attributes["quarry_step"]) for dead in queue.dead] == [
        ("bad", "no JSON", "step")
    ]
    assert queue.bodies == ()


@pytest.mark.parametrize("answer", [Stale("s"), Throttled("t"), Unknown("u")])
async def test_what_a_port_answers_is_tried_again(queue, clock, answer):
    queue.put("work")

    async def handle(_):
        raise answer

    counts = await consumer(queue, clock, handle).run_once()
    assert counts.retry == 1
    assert queue.bodies == ("work",)


async def test_a_bug_is_tried_again_and_dead_lettered_with_its_text_at_last(queue, clock):
    queue.put("work")

    async def handle(_):
        raise ZeroDivisionError("a bug")

    subject = consumer(queue, clock, handle)
    for _ in range(LIMITS.tries_max):
        await subject.run_once()
        clock.advance(LIMITS.retry_after_max_s + 1)

    assert [dead.attributes["quarry_reason"] for dead in queue.dead] == ["ZeroDivisionError: a bug"]


async def test_a_heartbeat_keeps_long_work_invisible(queue, clock):
    queue.put("long")
    release = asyncio.Event()

    async def handle(_):
        await release.wait()
        return DONE

    working = asyncio.create_task(consumer(queue, clock, handle).run_once())
    await clock.run_for(10 * LIMITS.visibility_timeout_s)
    assert not await queue.receive(10, 0)
    release.set()
    assert (await working).done == 1


@pytest.mark.promise("L7")
async def test_a_stop_lets_work_in_hand_finish_and_receives_no_more(queue, clock):
    queue.put("in hand")
    stop, release = asyncio.Event(), asyncio.Event()

    async def handle(_):
        await release.wait()
        return DONE

    subject = consumer(queue, clock, handle)
    running = asyncio.create_task(subject.run(stop))
    while not await _in_flight(queue):
        await asyncio.sleep(0)
    stop.set()
    queue.put("too late")
    release.set()
    await running
    assert queue.bodies == ("too late",)
    assert subject.counts.done == 1


@pytest.mark.promise("L7")
async def test_work_that_outlasts_the_drain_is_handed_back_at_once(queue, clock):
    queue.put("endless")
    stop = asyncio.Event()

    async def handle(_):
        await asyncio.Event().wait()
        return DONE

    limits = Limits(concurrency=1, visibility_timeout_s=30, receive_wait_s=0, retry_after_max_s=60, drain_s=0.01)
    subject = consumer(queue, clock, handle, limits)
    running = asyncio.create_task(subject.run(stop))
    while not await _in_flight(queue):
        await asyncio.sleep(0)
    stop.set()
    await running
    assert subject.counts.handed_back == 1
    assert [message.body for message in await queue.receive(10, 0)] == ["endless"]


class _Slow(FakeQueue):
    """Its calls are on the wire until `arrive` is set; one that its caller no longer waits for arrives all the same."""

    def __init__(self, name, clock, slow):
        super().__init__(name, clock)
        self.slow = slow
        self.begun, self.arrive = asyncio.Event(), asyncio.Event()
        self._wire = set()

    async def _by_wire(self, name, call):
        if not name.startswith(self.slow):
            return await call
        self.begun.set()
        arriving = asyncio.ensure_future(self._arrive(call))
        self._wire.add(arriving)
        arriving.add_done_callback(self._wire.discard)
        return await asyncio.shield(arriving)

    async def _arrive(self, call):
        await self.arrive.wait()
        return await call

    async def ack(self, message):
        await self._by_wire("ack", super().ack(message))

    async def ack_all(self, messages):
        await self._by_wire("ack_all", super().ack_all(messages))

    async def extend(self, message, visibility_s):
        await self._by_wire(f"extend {visibility_s}", super().extend(message, visibility_s))

    async def landed(self):
        """Whatever is on the wire has arrived."""
        self.arrive.set()
        while self._wire:
            await asyncio.wait(set(self._wire))


async def _until(holds):
    while not holds():
        await asyncio.sleep(0)


DRAIN = replace(LIMITS, drain_s=0)


async def _turns():
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.mark.promise("L7")
@pytest.mark.parametrize("ahead", [0, 10], ids=["one by one", "together"])
async def test_a_stop_while_an_acknowledgement_is_on_the_wire_waits_for_it(clock, ahead):
    queue = _Slow("q", clock, "ack")
    queue.put("done")
    stop = asyncio.Event()
    subject = consumer(queue, clock, lambda _: _value(DONE), replace(DRAIN, ahead=ahead))
    running = asyncio.create_task(subject.run(stop))
    await _until(lambda: subject.counts.done)
    stop.set()
    await clock.run_for(1)
    await _turns()
    assert not running.done(), "the process would be gone, and its message hidden until SQS shows it again"
    await queue.landed()
    await running
    assert (queue.bodies, subject.counts.handed_back) == ((), 0)


@pytest.mark.promise("L7")
@pytest.mark.parametrize("ahead", [0, 10], ids=["one by one", "together"])
async def test_an_acknowledgement_that_does_not_come_home_is_waited_for_no_longer_than_a_last_call(
    clock, ahead, monkeypatch
):
    monkeypatch.setattr(loop, "LAST_CALL_S", 0)
    queue = _Slow("q", clock, "ack")
    queue.put("done")
    stop = asyncio.Event()
    subject = consumer(queue, clock, lambda _: _value(DONE), replace(DRAIN, ahead=ahead))
    running = asyncio.create_task(subject.run(stop))
    await _until(lambda: subject.counts.done)
    stop.set()
    await clock.run_for(1)
    await running
    assert subject.counts.handed_back == 1
    assert [message.body for message in await queue.receive(10, 0)] == ["done"]
    await queue.landed()


@pytest.mark.promise("L7")
async def test_a_stop_while_a_message_is_being_returned_leaves_it_with_its_pause(clock):
    queue = _Slow("q", clock, "extend 10")
    queue.put("later")
    stop = asyncio.Event()
    subject = consumer(queue, clock, lambda _: _value(Retry(10, "not now")), DRAIN)
    running = asyncio.create_task(subject.run(stop))
    await queue.begun.wait()
    stop.set()
    await _turns()
    assert not running.done()
    await queue.landed()
    await running
    assert subject.counts.handed_back == 0
    assert [hidden_s for _, hidden_s in queue.waiting] == [10]


@pytest.mark.promise("L7")
async def test_what_is_handed_back_is_not_hidden_by_a_heartbeat_that_was_on_the_wire(clock):
    queue = _Slow("q", clock, f"extend {LIMITS.visibility_timeout_s}")
    queue.put("endless")
    stop = asyncio.Event()

    async def handle(_):
        await asyncio.Event().wait()
        return DONE

    subject = consumer(queue, clock, handle, DRAIN)
    running = asyncio.create_task(subject.run(stop))
    await _until(lambda: queue.deliveries)
    await clock.run_for(LIMITS.visibility_timeout_s / 2)
    await queue.begun.wait()
    stop.set()
    await _turns()
    await queue.landed()
    await running
    assert subject.counts.handed_back == 1
    assert [message.body for message in await queue.receive(10, 0)] == ["endless"]


async def test_no_more_is_taken_than_can_be_worked_on(queue, clock):
    for number in range(9):
        queue.put(str(number))
    stop, release, at_once, most = asyncio.Event(), asyncio.Event(), 0, 0

    async def handle(_):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await release.wait()
        at_once -= 1
        return DONE

    limits = Limits(concurrency=2, visibility_timeout_s=30, receive_wait_s=0, retry_after_max_s=60, drain_s=5)
    running = asyncio.create_task(consumer(queue, clock, handle, limits).run(stop))
    while await _in_flight(queue) < 2:
        await asyncio.sleep(0)
    release.set()
    while queue.bodies:
        await asyncio.sleep(0)
    stop.set()
    await running
    assert most == 2


async def _value(verdict):
    return verdict


async def _in_flight(queue) -> int:
    return (await queue.depth())["in_flight"]


@pytest.mark.promise("L5")
async def test_a_wakeup_that_meets_an_outage_is_given_up_to_the_sweep_and_not_dead_lettered(queue, clock):
    queue.put("look")

    async def handle(_):
        raise Unknown("away")

    limits = Limits(
        concurrency=1,
        visibility_timeout_s=30,
        receive_wait_s=0,
        retry_after_max_s=60,
        drain_s=5,
        wakeup_tries_max=3,
    )
    subject = consumer(queue, clock, handle, limits)
    verdicts = []
    for _ in range(3):
        counts = await subject.run_once()
        verdicts.append((counts.retry, counts.done))
        clock.advance(61)
    assert verdicts == [(1, 0), (1, 0), (0, 1)]
    assert not queue.dead
    assert queue.bodies == ()


WAKEUPS = replace(LIMITS, wakeup_tries_max=3)
FULL = OSError(errno.ENOSPC, "No space left on device")


def failing(error):
    async def handle(_):
        raise error

    return handle


@pytest.mark.promise("L5")
async def test_a_process_without_disk_returns_the_message_and_receives_no_more_until_it_has_paused(queue, clock):
    for number in range(3):
        queue.put(f"work {number}")
    stop = asyncio.Event()
    running = asyncio.create_task(
        consumer(queue, clock, failing(FULL), replace(WAKEUPS, concurrency=1)).run(stop),
    )
    while queue.deliveries == 0:
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert queue.deliveries == 1, "it went on receiving what it has no room for"
    await clock.run_for(30)
    assert 1 < queue.deliveries < 12
    stop.set()
    await clock.run_for(300)
    await running
    assert not queue.dead


@pytest.mark.promise("L5")
@pytest.mark.parametrize("error", [FULL, MemoryError(), Unknown("away")], ids=lambda error: type(error).__name__)
async def test_a_users_message_that_meets_only_outages_is_renewed_and_never_dead_lettered(queue, clock, error):
    queue.put("manifest")

    async def renew(message):
        queue.put(message.body)

    subject = Consumer(queue, failing(error), LIMITS, clock, "step", renew=renew)
    for _ in range(100):
        await subject.run_once()
        clock.advance(LIMITS.retry_after_max_s + 1)
    assert not queue.dead
    assert queue.bodies == ("manifest",)


async def test_of_wakeups_that_a_bug_fails_alike_one_is_dead_lettered(queue, clock):
    subject = consumer(queue, clock, failing(ZeroDivisionError("a bug at row 17")), WAKEUPS)
    for number in range(4):
        queue.put(f"look {number}")
        for _ in range(LIMITS.tries_max):
            await subject.run_once()
            clock.advance(LIMITS.retry_after_max_s + 1)
    assert [dead.body for dead in queue.dead] == ["look 0"]
    assert queue.bodies == ()


async def test_what_a_step_has_counted_already_is_tried_again_and_no_wakeup_of_it_is_dead_lettered(queue, clock):
    queue.put("look")
    subject = consumer(queue, clock, failing(StepFailed("counted")), WAKEUPS)
    for _ in range(LIMITS.tries_max):
        await subject.run_once()
        clock.advance(LIMITS.retry_after_max_s + 1)
    assert not queue.dead
    assert queue.bodies == ()
