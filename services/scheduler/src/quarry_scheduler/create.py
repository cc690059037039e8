"""Creating a job: the protocol that keeps one attempt of one shard to one job.

Theory of operation. Bedrock does not say for how long it remembers a client token, nor whether it refuses a used
name. So before every Create we ask List for the name and adopt a job that is ours; Create follows a read of the row by
at most `READ_TO_CREATE_MAX_S`, in one SDK attempt, always with the same token for the same name. An unknown outcome
leaves the row ADMITTED: the next Create waits until List has not shown the name for `list_settle_s`. Whoever takes
over another worker's admission knows nothing of what was sent, and waits likewise. When Bedrock answers "not now", only
who admitted the row and sends its first Create returns the slot: anybody else's Create may still be on its way, and its
job would run without one. For the same reason a "no", or a cancellation, ends a row that was taken over only
`late_create_max_s` after the take-over; until then Create is asked again, each time List has settled.

May be called twice for the same row, here or elsewhere: the second finds the first one's job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from quarry_core.contract.job_request import job_tags
from quarry_core.contract.names import JobName, client_token, input_key, job_name, output_prefix, s3_uri
from quarry_core.contract.run import Pins
from quarry_core.contract.states import Gate, ShardState, job_rank
from quarry_core.errors import Conflict, QuotaExceeded, Refused, Stale, Throttled, Unknown
from quarry_core.ledger import moves
from quarry_core.ledger.rows import JobRow, Lane, Shard
from quarry_core.ports import Job, JobRequest
from quarry_core.service.months import MonthKeeper
from quarry_core.service.process import World
from quarry_core.service.refused_models import note_refusal
from quarry_core.telemetry import metrics
from quarry_core.telemetry.spans import ERROR
from quarry_scheduler.ownership import may_adopt

log = structlog.get_logger()
READ_TO_CREATE_MAX_S = 5.0
NOT_NOW = ("throttled", "quota")
GATED = ("cancelled", "paused")


def job_request(pins: Pins, shard: Shard, env: str, bucket: str, role_arn: str) -> JobRequest:
    """What Create is called with for this attempt: a function of the run's pins and the row, nothing else."""
    name = job_name(pins.job_name_prefix, JobName(shard.run_id, shard.shard, shard.attempt, env))
    return JobRequest(
        name=name,
        client_token=client_token(name),
        role_arn=role_arn,
        model_id=pins.model_id,
        input_uri=s3_uri(bucket, input_key(shard.run_id, shard.shard)),
        output_uri=s3_uri(bucket, output_prefix(shard.run_id, shard.shard, shard.attempt)),
        timeout_hours=pins.timeout_hours,
        tags=job_tags(env, shard.run_id, pins.tags),
        output_kms_key=pins.output_kms_key,
        subnet_ids=pins.vpc.subnet_ids if pins.vpc else (),
        security_group_ids=pins.vpc.security_group_ids if pins.vpc else (),
        invocation_type=pins.invocation,
        base_model=pins.base_model,
    )


def first_of(jobs: Iterable[Job]) -> Job | None:
    """Of several jobs for one attempt (a token forgotten), the first one submitted; the sweep stops the others."""
    return min(jobs, key=lambda job: (job.submitted_at is None, job.submitted_at or 0, job.arn), default=None)


def job_row(shard: Shard, request: JobRequest, arn: str, status: str, submitted_at: str) -> JobRow:
    return JobRow(
        run_id=shard.run_id,
        shard=shard.shard,
        attempt=shard.attempt,
        name=request.name,
        arn=arn,
        status=status,
        rank=job_rank(status),
        submitted_at=submitted_at,
    )


