"""Which jobs are ours: what is adopted, what is stopped, and what is left alone whoever says what about it."""

from __future__ import annotations

import dataclasses

import pytest

from quarry_core.contract.job_request import TAG_ENV, TAG_RUN
from quarry_core.contract.states import RunState, ShardState
from quarry_core.ledger import moves
from quarry_core.ledger.rows import shard_key
from quarry_core.ports import Job
from quarry_scheduler.ownership import differences, may_adopt, may_stop
from tests.unit.flow.acts import CLAUDE_POOL, another_scheduler, enlist, play, shards
from tests.world.faults import Faults
from tests.world.house import CLAUDE, House

OTHERS = {
    "name": "jokes-r1-00000-2-test",
    "client_token": "f" * 32,
    "input_uri": "s3://elsewhere/batch-input/r1/00000.jsonl",
    "output_uri": "s3://world/batch-output/r1/00000-2/",
    "role_arn": "arn:aws:iam::123456789012:role/somebody-elses",
    "model_id": "anthropic.claude-3-5-haiku-20241022-v1:0",
}


def job_at(house: House, arn: str) -> Job:
    return next(job for job in house.jobs.all if job.arn == arn)


async def running(house: House) -> Job:
    house.send(house.joke(rows=100, run_id="r1"))
    await house.quiet()
    [job] = house.bedrock.active
    house.bedrock.begin(job)
    await house.quiet()
    return job


@pytest.mark.promise("S2")
@pytest.mark.parametrize("status", ["Submitted", "InProgress", "Completed"])
async def test_an_event_with_a_name_of_ours_and_another_jobs_arn_stops_nothing(status):
    house = House(job_quota=2)
    ours = await running(house)
    theirs = house.jobs.add_foreign("somebody-elses", CLAUDE)

    house.bedrock.tell(dataclasses.replace(job_at(house, theirs), name=ours.name), status)
    await house.quiet()

    assert job_at(house, theirs).status == "InProgress", "somebody else's job was stopped on an event's word"
    assert job_at(house, ours.arn).status == "InProgress"
    [shard] = await shards(house, "r1")
    assert (shard.state, shard.arn) == (ShardState.SUBMITTED, ours.arn)


async def test_an_event_with_a_name_of_one_shard_and_the_arn_of_another_stops_neither():
    house = House(job_quota=2)
    await enlist(house, house.joke(rows=200, max_records_per_job=100, run_id="r1"))
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    first, second = house.bedrock.active

    house.bedrock.tell(dataclasses.replace(second, name=first.name), "InProgress")
    house.bedrock.tell(dataclasses.replace(first, name=second.name), "Submitted")
    await house.quiet()

    assert [job.status for job in house.jobs.all] == ["Submitted", "Submitted"]
    assert (await play(house, "r1")).state is RunState.SUCCEEDED
    assert len(house.jobs.all) == 2


@pytest.mark.parametrize("field", OTHERS)
@pytest.mark.parametrize("teller", ["event", "sweep"])
async def test_a_job_that_bears_our_name_and_differs_in_one_field_is_left_alone(field, teller):
    house = House(job_quota=5)
    ours = await running(house)
    other = house.jobs.add_second(ours.arn, **{field: OTHERS[field]})

    if teller == "event":
        house.bedrock.tell(dataclasses.replace(job_at(house, other), name=ours.name), "InProgress")
        await house.quiet()
    else:
        await house.scheduler.sweeper.sweep()

    assert job_at(house, other).status == "Submitted"


@pytest.mark.parametrize("teller", ["event", "sweep"])
async def test_a_second_job_of_ours_is_stopped_once_bedrock_has_confirmed_it(teller):
    house = House(job_quota=5)
    ours = await running(house)
    second = house.jobs.add_second(ours.arn)
    seen = Faults()
    scheduler = another_scheduler(house, seen)
    house.scheduler = scheduler

    if teller == "event":
        house.bedrock.tell(job_at(house, second), "InProgress")
        [message] = await house.queues["events"].receive(1, 0)
        await scheduler.on_event(message)
    else:
        await scheduler.sweeper.sweep()

    assert job_at(house, second).status == "Stopping"
    assert job_at(house, ours.arn).status == "InProgress"
    assert seen.calls.index("jobs.get") < seen.calls.index("jobs.stop")
    await scheduler.sweeper.sweep()
    assert seen.calls.count("jobs.stop") == 1, "a job that is stopping was asked to stop again"


