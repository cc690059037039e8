"""What all jobs of the account have pending: whose it is, and what pace it makes before a pool has its own."""

from __future__ import annotations

import asyncio

import pytest

from quarry_core.errors import Refused
from quarry_core.ports import BatchLoad
from quarry_core.telemetry import metrics
from quarry_scheduler.batch_load import FRESH_S_MAX, BatchLoads
from tests.unit.flow.acts import CLAUDE_POOL
from tests.world.world import CLAUDE, SimulatedWorld


class Published:
    def __init__(self, load: BatchLoad | None) -> None:
        self.load = load
        self.times = 0

    async def by_model(self):
        self.times += 1
        if self.load is None:
            raise Refused("reading batch metrics: AccessDenied", "AccessDenied")
        return {CLAUDE: self.load, "amazon.never-used": BatchLoad(5.0)}


def shown(gauge) -> dict[tuple[str, ...], float]:
    return {tuple(each.labels.values()): each.value for family in gauge.collect() for each in family.samples}


def eta() -> dict[tuple[str, ...], float]:
    return shown(metrics.ETA)


async def running(load: BatchLoad | None, rows: int = 300) -> tuple[SimulatedWorld, Published]:
    """A run with jobs at Bedrock, none of which has processed a record yet."""
    published = Published(load)
    world = SimulatedWorld(batch_metrics=published)
    world.send(world.joke(rows, max_records_per_job=100))
    await world.idle()
    await world.scheduler.load.read()
    await world.scheduler.sweeper.sweep()
    return world, published


@pytest.fixture(autouse=True)
def _clean():
    metrics.replace_all(metrics.BATCH_RECORDS_PENDING, {})
    metrics.replace_all(metrics.BATCH_TOKENS_PER_MINUTE, {})


async def test_pending_records_are_told_apart_and_other_models_are_left_out():
    await running(BatchLoad(records_pending=1_000.0, input_tokens_per_minute=6_000.0, output_tokens_per_minute=3.0))

    assert shown(metrics.BATCH_RECORDS_PENDING) == {(CLAUDE_POOL, "ours"): 300.0, (CLAUDE_POOL, "others"): 700.0}
    assert shown(metrics.BATCH_TOKENS_PER_MINUTE) == {(CLAUDE_POOL, "input"): 6_000.0, (CLAUDE_POOL, "output"): 3.0}


async def test_never_more_than_all_are_ours():
    await running(BatchLoad(records_pending=120.0))

    assert shown(metrics.BATCH_RECORDS_PENDING) == {(CLAUDE_POOL, "ours"): 120.0, (CLAUDE_POOL, "others"): 0.0}


async def test_before_a_pool_has_a_pace_its_share_of_bedrocks_gives_the_expected_end():
    world, _ = await running(BatchLoad(records_pending=600.0, input_tokens_per_minute=6_000.0))

    [run] = await world.ledger.open_runs()
    totals = await world.totals(run.run_id)
    tokens_per_row = totals.record_millitokens / 1_000
    rows_per_s = 6_000.0 / 60 * (300 / 600) / tokens_per_row
    expected_s = world.clock.now().timestamp() + 300 / rows_per_s
    assert eta() == {(CLAUDE_POOL,): pytest.approx(expected_s, abs=1)}


@pytest.mark.parametrize(
    "load",
    [
        BatchLoad(),
        BatchLoad(records_pending=0.0, input_tokens_per_minute=6_000.0),
        BatchLoad(records_pending=600.0),
        BatchLoad(records_pending=600.0, input_tokens_per_minute=0.0),
        BatchLoad(input_tokens_per_minute=6_000.0),
        None,
    ],
)
async def test_what_is_not_told_makes_no_pace(load):
    await running(load)

    assert eta() == {}


async def test_a_pace_of_its_own_counts_more():
    world, published = await running(BatchLoad(records_pending=600.0, input_tokens_per_minute=6_000.0), rows=900)
    before = eta()[(CLAUDE_POOL,)]
    world.bedrock.end(world.bedrock.active[0])
    await world.idle()
    world.clock.advance(100)
    await world.scheduler.sweeper.sweep()

    published.load = BatchLoad(records_pending=600.0, input_tokens_per_minute=6e9)
    await world.scheduler.load.read()
    measured = eta()[(CLAUDE_POOL,)]
    await world.scheduler.sweeper.sweep()
    assert eta()[(CLAUDE_POOL,)] == pytest.approx(measured, rel=1e-6)
    assert measured != before


async def test_what_is_old_says_nothing():
    world, published = await running(BatchLoad(records_pending=600.0, input_tokens_per_minute=6_000.0))
    published.load = None
    world.clock.advance(FRESH_S_MAX - 1)
    await world.scheduler.load.read()
    await world.scheduler.sweeper.sweep()
    assert shown(metrics.BATCH_RECORDS_PENDING) != {}

    world.clock.advance(2)
    await world.scheduler.sweeper.sweep()
    assert shown(metrics.BATCH_RECORDS_PENDING) == {}


def test_nobody_asks_where_it_is_not_wanted():
    world = SimulatedWorld()
    loads = BatchLoads(world.process_world())

    asyncio.run(loads.read())

    assert loads.now() == {}
