"""A job, the machine of its statuses, and every decision about its course. Pure: no clock, no I/O.

    Submitted -> Validating -> Scheduled -> InProgress -> Completed | PartiallyCompleted | Failed
                     |             |-> Expired | Failed
                     '-> Failed
    any of them -> Stopping -> Stopped

What is known of live AWS is contract section 2. The course of a running job is planned once, when it begins
(`plan_progress`): how long it takes and whether its timeout cuts it. So the same input on the same clock ends the same
way however slow the machine is; only a stop depends on the moment.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, assert_never
from zlib import crc32

from quarry_local.bedrock.faults.plan import JobFault
from quarry_local.bedrock.models.identity import Model
from quarry_local.bedrock.settings import LiveSettings


class Status(StrEnum):
    SUBMITTED = "Submitted"
    VALIDATING = "Validating"
    SCHEDULED = "Scheduled"
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    PARTIALLY_COMPLETED = "PartiallyCompleted"
    FAILED = "Failed"
    EXPIRED = "Expired"
    STOPPING = "Stopping"
    STOPPED = "Stopped"


MOVES: dict[Status, frozenset[Status]] = {
    Status.SUBMITTED: frozenset({Status.VALIDATING, Status.STOPPING}),
    Status.VALIDATING: frozenset({Status.SCHEDULED, Status.FAILED, Status.STOPPING}),
    Status.SCHEDULED: frozenset({Status.IN_PROGRESS, Status.EXPIRED, Status.FAILED, Status.STOPPING}),
    Status.IN_PROGRESS: frozenset({Status.COMPLETED, Status.PARTIALLY_COMPLETED, Status.FAILED, Status.STOPPING}),
    Status.STOPPING: frozenset({Status.STOPPED, Status.FAILED}),
    Status.COMPLETED: frozenset(),
    Status.PARTIALLY_COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.EXPIRED: frozenset(),
    Status.STOPPED: frozenset(),
}
TERMINAL = frozenset(status for status, following in MOVES.items() if not following)
# What counts against the quota (contract section 5).
ACTIVE = frozenset(MOVES) - TERMINAL


@dataclass(frozen=True, slots=True)
class Counts:
    """Zero until records are processed; no tokens, those stand in the job's summary only (contract section 1.3)."""

    total: int = 0
    success: int = 0
    error: int = 0

    @property
    def processed(self) -> int:
        return self.success + self.error


@dataclass(frozen=True, slots=True)
class Progress:
    """The planned course of a running job: `done` of `total` records by `ends_at`."""

    began_at: float
    first_at: float
    per_record_s: float
    ends_at: float
    total: int
    done: int
    ends_as: Status

    def processed(self, now: float) -> int:
        """Records processed by `now`."""
        if now >= self.ends_at:
            return self.done
        if now <= self.first_at or self.per_record_s <= 0:
            return 0
        return min(self.done, int((now - self.first_at) / self.per_record_s))


@dataclass(slots=True)
class Job:
    id: str
    arn: str
    request: dict[str, Any]
    """Create's checked request, as sent."""
    model: Model
    submit_time: float
    tags: dict[str, str] = field(default_factory=dict)
    status: Status = Status.SUBMITTED
    entered_at: float = 0.0
    end_time: float | None = None
    message: str | None = None
    counts: Counts = Counts()
    progress: Progress | None = None
    fault: JobFault | None = None
    """What is to befall it; drawn when it is created."""
    foreign: bool = False
    """Somebody else's: it takes a slot and has no files."""

    @property
    def name(self) -> str:
        return str(self.request["jobName"])

    @property
    def timeout_hours(self) -> int:
        return int(self.request.get("timeoutDurationInHours", 24))

    @property
    def invocation_type(self) -> str:
        return str(self.request.get("modelInvocationType", "InvokeModel"))

    @property
    def deadline(self) -> float:
        """The timeout counts from submission; waiting counts (contract section 2)."""
        return self.submit_time + self.timeout_hours * 3600

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    def move(self, to: Status, at: float, message: str | None = None) -> None:
        if to not in MOVES[self.status]:
            raise AssertionError(f"{self.status} -> {to}")
        if to is Status.EXPIRED:
            # Seen live: an expired job's end is the moment when it entered the queue (contract section 1.3).
            self.end_time = self.entered_at
        elif to in TERMINAL:
            # Seen live: 0.4 to 1.3 seconds between the end and the last change (contract section 1.3).
            self.end_time = max(self.entered_at, at - 0.4 - self._chance(900) / 1000)
        self.status = to
        self.entered_at = at
        self.message = message

    def expires_at(self) -> float:
        # Seen live: 16 to 42 seconds late (contract section 2).
        return self.deadline + 16 + self._chance(27)

    def _chance(self, below: int) -> int:
        return crc32(self.id.encode()) % below


