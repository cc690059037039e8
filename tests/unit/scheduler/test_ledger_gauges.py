"""The ledger's gauges: whole runs on the fakes, and what a sweep makes of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime

import pytest
from prometheus_client import REGISTRY

from quarry_core.contract.states import Gate, RunState, ShardState
from quarry_core.ledger import moves
from quarry_core.ledger.keys import totals_key
from quarry_core.ledger.ledger import OpenRun
from quarry_core.ledger.rows import Lane, Totals, Waiting
from quarry_core.telemetry import metrics
from quarry_scheduler import gauges
from tests.unit.flow.acts import CLAUDE_POOL, another_scheduler, enlist, play
from tests.world.faults import Faults
from tests.world.world import TITAN, SimulatedWorld


def shown(name, **labels):
    return REGISTRY.get_sample_value(f"quarry_{name}", labels)


def of_pool(name, pool=CLAUDE_POOL):
    return shown(name, pool=pool)


def shards_shown():
    return {state: shown("shards", state=state) for state in ShardState}


def progress(world, job, records):
    """Bedrock says that so many records of an active job are processed."""
    world.jobs.finish(job.arn, "InProgress", success=records)


async def submitted(world, **manifest):
    run_id = await enlist(world, world.joke(**manifest))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    return run_id


def now(world):
    return world.clock.now().timestamp()


async def later(world, seconds):
    world.clock.advance(seconds)
    await world.scheduler.sweeper.sweep()


async def test_open_runs_and_their_shards_are_counted_by_state():
    world = SimulatedWorld(job_quota=3)
    await submitted(world, rows=1000, max_records_per_job=100)
    world.bedrock.end(world.bedrock.active[0])
    await world.consumers[-1].run_once()  # the event ends one shard
    await world.scheduler.ticker.tick(CLAUDE_POOL)  # and another takes its slot
    world.send(world.joke(rows=50))
    await world.consumers[0].run_once()  # a second run arrives, and is not counted yet
    world.jobs.set_quota(0)

    await world.scheduler.sweeper.sweep()

    assert shards_shown() == {"PENDING": 6, "ADMITTED": 0, "SUBMITTED": 3, "INVOKING": 0, "ENDED": 1, "SETTLED": 0}
    assert {state: shown("runs", state=state) for state in ("ACCEPTED", "PLANNING", "RUNNING", "CLOSING")} == {
        "ACCEPTED": 1,
        "PLANNING": 0,
        "RUNNING": 1,
        "CLOSING": 0,
    }
    assert shown("runs", state="SUCCEEDED") is None
    assert of_pool("rows_open") == 1000


async def test_the_oldest_waiting_shard_is_as_old_as_its_run():
    world = SimulatedWorld(job_quota=1)
    run_id = await submitted(world, rows=300, max_records_per_job=100)
    world.clock.advance(500)
    await enlist(world, world.joke(rows=300))

    await world.scheduler.sweeper.sweep()
    oldest = await world.ledger.run(run_id)
    assert shown("oldest_pending_shard_timestamp_seconds") == datetime.fromisoformat(oldest.accepted_at).timestamp()


async def test_the_oldest_run_on_demand_is_told_until_its_shards_have_ended():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=40))
    world.clock.advance(500)
    await enlist(world, world.joke(rows=40))

    await world.scheduler.sweeper.sweep()
    oldest = await world.ledger.run(run_id)
    accepted_s = datetime.fromisoformat(oldest.accepted_at).timestamp()
    assert shown("oldest_on_demand_shard_timestamp_seconds") == accepted_s
    assert shown("oldest_pending_shard_timestamp_seconds") == 0, "it waits for no slot"

    await world.idle()
    await world.scheduler.sweeper.sweep()
    assert shown("oldest_on_demand_shard_timestamp_seconds") == 0


async def test_the_run_held_longest_is_told_by_what_holds_it_until_it_goes_on():
    world = SimulatedWorld(job_quota=1)
    run_id = await submitted(world, rows=300, max_records_per_job=100, budget_usd=0.000_001)
    held = await world.ledger.totals(run_id)
    assert held.held, "no job of it is cheap enough"
    world.clock.advance(500)
    second = await submitted(world, rows=300, max_records_per_job=100, budget_usd=0.000_001)

    await world.scheduler.sweeper.sweep()
    assert shown("run_oldest_held_timestamp_seconds", kind="budget") == (
        datetime.fromisoformat(held.held_at).timestamp()
    )
    assert shown("run_oldest_held_timestamp_seconds", kind="canary") == 0
    assert shown("runs", state="HELD") == 2

    for each in (run_id, second):
        lane = await world.ledger.lane(CLAUDE_POOL, each)
        await world.ledger.apply(moves.set_budget(await world.totals(each), lane, None))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    await world.scheduler.sweeper.sweep()
    assert shown("run_oldest_held_timestamp_seconds", kind="budget") == 0


async def test_nothing_waits_when_every_shard_has_its_job():
    world = SimulatedWorld(job_quota=3)
    await submitted(world, rows=300, max_records_per_job=100)

    await world.scheduler.sweeper.sweep()
    assert shown("oldest_pending_shard_timestamp_seconds") == 0


async def test_what_bedrock_has_processed_is_progress_until_it_is_settled():
    world = SimulatedWorld(job_quota=2)
    await submitted(world, rows=400, max_records_per_job=100)
    first, second = world.bedrock.active
    progress(world, first, 70)
    progress(world, second, 20)
    await world.scheduler.sweeper.sweep()
    assert (of_pool("rows_open"), of_pool("rows_processed")) == (400, 90)

    progress(world, first, 100)
    await world.scheduler.sweeper.sweep()
    world.bedrock.end(first)
    await world.consumers[-1].run_once()  # noticed, and nobody has settled it yet
    world.jobs.set_quota(0)
    await world.scheduler.sweeper.sweep()
    assert shown("shards", state="ENDED") == 1
    assert (of_pool("rows_open"), of_pool("rows_processed")) == (400, 120)

    await world.idle()
    await world.scheduler.sweeper.sweep()
    assert (of_pool("rows_open"), of_pool("rows_processed")) == (300, 20)


async def test_the_end_is_expected_at_the_pace_of_the_last_sweeps():
    world = SimulatedWorld(job_quota=2)
    await submitted(world, rows=200, max_records_per_job=100)
    first, second = world.bedrock.active
    await world.scheduler.sweeper.sweep()
    began = now(world)
    assert of_pool("eta_timestamp_seconds") is None, "one look shows no pace"
    await later(world, 60)
    assert of_pool("eta_timestamp_seconds") is None, "nothing was processed"

    progress(world, first, 30)
    await later(world, 60)
    # 30 rows in 120 s, so the 170 others take 680 s.
    assert of_pool("eta_timestamp_seconds") == pytest.approx(began + 120 + 680, abs=0.1)

    world.bedrock.end(second)
    await world.idle()
    await later(world, 60)
    pace = 130 / (now(world) - began)  # rows a second: 30 processed, and 100 settled
    assert of_pool("eta_timestamp_seconds") == pytest.approx(now(world) + 70 / pace, abs=0.1)

    for seconds in (1800, 1800):
        await later(world, seconds)
    assert of_pool("eta_timestamp_seconds") is None, "an hour without progress is no pace"


async def test_rows_of_a_run_that_has_ended_meanwhile_count_for_the_pace():
    world = SimulatedWorld(job_quota=2)
    short = await submitted(world, rows=100)
    await enlist(world, world.joke(rows=200, max_num_jobs=1))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    await world.scheduler.sweeper.sweep()
    began = now(world)
    world.bedrock.end(next(job for job in world.bedrock.active if short in job.name))
    await world.idle()
    assert (await world.totals(short)).state.terminal

    await later(world, 100)
    pace = 100 / (now(world) - began)
    assert of_pool("rows_open") == 200
    assert of_pool("eta_timestamp_seconds") == pytest.approx(now(world) + 200 / pace, abs=0.1)


async def test_rows_that_a_failed_run_never_came_to_count_for_no_pace():
    world = SimulatedWorld(job_quota=2)
    broken = await submitted(world, rows=100)
    await enlist(world, world.joke(rows=200, max_num_jobs=1))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    totals = world.table.items[totals_key(broken)]
    totals["accepted"] += 1_000_000  # a large source, whose further rows are not written yet
    totals["open"] += 1_000_000
    await world.scheduler.sweeper.sweep()
    began = now(world)
    world.table.items[totals_key(broken)]["fault"] = "the source was replaced"
    world.bedrock.end(next(job for job in world.bedrock.active if broken in job.name))
    await world.idle()
    assert (await world.totals(broken)).state is RunState.FAILED

    await later(world, 100)
    pace = 100 / (now(world) - began)
    assert of_pool("eta_timestamp_seconds") == pytest.approx(now(world) + 200 / pace, abs=0.1)


async def test_a_slot_without_a_job_is_idle_since_it_was_first_seen_so():
    world = SimulatedWorld(job_quota=2)
    world.jobs.lose_reply_once()
    world.jobs.list_lag_s = 10_000  # Create's reply is lost, and List does not show the job
    await submitted(world, rows=100)

    await later(world, 40)
    first_seen = now(world)
    await later(world, 60)
    assert of_pool("slot_oldest_admitted_timestamp_seconds") == first_seen

    world.jobs.list_lag_s = 0
    await later(world, 60)  # adopted
    await later(world, 60)
    assert of_pool("slot_oldest_admitted_timestamp_seconds") == 0


async def test_a_slot_whose_job_has_ended_unheard_is_idle_until_the_sweep_has_noticed_it():
    world = SimulatedWorld(job_quota=2)
    world.bedrock.events_lost_share = 1.0
    await submitted(world, rows=100)
    await later(world, 60)
    assert of_pool("slot_oldest_admitted_timestamp_seconds") == 0

    world.bedrock.end_all()
    await later(world, 60)
    assert of_pool("slot_oldest_admitted_timestamp_seconds") == now(world)
    await later(world, 60)
    assert of_pool("slot_oldest_admitted_timestamp_seconds") == 0


async def test_rows_that_do_not_add_up_are_shown():
    world = SimulatedWorld()
    run_id = await submitted(world, rows=300)
    await world.scheduler.sweeper.sweep()
    assert shown("rows_unaccounted") == 0

    world.table.items[totals_key(run_id)]["open"] -= 7
    await world.scheduler.sweeper.sweep()
    assert shown("rows_unaccounted") == 7


async def test_a_pool_without_an_open_run_leaves_no_figure_behind():
    world = SimulatedWorld()
    uri = world.csv(100, columns=("input_text",), key="inputs/texts.csv")
    other = world.send({"s3_uri": uri, "job_name_prefix": "emb", "model_id": TITAN})
    await world.idle()
    run_id = await submitted(world, rows=100)
    await world.scheduler.sweeper.sweep()
    assert of_pool("rows_open") == 100
    assert of_pool("slots_in_use") == 1

    await play(world, run_id, lambda job: world.bedrock.end(job) if "titan" not in job.model_id else None)

    assert not (await world.totals(other)).state.terminal
    by_pool = [metric for metric in vars(metrics).values() if getattr(metric, "_labelnames", ()) == ("pool",)]
    assert len(by_pool) > 6
    titan = f"us-east-1#{TITAN}"
    for metric in by_pool:
        pools = {sample.labels["pool"] for family in metric.collect() for sample in family.samples}
        assert pools <= {titan}, metric
    assert of_pool("rows_open", titan) == 100
    assert of_pool("slots_in_use", titan) == 1


async def test_a_bug_in_the_figures_keeps_no_sweep_from_fixing(monkeypatch):
    world = SimulatedWorld()
    world.bedrock.events_lost_share = 1.0
    await submitted(world, rows=100)
    world.bedrock.end_all()
    monkeypatch.setattr("quarry_scheduler.gauges.figures", lambda *_: 1 / 0)

    assert await world.scheduler.sweeper.sweep() == {"ended": 1}


class Recorded(Faults):
    """What a worker asked for, with its arguments."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def before(self, name, args=()):
        self.asked.append((name, *args))
        return super().before(name, args)


