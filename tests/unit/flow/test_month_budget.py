"""The budget of a calendar month, over all runs: nothing is created that is likely to pass it, and runs go on by themselves."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from quarry_cli.client.changes import retrying
from quarry_cli.client.changes.budget import set_budget as set_run_budget
from quarry_cli.client.changes.control import pause
from quarry_core.contract.canary import HoldKind
from quarry_core.contract.states import Gate, RunState
from quarry_core.errors import PortError, Stale, Throttled
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Month
from quarry_core.models.prices import price_of
from quarry_core.planning.spending import MICRO, month_after, month_of
from quarry_core.telemetry import metrics
from tests.unit.flow.acts import CLAUDE_POOL, another_scheduler, enlist, healthy_dead, play, shards, step
from tests.unit.flow.test_retry import connections
from tests.world.faults import Crash, Faults
from tests.world.world import CLAUDE, SimulatedWorld

USED = {"input_tokens": 12, "output_tokens": 500}
ROW_DOLLARS = price_of(CLAUDE).dollars(**USED)
SHARD_DOLLARS = 100 * ROW_DOLLARS
FOUR = {"rows": 400, "max_records_per_job": 100, "inference": {"max_tokens": 500}}
JANUARY = "2026-01"


def world_of(budget: float | None, **changes: object) -> SimulatedWorld:
    world = SimulatedWorld(**{"job_quota": 3, "budget_usd": budget} | changes)

    def answer(_body: dict, _how: str | None) -> dict:
        said = {"type": "text", "text": "a joke"}
        return {"role": "assistant", "content": [said], "stop_reason": "end_turn", "usage": USED}

    world.bedrock.answerer = answer
    return world


def set_budget(world: SimulatedWorld, budget: float | None) -> None:
    """Deployed anew with another setting."""
    world.settings = world.settings.model_copy(update={"budget_usd": budget})
    world.start()


async def month(world: SimulatedWorld, name: str = JANUARY) -> Month:
    found = await world.ledger.month(name)
    assert found is not None
    return found


async def adds_up(world: SimulatedWorld, *run_ids: str, name: str = JANUARY) -> Month:
    """The month holds what the shards say, each once."""
    found = await month(world, name)
    ours = [shard for run_id in run_ids for shard in await shards(world, run_id) if shard.month == name]
    assert found.spent_micros == sum(shard.spent_micros or 0 for shard in ours)
    assert found.booked_micros == sum(shard.booked_micros for shard in ours)
    assert found.unbooked_micros == sum(shard.booked_micros for shard in ours if shard.spent_micros is not None)
    assert found.projected_micros == found.spent_micros + found.booked_micros - found.unbooked_micros
    return found


async def test_the_months_budget_holds_all_runs_and_raising_it_lets_them_go_on():
    world = world_of(5.5 * SHARD_DOLLARS)
    first = await enlist(world, world.joke(**FOUR))
    second = await enlist(world, world.joke(**FOUR, job_name_prefix="second"))
    for _ in range(6):
        await step(world)
        assert (await month(world)).spent_micros <= 5.5 * SHARD_DOLLARS * MICRO
        world.start()

    found = await adds_up(world, first, second)
    assert found.spent_micros == pytest.approx(5 * SHARD_DOLLARS * MICRO, abs=5)
    assert (found.projected_micros, found.budget_micros) == (found.spent_micros, round(5.5 * SHARD_DOLLARS * MICRO))
    assert len(world.jobs.all) == 5
    held = [each for run_id in (first, second) if (each := await world.totals(run_id)).held]
    assert held
    assert {(each.held_kind, each.state) for each in held} == {("month", RunState.RUNNING)}
    assert held[0].held_reason == (
        "the budget of 2026-01, $0.17 (QUARRY_BUDGET_USD), is not enough for another shard: $0.16 spent, and the next needs"
        " about $0.0314; it goes on when the setting is raised, when jobs cost less than was booked, or when 2026-02 begins"
    )
    assert (await world.ledger.lane(CLAUDE_POOL, held[0].run_id)).gate is Gate.HELD
    joined = sum(world.result(run_id).num_rows for run_id in (first, second))
    assert joined == 500, "what is done is joined"

    set_budget(world, 8.2 * SHARD_DOLLARS)
    for run_id in (first, second):
        totals = await play(world, run_id)
        assert (totals.state, totals.ok, totals.held_at) == (RunState.SUCCEEDED, 400, "")
    assert (await adds_up(world, first, second)).spent_micros == pytest.approx(8 * SHARD_DOLLARS * MICRO, abs=8)
    assert healthy_dead(world) == {}


async def test_a_new_month_lets_held_runs_go_on_and_has_a_sum_of_its_own():
    world = world_of(2.5 * SHARD_DOLLARS)
    run_id = await enlist(world, world.joke(**FOUR))
    for _ in range(4):
        await step(world)
    assert (await world.totals(run_id)).held_kind == HoldKind.MONTH
    await step(world, seconds=(datetime(2026, 2, 1, tzinfo=UTC) - world.clock.now()).total_seconds())
    totals = await play(world, run_id)
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 400)
    assert (await adds_up(world, run_id)).spent_micros == pytest.approx(2 * SHARD_DOLLARS * MICRO, abs=2)
    assert (await adds_up(world, run_id, name="2026-02")).spent_micros == pytest.approx(
        2 * SHARD_DOLLARS * MICRO, abs=2
    )
    assert totals.spent_micros == sum(each.spent_micros for each in await shards(world, run_id))
    assert [each.month for each in await world.ledger.months()] == ["2026-02", "2026-01"]


async def test_many_schedulers_that_see_room_for_one_shard_more_admit_one():
    world = world_of(3.5 * SHARD_DOLLARS, job_quota=8)
    runs = [await enlist(world, world.joke(**FOUR, job_name_prefix=name)) for name in ("one", "two")]
    for scheduler in (world.scheduler, *(another_scheduler(world) for _ in range(3))):
        await scheduler.tick_all()
    assert len(world.jobs.all) == 3
    assert (await adds_up(world, *runs)).projected_micros <= 3.5 * SHARD_DOLLARS * MICRO


async def test_an_admission_that_was_decided_before_others_took_the_room_is_stale():
    world = world_of(1.5 * SHARD_DOLLARS, job_quota=8)
    runs = [await enlist(world, world.joke(**FOUR, job_name_prefix=name)) for name in ("one", "two")]
    late = another_scheduler(world)
    pool = await late.ticker.open_pool(CLAUDE_POOL)
    booking = await late.ticker._budgets.book(
        await world.ledger.lane(CLAUDE_POOL, runs[1]), (await shards(world, runs[1]))[0]
    )
    await world.scheduler.tick_all()
    assert len(world.jobs.all) == 1
    pool = await world.ledger.pool(CLAUDE_POOL)
    lane, shard = await world.ledger.lane(CLAUDE_POOL, runs[1]), (await shards(world, runs[1]))[0]
    with pytest.raises(Stale):
        await world.ledger.apply(moves.admit(pool, dataclasses.replace(lane, gate=Gate.OPEN), shard, "late", booking))


async def played_with(world: SimulatedWorld, run_id: str, service: str, faults: Faults) -> None:
    """The run to its end, where one process of a service has these faults, and is started anew once it has crashed."""
    world.start({service: faults})
    for _ in range(40):
        try:
            await step(world)
        except Crash:
            world.start()
        except PortError:
            pass  # a timer's turn, which comes again
        totals = await world.ledger.totals(run_id)
        if totals is not None and totals.state.terminal:
            return
    raise AssertionError("the run does not end")


@pytest.mark.parametrize("kind", ["crash_before", "crash_after", "lose_reply"])
@pytest.mark.parametrize("service", ["scheduler", "collector"])
async def test_no_crash_and_no_lost_reply_counts_a_shard_twice_or_forgets_it(service: str, kind: str):
    manifest = {"rows": 200, "max_records_per_job": 100, "inference": {"max_tokens": 500}}
    calm, world = Faults(), world_of(100.0)
    await played_with(world, world.send(world.joke(**manifest)), service, calm)
    writes = [number for number, name in enumerate(calm.calls, 1) if name == "table.transact"]
    assert len(writes) >= 5
    for number in writes:
        world = world_of(100.0)
        run_id = world.send(world.joke(**manifest))
        faults = Faults({number: kind})
        await played_with(world, run_id, service, faults)
        assert faults.injected
        totals = await world.totals(run_id)
        assert totals.ok == 200
        found = await adds_up(world, run_id)
        assert found.spent_micros == found.projected_micros == totals.spent_micros
        assert found.spent_micros == pytest.approx(2 * SHARD_DOLLARS * MICRO, abs=2)


async def test_an_admission_that_came_to_nothing_returns_its_money_and_counts_where_it_is_admitted_at_last():
    world = world_of(100.0, job_quota=1)
    run_id = await enlist(world, world.joke(**FOUR))
    world.clock.advance((datetime(2026, 1, 31, 23, 59, 50, tzinfo=UTC) - world.clock.now()).total_seconds())
    world.jobs.refuse_once(Throttled("not now"))
    await world.scheduler.tick_all()
    before = await adds_up(world, run_id)
    assert (before.booked_micros, before.projected_micros, world.jobs.all) == (0, 0, [])
    assert (await world.ledger.lane(CLAUDE_POOL, run_id)).booked == 0
    world.clock.advance(11)
    await step(world)
    assert (await play(world, run_id)).ok == 400
    assert (await adds_up(world, run_id)).booked_micros == 0
    assert (await adds_up(world, run_id, name="2026-02")).spent_micros == pytest.approx(
        4 * SHARD_DOLLARS * MICRO, abs=4
    )


async def test_a_paused_run_whose_admission_came_to_nothing_keeps_no_other_from_the_months_budget():
    world = world_of(1.5 * SHARD_DOLLARS, job_quota=1)
    paused = await enlist(world, world.joke(**FOUR))
    world.jobs.refuse_once(Throttled("not now"))
    await world.scheduler.tick_all()
    await pause(connections(world), paused)
    other = await enlist(world, world.joke(rows=100, inference={"max_tokens": 500}, job_name_prefix="other"))
    totals = await play(world, other)
    assert (totals.state, totals.held_at) == (RunState.SUCCEEDED, "")


async def test_two_shards_whose_admissions_came_to_nothing_do_not_wait_for_each_others_money():
    """Where the budget is lowered, room for one is room for one."""
    world = world_of(10.0, job_quota=2)
    run_id = await enlist(world, world.joke(**FOUR | {"rows": 200}))
    world.jobs.set_quota(0)
    await world.scheduler.tick_all()
    assert world.jobs.all == []
    world.jobs.set_quota(None)
    set_budget(world, 1.5 * SHARD_DOLLARS)
    for _ in range(3):
        await step(world)
    assert len(world.jobs.all) == 1
    found, totals = await adds_up(world, run_id), await world.totals(run_id)
    assert found.spent_micros == pytest.approx(SHARD_DOLLARS * MICRO, abs=2)
    assert totals.held_kind == HoldKind.MONTH


async def test_so_it_is_with_the_budget_of_a_run_and_with_jobs_that_are_repeated():
    world = world_of(None, job_quota=2)
    run_id = await enlist(world, world.joke(**FOUR | {"rows": 200}, budget_usd=10.0))
    await world.idle()
    await world.scheduler.tick_all()
    assert len(world.jobs.all) == 2
    for job in world.bedrock.active:
        world.bedrock.end(job, "Failed", message="InternalServerException", output=False)
    await world.idle()
    assert (await adds_up(world, run_id)).booked_micros == 0
    assert (await world.ledger.lane(CLAUDE_POOL, run_id)).booked == 0
    await set_run_budget(connections(world), run_id, 1.5 * SHARD_DOLLARS)
    for _ in range(4):
        await step(world)
    assert len(world.jobs.all) == 3
    totals = await world.totals(run_id)
    assert (totals.ok, totals.held_kind) == (100, HoldKind.BUDGET)


async def test_money_is_returned_also_where_the_item_of_its_month_is_gone():
    world = world_of(None, job_quota=1)
    run_id = await enlist(world, world.joke(**FOUR))
    await world.scheduler.tick_all()
    world.table.items.pop(("months", JANUARY))
    for job in world.bedrock.active:
        world.bedrock.end(job, "Failed", message="InternalServerException", output=False)
    assert (await play(world, run_id)).ok == 400


async def test_a_retry_is_booked_at_what_the_records_of_the_run_came_to():
    world = world_of(None)
    world.bedrock.throttled_share = 0.6
    manifest = FOUR | {"rows": 1_000, "max_records_per_job": 200, "record_errors": {"max_attempts": 1}}
    run_id = world.send(world.joke(**manifest))
    first = await play(world, run_id)
    world.bedrock.throttled_share = 0.0
    spent = (await month(world)).spent_micros
    assert first.error > 500
    likely = first.error * ROW_DOLLARS * MICRO
    set_budget(world, (spent + 0.5 * likely) / MICRO)
    retry = await retrying.begin(connections(world), run_id)
    for _ in range(6):
        await step(world)
        found = await adds_up(world, run_id, retry.run_id)
        assert found.projected_micros <= spent + 0.5 * likely
    totals = await world.totals(retry.run_id)
    assert totals.held_kind == HoldKind.MONTH
    assert found.spent_micros - spent > 0, "what fits is asked"
    set_budget(world, (spent + 1.01 * likely) / MICRO)
    assert (await play(world, retry.run_id)).ok == 1_000
    assert (await adds_up(world, run_id, retry.run_id)).spent_micros == pytest.approx(spent + likely, rel=0.01)


async def test_what_is_asked_on_demand_counts_at_its_own_price_and_waits_too():
    world = world_of(0.0001)
    run_id = world.send(world.joke(rows=40, inference={"max_tokens": 500}))
    for _ in range(3):
        await step(world)
    totals = await world.totals(run_id)
    assert (totals.held_kind, totals.ok) == ("month", 0)
    set_budget(world, 5.0)
    assert (await play(world, run_id)).ok == 40
    totals, found = await world.totals(run_id), await adds_up(world, run_id)
    assert found.on_demand_micros == found.spent_micros == totals.on_demand_micros == totals.spent_micros > 0


async def test_a_model_without_a_price_is_refused_where_the_month_has_a_budget():
    unpriced = {"model_id": "ai21.jamba-1-5-large-v1:0"}
    world = world_of(5.0)
    run_id = world.send(world.joke(**unpriced))
    await world.idle()
    totals = await world.totals(run_id)
    assert totals.state is RunState.FAILED
    assert "model_id: the table of prices has no ai21.jamba-1-5-large-v1:0" in totals.message

    free = world_of(None)
    run_id = await enlist(free, free.joke(**FOUR, **unpriced))
    set_budget(free, 5.0)
    await free.scheduler.tick_all()
    assert (await free.totals(run_id)).held_kind == "month"
    assert free.jobs.all == []
    set_budget(free, None)
    assert (await play(free, run_id)).held_at == ""
    assert len(free.jobs.all) == 4


async def test_without_a_budget_the_month_is_counted_all_the_same():
    world = world_of(None)
    run_id = world.send(world.joke(**FOUR))
    assert (await play(world, run_id)).ok == 400
    found = await adds_up(world, run_id)
    assert (found.spent_micros, found.budget_micros) == ((await world.totals(run_id)).spent_micros, None)
    assert found.projected_micros == found.spent_micros > 0


async def test_an_item_that_is_gone_is_made_anew_and_stops_nobody():
    world = world_of(100.0)
    run_id = await enlist(world, world.joke(**FOUR))
    await world.scheduler.tick_all()
    for job in world.bedrock.active:
        world.bedrock.end(job)
    world.table.items.pop(("months", JANUARY))
    assert (await play(world, run_id)).ok == 400
    assert (await month(world)).spent_micros == (await world.totals(run_id)).spent_micros


async def test_a_tick_looks_at_so_many_held_runs_and_the_next_one_at_others():
    world = world_of(0.5 * SHARD_DOLLARS)
    for number in range(60):
        await enlist(world, world.joke(rows=100, inference={"max_tokens": 500}, job_name_prefix=f"run-{number}"))
    for _ in range(2):
        await world.scheduler.tick_all()
    lanes = await world.ledger.lanes(CLAUDE_POOL)
    assert [lane.gate for lane in lanes] == [Gate.HELD] * 60
    faults = Faults()
    other = another_scheduler(world, faults)
    looked: list[set[str]] = []
    for _ in range(2):
        faults.calls.clear()
        await other.tick_all()
        looked.append(set(other.ticker._budgets._looked_at.values()))
        assert len([name for name in faults.calls if name == "table.get"]) < 50 * 6
    assert looked[0] != looked[1]


async def test_the_sweep_shows_the_month_and_its_budget():
    world = world_of(12.5)
    run_id = world.send(world.joke(**FOUR))
    await play(world, run_id)
    await world.scheduler.sweeper.sweep()
    assert metrics.MONTH_BUDGET._value.get() == 12.5
    assert metrics.MONTH_SPENT._value.get() == pytest.approx(4 * SHARD_DOLLARS, abs=1e-5)
    assert (await month(world)).budget_micros == 12_500_000


def test_months_follow_each_other():
    assert month_of(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == "2026-12"
    assert [month_after(name) for name in ("2026-11", "2026-12")] == ["2026-12", "2027-01"]
