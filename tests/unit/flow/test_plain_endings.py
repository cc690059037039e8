"""A run that broke gives no slot back for a job that may stand with Bedrock, and keeps what that job answers."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from structlog.testing import capture_logs

from quarry_collector.publish import Publisher
from quarry_collector.salvage import Salvage
from quarry_core.contract.messages import Doorbell
from quarry_core.contract.names import input_key, shard_id
from quarry_core.contract.states import RunState, ShardState
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Shard
from quarry_core.service.endings import end_run
from quarry_core.service.failures import RunCode, Step, Why
from quarry_preprocessor.slices import Slices
from quarry_scheduler.pins import PinsCache
from quarry_scheduler.plainly import PlainEndings
from tests.unit.flow.acts import CLAUDE_POOL, enlist, play, pool, shards
from tests.world.faults import Crash, Faults
from tests.world.house import House

WHY = Why(RunCode.INTERNAL_ERROR, Step.SLICE, "a bug")


async def admitted(house: House, *, job: bool) -> Shard:
    """A shard that is admitted; whether Bedrock has a job of it, its row does not say."""
    await enlist(house, house.joke(rows=100, run_id="r1"))
    if job:
        house.jobs.lose_reply_once()
        await house.scheduler.ticker.tick(CLAUDE_POOL)
    else:
        here = await house.scheduler.ticker.open_pool(CLAUDE_POOL)
        [lane], [shard] = await house.ledger.lanes(CLAUDE_POOL), await shards(house, "r1")
        await house.ledger.apply(moves.admit(here, lane, shard, "a beat"))
    [shard] = await shards(house, "r1")
    assert (shard.state, shard.arn) == (ShardState.ADMITTED, "")
    return shard


def endings(house: House) -> PlainEndings:
    return PlainEndings(house.world(Faults()), PinsCache(house.ledger))


@pytest.mark.promise("S1")
async def test_a_slot_is_kept_until_list_has_not_shown_a_job_for_as_long_as_it_may_take():
    house = House()
    shard, plain = await admitted(house, job=False), endings(house)
    settle_s = house.settings.list_settle_s

    assert await plain.end_shard(shard, moves.NOT_PROCESSED, "why") == "waiting"
    house.clock.advance(settle_s - 1)
    assert await plain.end_shard(shard, moves.NOT_PROCESSED, "why") == "waiting"
    assert (await pool(house)).in_use == 1
    house.clock.advance(1)

    assert await plain.end_shard(shard, moves.NOT_PROCESSED, "why") == "ended"
    assert (await pool(house)).in_use == 0


@pytest.mark.promise("S1")
async def test_of_two_jobs_of_an_attempt_the_one_that_runs_keeps_the_slot():
    house = House()
    shard, plain = await admitted(house, job=True), endings(house)
    [first] = house.bedrock.active
    second = house.jobs.add_second(first.arn)
    house.bedrock.end(first)
    house.clock.advance(house.settings.list_settle_s)

    assert await plain.end_shard(shard, moves.NOT_PROCESSED, "why") == "running"
    assert (await pool(house)).in_use == 1
    [running] = [job for job in house.jobs.all if job.arn == second]
    house.bedrock.end(running)
    assert await plain.end_shard(shard, moves.NOT_PROCESSED, "why") == "ended"


@pytest.mark.promise("S1", "S3")
async def test_a_job_whose_creation_was_not_heard_back_from_is_waited_for_when_its_run_breaks():
    house = House()
    await admitted(house, job=True)
    await end_run(house.world(Faults()), "r1", WHY)

    for _ in range(3):
        house.clock.advance(house.settings.list_settle_s)
        await house.scheduler.ticker.tick(CLAUDE_POOL)
        [shard] = await shards(house, "r1")
        assert (shard.state.holds_a_slot, (await pool(house)).in_use) == (True, 1)

    totals = await play(house, "r1")
    assert (totals.state, totals.ok, len(house.jobs.all)) == (RunState.FAILED, 100, 1)


async def test_an_event_that_comes_again_sends_the_wake_up_that_its_first_reader_died_before():
    house = House()
    await enlist(house, house.joke(rows=100, run_id="r1"))
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    [job] = house.bedrock.active
    house.bedrock.end(job)
    [message] = await house.queues["events"].receive(1, 0)
    await house.scheduler.on_event(message)
    [lost] = await house.queues["collector"].receive(10, 0)
    await house.queues["collector"].ack(lost)

    await house.scheduler.on_event(dataclasses.replace(message, receive_count=2))

    assert len(house.queues["collector"].bodies) == 1


@pytest.mark.promise("S3", "S10")
async def test_what_can_be_read_is_kept_of_a_shard_that_cannot_be_settled_as_it_should_be(monkeypatch):
    house = House()
    await enlist(house, house.joke(rows=100, run_id="r1"))

    def fails(*_args, **_kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Salvage, "outcome", fails)
    with capture_logs():
        totals = await play(house, "r1")

    assert (totals.state, totals.code, totals.ok, totals.error) == (RunState.FAILED, "INTERNAL_ERROR", 100, 0)
    assert house.result("r1")["response"].null_count == 0


async def test_a_job_that_fails_after_its_run_broke_is_not_repeated():
    house = House()
    await enlist(house, house.joke(rows=100, run_id="r1"))
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    await end_run(house.world(Faults()), "r1", WHY)

    totals = await play(house, "r1", lambda job: house.bedrock.end(job, status="Failed", output=False))

    assert (totals.state, totals.repeats, dict(totals.errors)) == (RunState.FAILED, 0, {"JOB_FAILED": 100})


@pytest.mark.promise("S3")
async def test_closing_a_run_that_broke_writes_the_part_that_a_collector_died_before(monkeypatch):
    house = House()
    await enlist(house, house.joke(rows=100, run_id="r1"))
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    await end_run(house.world(Faults()), "r1", WHY)
    await house.quiet()

    async def dies(*_args):
        raise Crash("killed")

    with monkeypatch.context() as patch, contextlib.suppress(Crash):
        patch.setattr(Publisher, "part", dies)
        house.bedrock.end_all()
        await house.quiet()
    house.start()
    house.queues["collector"].put(Doorbell(kind="close", run_id="r1").body())
    await house.quiet()

    totals = await house.totals("r1")
    assert (totals.state, totals.ok) == (RunState.FAILED, 100)
    assert house.result("r1").num_rows == 100
    assert len(house.report("r1")["parts"]) == 1


async def test_an_input_that_is_written_after_its_run_has_ended_is_taken_away(monkeypatch):
    house = House()
    run_id = house.send(house.joke(rows=100))
    whole, late = Slices._write_objects, []

    async def slow(self, work, shard):
        written = await whole(self, work, shard)
        if not late:
            late.append(input_key(run_id, shard_id(shard.number)))
            house.start()
            house.queues["slices"].put(Doorbell(kind="slice", run_id=run_id, slice=0).body())
            await play(house, run_id)
            house.objects.plant(late[0], b"{}")
        return written

    monkeypatch.setattr(Slices, "_write_objects", slow)
    await house.quiet()
    await house.quiet()

    assert late
    assert late[0] not in house.objects.bodies
    assert house.result(run_id).num_rows == 100
