"""Rows that are admitted and not finished: which of them this process is to finish, and those that were another's before.

Theory of operation. Whoever admits a row writes a heartbeat that nobody else knows. A row whose heartbeat has been stale for
`finish_after_s` on our own clock belongs to a worker that is gone, or late: it is taken over by writing another one, on the
premise of the old. A Create of whoever had it may still be on its way for a while, which is remembered with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import structlog

from quarry_core.errors import Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import HEARTBEAT, Shard
from quarry_core.service.process import World
from quarry_scheduler.staleness import Staleness

log = structlog.get_logger()
HEARTBEATS = 4  # while a row waits that was another's: so many in the time after which it would be taken over again


@dataclass(slots=True)
class TakenOver:
    """Since when a row is ours, and when its heartbeat was written last; seconds, monotonic."""

    at_s: float
    shown_at_s: float


@dataclass(slots=True)
class Memory:
    """What this process knows of one pool's admissions, by their heartbeats."""

    staleness: Staleness = field(default_factory=Staleness)
    ours: set[str] = field(default_factory=set)  # this process is to finish them
    fresh: set[str] = field(default_factory=set)  # of these, no Create was sent yet
    taken_over: dict[str, TakenOver] = field(default_factory=dict)  # of these, those that were another's before

    def keep(self, admitted: list[Shard]) -> None:
        """Forget what is not ADMITTED any more, so that memory follows the pool."""
        self.staleness.keep(shard.holder for shard in admitted)
        self.ours &= {shard.heartbeat for shard in admitted}
        self.fresh &= self.ours
        self.taken_over = {each: since for each, since in self.taken_over.items() if each in self.ours}


class TakeOver:
    def __init__(self, world: World) -> None:
        self._world = world

    async def take_over(self, shard: Shard, memory: Memory) -> Shard | None:
        """Make another worker's admission ours, once its heartbeat has been stale for long enough on our own clock."""
        stale_s = memory.staleness.stale_s(shard.holder, shard.heartbeat, self._world.clock.monotonic())
        if stale_s < self._world.settings.finish_after_s:
            return None
        now_s = self._world.clock.monotonic()
        taken = await self._write_heartbeat(shard, memory, TakenOver(now_s, now_s))
        if taken is not None:
            # Whoever had it sends no Create any more that it has not sent, or begun to send, by now.
            memory.taken_over[taken.heartbeat].at_s = self._world.clock.monotonic()
            log.warning("taken_over", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt)
        return taken

    async def show(self, shard: Shard, memory: Memory) -> Shard | None:
        """Let others see that whoever took the row over is there: it may have to wait for longer than `finish_after_s`."""
        since, now_s = memory.taken_over.get(shard.heartbeat), self._world.clock.monotonic()
        if since is None or now_s - since.shown_at_s < self._world.settings.finish_after_s / HEARTBEATS:
            return shard
        return await self._write_heartbeat(shard, memory, TakenOver(since.at_s, now_s))

    async def _write_heartbeat(self, shard: Shard, memory: Memory, since: TakenOver) -> Shard | None:
        """Write a heartbeat of ours. None: the row has moved."""
        heartbeat = self._world.clock.token()
        # Remembered before it is written: should the reply be lost, the next tick knows its own heartbeat.
        memory.ours.add(heartbeat)
        memory.taken_over[heartbeat] = since
        try:
            await self._world.ledger.apply(moves.take_over(shard, heartbeat))
        except Stale:
            return None
        return replace(shard, heartbeat=heartbeat, heartbeat_attribute=HEARTBEAT, version=shard.version + 1)

    def anothers(self, shard: Shard, memory: Memory) -> bool:
        """Whether a Create of whoever had the row before us may still be on its way."""
        since = memory.taken_over.get(shard.heartbeat)
        now_s = self._world.clock.monotonic()
        return since is not None and now_s - since.at_s < self._world.settings.late_create_max_s
