"""Events are hints: lost, doubled, early, late or somebody else's, they lead to the same rows."""

from __future__ import annotations

import random

import pytest
from prometheus_client import REGISTRY

from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import Refused
from quarry_core.ports import Job
from quarry_scheduler.sweeper import FAILURES_MAX
from tests.unit.flow.acts import (
    CLAUDE_POOL,
    another_scheduler,
    enlist,
    healthy_dead,
    jobs_per_attempt,
    play,
    pool,
    shards,
    step,
)
from tests.unit.flow.test_create import first_create
from tests.world.faults import Crash, Faults
from tests.world.world import CLAUDE, SimulatedWorld


def whole(world, run_id, rows):
    """Every row is there once, with its own answer."""
    result = world.result(run_id)
    assert result["topic"].to_pylist() == [f"topic number {row}" for row in range(rows)]
    for row in result.to_pylist():
        assert row["response"] == f"answer to: Tell me a joke about {row['topic']} in less than 50 words."


@pytest.mark.promise("L2", "I1")
@pytest.mark.parametrize(
    "faults", [{"events_lost_share": 1.0}, {"events_lost_share": 0.5, "events_doubled_share": 1.0}]
)
async def test_a_run_ends_right_whatever_the_bus_loses_or_doubles(faults):
    world = SimulatedWorld()
    for name, share in faults.items():
        setattr(world.bedrock, name, share)
    run_id = world.send(world.joke(rows=1_200, max_records_per_job=100))

    totals = await play(world, run_id)

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 1_200)
    whole(world, run_id, 1_200)
    assert len(world.jobs.all) == 12
    assert set(jobs_per_attempt(world).values()) == {1}
    assert world.jobs.peak == 3
    assert healthy_dead(world) == {}


@pytest.mark.promise("L2")
async def test_what_the_sweep_had_to_fix_is_counted_by_kind():
    world = SimulatedWorld()
    world.bedrock.events_lost_share = 1.0
    run_id = await enlist(world, world.joke(rows=300, max_records_per_job=100))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    world.bedrock.end_all()

    corrections = await world.scheduler.sweeper.sweep()

    assert corrections == {"ended": 3}
    assert {shard.state for shard in await shards(world, run_id)} == {ShardState.ENDED}


@pytest.mark.promise("I1", "I2")
async def test_every_event_twice_and_in_any_order_changes_nothing():
    world = SimulatedWorld()
    world.bedrock.events_doubled_share = 1.0
    world.queues["events"]._shuffle = random.Random(7)
    run_id = world.send(world.joke(rows=600, max_records_per_job=100))

    def end(job):
        world.bedrock.tell(job, "Submitted")
        world.bedrock.begin(job)
        world.bedrock.end(job)

    totals = await play(world, run_id, end)

    assert (totals.state, totals.repeats, totals.ok) == (RunState.SUCCEEDED, 0, 600)
    whole(world, run_id, 600)
    assert len(world.jobs.all) == 6
    assert healthy_dead(world) == {}


@pytest.mark.promise("I2")
async def test_an_early_word_that_comes_after_the_last_moves_nothing_backwards():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100))
    await world.idle()
    [job] = world.bedrock.active
    world.bedrock.end(job)
    await world.idle()
    before = await world.ledger.job(run_id, "00000", 1)
    totals = await world.totals(run_id)

    for status in ("Submitted", "Validating", "InProgress"):
        world.bedrock.tell(job, status)
    await world.idle()

    assert await world.ledger.job(run_id, "00000", 1) == before
    assert before is not None
    assert before.status == "Completed"
    assert await world.totals(run_id) == totals


@pytest.mark.promise("I2")
async def test_while_a_job_runs_what_people_see_of_it_only_moves_forward():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100))
    await world.idle()
    [job] = world.bedrock.active
    seen = []

    for status in ("Validating", "Scheduled", "Submitted", "InProgress", "Validating", "NoWordWeKnow"):
        world.bedrock.tell(job, status)
        await world.idle()
        row = await world.ledger.job(run_id, "00000", 1)
        assert row is not None
        seen.append(row.status)

    assert seen == ["Validating", "Scheduled", "Scheduled", "InProgress", "InProgress", "InProgress"]
    assert (await play(world, run_id)).state is RunState.SUCCEEDED


class Unseen(Faults):
    """Bedrock does not tell of these jobs: whatever is the matter with them, it is the matter at every look."""

    def __init__(self, arns):
        super().__init__()
        self.arns = set(arns)

    def before(self, name, args=()):
        number = super().before(name, args)
        if name == "jobs.get" and args[0] in self.arns:
            raise Refused("no word of this job", "ValidationException")
        return number


