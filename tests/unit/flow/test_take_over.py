"""A scheduler dies between admission and Create; another one finishes what it left, in every pool."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from quarry_core.contract.states import RunState
from quarry_core.errors import QuotaExceeded, Throttled
from quarry_core.ledger import moves
from quarry_core.service.endings import end_run
from quarry_core.service.failures import RunCode, Step, Why
from tests.unit.flow.acts import (
    CLAUDE_POOL,
    another_scheduler,
    enlist,
    healthy_dead,
    jobs_per_attempt,
    pool,
    shards,
)
from tests.world.faults import Crash, Faults
from tests.world.world import CLAUDE, TITAN, SimulatedWorld


@pytest.mark.promise("L1", "L3", "L4")
async def test_what_a_dead_scheduler_admitted_in_two_pools_is_finished_in_both():
    world = SimulatedWorld(job_quota=1)
    world.start({"scheduler": Faults()})
    text = world.send(world.joke(rows=120, run_id="text"))
    uri = world.csv(120, key="inputs/e.csv", columns=("input_text",))
    embedding = world.send(
        {"s3_uri": uri, "job_name_prefix": "e", "model_id": TITAN, "prompt_id": None, "run_id": "embed"}
    )
    await die_at_creates(world, {"text", "embed"})

    for run_id in (text, embedding):
        assert (await world.run(run_id)).state is RunState.SUCCEEDED
    assert len(world.jobs.all) == 2


async def die_at_creates(world: SimulatedWorld, runs: set[str]) -> None:
    """Every scheduler dies before its first Create, until each run has a shard that is ADMITTED."""
    for _ in range(20):
        faults = CrashBeforeCreate()
        world.start({"scheduler": faults})
        with contextlib.suppress(Crash):
            await world.idle()
        world.clock.advance(40)
        admitted = set()
        for run_id in runs:
            if await world.ledger.totals(run_id) is None:
                continue
            async for shard in world.ledger.shards(run_id):
                if shard.state == "ADMITTED":
                    admitted.add(run_id)
        if admitted == runs:
            world.start()
            return
    raise AssertionError("the runs were never admitted")


class CrashBeforeCreate(Faults):
    def before(self, name, args=()):
        if name == "jobs.create":
            self.crashed = True
            raise Crash("before Create")
        return super().before(name, args)


class StallAtCreate(Faults):
    """A process that pauses between its last look and the wire."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()

    @contextlib.asynccontextmanager
    async def call(self, name, *args):
        if name == "jobs.create":
            await self.goes_on.wait()
        async with super().call(name, *args):
            yield


@pytest.mark.promise("S1", "S8")
@pytest.mark.parametrize("answer", [Throttled("slow down"), QuotaExceeded("no room")])
async def test_the_slot_of_an_admission_that_was_taken_over_is_kept_when_bedrock_says_not_now(answer):
    # Else the stalled one's job would run without a slot, beside the next one that gets it.
    world = SimulatedWorld(job_quota=1)
    world.jobs.set_quota(None)
    run_id = await enlist(world, world.joke(rows=240, max_records_per_job=120))
    stalled = StallAtCreate()
    creating = asyncio.create_task(another_scheduler(world, stalled).ticker.tick(CLAUDE_POOL))
    while not any(shard.state == "ADMITTED" for shard in await shards(world, run_id)):
        await asyncio.sleep(0)
    other = another_scheduler(world)
    await other.ticker.tick(CLAUDE_POOL)
    world.clock.advance(world.settings.finish_after_s + 1)
    await other.ticker.tick(CLAUDE_POOL)  # taken over; what was sent before is unknown
    world.clock.advance(world.settings.list_settle_s + 1)
    world.jobs.refuse_once(answer)
    await other.ticker.tick(CLAUDE_POOL)

    assert (await pool(world)).in_use == 1
    stalled.goes_on.set()
    await creating
    await other.ticker.tick(CLAUDE_POOL)
    assert world.jobs.peak == 1
    assert (await world.run(run_id)).state is RunState.SUCCEEDED
    assert world.jobs.peak == 1
    assert list(jobs_per_attempt(world).values()) == [1, 1]
    assert healthy_dead(world) == {}


async def test_an_admission_that_was_taken_over_is_asked_for_again_at_the_next_tick():
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=120))
    faults = CrashBeforeCreate()
    with contextlib.suppress(Crash):
        await another_scheduler(world, faults).ticker.tick(CLAUDE_POOL)
    other = another_scheduler(world)
    await other.ticker.tick(CLAUDE_POOL)
    world.clock.advance(world.settings.finish_after_s + 1)
    await other.ticker.tick(CLAUDE_POOL)
    world.clock.advance(world.settings.list_settle_s + 1)
    world.jobs.refuse_once(Throttled("slow down"))
    await other.ticker.tick(CLAUDE_POOL)
    assert [shard.state for shard in await shards(world, run_id)] == ["ADMITTED"]

    await other.ticker.tick(CLAUDE_POOL)

    assert [shard.state for shard in await shards(world, run_id)] == ["SUBMITTED"]


