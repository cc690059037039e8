"""Anybody may name a model. One that does not exist leaves nothing behind: no pool, no series."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from quarry_core.contract.states import RunState
from quarry_core.errors import Refused
from quarry_core.ledger import moves
from quarry_core.ledger.keys import listed_pool_key, pool_key
from quarry_core.ports import Delete
from quarry_core.telemetry import metrics
from quarry_scheduler.sweeper import POOL_IDLE_S
from tests.unit.flow.acts import CLAUDE_POOL, another_scheduler, enlist
from tests.world.world import CLAUDE, SimulatedWorld

FAMILY = "anthropic.claude-"


def series(word: str) -> set[str]:
    """The names of all series of which a label has this word in it."""
    return {
        sample.name
        for family in REGISTRY.collect()
        for sample in family.samples
        if any(word in value for value in sample.labels.values())
    }


async def refused(world: SimulatedWorld, model: str) -> str:
    """A run whose model Bedrock does not know, to its end."""
    run_id = await enlist(world, world.joke(rows=100, model_id=model))
    world.jobs.refuse_once(Refused("ValidationException: the provided model identifier is invalid"))
    await world.scheduler.ticker.tick(f"us-east-1#{model}")
    await world.idle()
    assert (await world.totals(run_id)).state is RunState.FAILED
    return run_id


def pools(world: SimulatedWorld) -> list[str]:
    return sorted(key[0] for key in world.table.items if key[1] == "quota")


async def later(world: SimulatedWorld, seconds: float) -> None:
    world.clock.advance(seconds)
    await world.scheduler.sweeper.sweep()


async def test_a_hundred_made_up_models_leave_no_pool_and_no_series():
    world = SimulatedWorld()
    for number in range(100):
        await refused(world, f"{FAMILY}made-up-{number}-v1:0")
    assert len(pools(world)) == 100
    assert series("made-up")

    await later(world, 60)
    await later(world, POOL_IDLE_S)

    assert pools(world) == []
    assert await world.ledger.pools() == []
    assert series("made-up") == set()


async def test_a_model_without_an_answer_has_no_series_of_tokens_from_the_start():
    world = SimulatedWorld()
    await refused(world, f"{FAMILY}silent-v1:0")
    assert not {name for name in series("silent") if "tokens" in name or "cost" in name or "price" in name}


async def test_a_run_whose_shards_do_not_wait_yet_makes_no_pool():
    world = SimulatedWorld()
    world.send(world.joke(rows=300, model_id=f"{FAMILY}early-v1:0"))
    await world.consumers[0].run_once()
    for _ in range(3):
        await later(world, 60)
        await world.scheduler.tick_all()
    assert pools(world) == []


async def test_a_pool_is_kept_while_anything_may_need_it():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=200, max_records_per_job=100))
    for _ in range(4):
        await later(world, POOL_IDLE_S)
    assert pools(world) == [f"pool#{CLAUDE_POOL}"], "a job runs in it"
    assert (await world.run(run_id)).state is RunState.SUCCEEDED

    await later(world, POOL_IDLE_S / 2)  # the run's last sweep may have seen it idle
    assert pools(world) == [f"pool#{CLAUDE_POOL}"], "it was idle for less than its time"
    await later(world, POOL_IDLE_S / 2)
    assert pools(world) == []


async def test_a_pool_that_is_used_again_begins_its_time_anew():
    world = SimulatedWorld()
    await world.run(world.send(world.joke(rows=100)))
    await later(world, POOL_IDLE_S / 2)
    run_id = await enlist(world, world.joke(rows=100))
    await later(world, 60)
    await world.run(run_id)
    await later(world, POOL_IDLE_S * 0.75)
    assert pools(world) == [f"pool#{CLAUDE_POOL}"]
    await later(world, POOL_IDLE_S)
    assert pools(world) == []


@pytest.mark.promise("S1", "S7")
async def test_what_is_admitted_while_a_pool_is_being_removed_keeps_it():
    world = SimulatedWorld()
    await world.run(world.send(world.joke(rows=100)))
    await later(world, 60)
    idle = await world.ledger.pool(CLAUDE_POOL)
    run_id = await enlist(world, world.joke(rows=100))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    sweeper = world.scheduler.sweeper

    await sweeper._move_pool(moves.remove_pool(idle), CLAUDE_POOL, "pool_removed")
    assert (await world.ledger.pool(CLAUDE_POOL)).in_use == 1
    assert (await world.run(run_id)).state is RunState.SUCCEEDED


async def test_a_run_in_a_pool_that_was_removed_makes_it_again():
    world = SimulatedWorld()
    await world.run(world.send(world.joke(rows=100)))
    await later(world, 60)
    await later(world, POOL_IDLE_S)
    assert pools(world) == []
    assert (await world.run(world.send(world.joke(rows=100)))).state is RunState.SUCCEEDED
    assert (await world.ledger.pool(CLAUDE_POOL)).in_use == 0


async def test_a_pool_of_the_release_before_is_listed_and_removed_in_its_time():
    world = SimulatedWorld()
    run_id = await enlist(world, world.joke(rows=100))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    await world.table.transact([Delete(listed_pool_key(CLAUDE_POOL))])

    await later(world, 60)
    assert await world.ledger.pools() == [CLAUDE_POOL]
    await world.run(run_id)
    await later(world, 60)
    await later(world, POOL_IDLE_S)
    assert pool_key(CLAUDE_POOL) not in world.table.items


async def test_two_schedulers_remove_a_pool_once():
    world = SimulatedWorld()
    await world.run(world.send(world.joke(rows=100)))
    other = another_scheduler(world)
    for seconds in (60, POOL_IDLE_S, 60):
        world.clock.advance(seconds)
        await world.scheduler.sweeper.sweep()
        await other.sweeper.sweep()
    assert pools(world) == []


def test_of_models_without_a_price_only_the_first_few_have_a_label_of_their_own(monkeypatch):
    monkeypatch.setattr(metrics, "_UNPRICED", set())
    labels = [metrics.model_label(f"model-{number}", priced=False) for number in range(1_000)]
    assert len(set(labels)) == metrics.UNPRICED_MODELS_MAX + 1
    assert labels[-1] == metrics.OTHER_MODEL
    assert metrics.model_label("model-0", priced=False) == "model-0"
    assert metrics.model_label(CLAUDE, priced=True) == CLAUDE
