"""A world in which each job takes its time: a fixed one, one for each of its records, and some chance."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from quarry_core.contract.names import parse_s3_uri
from quarry_core.ledger.rows import Totals
from quarry_core.ports import Job
from tests.world.world import SimulatedWorld

STEPS_MAX = 5_000


@dataclass
class Timed:
    """Ends the jobs of a world when their time has come.

    jitter: by how much of its time a job is off at most, either way.
    """

    world: SimulatedWorld
    fixed_s: float
    row_s: float
    jitter: float = 0.0
    seed: int = 1
    _ends: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    async def run(self, manifest: Mapping[str, Any]) -> tuple[str, Totals]:
        """Send a manifest and let time pass until its run is at its end."""
        run_id = self.world.send(dict(manifest))
        return run_id, await self.until_ended(run_id)

    async def until_ended(self, run_id: str) -> Totals:
        for _ in range(STEPS_MAX):
            await self.world.idle()
            totals = await self.world.totals(run_id)
            if totals.state.terminal:
                return totals
            await self.step()
        raise AssertionError(f"run {run_id} is not at its end")

    async def step(self) -> None:
        """Until the next job ends, whoever's it is."""
        world = self.world
        now = world.clock.now()
        for job in world.bedrock.active:
            if job.arn not in self._ends:
                self._ends[job.arn] = now + timedelta(seconds=self._takes_s(job))
        due = min((self._ends[job.arn] for job in world.bedrock.active), default=now + timedelta(seconds=30))
        world.clock.advance((due - now).total_seconds())
        for job in world.bedrock.active:
            if self._ends[job.arn] <= due:
                world.bedrock.end(job)
        await world.idle()
        await world.scheduler.tick_all()

    def _takes_s(self, job: Job) -> float:
        key = parse_s3_uri(job.input_uri)[1]
        records = self.world.objects.bodies[key].count(b"\n")
        return (self.fixed_s + self.row_s * records) * (1 + self._chance.uniform(-self.jitter, self.jitter))

    def took_s(self, run_id: str) -> float:
        """From the submission of a run's first job to the end of its last."""
        jobs = [job for job in self.world.jobs.all if f"-{run_id}-" in job.name]
        ends = [job.ended_at for job in jobs if job.ended_at is not None]
        begins = [job.submitted_at for job in jobs if job.submitted_at is not None]
        return (max(ends) - min(begins)).total_seconds()