@pytest.mark.promise("S1")
@pytest.mark.parametrize("teller", ["event", "sweep"])
async def test_a_job_that_comes_to_light_after_its_row_was_ended_without_one_is_stopped(teller):
    house = House(job_quota=5)
    await enlist(house, house.joke(rows=100, run_id="r1"))
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    [job] = house.bedrock.active
    [row] = await shards(house, "r1")
    # A Create that left a worker after a pause longer than List needs: the row had been ended unsent by then.
    before = dataclasses.replace(row, state=ShardState.ADMITTED)
    house.table.items[shard_key("r1", row.shard)] = {
        name: value for name, value in house.table.items[shard_key("r1", row.shard)].items() if name != "arn"
    } | {"state": ShardState.ADMITTED}
    await house.ledger.apply(moves.end_unsent(before, moves.NOT_PROCESSED, "the run broke"))

    if teller == "event":
        house.bedrock.tell(job, "InProgress")
        await house.quiet()
    else:
        await house.scheduler.sweeper.sweep()

    assert job_at(house, job.arn).status == "Stopping", "it holds no slot, and nobody reads what it writes"


@pytest.mark.parametrize("field", ["name", "client_token", "role_arn", "model_id", "output_uri"])
async def test_a_job_of_which_bedrock_leaves_something_out_is_not_stopped(field):
    house = House(job_quota=5)
    ours = await running(house)
    second = house.jobs.add_second(ours.arn)
    told = job_at(house, second)
    house.jobs.tell_without(second, field)

    house.bedrock.tell(told, "InProgress")
    await house.quiet()

    assert job_at(house, second).status == "Submitted"


@pytest.mark.promise("S2")
@pytest.mark.parametrize("field", [field for field in OTHERS if field != "name"])
async def test_a_job_under_the_name_of_an_admitted_row_that_differs_is_not_adopted(field):
    house = House(job_quota=5)
    run_id = await enlist(house, house.joke(rows=100, run_id="r1"))
    house.jobs.lose_reply_once()
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    [ours] = house.jobs.all
    other = house.jobs.add_second(ours.arn, **{field: OTHERS[field]})
    house.jobs.forget(ours.arn)

    house.bedrock.tell(dataclasses.replace(job_at(house, other), name=ours.name), "InProgress")
    [message] = await house.queues["events"].receive(1, 0)
    await house.scheduler.on_event(message)
    await house.scheduler.ticker.tick(CLAUDE_POOL)  # asks List

    [shard] = await shards(house, run_id)
    assert (shard.state, shard.arn) == (ShardState.ADMITTED, "")


@pytest.mark.parametrize("field", ["name", "client_token", "role_arn", "model_id", "output_uri"])
async def test_what_bedrock_leaves_out_keeps_no_job_from_being_adopted(field):
    house = House(job_quota=1)
    run_id = await enlist(house, house.joke(rows=100, run_id="r1"))
    house.jobs.lose_reply_once()
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    [ours] = house.jobs.all
    house.jobs.tell_without(ours.arn, field)

    house.bedrock.tell(ours, "InProgress")
    await house.quiet()

    [shard] = await shards(house, run_id)
    assert (shard.state, shard.arn) == (ShardState.SUBMITTED, ours.arn)


@pytest.mark.promise("L2")
async def test_a_job_whose_name_bedrock_leaves_out_is_seen_to_end():
    house = House(job_quota=1)
    house.bedrock.events_lost_share = 1.0
    ours = await running(house)
    house.bedrock.end(ours)
    house.jobs.tell_without(ours.arn, "name")

    await house.scheduler.sweeper.sweep()

    [shard] = await shards(house, "r1")
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
    house = House()
    await running(house)
    [job], [request] = house.jobs.all, house.jobs.requests
    told = dataclasses.replace(job, model_id=model)

    assert may_adopt(told, request)
    assert may_stop(told, request) is bool(model)
    assert differences(dataclasses.replace(told, model_id="amazon.nova-pro-v1:0"), request) == ["model_id"]


async def test_every_job_says_whose_it_is_and_no_tag_of_the_users_hides_it():
    house = House()
    run_id = house.send(house.joke(rows=100, tags={"team": "search"}))
    await house.quiet()

    [request] = house.jobs.requests
    assert request.tags == {TAG_ENV: "test", TAG_RUN: run_id, "team": "search"}


@pytest.mark.parametrize("key", ["quarry-env", "Quarry-Run", "QUARRY-anything"])
async def test_a_manifest_may_not_name_the_tags_that_say_whose_a_job_is(key):
    house = House()
    run_id = house.send(house.joke(rows=100, tags={key: "prod"}))
    await house.quiet()

    totals = await house.totals(run_id)
    assert totals.state is RunState.FAILED
    assert f"tags: '{key}' is reserved" in totals.message


async def test_a_manifest_with_as_many_tags_as_a_job_may_have_less_ours_runs():
    house = House()
    good = house.send(house.joke(rows=100, tags={f"k{n}": "v" for n in range(48)}))
    bad = house.send(house.joke(rows=100, tags={f"k{n}": "v" for n in range(49)}))
    await house.quiet()

    assert len(house.jobs.requests[0].tags) == 50
    assert (await house.run(good)).state is RunState.SUCCEEDED
    assert "tags: there are 49; give at most 48" in (await house.totals(bad)).message
