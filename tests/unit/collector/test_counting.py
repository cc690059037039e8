"""What is counted as shards are settled and runs are closed."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

import quarry_collector.handler
from quarry_collector.settle import NotConserved
from quarry_core.contract.messages import Wakeup
from quarry_core.ledger.keys import totals_key
from quarry_core.models.prices import price_of
from quarry_core.tabular.parquet.part_errors import PartDiffers
from quarry_core.telemetry import metrics
from tests.unit.flow.acts import CLAUDE_POOL, enlist
from tests.world.faults import Crash, Faults
from tests.world.world import CLAUDE, SimulatedWorld

NEW_MODEL = "anthropic.claude-of-next-year-v1:0"


def count(name, **labels):
    return REGISTRY.get_sample_value(f"quarry_{name}", labels) or 0.0


def counted(model=CLAUDE):
    return {
        "rows": count("rows_finished_total", outcome="ok"),
        "input": count("tokens_total", model=model, direction="input"),
        "output": count("tokens_total", model=model, direction="output"),
        "dollars": count("cost_dollars_total", model=model),
        "unknown": count("price_unknown_total", model=model),
    }


@pytest.fixture
def since():
    def difference(model=CLAUDE):
        return {name: value - before[model][name] for name, value in counted(model).items()}

    before = {model: counted(model) for model in (CLAUDE, NEW_MODEL)}
    return difference


async def ended(world, **manifest):
    """A run of one shard whose job has ended; nobody has settled it."""
    run_id = await enlist(world, world.joke(rows=100, **manifest))
    await world.scheduler.ticker.tick(CLAUDE_POOL.replace(CLAUDE, manifest.get("model_id", CLAUDE)))
    world.bedrock.end_all()
    await world.consumers[-1].run_once()
    return run_id


def collector(world, faults=None):
    return quarry_collector.handler.Collector(world.process_world(faults))


async def test_the_tokens_of_a_settled_shard_and_their_cost_are_counted_as_the_report_tells_them(since):
    world = SimulatedWorld()
    totals = await world.run(world.send(world.joke(rows=300, max_records_per_job=100)))

    reported = world.report(totals.run_id)
    assert reported["llm_tokens"]["output"] == 300 * 7
    price = price_of(CLAUDE)
    dollars = price.dollars(reported["llm_tokens"]["input"], reported["llm_tokens"]["output"])
    assert reported["cost"]["dollars"] == pytest.approx(dollars)
    assert since() == {
        "rows": 300,
        "input": reported["llm_tokens"]["input"],
        "output": reported["llm_tokens"]["output"],
        "dollars": pytest.approx(dollars),
        "unknown": 0,
    }


async def test_a_model_that_has_no_price_costs_nothing_and_says_so(since):
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100, model_id=NEW_MODEL))
    await world.run(run_id)

    assert since(NEW_MODEL)["dollars"] == 0
    assert since(NEW_MODEL)["unknown"] == 100
    assert since(NEW_MODEL)["output"] == 700
    assert world.report(run_id)["cost"]["dollars"] is None


class BeforeTheFirstWrite(Faults):
    """Something happens just before this worker's first write to the ledger."""

    def __init__(self, happens):
        super().__init__()
        self._happens = [happens]

    @asynccontextmanager
    async def call(self, name, *args):
        if name == "table.transact" and self._happens:
            await self._happens.pop()()
        async with super().call(name, *args):
            yield


async def test_a_shard_that_two_collectors_settle_at_once_is_counted_once(since):
    world = SimulatedWorld()
    wakeup = Wakeup(step="settle", run_id=await ended(world), shard="00000")

    async def overtake():
        await collector(world).shards.on_settle(wakeup)
        assert since()["rows"] == 100

    await collector(world, BeforeTheFirstWrite(overtake)).shards.on_settle(wakeup)
    await collector(world).shards.on_settle(wakeup)

    assert since()["rows"] == 100
    assert since()["output"] == 700


