"""Tracking what became of a job: events and the sweep report it here, and only Bedrock is believed.

Theory of operation. A row is found by the job's *name*, so an event that overtakes our own write is not foreign. An
event is a hint: before a shard ends, Get must say that this very job is terminal; before a job is stopped, Get must say
that it is ours in every respect and runs beside the job that our row holds. Any order, any number, any loss of events
leads to the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import structlog

from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import JobName, parse_job_name
from quarry_core.contract.states import JobStatus, ShardState, job_ended, job_rank
from quarry_core.errors import Missing, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import JobRow, Shard
from quarry_core.planning.history import History, of_job
from quarry_core.ports import Job, JobRequest
from quarry_core.service.history import HistoryKeeper
from quarry_core.service.process import World
from quarry_core.telemetry import metrics
from quarry_core.telemetry.spans import ERROR, About, Span
from quarry_scheduler.create import job_request, job_row
from quarry_scheduler.ownership import differences, may_stop
from quarry_scheduler.pins import PinsCache

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Observed:
    """What one look at a job changed: `kind` is adopted, ended, stopped or nothing; `pool` has a free slot now."""

    kind: str = ""
    pool: str = ""


NOTHING = Observed()


class JobTracker:
    """Tells the ledger what a job does. May be called by any number of tellers at once."""

    def __init__(self, world: World, pins: PinsCache) -> None:
        self._world = world
        self._pins = pins
        self._seen_jobs = HistoryKeeper(world)

    async def job_seen(
        self, name: str, arn: str, status: str, source: str, reported: Job | None = None, *, redelivered: bool = False
    ) -> Observed:
        """Take note that a job of this name stands in this status.

        Args:
            name: the job's name; one that is not of this environment is nothing to us.
            arn: its ARN.
            status: Bedrock's word, as told.
            source: who tells: event or sweep.
            told: the whole job, where the teller has just read it from Bedrock.
            redelivered: its teller may have died before it had told everybody.
        """
        parsed = parse_job_name(name, self._world.settings.env)
        if parsed is None:
            return NOTHING
        with structlog.contextvars.bound_contextvars(run_id=parsed.run_id, shard=parsed.shard, attempt=parsed.attempt):
            shard = await self._world.ledger.shard(parsed.run_id, parsed.shard)
            if shard is None:
                log.info("job_without_row", job=name, status=status)
                return NOTHING
            metrics.JOB_STATUS_OBSERVATIONS.labels(source).inc()
            if redelivered and shard.state is ShardState.ENDED and shard.attempt == parsed.attempt:
                # The wake-up of the move may have been lost with its sender. One too many only says "look".
                await self._wake_settle(shard)
            return await self._seen(shard, parsed, arn, status, source, reported)

    async def _seen(
        self, shard: Shard, parsed: JobName, arn: str, status: str, source: str, reported: Job | None
    ) -> Observed:
        adopted = False
        if parsed.attempt > shard.attempt:
            return NOTHING  # not of our making: this row has not come that far
        if parsed.attempt == shard.attempt and shard.state is ShardState.ADMITTED:
            found = await self._adopt(shard, arn, reported)
            if found is None:
                return NOTHING
            shard, adopted = found, True
        if parsed.attempt < shard.attempt or (shard.arn and shard.arn != arn):
            return await self._stop(replace(shard, attempt=parsed.attempt), arn, status)
        if shard.state in (ShardState.ENDED, ShardState.SETTLED) and not shard.arn:
            return await self._stop(shard, arn, status)  # its row was ended without a job, before Bedrock heard of this
        if shard.state is ShardState.SUBMITTED:
            learned = await self._observe(shard, arn, status, source, reported)
            return Observed("adopted") if adopted and not learned.kind else learned
        return Observed("adopted") if adopted else NOTHING

    async def _adopt(self, shard: Shard, arn: str, reported: Job | None) -> Shard | None:
        request = await self._request(shard)
        job = reported or await self._get(arn)
        if job is None:
            return None
        if others := differences(job, request):
            log.warning("not_ours", job=request.name, arn=arn, differs=others)
            return None
        row = job_row(shard, request, arn, job.status, self._world.clock.now().isoformat())
        try:
            await self._world.ledger.apply(moves.submit(shard, row))
            log.info("adopted", job=request.name)
        except Stale:
            pass  # whoever created it, or another reporter, was faster; the row says which
        return await self._world.ledger.shard(shard.run_id, shard.shard)

    async def _stop(self, attempt: Shard, arn: str, status: str) -> Observed:
        """Stop a second job for an attempt, one of a past attempt, or one of an attempt that ended without a job.

        Records in it are paid twice, or in vain, and it runs without a slot.

        Who told of it may have told anything, so Bedrock is asked for this very job, and it is left alone unless it is
        ours in every respect.
        """
        if job_ended(status):
            return NOTHING
        job = await self._get(arn)
        if job is None or not await self._may_stop(attempt, arn, job):
            return NOTHING
        log.warning("stopping_second_job", arn=arn, status=job.status)
        await self._world.jobs.stop(arn)
        return Observed("stopped")

    async def stop(self, shard: Shard) -> Observed:
        """Stop the job of a row that is SUBMITTED, whose run is cancelled; or take note that it has ended."""
        with structlog.contextvars.bound_contextvars(run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt):
            job = await self._get(shard.arn)
            if job is not None and job_ended(job.status):
                return await self._observe(shard, shard.arn, job.status, "cancel", job)
            if job is None or not await self._may_stop(shard, shard.arn, job):
                return NOTHING
            log.info("stopping_cancelled_job", arn=job.arn, status=job.status)
            await self._world.jobs.stop(job.arn)
            return Observed("stopped")

    async def _may_stop(self, attempt: Shard, arn: str, job: Job) -> bool:
        if job.arn != arn or job_ended(job.status) or job.status == JobStatus.STOPPING:
            return False
        request = await self._request(attempt)
        if not may_stop(job, request):
            log.warning("not_ours", job=request.name, arn=arn, differs=differences(job, request))
            return False
        return True

    async def name_of(self, shard: Shard) -> str:
        """The name of the job of a row's present attempt."""
        return (await self._request(shard)).name

    async def _request(self, shard: Shard) -> JobRequest:
        """What we send, or sent, to create the job of this attempt."""
        settings = self._world.settings
        pins = await self._pins.of(shard.run_id)
        return job_request(pins, shard, settings.env, settings.bucket, settings.bedrock_role_arn)

    async def _observe(self, shard: Shard, arn: str, status: str, source: str, reported: Job | None) -> Observed:
        job = reported or (await self._get(arn) if job_ended(status) else None)
        if job is not None and job_ended(job.status):
            return await self._end(shard, job, source)
        before = await self._world.ledger.job(shard.run_id, shard.shard, shard.attempt)
        if before is None or (job is None and job_ended(status)):
            return NOTHING
        if job is not None:
            row = replace(_row(shard, before.name, arn, job), submitted_at=before.submitted_at)
        else:
            row = replace(before, status=status, rank=job_rank(status))
        if row.rank >= before.rank and row != before:
            try:
                await self._world.ledger.apply(moves.observe(before, row))
            except Stale:
                log.debug("late_observation", status=status)
            else:
                self._note_begin(shard, before, row, job)
        return NOTHING

    def _note_begin(self, shard: Shard, before: JobRow, row: JobRow, reported: Job | None) -> None:
        """Bedrock does not say when a job began: that it has is seen by the event, or by the sweep after it."""
        if row.status == JobStatus.IN_PROGRESS and before.rank < row.rank:
            since = (
                reported.submitted_at
                if reported and reported.submitted_at
                else datetime.fromisoformat(before.submitted_at)
            )
            _note_duration(shard.pool, "queue", since, self._world.clock.now())

    async def _end(self, shard: Shard, job: Job, source: str) -> Observed:
        row = _row(shard, job.name, job.arn, job)
        try:
            await self._seen_jobs.apply(shard.pool, _time_of(shard, job), partial(moves.end, shard, row))
        except Stale:
            return NOTHING  # told already
        metrics.JOBS_ENDED.labels(shard.pool, job.status).inc()
        if job.submitted_at and job.ended_at and job.status != JobStatus.EXPIRED:
            # Of an expired job Bedrock tells an end a few minutes after its submission (contract section 1.3).
            _note_duration(shard.pool, "total", job.submitted_at, job.ended_at)
        self._world.traces.add(_span(shard, job, self._world.clock.now()))
        log.info("job_ended", job=job.name, status=job.status, source=source)
        await self._wake_settle(shard)
        return Observed("ended", shard.pool)

    async def _get(self, arn: str) -> Job | None:
        try:
            return await self._world.jobs.get(arn)
        except Missing:
            log.warning("job_missing", arn=arn)
            return None

    async def _wake_settle(self, shard: Shard) -> None:
        await self._world.wake("collector", Wakeup(step="settle", run_id=shard.run_id, shard=shard.shard))


