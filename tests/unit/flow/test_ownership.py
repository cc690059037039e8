"""Which jobs are ours: what is adopted, what is stopped, and what is left alone whoever says what about it."""

from __future__ import annotations

import dataclasses

import pytest

from quarry_core.contract.job_request import TAG_ENV, TAG_RUN
from quarry_core.contract.states import RunState, ShardState
from quarry_core.ledger import moves
from quarry_core.ledger.keys import shard_key
from quarry_core.ports import Job
from quarry_scheduler.ownership import differences, may_adopt, may_stop
from tests.unit.flow.acts import CLAUDE_POOL, another_scheduler, enlist, play, shards
from tests.world.faults import Faults
from tests.world.world import CLAUDE, SimulatedWorld

OTHERS = {
    "name": "jokes-r1-00000-2-test",
    "client_token": "f" * 32,
    "input_uri": "s3://elsewhere/batch-input/r1/00000.jsonl",
    "output_uri": "s3://world/batch-output/r1/00000-2/",
    "role_arn": "arn:aws:iam::123456789012:role/somebody-elses",
    "model_id": "anthropic.claude-3-5-haiku-20241022-v1:0",
}


def job_at(world: SimulatedWorld, arn: str) -> Job:
    return next(job for job in world.jobs.all if job.arn == arn)


async def running(world: SimulatedWorld) -> Job:
    world.send(world.joke(rows=100, run_id="r1"))
    await world.idle()
    [job] = world.bedrock.active
    world.bedrock.begin(job)
    await world.idle()
    return job


@pytest.mark.promise("S2")
@pytest.mark.parametrize("status", ["Submitted", "InProgress", "Completed"])
async def test_an_event_with_a_name_of_ours_and_another_jobs_arn_stops_nothing(status):
    world = SimulatedWorld(job_quota=2)
    ours = await running(world)
    theirs = world.jobs.add_foreign("somebody-elses", CLAUDE)

    world.bedrock.tell(dataclasses.replace(job_at(world, theirs), name=ours.name), status)
    await world.idle()

    assert job_at(world, theirs).status == "InProgress", "somebody else's job was stopped on an event's word"
    assert job_at(world, ours.arn).status == "InProgress"
    [shard] = await shards(world, "r1")
    assert (shard.state, shard.arn) == (ShardState.SUBMITTED, ours.arn)


async def test_an_event_with_a_name_of_one_shard_and_the_arn_of_another_stops_neither():
    world = SimulatedWorld(job_quota=2)
    await enlist(world, world.joke(rows=200, max_records_per_job=100, run_id="r1"))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    first, second = world.bedrock.active

    world.bedrock.tell(dataclasses.replace(second, name=first.name), "InProgress")
    world.bedrock.tell(dataclasses.replace(first, name=second.name), "Submitted")
    await world.idle()

    assert [job.status for job in world.jobs.all] == ["Submitted", "Submitted"]
    assert (await play(world, "r1")).state is RunState.SUCCEEDED
    assert len(world.jobs.all) == 2


@pytest.mark.parametrize("field", OTHERS)
@pytest.mark.parametrize("teller", ["event", "sweep"])
async def test_a_job_that_bears_our_name_and_differs_in_one_field_is_left_alone(field, teller):
    world = SimulatedWorld(job_quota=5)
    ours = await running(world)
    other = world.jobs.add_second(ours.arn, **{field: OTHERS[field]})

    if teller == "event":
        world.bedrock.tell(dataclasses.replace(job_at(world, other), name=ours.name), "InProgress")
        await world.idle()
    else:
        await world.scheduler.sweeper.sweep()

    assert job_at(world, other).status == "Submitted"


@pytest.mark.parametrize("teller", ["event", "sweep"])
async def test_a_second_job_of_ours_is_stopped_once_bedrock_has_confirmed_it(teller):
    world = SimulatedWorld(job_quota=5)
    ours = await running(world)
    second = world.jobs.add_second(ours.arn)
    seen = Faults()
    scheduler = another_scheduler(world, seen)
    world.scheduler = scheduler

    if teller == "event":
        world.bedrock.tell(job_at(world, second), "InProgress")
        [message] = await world.queues["events"].receive(1, 0)
        await scheduler.on_event(message)
    else:
        await scheduler.sweeper.sweep()

    assert job_at(world, second).status == "Stopping"
    assert job_at(world, ours.arn).status == "InProgress"
    assert seen.calls.index("jobs.get") < seen.calls.index("jobs.stop")
    await scheduler.sweeper.sweep()
    assert seen.calls.count("jobs.stop") == 1, "a job that is stopping was asked to stop again"


