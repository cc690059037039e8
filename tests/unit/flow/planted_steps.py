"""A bug in each step of each service, and how its run ends: `python -m tests.unit.flow.planted_steps` prints the table.

Each plant makes one function raise, always and in the same way, from the beginning or from the moment at which jobs
run. The run must come to an end that says why, in bounded (virtual) time, with few dead-letter messages, and nothing of it may
go on afterwards.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from structlog.testing import capture_logs

from quarry_core.ledger.rows import Totals
from tests.unit.flow.acts import step
from tests.world.world import SimulatedWorld

STEPS_MAX = 60
STEP_S = 61
ROWS = 300


class Planted(RuntimeError):
    """The bug."""


@dataclass(frozen=True)
class Plant:
    """Where the bug is. `late`: it is planted when jobs run already. `events`: whether Bedrock's events come."""

    step: str
    where: str  # module:attribute, or module:Class.attribute
    late: bool = False
    errors: bool = False  # some records get an error, so an outcome is written
    events: bool = True

    @property
    def id(self) -> str:
        return f"{self.step} {self.where.partition(':')[2]}{' late' if self.late else ''}"


PLANTS = (
    Plant("arrive", "quarry_preprocessor.arrive:read_manifest"),
    Plant("arrive", "quarry_preprocessor.arrive:Arrivals._arrive"),
    Plant("count", "quarry_core.planning.counting:inspect"),
    Plant("count", "quarry_preprocessor.count:Counting.on_count"),
    Plant("count", "quarry_core.planning.plan_source:plan_shards"),
    Plant("slice", "quarry_preprocessor.write:ShardWriter.write"),
    Plant("slice", "quarry_preprocessor.slices:Slices.on_slice"),
    Plant("slice", "quarry_preprocessor.slices:Slices._enlist"),
    Plant("admit", "quarry_scheduler.tick:next_lane"),
    Plant("admit", "quarry_scheduler.tick:Ticker._next_shard"),
    Plant("admit", "quarry_core.ledger.moves:admit"),
    Plant("admit", "quarry_scheduler.tick:next_lane", late=True),
    Plant("create", "quarry_scheduler.create:job_request"),
    Plant("create", "quarry_scheduler.create:JobCreator.finish"),
    Plant("create", "quarry_scheduler.create:JobCreator._submitted"),
    Plant("create", "quarry_scheduler.create:job_request", late=True),
    Plant("track", "quarry_scheduler.tracking:JobTracker.job_seen", late=True),
    Plant("track", "quarry_scheduler.tracking:JobTracker.job_seen", late=True, events=False),
    Plant("track", "quarry_scheduler.tracking:JobTracker._end", late=True),
    Plant("settle", "quarry_collector.salvage:read_blocks", late=True),
    Plant("settle", "quarry_collector.salvage:decide", late=True),
    Plant("settle", "quarry_collector.salvage:write_outcome", late=True, errors=True),
    Plant("settle", "quarry_collector.spool:Spool.settle", late=True),
    Plant("settle", "quarry_collector.shards:Shards.on_settle", late=True),
    Plant("settle", "quarry_collector.spool:Spool.place_blocks", late=True),
    Plant("part", "quarry_collector.salvage:Salvage.part", late=True),
    Plant("close", "quarry_collector.runs:build_report"),
    Plant("close", "quarry_collector.runs:Runs.on_close"),
    Plant("close", "quarry_collector.runs:Runs._tell"),
    Plant("close", "quarry_collector.salvage:Salvage.account"),
)


@contextmanager
def planted(plant: Plant, times: int | None = None) -> Iterator[None]:
    """The function raises: the first `times` calls, or until the end of the block."""
    module, _, path = plant.where.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    whole = getattr(owner, name)

    left = times

    def broken(*args: object, **kwargs: object) -> object:
        nonlocal left
        if left == 0:
            return whole(*args, **kwargs)
        left = None if left is None else left - 1
        raise Planted(f"a bug in {path}")

    setattr(owner, name, broken)
    try:
        yield
    finally:
        setattr(owner, name, whole)


@dataclass(frozen=True)
class Ending:
    world: SimulatedWorld
    run_id: str
    totals: Totals | None
    seconds: float
    dead: int
    jobs_after: int  # created after the bug was planted


async def ending_of(plant: Plant) -> Ending:
    """Plant the bug and let the world turn until the run is at its end, or for an hour of virtual time."""
    world = SimulatedWorld(job_quota=2)
    world.bedrock.error_share = 0.1 if plant.errors else 0.0
    if not plant.events:
        world.bedrock.events_lost_share = 1.0
    run_id = world.send(world.joke(rows=ROWS, max_records_per_job=100))
    if plant.late:
        await world.idle()
        assert len(world.bedrock.active) == 2, world.bedrock.active
    jobs = len(world.jobs.all)
    with planted(plant), capture_logs():  # a traceback for each failure costs more than all the rest
        began = world.clock.monotonic()
        totals = None
        for _ in range(STEPS_MAX):
            await step_on(world)
            totals = await world.ledger.totals(run_id)
            if totals is not None and totals.state.terminal:
                break
        seconds = world.clock.monotonic() - began
        created = len(world.jobs.all) - jobs
        for _ in range(20):  # what is still on its way; then nothing may be woken any more
            await step_on(world)
    dead = sum(len(queue.dead) for queue in world.queues.values())
    return Ending(world, run_id, totals, seconds, dead, created)


async def step_on(world: SimulatedWorld) -> None:
    try:
        await step(world, seconds=STEP_S)
    except Exception as error:  # a timer's turn that fails is logged, and the next one comes
        if "a bug in" not in f"{error} {error.__cause__}":
            raise


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print(f"{'step':8} {'bug in':32} {'planted':8} {'end':10} {'code':16} {'step':8} {'after s':>8} {'dead':>5}")
    for plant in PLANTS:
        end = await ending_of(plant)
        totals = end.totals
        state, code, reported = (totals.state, totals.code, totals.step) if totals else ("none", "", "")
        where = plant.where.rpartition(":")[2]
        when = "late" if plant.late else "first"
        print(
            f"{plant.step:8} {where:32} {when:8} {state:10} {code:16} {reported:8} {end.seconds:8.0f} {end.dead:5}"
            f"   {totals.message[:110] if totals else ''}"
        )


if __name__ == "__main__":
    asyncio.run(main())
