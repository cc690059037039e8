"""Hosts' clocks differ. What one of them writes holds nobody else up, and nothing is hurried by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

import quarry_collector.handler
import quarry_preprocessor.handler
from quarry_core.contract.states import RunState, ShardState
from quarry_core.ledger.keys import wait_key
from quarry_core.settings import PAUSE_MAX_S
from quarry_scheduler.handler import Scheduler
from tests.unit.flow.acts import CLAUDE_POOL, enlist, play, shards
from tests.world.clock import SkewedClock
from tests.world.world import SimulatedWorld

HOUR_S = 3_600.0


def skewed(world: SimulatedWorld, ahead_s: dict[str, float]) -> None:
    """Start the services anew, each on a host whose wall clock is wrong by so much."""

    def of(service):
        return replace(world.process_world(), clock=SkewedClock(world.clock, ahead_s.get(service, 0.0)))

    world.start()
    schedulers = world.consumers[-2:]
    world.scheduler = Scheduler(of("scheduler"))
    for consumer, handle in zip(schedulers, (world.scheduler.on_wakeup, world.scheduler.on_event), strict=True):
        consumer._handle = handle
    world.consumers = [
        *quarry_preprocessor.handler.build(of("preprocessor")).consumers,
        *quarry_collector.handler.build(of("collector")).consumers,
        *schedulers,
    ]


async def until_repeated(world: SimulatedWorld, run_id: str) -> float:
    """Fail the only job, and let everybody work until its second attempt is submitted; seconds since it might be."""
    await enlist(world, world.joke(rows=100, run_id=run_id))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    [job] = world.bedrock.active
    world.bedrock.end(job, "Failed", message="Internal error", output=False)
    began_s = None
    while len(world.jobs.all) == 1:
        for consumer in world.consumers:
            await consumer.run_once()
            [shard] = await shards(world, run_id)
            if began_s is None and shard.attempt == 2:
                assert shard.state is ShardState.PENDING
                began_s = world.clock.monotonic()
        world.clock.advance(5)
        await world.scheduler.ticker.tick(CLAUDE_POOL)
        assert world.clock.monotonic() < 2 * HOUR_S, "held"
    assert began_s is not None
    return world.clock.monotonic() - began_s


@pytest.mark.promise("L2")
@pytest.mark.parametrize("service", ["preprocessor", "scheduler", "collector"])
@pytest.mark.parametrize("ahead_s", [-HOUR_S, HOUR_S])
async def test_a_clock_that_is_an_hour_off_neither_holds_nor_hurries_a_repeat(service, ahead_s):
    world = SimulatedWorld(job_quota=1, repeat_pauses_s=(60.0,))
    skewed(world, {service: ahead_s})

    waited_s = await until_repeated(world, "r1")

    assert 60 <= waited_s <= 600  # messages take their time on this clock
    assert (await play(world, "r1")).state is RunState.SUCCEEDED


async def test_a_pause_begins_while_no_slot_is_free_and_not_only_then():
    world = SimulatedWorld(job_quota=1, repeat_pauses_s=(600.0,))
    await enlist(world, world.joke(rows=200, max_records_per_job=100, run_id="r1"))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    [first] = world.bedrock.active
    world.bedrock.end(first, "Failed", message="Internal error", output=False)
    await world.scheduler.sweeper.sweep()  # the other shard takes the slot
    await world.idle()
    [second] = world.bedrock.active
    await world.scheduler.sweeper.sweep()
    world.clock.advance(600)
    world.bedrock.end(second)
    await world.scheduler.sweeper.sweep()

    [third] = world.bedrock.active
    assert third.name == "jokes-r1-00000-2-test"


async def test_a_fresh_scheduler_waits_the_whole_pause_again_and_no_more():
    world = SimulatedWorld(job_quota=1, repeat_pauses_s=(600.0,))
    await enlist(world, world.joke(rows=100, run_id="r1"))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    world.bedrock.end(world.bedrock.active[0], "Failed", output=False)
    await world.idle()
    world.clock.advance(500)

    scheduler = Scheduler(world.process_world())
    for seconds, jobs in ((0, 1), (599, 1), (1, 2)):
        world.clock.advance(seconds)
        await scheduler.ticker.tick(CLAUDE_POOL)
        assert len(world.jobs.all) == jobs


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
    world = SimulatedWorld(job_quota=1, repeat_pauses_s=(60.0,))
    await enlist(world, world.joke(rows=100, run_id="r1"))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    world.bedrock.end(world.bedrock.active[0], "Failed", output=False)
    await world.idle()
    marker = world.table.items[wait_key("r1", "00000", 2)]
    marker.pop("pause_ms")
    marker.update(row)

    scheduler = Scheduler(world.process_world())
    await scheduler.ticker.tick(CLAUDE_POOL)
    if pause_s:
        assert len(world.jobs.all) == 1
        world.clock.advance(pause_s - 1)
        await scheduler.ticker.tick(CLAUDE_POOL)
        assert len(world.jobs.all) == 1
        world.clock.advance(1)
        await scheduler.ticker.tick(CLAUDE_POOL)
    assert len(world.jobs.all) == 2


async def test_pauses_of_runs_that_have_ended_are_forgotten():
    world = SimulatedWorld(job_quota=1, repeat_pauses_s=(60.0,))
    await until_repeated(world, "r1")
    await play(world, "r1")

    await world.scheduler.sweeper.sweep()
    assert world.scheduler.ticker._pauses._since_s == {}
