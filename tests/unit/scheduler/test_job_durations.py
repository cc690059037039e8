"""How long jobs wait and take, as the histogram has it."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from tests.unit.flow.acts import CLAUDE_POOL, another_scheduler, enlist, step
from tests.world.world import SimulatedWorld

QUEUE, TOTAL = "queue", "total"


def noted(phase):
    """How many jobs, and their seconds together."""
    labels = {"pool": CLAUDE_POOL, "phase": phase}
    return tuple(
        REGISTRY.get_sample_value(f"quarry_job_duration_seconds_{what}", labels) or 0.0 for what in ("count", "sum")
    )


@pytest.fixture
def since():
    before = {phase: noted(phase) for phase in (QUEUE, TOTAL)}
    return lambda phase: tuple(after - start for after, start in zip(noted(phase), before[phase], strict=True))


async def a_job(world):
    await enlist(world, world.joke(rows=100))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    [job] = world.bedrock.active
    return job


async def hear(world, job, status):
    await world.scheduler.tracker.job_seen(job.name, job.arn, status, "event")


async def test_a_job_is_noted_as_it_begins_and_as_it_ends_once_each(since):
    world = SimulatedWorld()
    job = await a_job(world)
    world.clock.advance(100)
    world.jobs.move(job.arn, "InProgress")
    for _ in range(2):
        await hear(world, job, "InProgress")
    assert since(QUEUE) == (1, pytest.approx(100))
    assert since(TOTAL) == (0, 0)

    world.clock.advance(200)
    world.bedrock.end(job)
    for _ in range(2):
        await hear(world, job, "Completed")
    await world.scheduler.sweeper.sweep()

    assert since(QUEUE) == (1, pytest.approx(100))
    assert since(TOTAL) == (1, pytest.approx(300))


async def test_a_begin_that_two_schedulers_see_at_once_is_noted_once(since):
    world = SimulatedWorld()
    job = await a_job(world)
    world.clock.advance(100)
    world.jobs.move(job.arn, "InProgress")
    replicas = [another_scheduler(world) for _ in range(2)]
    await asyncio.gather(*(each.tracker.job_seen(job.name, job.arn, "InProgress", "event") for each in replicas))
    assert since(QUEUE) == (1, pytest.approx(100))


async def test_where_the_event_is_lost_the_sweep_notes_the_begin(since):
    world = SimulatedWorld()
    job = await a_job(world)
    world.clock.advance(100)
    world.jobs.move(job.arn, "InProgress")
    for _ in range(2):
        await world.scheduler.sweeper.sweep()
    assert since(QUEUE) == (1, pytest.approx(100))


async def test_an_event_that_comes_after_a_later_one_begins_nothing(since):
    world = SimulatedWorld()
    job = await a_job(world)
    await hear(world, job, "Stopping")
    await hear(world, job, "InProgress")
    assert since(QUEUE) == (0, 0)


async def test_an_expired_job_has_no_end_that_could_be_measured(since):
    world = SimulatedWorld()
    job = await a_job(world)
    await step(world, lambda _: world.bedrock.end(job, "Expired", output=False))
    assert since(TOTAL) == (0, 0)
