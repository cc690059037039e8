"""Runs that share a pool: by class, by weight, and no run's wake-ups or turns behind a longer one's."""

from __future__ import annotations

import json

import pytest

from quarry_core.contract.states import RunState
from quarry_core.ledger import moves
from tests.unit.flow.acts import CLAUDE_POOL, enlist, pool
from tests.unit.flow.fairness import Asked, play, run_of
from tests.world.world import SimulatedWorld


@pytest.mark.slow
@pytest.mark.promise("S1", "L4")
async def test_a_small_run_of_more_weight_is_through_within_six_admissions_and_nobody_starves():
    asked = [Asked("big", 60), Asked("mid", 20), Asked("small", 3, weight=4)]

    found = await play(asked, quota=6, foreign=2)

    assert found.peak == 4, "two of Bedrock's six are others'"
    assert found.after_arrival("small") <= 6, found.order
    # Turn and turn about with the big one while both wait, and the small one's three in between.
    assert found.longest_wait("mid") <= 5, found.order
    assert found.longest_wait("big") <= 5, found.order
    assert set(found.states.values()) == {RunState.SUCCEEDED}
    assert {each.run_id: found.order.count(each.run_id) for each in asked} == {"big": 60, "mid": 20, "small": 3}


@pytest.mark.promise("L4")
@pytest.mark.parametrize(("weight", "share"), [(1, 6), (3, 9)])
async def test_slots_are_given_in_proportion_to_the_weights(weight, share):
    world = SimulatedWorld(job_quota=1)
    for run_id, each in (("one", 1), ("other", weight)):
        await enlist(world, world.joke(rows=2_000, max_records_per_job=100, run_id=run_id, weight=each))

    await end_and_tick(world, 12)

    assert abs(order(world).count("other") - share) <= 1, order(world)


@pytest.mark.promise("L4")
async def test_a_higher_class_is_served_first_for_as_long_as_it_waits():
    world = SimulatedWorld(job_quota=1)
    for run_id, kind in (("a-low", "low"), ("b-normal", "normal"), ("c-high", "high")):
        changes = {"run_id": run_id.partition("-")[2], "class": kind}
        await enlist(world, world.joke(rows=300, max_records_per_job=100) | changes)

    await end_and_tick(world, 9)

    assert order(world) == ["high"] * 3 + ["normal"] * 3 + ["low"] * 3


async def test_class_and_weight_set_while_a_run_waits_work_from_the_next_admission_on():
    world = SimulatedWorld(job_quota=1)
    for run_id in ("first", "second"):
        await enlist(world, world.joke(rows=2_000, max_records_per_job=100, run_id=run_id))
    await end_and_tick(world, 4)
    assert order(world).count("first") == order(world).count("second") == 2

    await set_share(world, "second", "normal", 4)
    await end_and_tick(world, 10)
    assert order(world)[4:].count("second") in (7, 8, 9), order(world)

    await set_share(world, "first", "high", 1)
    await end_and_tick(world, 3)
    assert order(world)[14:] == ["first"] * 3


async def test_a_run_that_was_ahead_in_another_class_does_not_wait_for_what_it_had_there():
    """Its tag of the old class says nothing in the new one, whose virtual time may be far behind."""
    world = SimulatedWorld(job_quota=1)
    for run_id, kind in (("busy", "normal"), ("calm", "high")):
        await enlist(world, world.joke(rows=1_500, max_records_per_job=100, run_id=run_id) | {"class": kind})
    await set_share(world, "calm", "low", 1)
    await end_and_tick(world, 9)
    assert set(order(world)) == {"busy"}

    await set_share(world, "busy", "low", 1)
    await end_and_tick(world, 4)

    assert order(world)[9:].count("busy") == order(world)[9:].count("calm") == 2


async def test_an_admission_decided_before_the_change_is_stale():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=300, max_records_per_job=100))
    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    for admission_class, weight in (("normal", 4), ("high", 4), ("normal", 1)):
        await set_share(world, run_id, admission_class, weight)
        now = await world.ledger.lane(CLAUDE_POOL, run_id)
        assert now.tag != lane.tag
        lane = now


async def test_every_wake_up_bears_its_run_as_its_group():
    world = SimulatedWorld(job_quota=1)
    for run_id in ("r1", "r2"):
        await enlist(world, world.joke(rows=300, max_records_per_job=100, run_id=run_id))

    waiting = world.queues["scheduler"]
    assert len(waiting.bodies) >= 6
    for body, group in zip(waiting.bodies, waiting.groups, strict=True):
        assert group == json.loads(body)["run_id"]
    assert set(waiting.groups) == {"r1", "r2"}


async def test_where_queues_are_fair_the_wake_ups_of_many_shards_delay_no_other_runs():
    world = SimulatedWorld(job_quota=1)
    await enlist(world, world.joke(rows=4_000, max_records_per_job=100, run_id="big"))
    queue = world.queues["scheduler"]
    for _ in range(3):
        await queue.receive(10, 0)  # in flight: its consumers are busy with them
    await enlist(world, world.joke(rows=100, run_id="small"))
    assert len(queue.bodies) > 40

    [next_one, *_] = await queue.receive(10, 0)

    assert json.loads(next_one.body)["run_id"] == "small"


async def test_class_and_weight_set_before_the_run_is_planned_are_those_its_lane_opens_with():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=300, weight=2))
    await world.consumers[0].run_once()
    totals = await world.totals(run_id)
    await world.ledger.apply(moves.set_share_early(totals, "high", 7))

    await world.idle()

    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    assert (lane.admission_class, lane.weight) == ("high", 7)


async def test_class_and_weight_set_while_the_plan_is_written_down_are_not_lost(monkeypatch):
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=300))
    ledgers, early = type(world.ledger), []
    read_pool = ledgers.pool

    async def late(self, name):
        found = await read_pool(self, name)
        if not early:
            early.append(await self.totals(run_id))
            await self.apply(moves.set_share_early(early[0], "low", 9))
        return found

    monkeypatch.setattr(ledgers, "pool", late)
    await world.idle()

    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    assert (lane.admission_class, lane.weight) == ("low", 9)
    assert early[0].state is RunState.PLANNING


# ----------------------------------------------------------------- what the tests are made of


async def set_share(world, run_id, admission_class, weight):
    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    standing = await world.ledger.pool(CLAUDE_POOL)
    await world.ledger.apply(moves.set_share(lane, standing, admission_class, weight))


async def end_and_tick(world, times):
    for _ in range(times):
        world.bedrock.end_all()
        await world.scheduler.sweeper.sweep()
    assert (await pool(world)).in_use == len((await pool(world)).holders)


def order(world):
    return [run_of(job) for job in world.jobs.all]