def _time_of(shard: Shard, job: Job) -> History | None:
    """What an ordinary ending tells of how long jobs take; one that was cut short, or failed, tells nothing."""
    return of_job(shard.sendable, job.submitted_at, job.ended_at) if job.status == JobStatus.COMPLETED else None


def _note_duration(pool: str, phase: str, since: datetime, until: datetime) -> None:
    metrics.JOB_DURATION.labels(pool, phase).observe(max(0.0, (until - since).total_seconds()))


def _span(shard: Shard, job: Job, now: datetime) -> Span:
    """The job's time with Bedrock, by Bedrock's own clock; of an expired one only the beginning is true (see `_end`)."""
    reported: About = {"attempt": shard.attempt, "pool": shard.pool, "job": job.name, "status": job.status}
    if job.status in (JobStatus.FAILED, JobStatus.EXPIRED):
        reported[ERROR] = job.status
    if job.processed_records is not None:
        reported["records"] = job.processed_records
    ended = job.ended_at if job.ended_at and job.status != JobStatus.EXPIRED else now
    return Span("job", shard.run_id, shard.shard, job.submitted_at or ended, ended, reported)


def _row(shard: Shard, name: str, arn: str, job: Job) -> JobRow:
    return JobRow(
        run_id=shard.run_id,
        shard=shard.shard,
        attempt=shard.attempt,
        name=name,
        arn=arn,
        status=job.status,
        rank=job_rank(job.status),
        message=job.message,
        ended_at=job.ended_at.isoformat() if job.ended_at else "",
        total_records=job.total_records,
        processed_records=job.processed_records,
        success_records=job.success_records,
        error_records=job.error_records,
    )
