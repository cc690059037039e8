"""A run is paused: nothing more of it is admitted until it is resumed, and what runs comes to its end."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from quarry_core.contract.states import RunState, ShardState
from quarry_core.ledger import moves
from tests.unit.flow.acts import CLAUDE_POOL, enlist, healthy_dead, play, shards, step
from tests.world.world import SimulatedWorld

WHO = "arn:aws:iam::123456789012:user/ana"
SMALL = {"max_records_per_job": 100}


async def pause(world: SimulatedWorld, run_id: str) -> None:
    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    by = moves.By(world.clock.now().isoformat(), WHO)
    await world.ledger.apply(moves.pause(await world.totals(run_id), lane, by))


async def resume(world: SimulatedWorld, run_id: str) -> None:
    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    await world.ledger.apply(moves.resume(await world.totals(run_id), lane))


@pytest.mark.promise("L3", "S3")
async def test_a_pause_holds_over_restarts_of_all_services_and_what_ran_is_joined_meanwhile():
    world = SimulatedWorld(job_quota=2)
    run_id = await enlist(world, world.joke(rows=800, **SMALL))
    await world.idle()
    await pause(world, run_id)

    for _ in range(4):
        await step(world)
        world.start()  # fresh processes: whatever they remembered is gone

    totals = await world.totals(run_id)
    assert (totals.state, totals.paused_by) == (RunState.RUNNING, WHO)
    assert len(world.jobs.all) == 2, "the two that ran when it was paused"
    assert totals.ok == 200, "and they are joined"
    assert (await world.ledger.pool(CLAUDE_POOL)).in_use == 0

    await resume(world, run_id)
    totals = await play(world, run_id)

    assert (totals.state, totals.ok, totals.paused_at) == (RunState.SUCCEEDED, 800, "")
    assert len(world.jobs.all) == 8
    assert healthy_dead(world) == {}


async def test_others_go_on_while_a_run_is_paused():
    world = SimulatedWorld(job_quota=1)
    held = await enlist(world, world.joke(rows=100))
    await pause(world, held)
    other = await enlist(world, world.joke(rows=200, job_name_prefix="other", **SMALL))

    assert (await play(world, other)).state is RunState.SUCCEEDED
    assert (await world.totals(held)).ok == 0


async def test_a_shard_that_was_just_admitted_goes_back_without_a_job():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=100))
    transact = world.table.transact

    async def paused_after(writes):
        await transact(writes)
        if any(getattr(write, "set", {}).get("state") == ShardState.ADMITTED for write in writes):
            del world.table.transact
            await pause(world, run_id)

    world.table.transact = paused_after
    await world.idle()

    assert not world.jobs.all
    assert [shard.state for shard in await shards(world, run_id)] == [ShardState.PENDING]
    await resume(world, run_id)
    assert (await play(world, run_id)).state is RunState.SUCCEEDED


async def test_a_run_that_is_paused_before_it_is_planned_is_planned_and_waits():
    world = SimulatedWorld()
    run_id = world.send(world.joke())
    await world.consumers[0].run_once()
    await pause(world, run_id)

    await step(world)

    totals = await world.totals(run_id)
    assert (totals.state, totals.enlisted) == (RunState.RUNNING, 300)
    assert not world.jobs.all
    await resume(world, run_id)
    assert (await play(world, run_id)).state is RunState.SUCCEEDED


async def test_a_pause_that_comes_while_the_plan_is_written_is_not_lost():
    world = SimulatedWorld()
    run_id = world.send(world.joke())
    await world.consumers[0].run_once()
    transact = world.table.transact

    async def paused_first(writes):
        if any("plan" in getattr(write, "set", {}) for write in writes):
            del world.table.transact
            await pause(world, run_id)
        await transact(writes)

    world.table.transact = paused_first
    for _ in range(3):
        await step(world)

    assert (await world.totals(run_id)).enlisted == 300
    assert not world.jobs.all
    await resume(world, run_id)
    assert (await play(world, run_id)).state is RunState.SUCCEEDED


async def test_records_that_would_be_asked_on_demand_wait_too():
    world = SimulatedWorld()
    run_id = await enlist(world, world.joke(rows=40, on_demand_below=100))
    await pause(world, run_id)

    for _ in range(3):
        await step(world, seconds=400)
    assert not world.runtime.answered
    assert healthy_dead(world) == {}

    await resume(world, run_id)
    for _ in range(2):  # nobody wakes it: the sweep does, in its time
        await step(world, seconds=400)
    assert (await play(world, run_id)).state is RunState.SUCCEEDED


async def test_a_job_that_fails_while_its_run_is_paused_waits_to_be_asked_again():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=100))
    await world.idle()
    await pause(world, run_id)

    for _ in range(3):
        await step(world, lambda job: world.bedrock.end(job, "Failed", output=False))

    totals = await world.totals(run_id)
    assert (totals.repeats, totals.error, len(world.jobs.all)) == (1, 0, 1)
    await resume(world, run_id)
    assert (await play(world, run_id)).state is RunState.SUCCEEDED


async def test_a_paused_run_is_in_no_figure_that_says_it_is_stuck():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=200, **SMALL))
    await pause(world, run_id)
    asked = await enlist(world, world.joke(rows=40, on_demand_below=100, job_name_prefix="few"))
    await pause(world, asked)

    world.clock.advance(86_400)
    await world.scheduler.sweeper.sweep()

    assert oldest("quarry_oldest_pending_shard_timestamp_seconds") == 0
    assert oldest("quarry_oldest_on_demand_shard_timestamp_seconds") == 0


def oldest(name: str) -> float:
    found = REGISTRY.get_sample_value(name)
    assert found is not None, name
    return found