async def asked_of(world):
    recorded = Recorded()
    await another_scheduler(world, recorded).sweeper.sweep()
    return recorded.asked


async def test_a_sweeps_figures_cost_one_request_a_pool_whatever_is_held():
    world = SimulatedWorld(job_quota=20)
    for number in range(3):
        await enlist(world, world.joke(rows=1000 + number, max_records_per_job=100))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    await later(world, 1)
    few = await asked_of(world)
    assert shown("shards", state="SUBMITTED") == 20

    calls = Counter(name for name, *_ in few)
    lanes = [call for call in few if call[0] == "table.query" and call[2] == "lane#"]
    assert calls["jobs.active"] == 1
    assert calls["jobs.get"] == calls["jobs.find"] == 0
    assert len(lanes) == 3, "the gauges ask once; the tick that follows looks twice"
    # Open runs twice, and the pools; of each run its ended shards; the pool's lanes; the tick's look at
    # what waits.
    assert calls["table.query"] == 2 + 1 + 3 + len(lanes)
    assert calls["table.get_many"] == 3, "the totals of all open runs; held shards: the sweep and the tick"


async def test_a_job_of_which_nothing_new_is_reported_costs_no_write():
    world = SimulatedWorld(job_quota=3)
    await submitted(world, rows=300, max_records_per_job=100)
    progress(world, world.bedrock.active[0], 30)
    await later(world, 60)

    assert "table.transact" not in {name for name, *_ in await asked_of(world)}


