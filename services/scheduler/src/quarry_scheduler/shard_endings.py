"""The ending of a shard that holds a slot, when creating or tracking its job has failed for good.

Theory of operation. A slot is not returned for a job that Bedrock may have, whatever is wrong with us. So this
asks Bedrock in the plainest way there is, and believes nothing else: of a row with an ARN, Get; of one without, List
by the job's name. A job that runs is waited for: this is asked again by every tick and sweep. One that ended ends its
shard, and what it wrote is settled. Where List has not shown the name for `list_settle_s`, and no Create of another
worker may still be on its way, no job stands, and the shard ends without one.

Nothing here notes what people see of a job, measures, or adopts: that is what may have failed.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import JobName, input_key, job_name, parse_job_name, s3_uri
from quarry_core.contract.states import JobStatus, ShardState, job_ended
from quarry_core.errors import Missing, PortError, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Shard
from quarry_core.ports import Job
from quarry_core.service.endings import end_run
from quarry_core.service.failures import Why
from quarry_core.service.process import World
from quarry_scheduler.pins import PinsCache

log = structlog.get_logger()


class ShardEndings:
    """Remembers, in this process only, since when a job was not found."""

    def __init__(self, world: World, pins: PinsCache) -> None:
        self._world = world
        self._pins = pins
        self._unseen_since: dict[str, float] = {}  # by holder; emptied when its shard ends

    async def end_run(self, run_id: str, why: Why) -> None:
        """The ending of a step that is of no one shard."""
        await end_run(self._world, run_id, why, wake_admit=False)

    async def end(self, run_id: str, shard_id: str, attempt: int, why: Why, *, anothers: bool = False) -> str:
        """End the run; and the shard, as `end_shard`. What came of the shard, for the log."""
        await end_run(self._world, run_id, why, wake_admit=False)
        shard = await self._world.ledger.shard(run_id, shard_id)
        if shard is None or shard.attempt != attempt or not shard.state.holds_a_slot:
            return "stale"
        return await self.end_shard(shard, moves.INTERNAL_ERROR, why.sentence, anothers=anothers)

    async def end_shard(
        self, shard: Shard, code: str, message: str, *, never_sent: bool = False, anothers: bool = False
    ) -> str:
        """End a row that holds a slot, if Bedrock has no job of it that runs.

        Args:
            shard: the row, as read.
            code: what its rows get where there is no job.
            message: why.
            never_sent: it is known that no Create was ever sent for this attempt.
            anothers: a Create of a worker that had the row before may still be on its way.
        """
        job = None if never_sent else await self._job(shard)
        if job is not None and not job_ended(job.status):
            return "running"
        if job is None and not never_sent and (not self._settled(shard) or anothers):
            return "waiting"
        if job is not None:
            writes = moves.end_plainly(shard, job.arn, job.status, job.message)
        elif shard.state is ShardState.SUBMITTED:
            writes = moves.end_plainly(shard, shard.arn, JobStatus.FAILED, "Bedrock no longer knows this job")
        else:
            writes = moves.end_unsent(shard, code, message)
        try:
            await self._world.ledger.apply(writes)
        except Stale:
            return "stale"
        self._unseen_since.pop(shard.holder, None)
        log.warning("ended_plainly", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, job=bool(job))
        await self._world.wake("collector", Wakeup(step="settle", run_id=shard.run_id, shard=shard.shard))
        return "ended"

    def _settled(self, shard: Shard) -> bool:
        """Whether no job was seen for as long as List may take to show one."""
        now_s = self._world.clock.monotonic()
        return now_s - self._unseen_since.setdefault(shard.holder, now_s) >= self._world.settings.list_settle_s

    async def _job(self, shard: Shard) -> Job | None:
        found = await self._get(shard.arn) if shard.arn else await self._find(shard)
        if found is not None:
            self._unseen_since.pop(shard.holder, None)
        return found

    async def _get(self, arn: str) -> Job | None:
        try:
            return await self._world.jobs.get(arn)
        except Missing:
            return None

    async def _find(self, shard: Shard) -> Job | None:
        """A job of this attempt, by name and input; one that runs before one that ended."""
        settings = self._world.settings
        named = JobName(shard.run_id, shard.shard, shard.attempt, settings.env)
        uri = s3_uri(settings.bucket, input_key(shard.run_id, shard.shard))
        jobs = [
            job
            for job in await self._listed(named)
            if parse_job_name(job.name, settings.env) == named and job.input_uri == uri
        ]
        return min(jobs, key=lambda job: job_ended(job.status), default=None)

    async def _listed(self, named: JobName) -> Sequence[Job]:
        try:
            pins = await self._pins.of(named.run_id)
            name = job_name(pins.job_name_prefix, named)
        except PortError:
            raise
        except Exception:
            # Without its whole name a job can only be looked for among those that run.
            log.exception("name_unknown", run_id=named.run_id, shard=named.shard)
            return await self._world.jobs.active()
        return await self._world.jobs.find(name)
