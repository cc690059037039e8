"""A dry run: counted, planned and reported, and nothing is sent."""

from __future__ import annotations

import json

import pytest

from quarry_core.contract.states import RunState
from tests.unit.flow.acts import CLAUDE_POOL
from tests.world.world import SimulatedWorld


async def test_a_dry_run_is_planned_and_reported_and_nothing_is_sent():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=1200, max_records_per_job=100, dry_run=True))

    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED
    assert (totals.accepted, totals.ok, totals.error, totals.open, totals.rows_source) == (0, 0, 0, 0, 1200)
    assert world.jobs.all == []
    report = world.report(run_id)
    assert report["dry_run"] is True
    assert report["rows"] == {
        "source": 1200,
        "planned": 1200,
        "left_out": 0,
        "accepted": 0,
        "ok": 0,
        "error": 0,
        "unread": 0,
    }
    assert (report["estimate"]["shards"], report["estimate"]["waves"]) == (12, 4)
    assert report["estimate"]["rows_planned"] == 1200
    (event,) = world.bus.events
    assert (event.detail["state"], event.detail["dry_run"], event.detail["rows"]["accepted"]) == ("SUCCEEDED", True, 0)
    assert not [key for key in world.objects.bodies if key.startswith(("batch-input/", "rows/"))]
    assert f"results/{run_id}/_SUCCESS" not in world.objects.bodies
    assert await world.ledger.lane(CLAUDE_POOL, run_id) is None
    assert await world.ledger.open_runs() == []


async def test_a_dry_run_says_what_a_run_of_the_same_manifest_then_is():
    world = SimulatedWorld()
    manifest = world.joke(rows=1000, max_records_per_job=300)
    dry = world.send(manifest | {"dry_run": True})
    await world.run(dry)
    wet = world.send(manifest)
    await world.run(wet)

    planned, run = world.report(dry)["estimate"], world.report(wet)
    assert planned["shards"] == len(run["shards"])
    assert planned == run["estimate"] | {"notes": planned["notes"]}
    assert json.loads(world.objects.bodies[f"plans/{wet}/estimate.json"])["shards"] == planned["shards"]


async def test_a_source_that_would_be_refused_is_refused_in_a_dry_run_too():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=50, dry_run=True, on_demand_below=0))

    totals = await world.run(run_id)

    assert totals.state is RunState.FAILED
    assert "the dataset has 50 rows: add rows until it has 100" in totals.message


async def test_a_dry_run_that_would_be_asked_on_demand_says_so_and_asks_nothing():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=50, dry_run=True))

    assert (await world.run(run_id)).state is RunState.SUCCEEDED
    assert world.report(run_id)["estimate"]["on_demand_rows"] == 50
    assert not world.runtime.asked


async def test_a_lost_wake_up_of_a_dry_run_is_sent_again_by_the_sweep():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=200, dry_run=True))
    for consumer in world.consumers[:2]:
        await consumer.run_once()
    assert (await world.totals(run_id)).state is RunState.RUNNING
    for message in await world.queues["collector"].receive(10, 0):
        await world.queues["collector"].ack(message)

    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED


@pytest.mark.parametrize("wrong", ["yes", 1, "true"])
async def test_dry_run_takes_true_or_false_only(wrong):
    world = SimulatedWorld()
    run_id = world.send(world.joke(dry_run=wrong))

    totals = await world.run(run_id)

    assert totals.message.startswith("dry_run: ")


async def test_a_bug_in_the_estimate_fails_a_dry_run_and_no_other(monkeypatch):
    def broken(**_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("quarry_core.planning.plan_source.estimate_run", broken)
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=200))
    dry = world.send(world.joke(rows=200, dry_run=True))

    assert (await world.run(run_id)).state is RunState.SUCCEEDED
    assert world.report(run_id)["estimate"] is None
    failed = await world.run(dry)
    assert (failed.state, failed.step) == (RunState.FAILED, "count")


async def test_an_estimate_that_cannot_be_read_keeps_no_run_open():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=200))
    await world.idle()
    world.objects.plant(f"plans/{run_id}/estimate.json", b"not ours")

    assert (await world.run(run_id)).state is RunState.SUCCEEDED
    assert world.report(run_id)["estimate"] is None
