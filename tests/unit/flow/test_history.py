"""What jobs and shards leave in a pool's history: each once, whatever happens on the way."""

from __future__ import annotations

import pytest

from quarry_core.contract.states import RunState
from quarry_core.ledger.keys import history_key
from quarry_core.planning.history import week_of
from quarry_core.ports import Delete
from tests.unit.flow.acts import CLAUDE_POOL, another_scheduler, enlist, play
from tests.world.world import SimulatedWorld

JOB_S = 1_800.0


async def finished(world, **manifest):
    """A run whose jobs took `JOB_S` each."""
    run_id = await enlist(world, world.joke(**manifest))

    def end(job):
        world.clock.advance(JOB_S)
        world.bedrock.end(job)

    totals = await play(world, run_id, end)
    assert totals.state is RunState.SUCCEEDED
    return totals


@pytest.mark.parametrize("doubled", [0.0, 1.0])
async def test_every_job_and_every_shard_counts_once(doubled):
    world = SimulatedWorld(job_quota=1)
    world.bedrock.events_doubled_share = doubled

    totals = await finished(world, rows=400, max_records_per_job=100)

    history = await world.ledger.history(CLAUDE_POOL)
    assert (history.jobs, history.rows, history.rows_squared) == (4, 400, 4 * 100**2)
    took_s = [(job.ended_at - job.submitted_at).total_seconds() for job in world.jobs.all]
    assert history.ms == sum(took_s) * 1_000 > 4 * JOB_S
    assert history.records == totals.ok == 400
    assert (history.input_tokens, history.output_tokens) == (totals.input_tokens, totals.output_tokens)
    assert history.estimated_millitokens == 400 * totals.record_millitokens > 0


@pytest.mark.promise("S2")
async def test_two_schedulers_that_hear_of_one_ending_count_it_once():
    world = SimulatedWorld(job_quota=1)
    await enlist(world, world.joke(rows=100))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    (job,) = world.bedrock.active
    world.clock.advance(JOB_S)
    world.bedrock.end(job)
    (ended,) = [each for each in world.jobs.all if each.arn == job.arn]

    for scheduler in (world.scheduler, another_scheduler(world), another_scheduler(world)):
        await scheduler.tracking.job_seen(ended.name, ended.arn, ended.status, "sweep", ended)

    assert (await world.ledger.history(CLAUDE_POOL)).jobs == 1


@pytest.mark.parametrize("status", ["Failed", "Stopped", "Expired", "PartiallyCompleted"])
async def test_an_ending_that_is_not_ordinary_tells_nothing_of_how_long_jobs_take(status):
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=100))

    await play(world, run_id, lambda job: world.bedrock.end(job, status))

    assert (await world.ledger.history(CLAUDE_POOL)).jobs == 0


async def test_history_outlives_an_idle_pool():
    world = SimulatedWorld(job_quota=1)
    await finished(world, rows=100)
    for _ in range(3):
        world.clock.advance(3_000)
        await world.scheduler.sweeper.sweep()

    assert await world.ledger.pool(CLAUDE_POOL) is None
    assert (await world.ledger.history(CLAUDE_POOL)).jobs == 1


async def test_each_week_has_a_row_that_expires():
    world = SimulatedWorld(job_quota=1)
    await finished(world, rows=100)
    world.clock.advance(15 * 86_400)
    await finished(world, rows=200, max_records_per_job=200)

    rows = await world.table.query(f"pool#{CLAUDE_POOL}", "history#", most=10)
    assert [row["jobs"] for row in rows] == [1, 1]
    assert all(row["expires_at"] > world.clock.now().timestamp() for row in rows)
    assert (await world.ledger.history(CLAUDE_POOL)).jobs == 2


@pytest.mark.promise("L2")
async def test_a_row_of_history_that_is_gone_keeps_no_shard_from_moving():
    world = SimulatedWorld(job_quota=1)
    await finished(world, rows=100)
    # As from a table that was restored: the processes believe that the row stands.
    await world.table.transact([Delete(history_key(CLAUDE_POOL, week_of(world.clock.now())))])

    totals = await finished(world, rows=300, max_records_per_job=100)

    assert totals.ok == 300
    assert (await world.ledger.history(CLAUDE_POOL)).jobs == 2  # the first of three found no row