def plan_progress(job: Job, total: int, began_at: float, live: LiveSettings) -> Progress:
    """How a job of `total` records that begins now will go: PartiallyCompleted is about time, never about errors."""
    per_record_s = live.seconds_per_1000_records / 1000
    first_at = began_at + live.starting_s
    if job.fault is not None and job.fault != "expired":
        return _cut_progress(job, total, began_at, live)
    ends_at = first_at + total * per_record_s
    if ends_at <= job.deadline:
        return Progress(began_at, first_at, per_record_s, ends_at, total, total, Status.COMPLETED)
    done = 0 if per_record_s <= 0 else max(0, min(total, int((job.deadline - first_at) / per_record_s)))
    cut_at = max(began_at, job.deadline)
    return Progress(began_at, first_at, per_record_s, cut_at, total, done, Status.PARTIALLY_COMPLETED)


def foreign_progress(_job: Job, _total: int, began_at: float, live: LiveSettings) -> Progress:
    """The course of a job that only takes a slot: it ends by itself after its time."""
    ends_at = began_at + live.foreign_job_s
    return Progress(began_at, ends_at, 0.0, ends_at, 0, 0, Status.COMPLETED)


def _cut_progress(job: Job, total: int, began_at: float, live: LiveSettings) -> Progress:
    """The course of a job that a fault ends or holds before it is through."""
    per_record_s = live.seconds_per_1000_records / 1000
    first_at = began_at + live.starting_s
    done = max(0, min(int(total * live.job_done_share), total - 1))
    cut_at = first_at + done * per_record_s
    # The timeout ends what still runs, whatever else was to come.
    timeout_at = max(began_at, job.deadline)
    if job.fault == "hung" or cut_at > timeout_at:
        if per_record_s > 0:
            done = max(0, min(done, int((timeout_at - first_at) / per_record_s)))
        return Progress(began_at, first_at, per_record_s, timeout_at, total, done, Status.PARTIALLY_COMPLETED)
    ends_as = Status.FAILED if job.fault == "failed" else Status.PARTIALLY_COMPLETED
    return Progress(began_at, first_at, per_record_s, cut_at, total, done, ends_as)


@dataclass(frozen=True, slots=True)
class Due:
    """The next move of a job, if nothing comes between."""

    at: float
    to: Status


def next_move(job: Job, live: LiveSettings, *, capacity: bool) -> Due | None:
    """What happens to the job next, and when; None when nothing does.

    `capacity` says whether the pool has room for one more running job (it always has where Create refuses).
    """
    match job.status:
        case Status.SUBMITTED:
            return Due(job.entered_at + live.submitted_s, Status.VALIDATING)
        case Status.VALIDATING:
            return Due(job.entered_at + live.validating_s, Status.SCHEDULED)
        case Status.SCHEDULED:
            ready_at = job.entered_at + live.queue_s
            if not capacity or ready_at > job.deadline:
                return Due(job.expires_at(), Status.EXPIRED)
            if job.fault == "expired":
                return Due(ready_at, Status.EXPIRED)
            return Due(ready_at, Status.IN_PROGRESS)
        case Status.IN_PROGRESS:
            if job.progress is None:
                raise AssertionError("a running job has a plan")
            return Due(job.progress.ends_at, job.progress.ends_as)
        case Status.STOPPING:
            return Due(job.entered_at + live.stopping_s, Status.STOPPED)
        case Status.COMPLETED | Status.PARTIALLY_COMPLETED | Status.FAILED | Status.EXPIRED | Status.STOPPED:
            return None
        case _:
            assert_never(job.status)
