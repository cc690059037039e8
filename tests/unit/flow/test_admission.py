"""Many schedulers, one quota: never more jobs than slots, no run left behind, and a tick that costs what it costs."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from quarry_core.contract.names import shard_id
from quarry_core.contract.states import RunState
from quarry_core.ledger import moves
from quarry_core.ledger.keys import lane_key, shard_key, wait_key
from quarry_core.ledger.limits import Limits
from quarry_core.ports import Cond, Put, Update
from quarry_scheduler.handler import Scheduler
from quarry_scheduler.tick import PAUSED_MAX
from tests.unit.flow.acts import CLAUDE_POOL, another_scheduler, enlist, healthy_dead, jobs_per_attempt, play, pool
from tests.world.faults import Faults
from tests.world.world import SimulatedWorld

BACKLOG_PER_TRANSACTION = 40


@pytest.mark.promise("S1", "S7", "L4")
@pytest.mark.parametrize("quota", [1, 2, 3])
@pytest.mark.parametrize("schedulers", [2, 4])
async def test_schedulers_that_tick_at_once_never_have_more_jobs_than_slots_and_fill_them_all(quota, schedulers):
    world = SimulatedWorld(job_quota=quota)
    run_id = await enlist(world, world.joke(rows=1_200, max_records_per_job=100))
    waiting = len([shard async for shard in world.ledger.shards(run_id)])
    replicas = [another_scheduler(world) for _ in range(schedulers)]
    violations = []

    def watch(key, before, after):
        if key[1] == "quota" and after is not None:
            held = len(after.get("holders", ()))
            if after["in_use"] != held or held > quota:
                violations.append(after)

    world.table.watchers.append(watch)
    seen = []
    for _ in range(waiting):
        await asyncio.gather(*(each.ticker.tick(CLAUDE_POOL) for each in replicas for _ in range(2)))
        seen.append(len(world.bedrock.active))
        for job in world.bedrock.active[:2]:
            world.bedrock.end(job)
        await asyncio.gather(*(each.sweeper.sweep() for each in replicas))

    totals = await play(world, run_id)
    assert violations == []
    assert max(seen) == world.jobs.peak == quota
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 1_200)
    assert set(jobs_per_attempt(world).values()) == {1}
    assert len(world.jobs.all) == waiting
    assert healthy_dead(world) == {}


async def backlog(world, run_id, number):
    """Let `number` shards wait in all, written down as enlisting would."""
    [*known] = [shard async for shard in world.ledger.shards(run_id)]
    item = dict(world.table.items[shard_key(run_id, known[0].shard)])
    for first in range(len(known), number, BACKLOG_PER_TRANSACTION):
        batch = range(first, min(first + BACKLOG_PER_TRANSACTION, number))
        writes = []
        for index in batch:
            shard = shard_id(2 * index)
            row = {name: value for name, value in item.items() if name not in ("pk", "sk")}
            writes.append(Put(shard_key(run_id, shard), row | {"shard": shard}))
            writes.append(Put(wait_key(run_id, shard, 1), {"run_id": run_id, "shard": shard, "attempt": 1}))
        lane = Update(lane_key(CLAUDE_POOL, run_id), when=(Cond("gate", "exists"),), add={"waiting": len(batch)})
        await world.table.transact([*writes, lane])


class Reading:
    """Counts the items that queries give."""

    def __init__(self, table):
        self._table = table
        self.items = 0

    def __getattr__(self, name):
        return getattr(self._table, name)

    async def query(self, *arguments, **options):
        found = await self._table.query(*arguments, **options)
        self.items += len(found)
        return found


async def requests_of_a_tick(waiting, *, free):
    """What one tick asks of the world with so many shards waiting, and 3 slots of which `free` are free."""
    world = SimulatedWorld(job_quota=3)
    run_id = await enlist(world, world.joke(rows=2_000, max_records_per_job=100, run_id="r1"))
    await backlog(world, run_id, waiting)
    if not free:
        await another_scheduler(world).ticker.tick(CLAUDE_POOL)
    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    assert lane is not None
    assert lane.waiting == waiting - (0 if free else 3)
    faults = Faults()
    world = world.process_world(faults)
    table = Reading(world.table)
    ticked = await Scheduler(dataclasses.replace(world, table=table)).ticker.tick(CLAUDE_POOL)
    assert ticked.admitted == free
    return sorted(faults.calls), table.items


@pytest.mark.parametrize("free", [0, 3])
async def test_a_tick_asks_as_much_with_twenty_thousand_shards_waiting_as_with_twenty(free):
    few, items_of_few = await requests_of_a_tick(20, free=free)
    many, items_of_many = await requests_of_a_tick(20_000, free=free)

    assert many == few
    assert len(few) < 40
    # A request for a page of everything would be one request too: what is read stays bounded by slots, not backlog.
    assert items_of_many <= items_of_few + PAUSED_MAX


@pytest.mark.promise("L4")
async def test_two_runs_of_equal_weight_take_turns_however_much_longer_the_first_one_is():
    world = SimulatedWorld(job_quota=2)
    await enlist(world, world.joke(rows=2_000, max_records_per_job=100, run_id="long"))
    for _ in range(3):
        await world.scheduler.ticker.tick(CLAUDE_POOL)
        world.bedrock.end_all()
        await world.scheduler.sweeper.sweep()
    before = len(world.jobs.all)
    await enlist(world, world.joke(rows=500, max_records_per_job=100, run_id="short"))
    shards_of_short = (await world.totals("short")).shards_enlisted

    while sum("-short-" in job.name for job in world.jobs.all) < shards_of_short:
        world.bedrock.end_all()
        await world.scheduler.sweeper.sweep()
        await world.scheduler.ticker.tick(CLAUDE_POOL)

    order = ["short" if "-short-" in job.name else "long" for job in world.jobs.all[before:]]
    assert order.count("short") == shards_of_short
    for end in range(1, len(order) + 1):
        ahead = order[:end].count("long") - order[:end].count("short")
        # Turn and turn about, give or take what was admitted in the same breath.
        assert abs(ahead) <= 2, order
    assert (await play(world, "short")).state is RunState.SUCCEEDED
    assert (await play(world, "long")).state is RunState.SUCCEEDED


@pytest.mark.promise("S1")
async def test_a_limit_made_smaller_admits_nothing_until_the_pool_has_drained_and_stops_no_job():
    world = SimulatedWorld(job_quota=3)
    run_id = await enlist(world, world.joke(rows=1_200, max_records_per_job=100))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    standing = await pool(world)
    await world.ledger.apply(moves.limit_pool(standing, Limits(1)))

    await world.scheduler.ticker.tick(CLAUDE_POOL)

    assert len(world.bedrock.active) == 3
    for left in (2, 1):
        world.bedrock.end(world.bedrock.active[0])
        [consumer] = [each for each in world.consumers if each.queue.name == "events"]
        await consumer.run_once()
        assert len(world.bedrock.active) == left
    assert (await pool(world)).in_use == 1
    assert run_id


async def test_a_sweep_reads_the_totals_of_all_open_runs_at_once(monkeypatch):
    world = SimulatedWorld()
    runs = [await enlist(world, world.joke(rows=100, run_id=f"r{number}")) for number in range(3)]
    ledgers, asked = type(world.ledger), []
    totals_of, totals = ledgers.totals_of, ledgers.totals

    async def no_tick(_pool):
        pass

    async def watched(self, run_ids):
        asked.append(sorted(run_ids))
        return await totals_of(self, run_ids)

    async def one_by_one(self, run_id):
        asked.append(run_id)
        return await totals(self, run_id)

    monkeypatch.setattr(ledgers, "totals_of", watched)
    monkeypatch.setattr(ledgers, "totals", one_by_one)
    monkeypatch.setattr(world.scheduler.ticker, "tick", no_tick)  # which reads totals too
    await world.scheduler.sweeper.sweep()

    assert asked == [sorted(runs)]
