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
from tests.world.house import CLAUDE, House


async def states(house, run_id):
    return [(shard.state, shard.attempt) for shard in await shards(house, run_id)]


async def first_create(house) -> int:
    """The number of a scheduler's port call that is its first Create, on this very house's state."""
    twin = House(job_quota=house.settings.job_quota)
    await enlist(twin, twin.joke(rows=100, run_id="r1"))
    faults = Faults()
    await another_scheduler(twin, faults).ticker.tick(CLAUDE_POOL)
    return faults.calls.index("jobs.create") + 1


@pytest.mark.promise("S2")
async def test_a_job_whose_creation_was_not_heard_back_from_is_adopted():
    house = House()
    run_id = await enlist(house, house.joke(rows=100))
    house.jobs.lose_reply_once()

    await house.scheduler.ticker.tick(CLAUDE_POOL)
    assert await states(house, run_id) == [(ShardState.ADMITTED, 1)]
    await house.scheduler.ticker.tick(CLAUDE_POOL)

    assert await states(house, run_id) == [(ShardState.SUBMITTED, 1)]
    assert len(house.jobs.all) == 1
    assert (await play(house, run_id)).state is RunState.SUCCEEDED
    assert len(house.jobs.all) == 1


@pytest.mark.promise("L5")
async def test_a_throttled_create_gives_the_slot_back_and_uses_no_attempt():
    house = House()
    run_id = await enlist(house, house.joke(rows=100))
    house.jobs.refuse_once(Throttled("slow down"))

    await house.scheduler.ticker.tick(CLAUDE_POOL)

    assert await states(house, run_id) == [(ShardState.PENDING, 1)]
    assert (await pool(house)).holders == frozenset()
    assert [waiting.attempt for waiting in await house.ledger.waiting(run_id, 10)] == [1]
    totals = await play(house, run_id)
    assert (totals.state, totals.repeats) == (RunState.SUCCEEDED, 0)
    assert list(jobs_per_attempt(house).values()) == [1]
    assert healthy_dead(house) == {}


@pytest.mark.promise("L4", "L5")
async def test_a_quota_that_others_use_up_lowers_the_limit_and_a_quiet_time_raises_it_again():
    house = House(job_quota=3)
    foreign = house.jobs.add_foreign("somebody-elses", CLAUDE)
    run_id = await enlist(house, house.joke(rows=1_200, max_records_per_job=100))

    await house.scheduler.ticker.tick(CLAUDE_POOL)

    lowered = await pool(house)
    assert (lowered.in_use, lowered.learned, lowered.admit_limit) == (2, 2, 2)
    assert {attempt for _, attempt in await states(house, run_id)} == {1}
    # While the quota stays used up, the work goes on in what room there is.
    for _ in range(3):
        await step(house)
    assert (await house.totals(run_id)).ok > 0
    house.jobs.finish(foreign)
    for _ in range(3):
        await step(house)
    relaxed = await pool(house)
    assert (relaxed.learned, relaxed.admit_limit) == (None, 3)
    totals = await play(house, run_id)
    assert (totals.state, totals.repeats, totals.ok) == (RunState.SUCCEEDED, 0, 1_200)
    assert house.jobs.peak == 3
    assert healthy_dead(house) == {}


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
    house = House(job_quota=1)
    run_id = await enlist(house, house.joke(rows=800, max_records_per_job=100))
    house.jobs.refuse_once(answer)

    totals = await play(house, run_id)

    assert totals.state is RunState.FAILED
    assert str(answer) in totals.message
    assert (totals.ok, totals.error) == (0, 800)
    assert house.jobs.all == [], "what is refused once is refused to the run's other shards: it is not asked again"
    assert errors_of(house, run_id) == {"REFUSED": 800}
    assert all(str(answer) in message for message in house.result(run_id)["error_message"].to_pylist())
    assert healthy_dead(house) == {}