async def test_an_outcome_that_another_collector_left_is_counted_by_whoever_settles_the_shard(since):
    world = SimulatedWorld()
    world.bedrock.error_share = 0.1
    wakeup = Wakeup(step="settle", run_id=await ended(world), shard="00000")

    async def die():
        raise Crash("after the outcome, before the ledger")

    with pytest.raises(Crash):
        await collector(world, BeforeTheFirstWrite(die)).shards.on_settle(wakeup)
    assert outcomes(world)
    assert since()["rows"] == 0

    await collector(world).shards.on_settle(wakeup)
    assert 0 < since()["rows"] < 100
    assert since()["output"] == 7 * since()["rows"]


@pytest.mark.promise("L3")
@pytest.mark.parametrize("dies_at", ["the ledger", "the part"])
async def test_a_shard_of_which_every_row_has_its_answer_needs_no_outcome_whenever_its_worker_dies(
    dies_at, monkeypatch
):
    undisturbed, world = SimulatedWorld(), SimulatedWorld()
    wakeups = [Wakeup(step="settle", run_id=await ended(each), shard="00000") for each in (undisturbed, world)]
    with monkeypatch.context() as patched:
        if dies_at == "the part":
            patched.setattr("quarry_collector.salvage.write_part", crash)
        dying = collector(world, BeforeTheFirstWrite(crash) if dies_at == "the ledger" else None)
        with pytest.raises(Crash):
            await dying.shards.on_settle(wakeups[1])

    for each, wakeup in zip((undisturbed, world), wakeups, strict=True):
        await collector(each).shards.on_settle(wakeup)
        assert outcomes(each) == []

    ((found, part), (other, same)) = (parts(world), parts(undisturbed))
    assert (found.rpartition("/")[2], part) == (other.rpartition("/")[2], same)


async def test_a_part_that_cannot_be_written_leaves_the_outcome_of_a_shard_that_needed_none(monkeypatch):
    world = SimulatedWorld()
    wakeup = Wakeup(step="settle", run_id=await ended(world), shard="00000")

    def unwritable(*_args, **_kwargs):
        raise PartDiffers("text", "it is another")

    monkeypatch.setattr("quarry_collector.salvage.write_part", unwritable)
    await collector(world).shards.on_settle(wakeup)

    assert len(outcomes(world)) == 1


def crash(*_args, **_kwargs):
    raise Crash("here")


def outcomes(world):
    return [key for key in world.objects.bodies if key.startswith("outcomes/")]


def parts(world):
    ((key, body),) = [(key, body) for key, body in world.objects.bodies.items() if "/part-" in key]
    return key, body


async def test_rows_that_a_closing_cannot_account_for_are_shown_until_they_are_found():
    world = SimulatedWorld()
    run_id = await ended(world)
    await collector(world).shards.on_settle(Wakeup(step="settle", run_id=run_id, shard="00000"))
    world.table.items[totals_key(run_id)]["accepted"] += 5
    closing = collector(world).runs
    with pytest.raises(NotConserved):
        await closing.on_close(Wakeup(step="close", run_id=run_id))
    assert count("rows_unaccounted") == 5

    world.table.items[totals_key(run_id)]["accepted"] -= 5
    await closing.on_close(Wakeup(step="close", run_id=run_id))
    assert count("rows_unaccounted") == 0
    assert (await world.totals(run_id)).state.terminal


async def test_rows_that_another_collector_has_found_are_not_shown_for_ever():
    world = SimulatedWorld()
    run_id = await ended(world)
    await collector(world).shards.on_settle(Wakeup(step="settle", run_id=run_id, shard="00000"))
    world.table.items[totals_key(run_id)]["accepted"] += 5
    closing = collector(world).runs
    with pytest.raises(NotConserved):
        await closing.on_close(Wakeup(step="close", run_id=run_id))
    world.table.items[totals_key(run_id)]["accepted"] -= 5
    await collector(world).runs.on_close(Wakeup(step="close", run_id=run_id))
    another = await ended(world)
    await collector(world).shards.on_settle(Wakeup(step="settle", run_id=another, shard="00000"))

    metrics.ROWS_UNACCOUNTED.set(5)  # as the first process still shows it: both are one here
    await closing.on_close(Wakeup(step="close", run_id=another))

    assert count("rows_unaccounted") == 0
