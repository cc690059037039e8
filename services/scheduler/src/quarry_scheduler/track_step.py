"""The step `track`: what became of a job is recorded, whoever reports it; and its ending, where that fails for good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from quarry_core.contract.names import parse_job_name
from quarry_core.ledger.rows import Shard
from quarry_core.ports import Job
from quarry_core.service.failures import Step, Why
from quarry_core.service.pieces import Piece
from quarry_core.service.process import World
from quarry_core.service.steps import Steps
from quarry_scheduler.shard_endings import ShardEndings
from quarry_scheduler.tracking import NOTHING, JobTracker, Observed


class Tracking:
    def __init__(self, world: World, tracker: JobTracker, steps: Steps, endings: ShardEndings) -> None:
        self._world = world
        self._tracker = tracker
        self._steps = steps
        self._endings = endings

    async def job_seen(
        self, name: str, arn: str, status: str, source: str, reported: Job | None = None, *, redelivered: bool = False
    ) -> Observed:
        """As `JobTracker.job_seen`, counted by run, shard and attempt. Raises StepFailed."""
        named = parse_job_name(name, self._world.settings.env)
        if named is None:
            return NOTHING
        return await self._run(
            (named.run_id, named.shard, named.attempt),
            partial(self._tracker.job_seen, name, arn, status, source, reported, redelivered=redelivered),
        )

    async def of(self, shard: Shard, work: Callable[[], Awaitable[Observed]]) -> Observed:
        """Do what tracks this row's job. Raises StepFailed."""
        return await self._run((shard.run_id, shard.shard, shard.attempt), work)

    async def name_of(self, shard: Shard) -> str:
        """The name of the job of a row's present attempt."""
        return await self._tracker.name_of(shard)

    async def _run(self, job: tuple[str, str, int], work: Callable[[], Awaitable[Observed]]) -> Observed:
        run_id, shard, attempt = job
        return await self._steps.run(Piece(Step.TRACK, run_id, f"{shard}/{attempt}"), work, partial(self._end, *job))

    async def _end(self, run_id: str, shard: str, attempt: int, why: Why) -> Observed:
        came = await self._endings.end(run_id, shard, attempt, why)
        return Observed("ended") if came == "ended" else NOTHING
