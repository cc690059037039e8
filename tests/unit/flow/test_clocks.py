"""Hosts' clocks differ. What one of them writes holds nobody else up, and nothing is hurried by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

import quarry_collector.handler
import quarry_preprocessor.handler
from quarry_core.contract.states import RunState, ShardState
from quarry_core.ledger.rows import wait_key
from quarry_core.settings import PAUSE_MAX_S
from quarry_scheduler.handler import Scheduler
from tests.unit.flow.acts import CLAUDE_POOL, enlist, play, shards
from tests.world.clock import SkewedClock
from tests.world.house import House

HOUR_S = 3_600.0


def skewed(house: House, ahead_s: dict[str, float]) -> None:
    """Start the services anew, each on a host whose wall clock is wrong by so much."""

    def world(service):
        return replace(house.world(), clock=SkewedClock(house.clock, ahead_s.get(service, 0.0)))

    house.start()
    schedulers = house.consumers[-2:]
    house.scheduler = Scheduler(world("scheduler"))
    for consumer, handle in zip(schedulers, (house.scheduler.on_bell, house.scheduler.on_event), strict=True):
        consumer._handle = handle
    house.consumers = [
        *quarry_preprocessor.handler.build(world("preprocessor")).consumers,
        *quarry_collector.handler.build(world("collector")).consumers,
        *schedulers,
    ]


async def until_repeated(house: House, run_id: str) -> float:
    """Fail the only job, and let everybody work until its second attempt is submitted; seconds since it might be."""
    await enlist(house, house.joke(rows=100, run_id=run_id))
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    [job] = house.bedrock.active
    house.bedrock.end(job, "Failed", message="Internal error", output=False)
    began_s = None
    while len(house.jobs.all) == 1:
        for consumer in house.consumers:
            await consumer.run_once()
            [shard] = await shards(house, run_id)
            if began_s is None and shard.attempt == 2:
                assert shard.state is ShardState.PENDING
                began_s = house.clock.monotonic()
        house.clock.advance(5)
        await house.scheduler.ticker.tick(CLAUDE_POOL)
        assert house.clock.monotonic() < 2 * HOUR_S, "held"
    assert began_s is not None
    return house.clock.monotonic() - began_s


@pytest.mark.promise("L2")
@pytest.mark.parametrize("service", ["preprocessor", "scheduler", "collector"])
@pytest.mark.parametrize("ahead_s", [-HOUR_S, HOUR_S])
async def test_a_clock_that_is_an_hour_off_neither_holds_nor_hurries_a_repeat(service, ahead_s):
    house = House(job_quota=1, repeat_pauses_s=(60.0,))
    skewed(house, {service: ahead_s})

    waited_s = await until_repeated(house, "r1")

    assert 60 <= waited_s <= 600  # messages take their time on this clock
    assert (await play(house, "r1")).state is RunState.SUCCEEDED


async def test_a_pause_begins_while_no_slot_is_free_and_not_only_then():
    house = House(job_quota=1, repeat_pauses_s=(600.0,))
    await enlist(house, house.joke(rows=200, max_records_per_job=100, run_id="r1"))
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    [first] = house.bedrock.active
    house.bedrock.end(first, "Failed", message="Internal error", output=False)
    await house.scheduler.sweeper.sweep()  # the other shard takes the slot
    await house.quiet()
    [second] = house.bedrock.active
    await house.scheduler.sweeper.sweep()
    house.clock.advance(600)
    house.bedrock.end(second)
    await house.scheduler.sweeper.sweep()

    [third] = house.bedrock.active
    assert third.name == "jokes-r1-00000-2-test"


async def test_a_fresh_scheduler_waits_the_whole_pause_again_and_no_more():
    house = House(job_quota=1, repeat_pauses_s=(600.0,))
    await enlist(house, house.joke(rows=100, run_id="r1"))
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    house.bedrock.end(house.bedrock.active[0], "Failed", output=False)
    await house.quiet()
    house.clock.advance(500)

    scheduler = Scheduler(house.world())
    for seconds, jobs in ((0, 1), (599, 1), (1, 2)):
        house.clock.advance(seconds)
        await scheduler.ticker.tick(CLAUDE_POOL)
        assert len(house.jobs.all) == jobs


@pytest.mark.parametrize(
    ("row", "pause_s"),
    [
        ({"not_before": "2026-01-01T05:00:00+00:00"}, 60),  # as the release before wrote it
        ({"not_before": "9999-12-31T23:59:59+00:00"}, 60),
        ({"not_before": "no moment at all"}, 60),
        ({"pause_ms": 5_000}, 5),
        ({"pause_ms": 10**15}, PAUSE_MAX_S),
        ({}, 0),
    ],
)
async def test_a_row_holds_a_repeat_for_a_bounded_time_whatever_it_says(row, pause_s):
    house = House(job_quota=1, repeat_pauses_s=(60.0,))
    await enlist(house, house.joke(rows=100, run_id="r1"))
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    house.bedrock.end(house.bedrock.active[0], "Failed", output=False)
    await house.quiet()
    marker = house.table.items[wait_key("r1", "00000", 2)]
    marker.pop("pause_ms")
    marker.update(row)

    scheduler = Scheduler(house.world())
    await scheduler.ticker.tick(CLAUDE_POOL)
    if pause_s:
        assert len(house.jobs.all) == 1
        house.clock.advance(pause_s - 1)
        await scheduler.ticker.tick(CLAUDE_POOL)
        assert len(house.jobs.all) == 1
        house.clock.advance(1)
        await scheduler.ticker.tick(CLAUDE_POOL)
    assert len(house.jobs.all) == 2


async def test_pauses_of_runs_that_have_ended_are_forgotten():
    house = House(job_quota=1, repeat_pauses_s=(60.0,))
    await until_repeated(house, "r1")
    await play(house, "r1")

    await house.scheduler.sweeper.sweep()
    assert house.scheduler.ticker._pauses._since_s == {}
