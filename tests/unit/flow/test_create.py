"""One attempt of one shard is one job, whatever Bedrock answers and whoever dies asking."""

from __future__ import annotations

import itertools

import pytest

from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import PortError, Refused, Throttled
from tests.unit.flow.acts import (
    CLAUDE_POOL,
    another_scheduler,
    enlist,
    errors_of,
    healthy_dead,
    jobs_per_attempt,
    play,
    pool,
    shards,
    step,
)
from tests.world.faults import Crash, Faults
from tests.world.world import CLAUDE, SimulatedWorld


async def states(world, run_id):
    return [(shard.state, shard.attempt) for shard in await shards(world, run_id)]


async def first_create(world) -> int:
    """The number of a scheduler's port call that is its first Create, on this very world's state."""
    twin = SimulatedWorld(job_quota=world.settings.job_quota)
    await enlist(twin, twin.joke(rows=100, run_id="r1"))
    faults = Faults()
    await another_scheduler(twin, faults).ticker.tick(CLAUDE_POOL)
    return faults.calls.index("jobs.create") + 1


@pytest.mark.promise("S2")
async def test_a_job_whose_creation_was_not_heard_back_from_is_adopted():
    world = SimulatedWorld()
    run_id = await enlist(world, world.joke(rows=100))
    world.jobs.lose_reply_once()

    await world.scheduler.ticker.tick(CLAUDE_POOL)
    assert await states(world, run_id) == [(ShardState.ADMITTED, 1)]
    await world.scheduler.ticker.tick(CLAUDE_POOL)

    assert await states(world, run_id) == [(ShardState.SUBMITTED, 1)]
    assert len(world.jobs.all) == 1
    assert (await play(world, run_id)).state is RunState.SUCCEEDED
    assert len(world.jobs.all) == 1


@pytest.mark.promise("L5")
async def test_a_throttled_create_returns_the_slot_and_uses_no_attempt():
    world = SimulatedWorld()
    run_id = await enlist(world, world.joke(rows=100))
    world.jobs.refuse_once(Throttled("slow down"))

    await world.scheduler.ticker.tick(CLAUDE_POOL)

    assert await states(world, run_id) == [(ShardState.PENDING, 1)]
    assert (await pool(world)).holders == frozenset()
    assert [waiting.attempt for waiting in await world.ledger.waiting(run_id, 10)] == [1]
    totals = await play(world, run_id)
    assert (totals.state, totals.repeats) == (RunState.SUCCEEDED, 0)
    assert list(jobs_per_attempt(world).values()) == [1]
    assert healthy_dead(world) == {}


@pytest.mark.promise("L4", "L5")
async def test_a_quota_that_others_use_up_lowers_the_limit_and_a_idle_time_raises_it_again():
    world = SimulatedWorld(job_quota=3, quota=3)
    run_id = await enlist(world, world.joke(rows=1_200, max_records_per_job=100))
    await world.scheduler.ticker.open_pool(CLAUDE_POOL)
    foreign = world.jobs.add_foreign("somebody-elses", CLAUDE)  # which only the next sweep will count

    await world.scheduler.ticker.tick(CLAUDE_POOL)

    lowered = await pool(world)
    assert (lowered.in_use, lowered.learned, lowered.admit_limit) == (2, 2, 2)
    assert {attempt for _, attempt in await states(world, run_id)} == {1}
    # While the quota stays used up, the work goes on in what room there is.
    for _ in range(3):
        await step(world)
    assert (await world.totals(run_id)).ok > 0
    world.jobs.finish(foreign)
    for _ in range(3):
        await step(world)
    relaxed = await pool(world)
    assert (relaxed.learned, relaxed.admit_limit) == (None, 3)
    totals = await play(world, run_id)
    assert (totals.state, totals.repeats, totals.ok) == (RunState.SUCCEEDED, 0, 1_200)
    assert world.jobs.peak == 3
    assert healthy_dead(world) == {}


@pytest.mark.parametrize(
    "answer",
    [
        Refused("ValidationException: the role cannot be assumed", "ValidationException"),
        Refused("AccessDeniedException: you have no access to the model", "AccessDeniedException"),
    ],
    ids=lambda answer: answer.code,
)
@pytest.mark.promise("S10", "L2")
async def test_a_create_that_is_refused_ends_the_whole_run_with_bedrocks_words(answer):
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=800, max_records_per_job=100))
    world.jobs.refuse_once(answer)

    totals = await play(world, run_id)

    assert totals.state is RunState.FAILED
    assert str(answer) in totals.message
    assert (totals.ok, totals.error) == (0, 800)
    assert world.jobs.all == [], "what is refused once is refused to the run's other shards: it is not asked again"
    assert errors_of(world, run_id) == {"REFUSED": 800}
    assert all(str(answer) in message for message in world.result(run_id)["error_message"].to_pylist())
    assert healthy_dead(world) == {}


