"""The jobs of cancelled runs are stopped.

Theory of operation. A run is cancelled by a write on its lane; whoever ticks the pool sees it, and asks Bedrock to stop
the jobs of the rows that hold a slot. Each is read first, and stopped only if it is ours in every respect (decision 0024).
Bedrock stops a job in its own time and reports it as any other end: until then the slot is held, and what the job has
answered is settled as ever. A stop that was refused, or lost, is asked again.

May be called any number of times, by any number of schedulers: a job that is stopping already is let be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from quarry_core.errors import PortError
from quarry_core.ledger.rows import Shard
from quarry_core.service.process import World
from quarry_scheduler.tracking import JobTracker

log = structlog.get_logger()


class JobStopper:
    """Remembers, in this process only, which jobs it has asked to stop and when."""

    def __init__(self, world: World, tracker: JobTracker) -> None:
        self._world = world
        self._tracker = tracker
        self._asked_at_s: dict[str, dict[str, float]] = {}  # by pool and holder; monotonic

    async def stop(self, pool: str, shards: Iterable[Shard]) -> None:
        """Stop the jobs of these rows, all that a pool holds of cancelled runs. What Bedrock refuses is asked again later."""
        now_s, again_s = self._world.clock.monotonic(), self._world.settings.finish_after_s
        cancelled = {shard.holder: shard for shard in shards}
        asked = {holder: at_s for holder, at_s in self._asked_at_s.get(pool, {}).items() if holder in cancelled}
        self._asked_at_s[pool] = asked
        room = asyncio.Semaphore(self._world.settings.create_concurrency)

        async def one(shard: Shard) -> None:
            async with room:
                try:
                    await self._tracker.stop(shard)
                except PortError as error:
                    # Another run's admissions do not wait for this.
                    log.warning(
                        "not_stopped", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, error=str(error)
                    )
                    return
                asked[shard.holder] = now_s

        due = [shard for holder, shard in cancelled.items() if now_s - asked.get(holder, -again_s) >= again_s]
        await asyncio.gather(*(one(shard) for shard in due))
