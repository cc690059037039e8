"""The pins of runs are read once, and what is kept of them is bounded in runs and in bytes."""

from __future__ import annotations

import asyncio

import pytest

from quarry_core.contract.names import prompt_key
from quarry_core.errors import Missing
from quarry_core.ledger.ledger import Ledger
from quarry_scheduler import pins
from quarry_scheduler.pins import PinsCache
from tests.unit.flow.acts import enlist
from tests.world.faults import Faults
from tests.world.world import SimulatedWorld

PROMPT_BYTES = 100_000


async def world_of(runs: int) -> tuple[SimulatedWorld, list[str]]:
    """A world with accepted runs whose prompts are long."""
    world = SimulatedWorld()
    words = "a joke " * (PROMPT_BYTES // len("a joke "))
    world.objects.plant(prompt_key("long"), f"template: Tell me {words} about {{topic}}.\n".encode())
    manifest = {"rows": 100, "prompt_id": "long"}
    return world, [await enlist(world, world.joke(**manifest, job_name_prefix=f"run-{n}")) for n in range(runs)]


def cache_of(world: SimulatedWorld, **options: int) -> tuple[PinsCache, Faults]:
    faults = Faults()
    return PinsCache(Ledger(world.table.for_worker(faults)), **options), faults


async def test_pins_are_read_once():
    world, [run_id] = await world_of(1)
    cache, faults = cache_of(world)
    first = await cache.of(run_id)
    reads = len(faults.calls)
    assert first == await cache.of(run_id) == (await world.ledger.run(run_id)).pins
    assert len(faults.calls) == reads
    with pytest.raises(Missing, match="run nobody has no pins"):
        await cache.of("nobody")


async def test_of_long_prompts_no_more_is_kept_than_so_many_bytes_and_the_last_ones_asked_for():
    world, runs = await world_of(5)
    cache, faults = cache_of(world, bytes_max=int(3.5 * PROMPT_BYTES))
    for run_id in runs[:3]:
        await cache.of(run_id)
    await cache.of(runs[0])
    for run_id in runs[3:]:
        await cache.of(run_id)
        assert 3 * PROMPT_BYTES * 0.9 < cache.bytes <= 3.5 * PROMPT_BYTES
    faults.calls.clear()
    for run_id in (runs[0], *runs[3:]):
        await cache.of(run_id)
    assert faults.calls == [], "it was asked for after the others"
    await cache.of(runs[1])
    assert faults.calls


async def test_pins_above_the_whole_bound_are_kept_while_no_others_are_asked_for():
    world, runs = await world_of(2)
    cache, faults = cache_of(world, bytes_max=1_000)
    for run_id in runs:
        await cache.of(run_id)
    faults.calls.clear()
    await cache.of(runs[1])
    assert faults.calls == []
    assert cache.bytes < 1.1 * PROMPT_BYTES


async def test_two_that_read_the_same_pins_at_once_count_them_once():
    world, [run_id] = await world_of(1)
    cache, _ = cache_of(world)
    await asyncio.gather(cache.of(run_id), cache.of(run_id))
    assert cache.bytes < 1.1 * PROMPT_BYTES


async def test_no_more_runs_are_kept_than_may_be(monkeypatch):
    monkeypatch.setattr(pins, "PINS_MAX", 2)
    world, runs = await world_of(3)
    cache, faults = cache_of(world)
    for run_id in runs:
        await cache.of(run_id)
    faults.calls.clear()
    await cache.of(runs[2])
    await cache.of(runs[1])
    assert faults.calls == []
    await cache.of(runs[0])
    assert faults.calls
