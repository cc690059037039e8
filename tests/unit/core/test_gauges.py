"""Depths of queues: which figures are set, what they cost, and what a queue that does not answer does to the others."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from quarry_core.contract.messages import Wakeup
from quarry_core.service.consumer import Consumer
from quarry_core.service.process import Parts, consumer_limits, gauge_queues, with_gauges
from quarry_core.service.verdicts import DONE
from tests.world.clock import FakeClock
from tests.world.faults import Faults
from tests.world.queue import FakeQueue
from tests.world.world import settings


@pytest.fixture
def clock():
    return FakeClock()


def depth(queue, state):
    return REGISTRY.get_sample_value("quarry_queue_messages", {"queue": queue, "state": state})


async def test_each_state_of_a_queue_is_reported(clock):
    queue = FakeQueue("counted", clock)
    for number in range(4):
        queue.put(f"message {number}")
    queue.put("later", delay_s=60)
    taken, *_ = await queue.receive(1, 0)
    await queue.dead_letter(taken, "as the test says", "test")

    await gauge_queues([queue], [])

    shown = {state: depth("counted", state) for state in ("visible", "in_flight", "delayed", "dead")}
    assert shown == {"visible": 3, "in_flight": 1, "delayed": 1, "dead": 1}


async def test_whatever_lies_on_a_queue_of_dead_letter_messages_is_dead(clock):
    queue = FakeQueue("dead_letters", clock)
    queue.put("undelivered")
    queue.put("undelivered too")
    await queue.receive(1, 0)

    await gauge_queues([], [queue])

    assert depth("dead_letters", "dead") == 2
    assert depth("dead_letters", "visible") is None


async def test_a_queue_that_does_not_answer_keeps_its_figures_and_hides_no_other(clock):
    silent, sound = FakeQueue("silent", clock), FakeQueue("sound", clock)
    silent.put("one")
    await gauge_queues([silent], [])
    silent.put("two")
    sound.put("one")

    await gauge_queues([silent.for_worker(Faults({1: "refuse"})), sound], [])

    assert depth("silent", "visible") == 1
    assert depth("sound", "visible") == 1


async def test_a_service_counts_the_queues_that_it_reads_once_a_turn(clock):
    faults = Faults()
    read = FakeQueue("read", clock).for_worker(faults)
    dead_letters = FakeQueue("dead_letters", clock).for_worker(faults)
    read.put(Wakeup(step="sweep").body())
    chosen = settings(gauges_every_s=7)

    async def done(_):
        return DONE

    consumer = Consumer(read, done, consumer_limits(chosen, 1), clock, "test")
    [timer] = with_gauges(Parts((consumer,), counted=(dead_letters,)), chosen).timers
    await timer.work()

    assert (timer.what, timer.every_s) == ("gauges", 7)
    assert faults.calls == ["queue.depth", "queue.depth"]
    assert depth("read", "visible") == 1