@pytest.mark.promise("S1")
@pytest.mark.parametrize("teller", ["event", "sweep"])
async def test_a_job_that_comes_to_light_after_its_row_was_ended_without_one_is_stopped(teller):
    world = SimulatedWorld(job_quota=5)
    await enlist(world, world.joke(rows=100, run_id="r1"))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    [job] = world.bedrock.active
    [row] = await shards(world, "r1")
    # A Create that left a worker after a pause longer than List needs: the row had been ended unsent by then.
    before = dataclasses.replace(row, state=ShardState.ADMITTED)
    world.table.items[shard_key("r1", row.shard)] = {
        name: value for name, value in world.table.items[shard_key("r1", row.shard)].items() if name != "arn"
    } | {"state": ShardState.ADMITTED}
    await world.ledger.apply(moves.end_unsent(before, moves.NOT_PROCESSED, "the run broke"))

    if teller == "event":
        world.bedrock.tell(job, "InProgress")
        await world.idle()
    else:
        await world.scheduler.sweeper.sweep()

    assert job_at(world, job.arn).status == "Stopping", "it holds no slot, and nobody reads what it writes"


@pytest.mark.parametrize("field", ["name", "client_token", "role_arn", "model_id", "output_uri"])
async def test_a_job_of_which_bedrock_leaves_something_out_is_not_stopped(field):
    world = SimulatedWorld(job_quota=5)
    ours = await running(world)
    second = world.jobs.add_second(ours.arn)
    reported = job_at(world, second)
    world.jobs.tell_without(second, field)

    world.bedrock.tell(reported, "InProgress")
    await world.idle()

    assert job_at(world, second).status == "Submitted"


@pytest.mark.promise("S2")
@pytest.mark.parametrize("field", [field for field in OTHERS if field != "name"])
async def test_a_job_under_the_name_of_an_admitted_row_that_differs_is_not_adopted(field):
    world = SimulatedWorld(job_quota=5)
    run_id = await enlist(world, world.joke(rows=100, run_id="r1"))
    world.jobs.lose_reply_once()
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    [ours] = world.jobs.all
    other = world.jobs.add_second(ours.arn, **{field: OTHERS[field]})
    world.jobs.forget(ours.arn)

    world.bedrock.tell(dataclasses.replace(job_at(world, other), name=ours.name), "InProgress")
    [message] = await world.queues["events"].receive(1, 0)
    await world.scheduler.on_event(message)
    await world.scheduler.ticker.tick(CLAUDE_POOL)  # asks List

    [shard] = await shards(world, run_id)
    assert (shard.state, shard.arn) == (ShardState.ADMITTED, "")


@pytest.mark.parametrize("field", ["name", "client_token", "role_arn", "model_id", "output_uri"])
async def test_what_bedrock_leaves_out_keeps_no_job_from_being_adopted(field):
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=100, run_id="r1"))
    world.jobs.lose_reply_once()
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    [ours] = world.jobs.all
    world.jobs.tell_without(ours.arn, field)

    world.bedrock.tell(ours, "InProgress")
    await world.idle()

    [shard] = await shards(world, run_id)
    assert (shard.state, shard.arn) == (ShardState.SUBMITTED, ours.arn)


@pytest.mark.promise("L2")
async def test_a_job_whose_name_bedrock_leaves_out_is_seen_to_end():
    world = SimulatedWorld(job_quota=1)
    world.bedrock.events_lost_share = 1.0
    ours = await running(world)
    world.bedrock.end(ours)
    world.jobs.tell_without(ours.arn, "name")

    await world.scheduler.sweeper.sweep()

    [shard] = await shards(world, "r1")
    assert shard.state is ShardState.ENDED


@pytest.mark.parametrize(
    "model",
    [
        f"arn:aws:bedrock:us-east-1::foundation-model/{CLAUDE}",
        f"us.{CLAUDE}",
        f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{CLAUDE}",
        "",
    ],
)
async def test_a_model_is_the_same_however_bedrock_names_it(model):
    world = SimulatedWorld()
    await running(world)
    [job], [request] = world.jobs.all, world.jobs.requests
    reported = dataclasses.replace(job, model_id=model)

    assert may_adopt(reported, request)
    assert may_stop(reported, request) is bool(model)
    assert differences(dataclasses.replace(reported, model_id="amazon.nova-pro-v1:0"), request) == ["model_id"]


async def test_every_job_says_whose_it_is_and_no_tag_of_the_users_hides_it():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100, tags={"team": "search"}))
    await world.idle()

    [request] = world.jobs.requests
    assert request.tags == {TAG_ENV: "test", TAG_RUN: run_id, "team": "search"}


@pytest.mark.parametrize("key", ["quarry-env", "Quarry-Run", "QUARRY-anything"])
async def test_a_manifest_may_not_name_the_tags_that_say_whose_a_job_is(key):
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100, tags={key: "prod"}))
    await world.idle()

    totals = await world.totals(run_id)
    assert totals.state is RunState.FAILED
    assert f"tags: '{key}' is reserved" in totals.message


async def test_a_manifest_with_as_many_tags_as_a_job_may_have_less_ours_runs():
    world = SimulatedWorld()
    good = world.send(world.joke(rows=100, tags={f"k{n}": "v" for n in range(48)}))
    bad = world.send(world.joke(rows=100, tags={f"k{n}": "v" for n in range(49)}))
    await world.idle()

    assert len(world.jobs.requests[0].tags) == 50
    assert (await world.run(good)).state is RunState.SUCCEEDED
    assert "tags: there are 49; give at most 48" in (await world.totals(bad)).message
