"""What two sweeps in a row see not to fit together."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from quarry_core.ledger.keys import pool_key
from quarry_core.telemetry import metrics
from quarry_scheduler.audit import KINDS
from tests.unit.flow.acts import CLAUDE_POOL, enlist
from tests.world.world import SimulatedWorld


@pytest.fixture
async def world():
    world = SimulatedWorld()
    await enlist(world, world.joke(rows=600, max_records_per_job=100))
    await world.scheduler.sweeper.sweep()
    return world


def counted():
    return {kind: metrics.AUDIT_BREACHES.labels(kind)._value.get() for kind in KINDS}


async def sweep(world):
    with capture_logs() as lines:
        await world.scheduler.sweeper.sweep()
    return [(line["kind"], line["subject"]) for line in lines if line["event"] == "audit_breach"]


@pytest.mark.promise("S7")
async def test_nothing_is_reported_of_a_run_that_goes_its_way(world):
    for _ in range(8):
        assert await sweep(world) == []
        world.bedrock.end_all()
        await world.idle()
    assert set(counted().values()) == {0}


def miscounted(world):
    world.table.items[pool_key(CLAUDE_POOL)]["in_use"] += 1
    return "slots_miscounted", CLAUDE_POOL


def orphaned(world):
    world.table.items[pool_key(CLAUDE_POOL)]["holders"].add("nobody/00000/1")
    world.table.items[pool_key(CLAUDE_POOL)]["in_use"] += 1
    return "slot_without_row", "nobody/00000/1"


def unheld(world):
    arn = world.jobs.add_second(world.bedrock.active[0].arn, name="jokes-gone-00000-1-test")
    return "job_without_slot", arn


@pytest.mark.promise("S1", "S7")
@pytest.mark.parametrize("plant", [miscounted, orphaned, unheld])
async def test_a_difference_is_reported_by_the_second_sweep_that_sees_it(world, plant):
    expected = plant(world)

    assert await sweep(world) == []
    assert await sweep(world) == [expected]

    assert counted()[expected[0]] == 1
