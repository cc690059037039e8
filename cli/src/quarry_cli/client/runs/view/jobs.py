"""Bedrock's jobs, and what it says of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from quarry_cli.client.runs.view.shown import JobMessage, JobView
from quarry_core.ledger.rows import JobRow

JOB_MESSAGES_MAX = 20


def job_view(job: JobRow) -> JobView:
    """A job as it is shown."""
    return JobView(
        name=job.name,
        arn=job.arn,
        status=job.status,
        attempt=job.attempt,
        shard=job.shard,
        message=job.message,
        submitted_at=job.submitted_at,
        ended_at=job.ended_at,
        total_records=job.total_records,
        processed_records=job.processed_records,
        success_records=job.success_records,
        error_records=job.error_records,
    )


def parted(
    jobs: Collection[JobRow], current: Collection[tuple[str, int]], ended: Collection[tuple[str, int]]
) -> tuple[list[JobRow], list[JobRow]]:
    """Jobs whose shard is not settled: those that are over, and those that hold a slot.

    Args:
        current: (shard, attempt) of both.
        ended: of the former.
    """
    over = [job for job in jobs if (job.shard, job.attempt) in ended]
    running = [job for job in jobs if (job.shard, job.attempt) in current and (job.shard, job.attempt) not in ended]
    return over, running


def job_messages(jobs: Iterable[JobRow]) -> list[JobMessage]:
    """Each sentence of Bedrock's once, the commonest first."""
    said: dict[tuple[str, str], list[str]] = {}
    for job in jobs:
        if job.message:
            said.setdefault((job.status, job.message), []).append(job.name)
    commonest = sorted(said.items(), key=lambda each: (-len(each[1]), each[0]))
    return [
        JobMessage(status=status, message=message, jobs=len(names), example=names[0])
        for (status, message), names in commonest[:JOB_MESSAGES_MAX]
    ]
