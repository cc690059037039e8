"""A run with a budget: no job is created that is likely to pass it, and the run says so, and goes on when it may."""

from __future__ import annotations

import pytest

from quarry_core.contract.states import Gate, RunState
from quarry_core.errors import Stale
from quarry_core.ledger import moves
from quarry_core.models.prices import price_of
from quarry_core.planning.spending import MICRO, Account, Booking, over_budget, over_month, spent_dollars
from tests.unit.flow.acts import CLAUDE_POOL, another_scheduler, enlist, healthy_dead, play, shards, step
from tests.world.world import CLAUDE, SimulatedWorld

USED = {"input_tokens": 12, "output_tokens": 500}
ROW_DOLLARS = price_of(CLAUDE).dollars(**USED)
# The bound of an answer is then what each answer has, so nothing is left to chance.
EIGHT = {"rows": 800, "max_records_per_job": 100, "inference": {"max_tokens": 500}}


def world_of(**changes: object) -> SimulatedWorld:
    world = SimulatedWorld(**{"job_quota": 3} | changes)

    def answer(_body: dict, _how: str | None) -> dict:
        said = {"type": "text", "text": "a joke"}
        return {"role": "assistant", "content": [said], "stop_reason": "end_turn", "usage": USED}

    world.bedrock.answerer = answer
    return world


async def spent(world: SimulatedWorld, run_id: str) -> float:
    return spent_dollars(CLAUDE, (await world.totals(run_id)).spent)


async def set_budget(world: SimulatedWorld, run_id: str, dollars: float | None) -> None:
    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    micros = None if dollars is None else round(dollars * MICRO)
    await world.ledger.apply(moves.set_budget(await world.totals(run_id), lane, micros))


@pytest.mark.promise("S3")
async def test_a_budget_of_60_percent_stops_in_time_keeps_what_is_done_and_raising_it_finishes_the_run():
    world = world_of()
    likely = 800 * ROW_DOLLARS
    budget = 0.6 * likely
    run_id = await enlist(world, world.joke(**EIGHT, budget_usd=round(budget, 6)))

    for _ in range(8):
        await step(world)
        assert await spent(world, run_id) <= budget
        world.start()  # fresh processes: whatever they remembered is gone

    totals = await world.totals(run_id)
    assert (totals.state, totals.held_kind, totals.ok) == (RunState.RUNNING, "budget", 400)
    assert await spent(world, run_id) == pytest.approx(0.5 * likely)
    assert totals.held_reason == (
        "the budget of $0.15 is not enough for another shard: $0.13 spent, and the next needs about $0.0314; with"
        f" quarry set {run_id} budget_usd=0.16 it goes on"
    )
    assert len(world.jobs.all) == 4
    assert (await world.ledger.lane(CLAUDE_POOL, run_id)).gate is Gate.HELD
    assert world.result(run_id).num_rows == 400, "what is done is joined"

    await set_budget(world, run_id, likely * 1.01)
    totals = await play(world, run_id)
    assert (totals.state, totals.ok, totals.held_at) == (RunState.SUCCEEDED, 800, "")
    assert await spent(world, run_id) == pytest.approx(likely)
    assert totals.unbooked_micros > 0
    assert healthy_dead(world) == {}


async def test_jobs_that_cost_less_than_they_were_booked_at_make_room_by_themselves():
    world = world_of()
    # Twice as many output tokens are allowed as are used; nothing is known of the model before.
    manifest = EIGHT | {"inference": {"max_tokens": 1_000}}
    run_id = await enlist(world, world.joke(**manifest, budget_usd=round(820 * ROW_DOLLARS, 6)))

    totals = await play(world, run_id)
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 800)


async def test_two_schedulers_that_see_room_for_one_shard_more_admit_one():
    world = world_of(job_quota=8)
    budget = 800 * ROW_DOLLARS
    run_id = await enlist(world, world.joke(**EIGHT, budget_usd=round(budget * 0.3, 6)))
    others = [another_scheduler(world) for _ in range(3)]
    for scheduler in (world.scheduler, *others):
        await scheduler.tick_all()
    assert len(world.jobs.all) == 2, (await world.totals(run_id), await world.ledger.lane(CLAUDE_POOL, run_id))
    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    assert lane.booked_micros == sum(shard.booked_micros for shard in await shards(world, run_id))


async def test_an_admission_that_was_decided_by_another_budget_or_booking_is_stale():
    world = world_of()
    run_id = await enlist(world, world.joke(**EIGHT, budget_usd=5))
    pool = await world.scheduler.ticker.open_pool(CLAUDE_POOL)
    lane, first = await world.ledger.lane(CLAUDE_POOL, run_id), (await shards(world, run_id))[0]
    decided = moves.admit(pool, lane, first, "heartbeat", Booking(87_500))
    await set_budget(world, run_id, 0.01)
    with pytest.raises(Stale):
        await world.ledger.apply(decided)


async def test_lowering_the_budget_holds_a_run_at_its_next_shard_and_taking_it_away_lets_it_go():
    world = world_of(job_quota=1)
    run_id = await enlist(world, world.joke(**EIGHT))
    await step(world)
    await set_budget(world, run_id, 0.0001)
    for _ in range(3):
        await step(world)
    totals = await world.totals(run_id)
    assert totals.held_kind == "budget"
    jobs = len(world.jobs.all)
    await step(world)
    assert len(world.jobs.all) == jobs

    await set_budget(world, run_id, None)
    assert (await play(world, run_id)).ok == 800


async def test_a_returned_slot_is_booked_once_and_not_again():
    world = world_of()
    run_id = await enlist(world, world.joke(**EIGHT, budget_usd=50))
    await world.idle()
    booked = (await world.ledger.lane(CLAUDE_POOL, run_id)).booked_micros
    row = (await shards(world, run_id))[0]
    assert booked == 3 * row.booked_micros
    totals = await play(world, run_id)
    assert totals.unbooked_micros == sum(shard.booked_micros for shard in await shards(world, run_id))


async def test_a_run_that_is_asked_on_demand_has_a_budget_too():
    world = world_of()
    small = {"rows": 40, "inference": {"max_tokens": 500}}
    run_id = world.send(world.joke(**small, budget_usd=0.0001))
    for _ in range(3):
        await step(world)
    totals = await world.totals(run_id)
    assert (totals.held_kind, totals.ok) == ("budget", 0)
    await set_budget(world, run_id, 5)
    totals = await play(world, run_id)
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 40)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"budget_usd": 0}, "budget_usd: "),
        ({"budget_usd": "5"}, "budget_usd: "),
        ({"budget_usd": 5, "model_id": "ai21.jamba-1-5-large-v1:0"}, "budget_usd: the table of prices has no ai21"),
    ],
)
async def test_a_budget_that_cannot_be_kept_is_refused(manifest, said):
    world = SimulatedWorld()
    run_id = world.send(world.joke(**manifest))
    await world.idle()
    totals = await world.totals(run_id)
    assert totals.state is RunState.FAILED
    assert said in totals.message


def test_a_budget_that_is_just_too_small_does_not_read_as_enough():
    account = Account.of(10_000_000, spent=9_999_000, booked=0, unbooked=0)

    assert "the budget of $10.000 is not enough for another shard: $9.999 spent" in over_budget(account, 2_000, "run")
    assert "2026-01, $10.000 (QUARRY_BUDGET_USD), is not enough for another shard: $9.999 spent" in over_month(
        account, 2_000, "2026-01"
    )
    assert "the next needs about $0.000012;" in over_budget(Account.of(5, 0, 0, 0), 12, "run")
