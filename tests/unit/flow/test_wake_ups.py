"""A worker that is behind, or away, is not dead-lettered in copies of its messages; one that was lost is sent again.

The services run as they do in production, each consumer and timer as a task of its own, on a clock that goes from
sleeper to sleeper: so seconds here are those of the local stack.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

import quarry_collector.handler
import quarry_preprocessor.handler
import quarry_scheduler.handler
from quarry_core.contract.names import results_prefix, shard_id
from quarry_core.contract.states import RunState
from quarry_core.service.consumer import every
from quarry_core.service.process import JITTER
from quarry_local.settings import LOCAL_WAITS
from tests.unit.flow.acts import CLAUDE_POOL, enlist, healthy_dead
from tests.world.faults import Faults
from tests.world.offload import InlineOffload
from tests.world.world import SimulatedWorld

SHARDS = 40
AWAY_S = 60.0
OFFLOAD_S = 0.1  # how long one blocking step takes in a thread: settling a shard has three
LOCAL = {
    name: float(LOCAL_WAITS[f"QUARRY_{name.upper()}"])
    for name in ("tick_every_s", "sweep_every_s", "wake_after_slices_s", "wake_after_ended_s")
}


class Watched(Faults):
    """Counts what all workers send and ask for."""

    def __init__(self):
        super().__init__()
        self.sent = Counter()
        self.hidden = 0  # the next so many wake-ups to a worker are lost

    def after(self, number, name, args=()):
        if name == "queue.send" and args[0] in ("collector", "slices"):
            wakeup = json.loads(args[1])
            self.sent[wakeup["step"]] += 1
        super().after(number, name, args)


@dataclass
class Stack:
    """All services of a world, two schedulers among them, as tasks; a service may be away."""

    world: SimulatedWorld
    watched: Watched = field(default_factory=Watched)
    uploads: Counter = field(default_factory=Counter)
    offload_s: float = OFFLOAD_S
    tasks: list[asyncio.Task] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self):
        self.world.clock.auto_advance = False
        create = self.world.objects.create

        def counted(key, metadata):
            self.uploads[key.partition("/")[0]] += 1
            return create(key, metadata)

        self.world.objects.create = counted

    def begin(self, module, times=1):
        for _ in range(times):
            world = replace(
                self.world.process_world(self.watched), offload=InlineOffload(self.world.clock, self.offload_s)
            )
            parts = module.build(world)
            for consumer in parts.consumers:
                self.tasks.append(asyncio.create_task(consumer.run(self.stop)))
            for timer in parts.timers:
                turns = every(self.stop, self.world.clock, timer.every_s, JITTER, timer.work, timer.what)
                self.tasks.append(asyncio.create_task(turns))

    async def until(self, holds, most_s):
        """Let time pass until something holds; the seconds that it took."""
        began_s = self.world.clock.monotonic()
        while not await holds():
            assert self.world.clock.monotonic() - began_s < most_s, self.watched.sent
            await self.world.clock.run_for(1.0)
        return self.world.clock.monotonic() - began_s

    async def end(self):
        self.stop.set()
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


@contextlib.asynccontextmanager
async def stack(**settings):
    running = Stack(SimulatedWorld(job_quota=SHARDS, **(LOCAL | settings)))
    try:
        yield running
    finally:
        await running.end()


async def all_ended(running, run_id):
    """The run's shards are submitted, and all jobs end at once."""
    world = running.world
    world.clock.auto_advance = True
    await enlist(world, world.joke(rows=SHARDS * 100, max_records_per_job=100, run_id=run_id))
    while len(world.jobs.all) < SHARDS:
        await world.scheduler.ticker.tick(CLAUDE_POOL)
    world.clock.auto_advance = False
    running.uploads.clear()
    world.bedrock.end_all()


def state_is(running, run_id, *states):
    async def holds():
        totals = await running.world.ledger.totals(run_id)
        return totals is not None and totals.state in states

    return holds


@pytest.mark.promise("L2", "I1")
@pytest.mark.parametrize("away_s", [0.0, AWAY_S])
async def test_forty_shards_are_announced_once_each_while_the_collector_is_away(away_s):
    async with stack() as running:
        await all_ended(running, "r1")
        running.begin(quarry_scheduler.handler, times=2)
        await running.world.clock.run_for(away_s)
        running.begin(quarry_collector.handler)
        took_s = await running.until(state_is(running, "r1", RunState.SUCCEEDED), 600)

        print(f"away {away_s:.0f} s: {dict(running.watched.sent)}, {dict(running.uploads)}, {took_s:.0f} s")
        assert running.watched.sent["settle"] <= SHARDS * 1.25
        assert running.watched.sent["close"] == 1
        assert running.uploads["results"] == SHARDS
        assert running.uploads["outcomes"] == 0  # every row has its answer
        assert took_s <= 30
        assert healthy_dead(running.world) == {}