async def test_what_stands_in_the_way_of_one_job_keeps_the_sweep_from_no_other():
    world = SimulatedWorld()
    world.bedrock.events_lost_share = 1.0
    run_id = world.send(world.joke(rows=300, max_records_per_job=100))
    await world.idle()
    world.bedrock.end_all()
    held = await world.ledger.held((await pool(world)).holders)
    scheduler = another_scheduler(world, Unseen([held[0].arn]))

    for _ in range(2):
        before = REGISTRY.get_sample_value("quarry_sweep_last_success_timestamp_seconds")
        world.clock.advance(61)
        with pytest.raises(Refused):
            await scheduler.sweeper.sweep()
        # Somebody has to look at it: the sweep has not run to its end.
        assert REGISTRY.get_sample_value("quarry_sweep_last_success_timestamp_seconds") == before

    states = [shard.state for shard in await shards(world, run_id)]
    assert states == [ShardState.SUBMITTED, ShardState.ENDED, ShardState.ENDED]


async def test_a_sweep_that_fails_at_everything_is_given_up_soon():
    world = SimulatedWorld(job_quota=20)
    world.bedrock.events_lost_share = 1.0
    world.send(world.joke(rows=2000, max_records_per_job=100))
    await world.idle()
    world.bedrock.end_all()
    unseen = Unseen(shard.arn for shard in await world.ledger.held((await pool(world)).holders))

    with pytest.raises(Refused):
        await another_scheduler(world, unseen).sweeper.sweep()

    assert (len(unseen.arns), unseen.calls.count("jobs.get")) == (20, FAILURES_MAX)


@pytest.mark.promise("S1")
async def test_an_event_that_claims_an_end_is_not_believed_before_bedrock_says_so():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100))
    await world.idle()
    [job] = world.bedrock.active
    world.bedrock.begin(job)

    world.bedrock.tell(job, "Completed")
    await world.idle()

    [shard] = await shards(world, run_id)
    assert shard.state is ShardState.SUBMITTED
    assert (await play(world, run_id)).state is RunState.SUCCEEDED


async def test_events_of_jobs_that_are_not_ours_are_passed_over():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100))
    await world.idle()
    before = {key: dict(item) for key, item in world.table.items.items()}

    arns = []
    for name in ("somebody-elses", f"jokes-{run_id}-00000-1-prod", "jokes-nosuchrun-00000-1-test"):
        arns.append(world.jobs.add_foreign(name, CLAUDE))
        world.bedrock.tell(foreign(world, arns[-1]), "Completed")
    world.queues["events"].put('{"source": "aws.s3", "detail-type": "Object Created", "detail": {}}')
    await world.idle()

    assert {key: dict(item) for key, item in world.table.items.items()} == before
    assert [foreign(world, arn).status for arn in arns] == ["InProgress"] * 3, "a job of somebody else's was touched"
    assert healthy_dead(world) == {"events": 1}, (
        "what is no event of Bedrock's is the only one with a reason to lie there"
    )
    assert (await play(world, run_id)).state is RunState.SUCCEEDED


def foreign(world: SimulatedWorld, arn: str) -> Job:
    return next(job for job in world.jobs.all if job.arn == arn)


@pytest.mark.promise("S2")
async def test_a_second_job_of_an_attempt_is_stopped_at_sight_and_the_first_one_counts():
    world = SimulatedWorld(job_quota=1)
    run_id = world.send(world.joke(rows=100, run_id="r1"))
    await world.idle()
    [job] = world.bedrock.active
    second = world.jobs.add_second(job.arn)

    await world.scheduler.sweeper.sweep()

    assert foreign(world, second).status == "Stopping"
    [shard] = await shards(world, run_id)
    assert (shard.state, shard.arn) == (ShardState.SUBMITTED, job.arn)


@pytest.mark.promise("S2", "L3")
async def test_an_event_that_overtakes_our_own_write_adopts_its_job_at_once():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=100, run_id="r1"))
    dying = Faults({await first_create(world): "crash_after"})
    with pytest.raises(Crash):
        await another_scheduler(world, dying).ticker.tick(CLAUDE_POOL)
    [shard] = await shards(world, run_id)
    assert shard.state is ShardState.ADMITTED
    [job] = world.bedrock.active

    world.bedrock.begin(job)
    await world.idle()

    [shard] = await shards(world, run_id)
    assert (shard.state, shard.arn) == (ShardState.SUBMITTED, job.arn)
    assert (await play(world, run_id)).state is RunState.SUCCEEDED
    assert len(world.jobs.all) == 1


@pytest.mark.promise("S2", "L3")
async def test_a_job_that_ended_before_it_was_adopted_is_adopted_and_settled():
    world = SimulatedWorld(job_quota=1)
    world.bedrock.events_lost_share = 1.0
    run_id = await enlist(world, world.joke(rows=100, run_id="r1"))
    dying = Faults({await first_create(world): "crash_after"})
    with pytest.raises(Crash):
        await another_scheduler(world, dying).ticker.tick(CLAUDE_POOL)
    world.bedrock.end_all()

    for _ in range(6):
        await step(world, seconds=121)

    assert (await world.totals(run_id)).state is RunState.SUCCEEDED
    assert len(world.jobs.all) == 1