async def test_a_refused_run_keeps_no_other_run_waiting():
    world = SimulatedWorld(job_quota=1)
    bad = await enlist(world, world.joke(rows=300, max_records_per_job=100, run_id="bad"))
    world.jobs.refuse_once(Refused("no", "ValidationException"))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    good = await enlist(world, world.joke(rows=300, max_records_per_job=100, run_id="good"))

    assert (await play(world, good)).state is RunState.SUCCEEDED
    assert (await play(world, bad)).state is RunState.FAILED


@pytest.mark.promise("S7", "L1", "L3")
async def test_an_admission_whose_scheduler_died_before_create_is_taken_over_in_its_time():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=100, run_id="r1"))
    dying = Faults({await first_create(world): "crash_before"})
    with pytest.raises(Crash):
        await another_scheduler(world, dying).ticker.tick(CLAUDE_POOL)
    assert await states(world, run_id) == [(ShardState.ADMITTED, 1)]
    survivor = another_scheduler(world)
    settings = world.settings

    await survivor.ticker.tick(CLAUDE_POOL)  # from here on it watches the heartbeat, on its own clock
    world.clock.advance(settings.finish_after_s - 1)
    await survivor.ticker.tick(CLAUDE_POOL)
    heartbeat = (await shards(world, run_id))[0].heartbeat
    world.clock.advance(1)
    await survivor.ticker.tick(CLAUDE_POOL)
    assert (await shards(world, run_id))[0].heartbeat != heartbeat, (
        "not taken over when its heartbeat had stood long enough"
    )
    assert world.jobs.all == [], "what the dead one sent is not known before List has settled"

    world.clock.advance(settings.list_settle_s - 1)
    await survivor.ticker.tick(CLAUDE_POOL)
    assert world.jobs.all == []
    world.clock.advance(1)
    await survivor.ticker.tick(CLAUDE_POOL)
    assert await states(world, run_id) == [(ShardState.SUBMITTED, 1)]
    assert (await play(world, run_id)).state is RunState.SUCCEEDED
    assert list(jobs_per_attempt(world).values()) == [1]


MEMORIES_S = (None, 5.0, 0.0)
LAGS_S = (0.0, 60.0)


@pytest.mark.slow
@pytest.mark.promise("S2", "L3")
@pytest.mark.parametrize("memory_s", MEMORIES_S)
@pytest.mark.parametrize("names_refused", [False, True])
@pytest.mark.parametrize("lag_s", LAGS_S)
@pytest.mark.parametrize("events_lost_share", [0.0, 1.0])
@pytest.mark.parametrize("death", ["crash_before", "crash_after", "lose_reply"])
async def test_however_bedrock_remembers_an_attempt_is_one_job_under_take_over(
    memory_s, names_refused, lag_s, events_lost_share, death
):
    world = SimulatedWorld(job_quota=1)
    world.jobs.token_memory_s, world.jobs.refuse_used_names, world.jobs.list_lag_s = memory_s, names_refused, lag_s
    world.bedrock.events_lost_share = events_lost_share
    run_id = await enlist(world, world.joke(rows=200, max_records_per_job=100, run_id="r1"))
    troubled = another_scheduler(world, Faults({await first_create(world): death}))
    schedulers = [troubled, world.scheduler, another_scheduler(world)]

    for turn in itertools.count():
        for scheduler in schedulers:
            try:
                await scheduler.ticker.tick(CLAUDE_POOL)
                await scheduler.sweeper.sweep()
            except Crash:
                schedulers = schedulers[1:]
            except PortError:
                pass
        await world.idle()
        # A job is young for a while: a second one would find it still at work.
        if turn % 25 == 24:
            world.bedrock.end_all()
        world.clock.advance(31)
        if (await world.totals(run_id)).state.terminal:
            break
        assert turn < 400, await shards(world, run_id)

    assert (await world.totals(run_id)).state is RunState.SUCCEEDED
    assert set(jobs_per_attempt(world).values()) == {1}, jobs_per_attempt(world)
    assert len(world.jobs.all) == 2
    assert world.jobs.peak == 1
    assert healthy_dead(world) == {}
