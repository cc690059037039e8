"""What several of these tests do with a world: step by step where `SimulatedWorld.run` goes all the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from quarry_core.ledger.rows import Pool, Shard, Totals
from quarry_core.ports import Job
from quarry_scheduler.handler import Scheduler
from tests.world.faults import Faults
from tests.world.world import CLAUDE, SimulatedWorld

CLAUDE_POOL = f"us-east-1#{CLAUDE}"
STEPS_MAX = 200
End = Callable[[Job], None]


async def enlist(world: SimulatedWorld, manifest: Mapping[str, Any]) -> str:
    """Let the preprocessor alone work until a manifest's shards all wait; its run id."""
    run_id = world.send(dict(manifest))
    preprocessor = world.consumers[:2]
    while sum([(await consumer.run_once()).handled for consumer in preprocessor]):
        pass
    totals = await world.totals(run_id)
    assert totals.enlisted == totals.accepted > 0
    return run_id


async def step(world: SimulatedWorld, end: End | None = None, *, seconds: float = 61) -> None:
    """Everybody works, the active jobs end, time passes, the scheduler looks around."""
    await world.idle()
    for job in world.bedrock.active:
        if job.input_uri.startswith(f"s3://{world.settings.bucket}/"):  # others' jobs are others' business
            (end or world.bedrock.end)(job)
    await world.idle()
    world.clock.advance(seconds)
    await world.scheduler.tick_all()
    await world.scheduler.sweeper.sweep()


async def play(world: SimulatedWorld, run_id: str, end: End | None = None) -> Totals:
    """Steps until the run is at its end; what holds at every end is held here."""
    for _ in range(STEPS_MAX):
        await step(world, end)
        totals = await world.totals(run_id)
        if totals.state.terminal:
            break
    assert totals.state.terminal, totals
    assert totals.open == 0
    assert totals.accepted == totals.ok + totals.error
    held = await world.ledger.pool(CLAUDE_POOL)
    assert held is None or held.in_use == len(held.holders)
    assert held is None or not [holder for holder in held.holders if holder.startswith(f"{run_id}/")]
    assert await world.ledger.waiting(run_id, 10) == []
    assert await world.ledger.todo(run_id) == []
    return totals


async def pool(world: SimulatedWorld) -> Pool:
    found = await world.ledger.pool(CLAUDE_POOL)
    assert found is not None
    return found


async def shards(world: SimulatedWorld, run_id: str) -> list[Shard]:
    return [shard async for shard in world.ledger.shards(run_id)]


def another_scheduler(world: SimulatedWorld, faults: Faults | None = None) -> Scheduler:
    """A replica: of the same world, with nothing in its memory."""
    return Scheduler(world.process_world(faults or Faults()))


def jobs_per_attempt(world: SimulatedWorld) -> Counter[str]:
    """How many jobs bear each name; a name is a shard's attempt."""
    return Counter(job.name for job in world.jobs.all)


def errors_of(world: SimulatedWorld, run_id: str) -> Counter[str]:
    """Error rows of the result by code."""
    return Counter(code for code in world.result(run_id)["error_code"].to_pylist() if code is not None)


def healthy_dead(world: SimulatedWorld) -> dict[str, int]:
    """Dead-letter messages by queue, of the queues that have any."""
    return {name: len(queue.dead) for name, queue in world.queues.items() if queue.dead}
