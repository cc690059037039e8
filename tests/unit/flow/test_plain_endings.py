"""A run that broke gives no slot back for a job that may stand with Bedrock, and keeps what that job answers."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from structlog.testing import capture_logs

from quarry_collector.publish import Publisher
from quarry_collector.salvage import Salvage
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import input_key, shard_id
from quarry_core.contract.states import RunState, ShardState
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Shard
from quarry_core.service.endings import end_run
from quarry_core.service.failures import RunCode, Step, Why
from quarry_preprocessor.slices import Slices
from quarry_scheduler.pins import PinsCache
from quarry_scheduler.shard_endings import ShardEndings
from tests.unit.flow.acts import CLAUDE_POOL, enlist, play, pool, shards
from tests.world.faults import Crash, Faults
from tests.world.world import SimulatedWorld

WHY = Why(RunCode.INTERNAL_ERROR, Step.SLICE, "a bug")


async def admitted(world: SimulatedWorld, *, job: bool) -> Shard:
    """A shard that is admitted; whether Bedrock has a job of it, its row does not say."""
    await enlist(world, world.joke(rows=100, run_id="r1"))
    if job:
        world.jobs.lose_reply_once()
        await world.scheduler.ticker.tick(CLAUDE_POOL)
    else:
        here = await world.scheduler.ticker.open_pool(CLAUDE_POOL)
        [lane], [shard] = await world.ledger.lanes(CLAUDE_POOL), await shards(world, "r1")
        await world.ledger.apply(moves.admit(here, lane, shard, "a heartbeat"))
    [shard] = await shards(world, "r1")
    assert (shard.state, shard.arn) == (ShardState.ADMITTED, "")
    return shard


def endings(world: SimulatedWorld) -> ShardEndings:
    return ShardEndings(world.process_world(Faults()), PinsCache(world.ledger))


@pytest.mark.promise("S1")
async def test_a_slot_is_kept_until_list_has_not_shown_a_job_for_as_long_as_it_may_take():
    world = SimulatedWorld()
    shard, plain = await admitted(world, job=False), endings(world)
    settle_s = world.settings.list_settle_s

    assert await plain.end_shard(shard, moves.NOT_PROCESSED, "why") == "waiting"
    world.clock.advance(settle_s - 1)
    assert await plain.end_shard(shard, moves.NOT_PROCESSED, "why") == "waiting"
    assert (await pool(world)).in_use == 1
    world.clock.advance(1)

    assert await plain.end_shard(shard, moves.NOT_PROCESSED, "why") == "ended"
    assert (await pool(world)).in_use == 0


@pytest.mark.promise("S1")
async def test_of_two_jobs_of_an_attempt_the_one_that_runs_keeps_the_slot():
    world = SimulatedWorld()
    shard, plain = await admitted(world, job=True), endings(world)
    [first] = world.bedrock.active
    second = world.jobs.add_second(first.arn)
    world.bedrock.end(first)
    world.clock.advance(world.settings.list_settle_s)

    assert await plain.end_shard(shard, moves.NOT_PROCESSED, "why") == "running"
    assert (await pool(world)).in_use == 1
    [running] = [job for job in world.jobs.all if job.arn == second]
    world.bedrock.end(running)
    assert await plain.end_shard(shard, moves.NOT_PROCESSED, "why") == "ended"


@pytest.mark.promise("S1", "S3")
async def test_a_job_whose_creation_was_not_heard_back_from_is_waited_for_when_its_run_breaks():
    world = SimulatedWorld()
    await admitted(world, job=True)
    await end_run(world.process_world(Faults()), "r1", WHY)

    for _ in range(3):
        world.clock.advance(world.settings.list_settle_s)
        await world.scheduler.ticker.tick(CLAUDE_POOL)
        [shard] = await shards(world, "r1")
        assert (shard.state.holds_a_slot, (await pool(world)).in_use) == (True, 1)

    totals = await play(world, "r1")
    assert (totals.state, totals.ok, len(world.jobs.all)) == (RunState.FAILED, 100, 1)


async def test_an_event_that_comes_again_sends_the_wake_up_that_its_first_reader_died_before():
    world = SimulatedWorld()
    await enlist(world, world.joke(rows=100, run_id="r1"))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    [job] = world.bedrock.active
    world.bedrock.end(job)
    [message] = await world.queues["events"].receive(1, 0)
    await world.scheduler.on_event(message)
    [lost] = await world.queues["collector"].receive(10, 0)
    await world.queues["collector"].ack(lost)

    await world.scheduler.on_event(dataclasses.replace(message, receive_count=2))

    assert len(world.queues["collector"].bodies) == 1


@pytest.mark.promise("S3", "S10")
async def test_what_can_be_read_is_kept_of_a_shard_that_cannot_be_settled_as_it_should_be(monkeypatch):
    world = SimulatedWorld()
    await enlist(world, world.joke(rows=100, run_id="r1"))

    def fails(*_args, **_kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Salvage, "outcome", fails)
    with capture_logs():
        totals = await play(world, "r1")

    assert (totals.state, totals.code, totals.ok, totals.error) == (RunState.FAILED, "INTERNAL_ERROR", 100, 0)
    assert world.result("r1")["response"].null_count == 0


async def test_a_job_that_fails_after_its_run_broke_is_not_repeated():
    world = SimulatedWorld()
    await enlist(world, world.joke(rows=100, run_id="r1"))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    await end_run(world.process_world(Faults()), "r1", WHY)

    totals = await play(world, "r1", lambda job: world.bedrock.end(job, status="Failed", output=False))

    assert (totals.state, totals.repeats, dict(totals.errors)) == (RunState.FAILED, 0, {"JOB_FAILED": 100})


@pytest.mark.promise("S3")
async def test_closing_a_run_that_broke_writes_the_part_that_a_collector_died_before(monkeypatch):
    world = SimulatedWorld()
    await enlist(world, world.joke(rows=100, run_id="r1"))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    await end_run(world.process_world(Faults()), "r1", WHY)
    await world.idle()

    async def dies(*_args):
        raise Crash("killed")

    with monkeypatch.context() as patch, contextlib.suppress(Crash):
        patch.setattr(Publisher, "part", dies)
        world.bedrock.end_all()
        await world.idle()
    world.start()
    world.queues["collector"].put(Wakeup(step="close", run_id="r1").body())
    await world.idle()

    totals = await world.totals("r1")
    assert (totals.state, totals.ok) == (RunState.FAILED, 100)
    assert world.result("r1").num_rows == 100
    assert len(world.report("r1")["parts"]) == 1


async def test_an_input_that_is_written_after_its_run_has_ended_is_taken_away(monkeypatch):
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100))
    whole, late = Slices._write_objects, []

    async def slow(self, work, shard):
        written = await whole(self, work, shard)
        if not late:
            late.append(input_key(run_id, shard_id(shard.number)))
            world.start()
            world.queues["slices"].put(Wakeup(step="slice", run_id=run_id, slice=0).body())
            await play(world, run_id)
            world.objects.plant(late[0], b"{}")
        return written

    monkeypatch.setattr(Slices, "_write_objects", slow)
    await world.idle()
    await world.idle()

    assert late
    assert late[0] not in world.objects.bodies
    assert world.result(run_id).num_rows == 100