async def deny(world: SimulatedWorld, run_id: str) -> None:
    world.jobs.refused_models = frozenset({CLAUDE})


async def cancel(world: SimulatedWorld, run_id: str) -> None:
    totals, marker = await world.totals(run_id), await world.ledger.open_run(run_id)
    await world.ledger.apply(moves.cancel(totals, marker.pool, moves.By(world.clock.now().isoformat(), "ana")))


async def break_off(world: SimulatedWorld, run_id: str) -> None:
    why = Why(RunCode.INTERNAL_ERROR, Step.SLICE, "a bug")
    await end_run(world.process_world(Faults()), run_id, why)


@pytest.mark.promise("S1", "S8")
@pytest.mark.parametrize("happens", [deny, cancel, break_off])
async def test_the_slot_of_an_admission_that_was_taken_over_is_kept_when_its_row_is_to_end(happens):
    # The same hole: the stalled one's job would run without a slot, beside another run's.
    world = SimulatedWorld(job_quota=1)
    world.jobs.set_quota(None)
    run_id = await enlist(world, world.joke(rows=120))
    stalled = StallAtCreate()
    creating = asyncio.create_task(another_scheduler(world, stalled).ticker.tick(CLAUDE_POOL))
    while not any(shard.state == "ADMITTED" for shard in await shards(world, run_id)):
        await asyncio.sleep(0)
    other = another_scheduler(world)
    await other.ticker.tick(CLAUDE_POOL)
    world.clock.advance(world.settings.finish_after_s + 1)
    await happens(world, run_id)
    await other.ticker.tick(CLAUDE_POOL)
    world.clock.advance(world.settings.list_settle_s + 1)
    await other.ticker.tick(CLAUDE_POOL)

    world.clock.advance(world.settings.late_create_max_s - world.settings.list_settle_s - 2)
    await other.ticker.tick(CLAUDE_POOL)
    assert (await pool(world)).in_use == 1

    world.jobs.refused_models = frozenset()
    another_run = await enlist(world, world.joke(rows=120, run_id="another"))
    stalled.goes_on.set()
    await creating
    await other.ticker.tick(CLAUDE_POOL)
    assert world.jobs.peak == 1
    assert (await world.run(another_run)).state is RunState.SUCCEEDED
    assert world.jobs.peak == 1


@pytest.mark.promise("L1")
@pytest.mark.parametrize(
    ("happens", "state"),
    [(deny, RunState.FAILED), (cancel, RunState.CANCELLED), (break_off, RunState.FAILED)],
)
async def test_nor_is_it_kept_for_ever(happens, state):
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=120))
    with contextlib.suppress(Crash):
        await another_scheduler(world, CrashBeforeCreate()).ticker.tick(CLAUDE_POOL)
    other = another_scheduler(world)
    await other.ticker.tick(CLAUDE_POOL)
    world.clock.advance(world.settings.finish_after_s + 1)
    await happens(world, run_id)
    await other.ticker.tick(CLAUDE_POOL)
    for _ in range(3):
        world.clock.advance(world.settings.late_create_max_s / 2 + 1)
        await other.ticker.tick(CLAUDE_POOL)

    assert (await pool(world)).in_use == 0
    assert (await world.run(run_id)).state is state
    assert world.jobs.all == []


@pytest.mark.promise("L1", "L4")
@pytest.mark.parametrize("happens", [deny, cancel, break_off])
async def test_of_two_schedulers_that_live_one_keeps_it_until_it_ends(happens):
    world = SimulatedWorld(job_quota=1)
    run_id = await enlist(world, world.joke(rows=120))
    with contextlib.suppress(Crash):
        await another_scheduler(world, CrashBeforeCreate()).ticker.tick(CLAUDE_POOL)
    await happens(world, run_id)
    schedulers, settings = [another_scheduler(world), another_scheduler(world)], world.settings
    most_s = settings.finish_after_s + settings.late_create_max_s + settings.list_settle_s + 2 * settings.tick_every_s

    for _ in range(int(most_s / settings.tick_every_s)):
        for scheduler in schedulers:
            await scheduler.ticker.tick(CLAUDE_POOL)
        world.clock.advance(settings.tick_every_s)

    assert (await pool(world)).in_use == 0
    assert world.jobs.all == []