class JobCreator:
    """Finishes ADMITTED rows. Remembers, in this process only, for which a Create's outcome is unknown."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._months = MonthKeeper(world)
        self._uncertain_since: dict[str, float] = {}

    async def finish(self, shard: Shard, pins: Pins, *, fresh: bool, anothers: bool = False) -> str:
        """Bring an ADMITTED row to SUBMITTED, to ENDED, or, if `fresh`, back to PENDING; or leave it for the next tick.

        Args:
            fresh: this process admitted the row itself and has sent no Create for it yet.
            anothers: the row was taken over so lately that a Create of whoever had it before may still be on its way.

        Returns:
            What came of it: created, adopted, throttled, quota, refused, unknown, waiting (for List to settle, or for
            another's Create),
            late (nothing was sent: the row had been read too long ago), cancelled or paused (nothing was sent, since the
            lane's gate had been closed), stale.
        """
        settings = self._world.settings
        request = job_request(pins, shard, settings.env, settings.bucket, settings.bedrock_role_arn)
        now_s = self._world.clock.monotonic()
        if not fresh:
            self._uncertain_since.setdefault(shard.holder, now_s)
        with self._world.traces.span(
            "create", shard.run_id, shard.shard, attempt=shard.attempt, pool=shard.pool, job=request.name
        ) as reported:
            try:
                outcome = await self._finish(shard, request, now_s, fresh=fresh, anothers=anothers)
            except Stale:
                outcome = "stale"
            reported["outcome"] = outcome
            if outcome in ("refused", "unknown"):
                reported[ERROR] = outcome
        if outcome not in ("unknown", "waiting", "late", "paused") and (fresh or outcome not in NOT_NOW):
            self._uncertain_since.pop(shard.holder, None)
        if outcome not in ("waiting", "late", "stale", *GATED):
            metrics.JOBS_SUBMITTED.labels(shard.pool, outcome).inc()
        log.info(
            "create", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, job=request.name, outcome=outcome
        )
        return outcome

    async def _finish(self, shard: Shard, request: JobRequest, now_s: float, *, fresh: bool, anothers: bool) -> str:
        found = first_of(job for job in await self._world.jobs.find(request.name) if may_adopt(job, request))
        if found is not None:
            await self._submitted(shard, request, found.arn, found.status)
            return "adopted"
        since = self._uncertain_since.get(shard.holder)
        if since is not None and now_s - since < self._world.settings.list_settle_s:
            return "waiting"
        return await self._create(shard, request, fresh=fresh, anothers=anothers)

    async def _create(self, shard: Shard, request: JobRequest, *, fresh: bool, anothers: bool) -> str:
        clock = self._world.clock
        read_at = clock.monotonic()
        row, lane = await asyncio.gather(
            self._world.ledger.shard(shard.run_id, shard.shard), self._world.ledger.lane(shard.pool, shard.run_id)
        )
        if row is None or (row.state, row.attempt, row.heartbeat) != (
            ShardState.ADMITTED,
            shard.attempt,
            shard.heartbeat,
        ):
            return "stale"
        if clock.monotonic() - read_at > READ_TO_CREATE_MAX_S:
            return "late"
        if lane is not None and (gated := await self._gated(row, lane, fresh=fresh, anothers=anothers)):
            return gated
        try:
            arn = await self._world.jobs.create(request)
        except (Throttled, QuotaExceeded) as answer:
            if fresh:
                await self._months.apply(row.month, moves.return_slot(row))
            return "quota" if isinstance(answer, QuotaExceeded) else "throttled"
        except Refused as answer:
            if anothers:
                self._uncertain_since[shard.holder] = clock.monotonic()
                log.warning(
                    "refused_but_kept", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, error=str(answer)
                )
                return "waiting"
            await self._world.ledger.apply(moves.refuse(row, str(answer)))
            await note_refusal(self._world, request.model_id, shard.run_id, str(answer))
            return "refused"
        except (Unknown, Conflict) as error:
            # A conflict's cause is not documented: perhaps the name stands. List will tell, and the sweep.
            self._uncertain_since[shard.holder] = clock.monotonic()
            log.warning(
                "create_unknown", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, error=str(error)
            )
            return "unknown"
        await self._submitted(row, request, arn, "Submitted")
        return "created"

    async def _gated(self, row: Shard, lane: Lane, *, fresh: bool, anothers: bool) -> str:
        """A run that is cancelled gets no job any more, and one that is paused none that was not begun with."""
        if lane.cancelled and anothers:
            return "waiting"
        if lane.cancelled:
            await self._world.ledger.apply(moves.end_unsent(row, moves.CANCELLED, lane.message))
            return "cancelled"
        # What was admitted before its run was held for its budget has its money.
        if lane.gate is Gate.PAUSED and fresh:
            await self._months.apply(row.month, moves.return_slot(row))
            return "paused"
        return ""

    async def _submitted(self, shard: Shard, request: JobRequest, arn: str, status: str) -> None:
        submitted_at = self._world.clock.now().isoformat()
        try:
            await self._world.ledger.apply(
                moves.submit(shard, job_row(shard, request, arn, status, submitted_at)),
            )
        except Stale:
            row = await self._world.ledger.shard(shard.run_id, shard.shard)
            if row is not None and row.attempt == shard.attempt and row.arn == arn:
                return  # an event or the sweep wrote the same job down before us
            raise
