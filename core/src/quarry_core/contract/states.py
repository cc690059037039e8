"""The machines of a run, a shard and a job, as tables.

Theory of operation. A run and a shard each stand in exactly one state; a state moves only along a row of the table
below, by a conditional write that repeats the state it moves from (`ledger.py`). Terminal is for ever. The diagrams
in `docs/states.md` are generated from these tables, and a test holds every write of the ledger against them.
"""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    ACCEPTED = "ACCEPTED"
    PLANNING = "PLANNING"
    RUNNING = "RUNNING"
    CLOSING = "CLOSING"
    SUCCEEDED = "SUCCEEDED"
    SUCCEEDED_WITH_ERRORS = "SUCCEEDED_WITH_ERRORS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def terminal(self) -> bool:
        return self in RUN_TERMINAL


class ShardState(StrEnum):
    PENDING = "PENDING"
    ADMITTED = "ADMITTED"
    SUBMITTED = "SUBMITTED"
    INVOKING = "INVOKING"
    ENDED = "ENDED"
    SETTLED = "SETTLED"

    @property
    def holds_a_slot(self) -> bool:
        return self in (ShardState.ADMITTED, ShardState.SUBMITTED)


# What people read as the state of a run that is RUNNING, and of which nothing more is admitted until it is approved.
HELD = "HELD"


class ShownState(StrEnum):
    """A run's states as people read and choose them: those of `RunState`, and HELD."""

    ACCEPTED = RunState.ACCEPTED
    PLANNING = RunState.PLANNING
    RUNNING = RunState.RUNNING
    HELD = HELD
    CLOSING = RunState.CLOSING
    SUCCEEDED = RunState.SUCCEEDED
    SUCCEEDED_WITH_ERRORS = RunState.SUCCEEDED_WITH_ERRORS
    FAILED = RunState.FAILED
    CANCELLED = RunState.CANCELLED


RUN_TERMINAL = frozenset({RunState.SUCCEEDED, RunState.SUCCEEDED_WITH_ERRORS, RunState.FAILED, RunState.CANCELLED})

# (from, to): when. None stands for "does not exist yet".
RUN_MOVES: dict[tuple[RunState | None, RunState], str] = {
    (None, RunState.ACCEPTED): "a manifest arrives",
    (RunState.ACCEPTED, RunState.PLANNING): "its rows are being counted",
    (RunState.ACCEPTED, RunState.FAILED): "the manifest is refused, or a step failed permanently",
    (RunState.PLANNING, RunState.FAILED): "the source is refused, or a step failed permanently",
    (RunState.ACCEPTED, RunState.CLOSING): "it is cancelled before anything was planned",
    (RunState.PLANNING, RunState.CLOSING): "it is cancelled before anything was planned",
    (RunState.PLANNING, RunState.RUNNING): "the plan is complete",
    (RunState.RUNNING, RunState.CLOSING): "every shard is settled; for a broken run, every enlisted shard",
    (RunState.CLOSING, RunState.RUNNING): "records with an error are asked again: the next round",
    (RunState.CLOSING, RunState.SUCCEEDED): "every row has a result",
    (RunState.CLOSING, RunState.SUCCEEDED_WITH_ERRORS): "some rows have an error",
    (RunState.CLOSING, RunState.FAILED): "no row has a result, the source broke, or a step failed permanently",
    (RunState.CLOSING, RunState.CANCELLED): "somebody cancelled it; what was answered until then is kept",
}

SHARD_MOVES: dict[tuple[ShardState | None, ShardState], str] = {
    (None, ShardState.PENDING): "written and enlisted, or a retry shard of the next round",
    (
        None,
        ShardState.ENDED,
    ): "too few rows for a job, and on demand is not allowed or none could be rendered; its run is cancelled; or it is carried over into a retry",
    (ShardState.PENDING, ShardState.ADMITTED): "takes a slot",
    (
        ShardState.PENDING,
        ShardState.ENDED,
    ): "its lane is refused, its run broke or is cancelled, or on demand is not allowed any more",
    (ShardState.PENDING, ShardState.INVOKING): "its records are being asked on demand",
    (ShardState.INVOKING, ShardState.PENDING): "its scheduler stopped, or its heartbeat went stale",
    (ShardState.INVOKING, ShardState.ENDED): "every record has an answer or an error, or no more are to be asked",
    (ShardState.ADMITTED, ShardState.SUBMITTED): "its job is created or adopted",
    (
        ShardState.ADMITTED,
        ShardState.PENDING,
    ): "Bedrock answered: throttled or quota exceeded; or its run was paused before a job was created",
    (
        ShardState.ADMITTED,
        ShardState.ENDED,
    ): "Bedrock answered: refused; or it has no job for the attempt, and none is to be created",
    (ShardState.SUBMITTED, ShardState.ENDED): "Get reports that the job ended",
    (ShardState.ENDED, ShardState.PENDING): "no usable output: next attempt",
    (ShardState.ENDED, ShardState.SETTLED): "every record has its outcome, or is to be asked again",
}


class Gate(StrEnum):
    """Why a lane may not be admitted from."""

    OPEN = "open"
    CANARY = "canary"  # its canary may; the other shards wait until that is judged
    HELD = "held"  # the canary exceeded a limit, and somebody may approve the run
    PAUSED = "paused"  # somebody paused the run, and may resume it
    REFUSED = "refused"


class JobStatus(StrEnum):
    """Bedrock's words for a job (contract section 2), in the order in which they are passed through.

    An unknown status is possible (contract section 1.1) and counts as not terminal.
    """

    SUBMITTED = "Submitted"
    VALIDATING = "Validating"
    SCHEDULED = "Scheduled"
    IN_PROGRESS = "InProgress"
    STOPPING = "Stopping"
    COMPLETED = "Completed"
    PARTIALLY_COMPLETED = "PartiallyCompleted"
    FAILED = "Failed"
    STOPPED = "Stopped"
    EXPIRED = "Expired"


JOB_TERMINAL = frozenset(
    {
        JobStatus.COMPLETED,
        JobStatus.PARTIALLY_COMPLETED,
        JobStatus.FAILED,
        JobStatus.STOPPED,
        JobStatus.EXPIRED,
    }
)
JOB_ACTIVE = tuple(status for status in JobStatus if status not in JOB_TERMINAL)
TERMINAL_RANK = len(JOB_ACTIVE)


def job_rank(status: str) -> int:
    """How far a job is, so that a late event never moves what people see backwards; unknown words rank 0."""
    for rank, known in enumerate(JOB_ACTIVE):
        if status == known:
            return rank
    return TERMINAL_RANK if status in JOB_TERMINAL else 0


def job_ended(status: str) -> bool:
    return status in JOB_TERMINAL