@pytest.mark.promise("L2", "I1")
async def test_a_collector_that_needs_far_longer_than_the_sweeps_patience_gets_few_copies():
    async with stack() as running:
        running.offload_s = 7.0  # of eight shards at once
        await all_ended(running, "r1")
        running.begin(quarry_scheduler.handler, times=2)
        running.begin(quarry_collector.handler)
        took_s = await running.until(state_is(running, "r1", RunState.SUCCEEDED), 600)

        print(f"slow: {dict(running.watched.sent)}, {dict(running.uploads)}, {took_s:.0f} s")
        assert took_s > 30 * running.world.settings.wake_after_ended_s
        assert running.watched.sent["settle"] <= SHARDS * 1.75
        assert running.uploads["results"] == SHARDS


@pytest.mark.promise("L2", "I1")
async def test_slices_are_announced_once_each_while_the_preprocessor_is_away():
    async with stack() as running:
        world = running.world
        world.send(world.joke(rows=SHARDS * 100, max_records_per_job=100, run_id="r1"))
        world.clock.auto_advance = True
        while (totals := await world.ledger.totals("r1")) is None or totals.state is not RunState.RUNNING:
            await world.consumers[0].run_once()
            await world.consumers[1].run_once()
        world.clock.auto_advance = False
        slices = [piece async for piece in world.ledger.slices("r1")]
        running.begin(quarry_scheduler.handler, times=2)
        await world.clock.run_for(AWAY_S)
        running.begin(quarry_preprocessor.handler)

        async def written():
            totals = await world.totals("r1")
            return totals.enlisted == totals.accepted

        await running.until(written, 600)
        print(f"{len(slices)} slices: {dict(running.watched.sent)}, {dict(running.uploads)}")
        assert running.watched.sent["slice"] <= len(slices)
        assert running.uploads["batch-input"] == SHARDS


@pytest.mark.promise("L2")
async def test_forty_wake_ups_that_were_all_lost_are_sent_again_few_at_first():
    async with stack() as running:
        await all_ended(running, "r1")
        world, collector = running.world, running.world.queues["collector"]
        running.begin(quarry_scheduler.handler, times=2)
        await running.until(state_of_all(running, "ENDED"), 60)
        for message in await everything(collector):
            await collector.ack(message)
        running.watched.sent.clear()
        await world.clock.run_for(AWAY_S)
        assert SHARDS / 2 < running.watched.sent["settle"] <= SHARDS * 1.25
        running.begin(quarry_collector.handler)
        took_s = await running.until(state_is(running, "r1", RunState.SUCCEEDED), 600)

        print(f"all lost: {dict(running.watched.sent)}, {dict(running.uploads)}, {took_s:.0f} s")
        assert running.watched.sent["settle"] <= SHARDS * 1.5
        assert running.uploads["results"] == SHARDS


def state_of_all(running, state):
    async def holds():
        return [shard.state async for shard in running.world.ledger.shards("r1")] == [state] * SHARDS

    return holds


async def everything(queue):
    taken = []
    while messages := await queue.receive(10, 0):
        taken += messages
    return taken


async def test_a_copy_for_a_settled_shard_costs_one_head_and_still_deletes_the_input():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=200, max_records_per_job=100, run_id="r1"))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    world.bedrock.end_all()
    await world.idle()
    assert (await world.ledger.shard(run_id, shard_id(0))).state == "SETTLED"
    asked = Counter()
    for name in ("head", "read", "stream", "random_access", "put_once", "create", "list"):
        whole = getattr(world.objects, name)

        def counted(*args, name=name, whole=whole, **more):
            asked[name] += 1
            return whole(*args, **more)

        setattr(world.objects, name, counted)
    world.objects.plant(f"batch-input/{run_id}/{shard_id(0)}.jsonl", b"left behind")

    world.queues["collector"].put(json.dumps({"v": 2, "step": "settle", "run_id": run_id, "shard": shard_id(0)}))
    await world.consumers[2].run_once()

    assert asked == {"head": 1}
    assert f"batch-input/{run_id}/{shard_id(0)}.jsonl" not in world.objects.bodies
    assert f"{results_prefix(run_id)}part-{shard_id(0)}.parquet" in world.objects.bodies


async def test_an_event_that_comes_again_wakes_the_collector_and_one_that_comes_late_does_not():
    world = SimulatedWorld(job_quota=1)
    await enlist(world, world.joke(rows=100, run_id="r1"))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    [job] = world.bedrock.active
    world.bedrock.end(job)
    await world.scheduler.sweeper.sweep()  # which was faster than the event
    assert len(world.queues["collector"].bodies) == 1

    [message] = await world.queues["events"].receive(1, 0)
    await world.scheduler.on_event(message)
    assert len(world.queues["collector"].bodies) == 1

    # Its first reader may have died between the move and its wake-up.
    await world.scheduler.on_event(replace(message, receive_count=2))
    assert len(world.queues["collector"].bodies) == 2
