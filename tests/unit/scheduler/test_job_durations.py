"""How long jobs wait and take, as the histogram has it."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from tests.unit.flow.acts import CLAUDE_POOL, another_scheduler, enlist, step
from tests.world.house import House

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


async def a_job(house):
    await enlist(house, house.joke(rows=100))
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    [job] = house.bedrock.active
    return job


async def hear(house, job, status):
    await house.scheduler.learner.job_seen(job.name, job.arn, status, "event")


async def test_a_job_is_noted_as_it_begins_and_as_it_ends_once_each(since):
    house = House()
    job = await a_job(house)
    house.clock.advance(100)
    house.jobs.move(job.arn, "InProgress")
    for _ in range(2):
        await hear(house, job, "InProgress")
    assert since(QUEUE) == (1, pytest.approx(100))
    assert since(TOTAL) == (0, 0)

    house.clock.advance(200)
    house.bedrock.end(job)
    for _ in range(2):
        await hear(house, job, "Completed")
    await house.scheduler.sweeper.sweep()

    assert since(QUEUE) == (1, pytest.approx(100))
    assert since(TOTAL) == (1, pytest.approx(300))


async def test_a_begin_that_two_schedulers_see_at_once_is_noted_once(since):
    house = House()
    job = await a_job(house)
    house.clock.advance(100)
    house.jobs.move(job.arn, "InProgress")
    replicas = [another_scheduler(house) for _ in range(2)]
    await asyncio.gather(*(each.learner.job_seen(job.name, job.arn, "InProgress", "event") for each in replicas))
    assert since(QUEUE) == (1, pytest.approx(100))


async def test_where_the_event_is_lost_the_sweep_notes_the_begin(since):
    house = House()
    job = await a_job(house)
    house.clock.advance(100)
    house.jobs.move(job.arn, "InProgress")
    for _ in range(2):
        await house.scheduler.sweeper.sweep()
    assert since(QUEUE) == (1, pytest.approx(100))


async def test_an_event_that_comes_after_a_later_one_begins_nothing(since):
    house = House()
    job = await a_job(house)
    await hear(house, job, "Stopping")
    await hear(house, job, "InProgress")
    assert since(QUEUE) == (0, 0)


async def test_an_expired_job_has_no_end_that_could_be_measured(since):
    house = House()
    job = await a_job(house)
    await step(house, lambda _: house.bedrock.end(job, "Expired", output=False))
    assert since(TOTAL) == (0, 0)