async def test_a_refused_run_keeps_no_other_run_waiting():
    house = House(job_quota=1)
    bad = await enlist(house, house.joke(rows=300, max_records_per_job=100, run_id="bad"))
    house.jobs.refuse_once(Refused("no", "ValidationException"))
    await house.scheduler.ticker.tick(CLAUDE_POOL)
    good = await enlist(house, house.joke(rows=300, max_records_per_job=100, run_id="good"))

    assert (await play(house, good)).state is RunState.SUCCEEDED
    assert (await play(house, bad)).state is RunState.FAILED


@pytest.mark.promise("S7", "L1", "L3")
async def test_an_admission_whose_scheduler_died_before_create_is_taken_over_in_its_time():
    house = House(job_quota=1)
    run_id = await enlist(house, house.joke(rows=100, run_id="r1"))
    dying = Faults({await first_create(house): "crash_before"})
    with pytest.raises(Crash):
        await another_scheduler(house, dying).ticker.tick(CLAUDE_POOL)
    assert await states(house, run_id) == [(ShardState.ADMITTED, 1)]
    survivor = another_scheduler(house)
    settings = house.settings

    await survivor.ticker.tick(CLAUDE_POOL)  # from here on it watches the beat, on its own clock
    house.clock.advance(settings.finish_after_s - 1)
    await survivor.ticker.tick(CLAUDE_POOL)
    beat = (await shards(house, run_id))[0].beat
    house.clock.advance(1)
    await survivor.ticker.tick(CLAUDE_POOL)
    assert (await shards(house, run_id))[0].beat != beat, "not taken over when its beat had stood long enough"
    assert house.jobs.all == [], "what the dead one sent is not known before List has settled"

    house.clock.advance(settings.list_settle_s - 1)
    await survivor.ticker.tick(CLAUDE_POOL)
    assert house.jobs.all == []
    house.clock.advance(1)
    await survivor.ticker.tick(CLAUDE_POOL)
    assert await states(house, run_id) == [(ShardState.SUBMITTED, 1)]
    assert (await play(house, run_id)).state is RunState.SUCCEEDED
    assert list(jobs_per_attempt(house).values()) == [1]


MEMORIES_S = (None, 5.0, 0.0)
LAGS_S = (0.0, 60.0)


@pytest.mark.promise("S2", "L3")
@pytest.mark.parametrize("memory_s", MEMORIES_S)
@pytest.mark.parametrize("names_refused", [False, True])
@pytest.mark.parametrize("lag_s", LAGS_S)
@pytest.mark.parametrize("events_lost_share", [0.0, 1.0])
@pytest.mark.parametrize("death", ["crash_before", "crash_after", "lose_reply"])
async def test_however_bedrock_remembers_an_attempt_is_one_job_under_take_over(
    memory_s, names_refused, lag_s, events_lost_share, death
):
    house = House(job_quota=1)
    house.jobs.token_memory_s, house.jobs.refuse_used_names, house.jobs.list_lag_s = memory_s, names_refused, lag_s
    house.bedrock.events_lost_share = events_lost_share
    run_id = await enlist(house, house.joke(rows=200, max_records_per_job=100, run_id="r1"))
    troubled = another_scheduler(house, Faults({await first_create(house): death}))
    schedulers = [troubled, house.scheduler, another_scheduler(house)]

    for turn in itertools.count():
        for scheduler in schedulers:
            try:
                await scheduler.ticker.tick(CLAUDE_POOL)
                await scheduler.sweeper.sweep()
            except Crash:
                schedulers = schedulers[1:]
            except PortError:
                pass
        await house.quiet()
        # A job is young for a while: a second one would find it still at work.
        if turn % 25 == 24:
            house.bedrock.end_all()
        house.clock.advance(31)
        if (await house.totals(run_id)).state.terminal:
            break
        assert turn < 400, await shards(house, run_id)

    assert (await house.totals(run_id)).state is RunState.SUCCEEDED
    assert set(jobs_per_attempt(house).values()) == {1}, jobs_per_attempt(house)
    assert len(house.jobs.all) == 2
    assert house.jobs.peak == 1
    assert healthy_dead(house) == {}
