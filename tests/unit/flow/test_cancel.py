"""A run is cancelled: nothing more is sent of it, what was paid is kept, and every row is accounted for."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from quarry_core.contract.messages import Wakeup
from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import Stale, Throttled
from quarry_core.ledger import moves
from quarry_core.service.endings import end_run
from quarry_core.service.failures import RunCode, Step, Why
from tests.unit.flow.acts import another_scheduler, enlist, errors_of, healthy_dead, play, pool, shards
from tests.world.world import SimulatedWorld

WHO = "arn:aws:iam::123456789012:user/ana"
SMALL = {"max_records_per_job": 100}


async def cancel(world: SimulatedWorld, run_id: str) -> None:
    totals = await world.totals(run_id)
    marker = await world.ledger.open_run(run_id)
    assert marker is not None
    await world.ledger.apply(moves.cancel(totals, marker.pool, moves.By(world.clock.now().isoformat(), WHO)))


def answer(world: SimulatedWorld):
    """Bedrock answers all of what ends, and half of what was told to stop."""

    def end(job):
        stopping = job.status == "Stopping"
        world.bedrock.missing_share = 0.5 if stopping else 0.0
        world.bedrock.end(job, "Stopped" if stopping else "Completed")

    return end


def holds_every_row_once(world: SimulatedWorld, run_id: str, rows: int) -> None:
    result = world.result(run_id)
    assert result["topic"].to_pylist() == [f"topic number {row}" for row in range(rows)]
    assert len(set(result["record_id"].to_pylist())) == rows


async def one_turn_of_the_preprocessor(world: SimulatedWorld, turns: int) -> None:
    for _ in range(turns):
        for consumer in world.consumers[:2]:
            await consumer.run_once()


@pytest.mark.promise("S3", "S10")
async def test_a_run_that_is_cancelled_in_the_middle_gets_no_further_job_and_keeps_what_it_has():
    world = SimulatedWorld(job_quota=3)
    run_id = await enlist(world, world.joke(rows=1_200, **SMALL))
    await world.idle()
    for job in world.bedrock.active:
        world.bedrock.end(job)
    await world.idle()
    created = len(world.jobs.all)

    await cancel(world, run_id)
    await world.scheduler.tick_all()
    running = {job.arn for job in world.bedrock.active}
    totals = await play(world, run_id, answer(world))

    assert totals.state is RunState.CANCELLED
    assert len(world.jobs.all) == created == 6
    assert {job.arn for job in world.jobs.all if job.status == "Stopped"} == running
    holds_every_row_once(world, run_id, 1_200)
    assert 300 < totals.ok < 600, "three jobs were answered whole, three were stopped in the middle"
    assert errors_of(world, run_id) == {"CANCELLED": totals.error} == totals.errors
    assert all(WHO in each for each in world.result(run_id)["error_message"].to_pylist() if each)
    report = world.report(run_id)
    assert (report["state"], report["rows"]["ok"], report["rows"]["error"]) == ("CANCELLED", totals.ok, totals.error)
    assert WHO in report["reason"]
    assert {shard["status"] for shard in report["shards"]} == {"Completed", "Stopped", "CANCELLED"}
    assert f"results/{run_id}/_SUCCESS" not in world.objects.bodies
    assert not [key for key in world.objects.bodies if key.startswith("batch-input/")]
    assert healthy_dead(world) == {}


@pytest.mark.promise("S3")
@pytest.mark.parametrize("copied", [True, False], ids=["rows copied", "rows in the source"])
async def test_rows_that_were_not_written_yet_are_not_rendered_and_are_in_the_result_all_the_same(copied):
    world = SimulatedWorld(job_quota=1)
    manifest = world.joke(rows=900, **SMALL)
    if not copied:
        table = pa.table({"topic": [f"topic number {row}" for row in range(900)]})
        manifest["s3_uri"] = world.parquet(table, row_group_size=100)
    run_id = world.send(manifest)
    done, apply = 0, world.ledger._table.transact

    async def cancel_after_three(writes):
        nonlocal done
        await apply(writes)
        if any("shards_enlisted" in getattr(write, "add", {}) for write in writes):
            done += 1
            if done == 3:
                await cancel(world, run_id)

    world.table.transact = cancel_after_three
    await one_turn_of_the_preprocessor(world, 20)
    del world.table.transact
    enlisted = await shards(world, run_id)
    totals = await play(world, run_id)

    assert totals.state is RunState.CANCELLED
    assert (totals.accepted, totals.enlisted, totals.ok, totals.errors) == (900, 900, 0, {"CANCELLED": 900})
    written = [shard for shard in enlisted if shard.bytes]
    assert 3 <= len(written) <= 4 < len(enlisted), "three stood, and one may just have been written"
    assert not world.jobs.all
    holds_every_row_once(world, run_id, 900)


async def test_a_run_that_is_cancelled_before_it_is_planned_ends_with_a_report():
    world = SimulatedWorld()
    run_id = world.send(world.joke())
    await world.consumers[0].run_once()
    assert (await world.totals(run_id)).state is RunState.ACCEPTED

    await cancel(world, run_id)
    await world.queues["collector"].send(Wakeup(step="close", run_id=run_id).body())
    await world.idle()

    totals = await world.totals(run_id)
    assert (totals.state, totals.accepted) == (RunState.CANCELLED, 0)
    report = world.report(run_id)
    assert (report["state"], report["rows"]["accepted"], report["parts"]) == ("CANCELLED", 0, [])
    assert await world.ledger.open_runs() == []
    assert [run.state for run in await world.ledger.done_runs("2026-01")] == ["CANCELLED"]
    assert healthy_dead(world) == {}


async def test_nobody_has_to_be_woken_for_a_cancelled_run_to_come_to_its_end():
    world = SimulatedWorld()
    run_id = world.send(world.joke())
    await world.consumers[0].run_once()
    await cancel(world, run_id)

    assert (await play(world, run_id)).state is RunState.CANCELLED


async def test_a_plan_that_is_made_while_its_run_is_cancelled_opens_nothing():
    world = SimulatedWorld()
    run_id = world.send(world.joke())
    await world.consumers[0].run_once()
    transact = world.table.transact

    async def cancelled_first(writes):
        if any("plan" in getattr(write, "set", {}) for write in writes):
            del world.table.transact
            await cancel(world, run_id)
        await transact(writes)

    world.table.transact = cancelled_first
    totals = await play(world, run_id)

    assert (totals.state, totals.accepted) == (RunState.CANCELLED, 0)
    assert not world.jobs.all
    assert await world.ledger.lanes(await pool_name(world, run_id)) == []


async def pool_name(world: SimulatedWorld, run_id: str) -> str:
    run = await world.ledger.run(run_id)
    assert run is not None
    assert run.pins is not None
    return run.pins.pool


async def test_what_was_refused_and_is_cancelled_before_that_is_told_ends_too():
    world = SimulatedWorld()
    run_id = world.send(world.joke() | {"prompt_id": "none_such"})
    transact = world.table.transact

    async def cancelled_first(writes):
        if any(getattr(write, "set", {}).get("state") == RunState.FAILED for write in writes):
            del world.table.transact
            await cancel(world, run_id)
        await transact(writes)

    world.table.transact = cancelled_first
    totals = await play(world, run_id)

    assert totals.state is RunState.CANCELLED
    assert world.report(run_id)["state"] == "CANCELLED"


@pytest.mark.promise("S2")
async def test_a_create_of_which_nobody_knows_whether_it_came_through_is_adopted_and_stopped():
    world = SimulatedWorld(job_quota=1)
    world.jobs.lose_reply_once()
    run_id = await enlist(world, world.joke(rows=100))
    await world.idle()
    assert [shard.state for shard in await shards(world, run_id)] == [ShardState.ADMITTED]

    await cancel(world, run_id)
    for _ in range(2):  # it is found, and adopted; then stopped
        await world.scheduler.tick_all()
    totals = await play(world, run_id, answer(world))

    assert totals.state is RunState.CANCELLED
    assert [job.status for job in world.jobs.all] == ["Stopped"]
    assert 0 < totals.ok < 100, "what it had answered was paid for, and is kept"


@pytest.mark.promise("S2")
async def test_no_job_is_created_for_a_shard_that_was_admitted_when_its_run_is_cancelled():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=100))
    transact = world.table.transact

    async def cancelled_after(writes):
        await transact(writes)
        if any(getattr(write, "set", {}).get("state") == ShardState.ADMITTED for write in writes):
            del world.table.transact
            await cancel(world, run_id)

    world.table.transact = cancelled_after
    totals = await play(world, run_id)

    assert totals.state is RunState.CANCELLED
    assert not world.jobs.all
    assert totals.errors == {"CANCELLED": 100}


async def test_a_job_of_which_nothing_came_out_is_not_asked_again_once_its_run_is_cancelled():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=100))
    await world.idle()
    await cancel(world, run_id)

    totals = await play(world, run_id, lambda job: world.bedrock.end(job, "Failed", message="oh", output=False))

    assert (totals.state, totals.repeats, totals.errors) == (RunState.CANCELLED, 0, {"CANCELLED": 100})
    assert "oh" in world.result(run_id)["error_message"][0].as_py()


@pytest.mark.promise("S2")
async def test_a_job_of_which_bedrock_leaves_out_whose_it_is_is_not_stopped_on_a_guess():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=100))
    await world.idle()
    (job,) = world.jobs.all
    world.jobs.tell_without(job.arn, "client_token")
    await cancel(world, run_id)

    await world.scheduler.tick_all()
    assert [job.status for job in world.jobs.all] == ["Submitted"]
    assert (await play(world, run_id)).state is RunState.CANCELLED


async def test_records_that_are_asked_on_demand_are_asked_no_further():
    world = SimulatedWorld()
    run_id = await enlist(world, world.joke(rows=40, on_demand_below=100))
    await cancel(world, run_id)

    totals = await play(world, run_id)

    assert (totals.state, totals.errors) == (RunState.CANCELLED, {"CANCELLED": 40})
    assert not world.runtime.answered


async def test_the_first_to_cancel_is_the_one_who_did():
    world = SimulatedWorld()
    run_id = await enlist(world, world.joke())
    totals = await world.totals(run_id)
    await cancel(world, run_id)
    with pytest.raises(Stale):
        await world.ledger.apply(moves.cancel(totals, await pool_name(world, run_id), moves.By("later", "bob")))
    assert (await world.totals(run_id)).cancelled_by == WHO


async def test_a_run_that_broke_can_be_cancelled_and_says_both():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=300, **SMALL))
    await world.idle()
    await end_run(world.process_world(), run_id, Why(RunCode.INTERNAL_ERROR, Step.ADMIT, "a bug"))
    await cancel(world, run_id)

    totals = await play(world, run_id, answer(world))

    assert totals.state is RunState.CANCELLED
    assert WHO in totals.message
    assert "a bug" in totals.message
    assert [job.status for job in world.jobs.all] == ["Stopped"]


async def test_a_run_that_is_closing_is_cancelled_as_long_as_its_end_is_not_decided():
    world = SimulatedWorld()
    run_id = await enlist(world, world.joke(rows=100))
    transact = world.table.transact

    async def cancelled_first(writes):
        if any("end_state" in getattr(write, "set", {}) for write in writes):
            del world.table.transact
            await cancel(world, run_id)
        await transact(writes)

    world.table.transact = cancelled_first
    totals = await play(world, run_id)

    assert (totals.state, totals.ok) == (RunState.CANCELLED, 100)
    assert world.report(run_id)["state"] == "CANCELLED"


@pytest.mark.promise("L3")
async def test_a_stop_that_bedrock_refuses_is_asked_again_and_keeps_no_other_run_waiting():
    world = SimulatedWorld(job_quota=2)
    run_id = await enlist(world, world.joke(rows=100))
    await world.idle()
    await cancel(world, run_id)

    async def refused(arn):
        del world.jobs.stop
        raise Throttled(f"stopping {arn}")

    world.jobs.stop = refused
    other = await enlist(world, world.joke(rows=100, job_name_prefix="other"))
    await world.idle()
    assert [job.status for job in world.jobs.all] == ["Submitted", "Submitted"]

    world.clock.advance(world.settings.finish_after_s)
    await world.scheduler.tick_all()

    assert [job.status for job in world.jobs.all] == ["Stopping", "Submitted"]
    assert (await play(world, run_id, answer(world))).state is RunState.CANCELLED
    assert (await play(world, other)).state is RunState.SUCCEEDED


async def test_another_scheduler_stops_what_the_first_has_not():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=100))
    await world.idle()
    await cancel(world, run_id)

    await another_scheduler(world).tick_all()
    await another_scheduler(world).tick_all()

    assert [job.status for job in world.jobs.all] == ["Stopping"]
    held = await pool(world)
    assert held.in_use == 1, "the slot is held until Bedrock says that the job has ended"
    assert replace(held, in_use=1) == held