async def test_more_shards_that_are_held_cost_no_request_more():
    counts = []
    for quota in (5, 20):
        world = SimulatedWorld(job_quota=quota)
        await enlist(world, world.joke(rows=3000, max_records_per_job=100))
        await world.scheduler.ticker.tick(CLAUDE_POOL)
        await later(world, 1)
        calls = Counter(name for name, *_ in await asked_of(world))
        del calls["table.get"]  # each job of ours is looked at, gauges or not
        counts.append(calls)
    assert counts[0] == counts[1]


def an_account(ended, **totals):
    run = OpenRun("r1", CLAUDE_POOL, "2026-01-01T00:00:00+00:00")
    known = {"state": RunState.RUNNING, "version": 1, "accepted": 100_000, "open": 100_000, "enlisted": 100_000}
    markers = tuple(Waiting("r1", f"{number:05d}", 1) for number in range(ended))
    return gauges.Account(run, Totals("r1", **(known | totals)), markers)


def test_ended_shards_and_their_rows_are_counted_beyond_the_page_that_is_read():
    account = an_account(500, shards_enlisted=1000, shards_settled=100)
    lane = Lane(CLAUDE_POOL, "r1", "normal", 1, 0, Gate.OPEN, 200)
    memory = gauges.Memory(processed={f"r1/{number:05d}/1": 100 for number in range(500)})

    found, _ = gauges.figures(gauges.Ledgered((CLAUDE_POOL,), (account,), (lane,), (), ()), memory, 0.0)

    assert found.shards[ShardState.ENDED] == 700
    assert found.rows_processed[CLAUDE_POOL] == 70_000


def test_the_end_is_not_expected_before_the_collectors_can_have_settled_what_is_processed():
    memory, view = gauges.Memory(processed={f"r1/{number:05d}/1": 100 for number in range(900)}), None
    for at_s, settled in ((0.0, 0), (60.0, 1), (120.0, 2)):
        account = an_account(9 - settled, accepted=900, open=900 - settled * 100, enlisted=900, shards_enlisted=9)
        view = gauges.Ledgered((CLAUDE_POOL,), (account,), (), (), ())
        found, memory = gauges.figures(
            view, replace(memory, done=memory.done or {"r1": gauges.Done(CLAUDE_POOL, 0, 900)}), at_s
        )

    # All rows are processed; 200 were settled in two minutes, and 700 are left.
    assert found.eta_s[CLAUDE_POOL] == pytest.approx(120 + 420)
