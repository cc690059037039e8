"""The moves of a shard that takes a slot, has a job, and gives the slot up; and what people see of the job."""

from __future__ import annotations

from dataclasses import replace

from quarry_core.contract.canary import CANARY_SHARD
from quarry_core.contract.states import TERMINAL_RANK, Gate, ShardState
from quarry_core.ledger.keys import job_key, lane_key, pool_key, shard_key, wait_key
from quarry_core.ledger.moves.months import booked_in, returned_to
from quarry_core.ledger.moves.pools import seen_in
from quarry_core.ledger.moves.premise import equal, equal_or_absent
from quarry_core.ledger.moves.writes import (
    BOOKED,
    CANCELLED,
    NOT_PROCESSED,
    REFUSED,
    as_read,
    booked_at,
    booked_less,
    booked_more,
    held,
    release,
    todo,
    wait,
)
from quarry_core.ledger.rows import HEARTBEAT, HEARTBEAT_BEFORE, JobRow, Lane, Pool, Shard
from quarry_core.planning.history import Seen
from quarry_core.planning.spending import NOT_BOOKED, Booking
from quarry_core.ports import Cond, Delete, Put, Update, Write

STRIDE = 1 << 20


def admit(pool: Pool, lane: Lane, shard: Shard, heartbeat: str, booking: Booking = NOT_BOOKED) -> list[Write]:
    """PENDING -> ADMITTED: a slot is taken, and the lane and the pool's virtual time advance.

    Args:
        booking: what it is likely to cost; it is booked once, however often it is admitted.
    """
    # Whatever the lane was read as: through the gate `canary` the canary alone goes, through any other but `open` nothing.
    gate = Gate.CANARY if lane.gate is Gate.CANARY and shard.shard == CANARY_SHARD else Gate.OPEN
    tag = max(lane.tag, pool.virtual_time[lane.admission_class])
    time = f"virtual_time_{lane.admission_class}"
    return [
        Update(
            pool_key(pool.pool),
            when=(
                Cond("in_use", "lt", other="admit_limit"),
                Cond("holders", "lacks", shard.holder),
                equal(time, pool.virtual_time[lane.admission_class]),
            ),
            set={time: tag},
            add={"in_use": 1},
            insert={"holders": shard.holder},
        ),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(equal("state", ShardState.PENDING), equal("attempt", shard.attempt)),
            set={"state": ShardState.ADMITTED, HEARTBEAT: heartbeat} | booked_at(booking),
            add={"version": 1},
        ),
        Delete(wait_key(shard.run_id, shard.shard, shard.attempt)),
        Update(
            lane_key(pool.pool, lane.run_id),
            when=(
                equal("gate", gate),
                equal("tag", lane.tag),
                *((equal_or_absent("booked_micros", lane.booked_micros),) if booking.likely else ()),
            ),
            set={"tag": tag + STRIDE // lane.weight},
            add={"waiting": -1, "version": 1} | booked_more(shard, booking),
        ),
        *booked_in(shard, booking),
    ]


def take_over(shard: Shard, heartbeat: str) -> list[Write]:
    """ADMITTED stays ADMITTED: another worker finishes what its first one left standing."""
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*as_read(shard), held(shard)),
            set={HEARTBEAT: heartbeat},
            remove=(HEARTBEAT_BEFORE,),
            add={"version": 1},
        )
    ]


def submit(shard: Shard, job: JobRow) -> list[Write]:
    """ADMITTED -> SUBMITTED: its job stands."""
    item = {
        "run_id": job.run_id,
        "shard": job.shard,
        "attempt": job.attempt,
        "name": job.name,
        "arn": job.arn,
        "status": job.status,
        "rank": job.rank,
        "submitted_at": job.submitted_at,
    }
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(equal("state", ShardState.ADMITTED), equal("attempt", shard.attempt)),
            set={"state": ShardState.SUBMITTED, "arn": job.arn},
            add={"version": 1},
        ),
        Put(job_key(job.run_id, job.shard, job.attempt), item),
    ]


def return_slot(shard: Shard) -> list[Write]:
    """ADMITTED -> PENDING: Bedrock answered "not now", or it was not asked, since the run was paused; no attempt is used.

    What was booked is returned: while it waits, and a paused run may for weeks, others may spend it.
    """
    return [
        release(shard),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*as_read(shard), held(shard)),
            set={"state": ShardState.PENDING},
            remove=(HEARTBEAT, HEARTBEAT_BEFORE, *BOOKED),
            add={"version": 1},
        ),
        wait(shard),
        Update(
            lane_key(shard.pool, shard.run_id),
            when=(Cond("gate", "exists"),),
            add={"waiting": 1, "version": 1} | booked_less(shard),
        ),
        *returned_to(shard),
    ]


def refuse(shard: Shard, message: str) -> list[Write]:
    """ADMITTED -> ENDED: Bedrock answered no, and will to the run's other shards too: the lane is refused."""
    return [
        release(shard),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*as_read(shard), held(shard)),
            set={"state": ShardState.ENDED, "ended_status": REFUSED, "message": message},
            add={"version": 1},
        ),
        todo(shard),
        Update(
            lane_key(shard.pool, shard.run_id),
            when=(Cond("gate", "exists"),),
            set={"gate": Gate.REFUSED, "message": message},
            add={"version": 1},
        ),
    ]


def end_unsent(shard: Shard, code: str, message: str) -> list[Write]:
    """ADMITTED -> ENDED: no job of this attempt stands with Bedrock, and none is to be made."""
    return [
        release(shard),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*as_read(shard), held(shard)),
            set={
                "state": ShardState.ENDED,
                "ended_status": _unsent_status(code),
                "error_code": code,
                "message": message,
            },
            add={"version": 1},
        ),
        todo(shard),
    ]


def _unsent_status(code: str) -> str:
    return CANCELLED if code == CANCELLED else REFUSED


def end_plainly(shard: Shard, arn: str, status: str, message: str) -> list[Write]:
    """ADMITTED | SUBMITTED -> ENDED: Bedrock says that its job ended; what people see of the job is left as it is."""
    assert shard.state.holds_a_slot
    premise = equal("arn", arn) if shard.state is ShardState.SUBMITTED else held(shard)
    return [
        release(shard),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*as_read(shard), premise),
            set={"state": ShardState.ENDED, "ended_status": status, "message": message}
            | ({"arn": arn} if shard.state is ShardState.ADMITTED else {}),
            add={"version": 1},
        ),
        todo(shard),
    ]


def refuse_waiting(lane: Lane, shard: Shard) -> list[Write]:
    """PENDING -> ENDED: its lane is refused, so it is told why instead of waiting for ever."""
    code = CANCELLED if lane.cancelled else NOT_PROCESSED
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(equal("state", ShardState.PENDING), equal("attempt", shard.attempt)),
            set={"state": ShardState.ENDED, "ended_status": _unsent_status(code), "message": lane.message}
            | ({"error_code": code} if lane.broken else {}),
            add={"version": 1},
        ),
        Delete(wait_key(shard.run_id, shard.shard, shard.attempt)),
        todo(shard),
        Update(
            lane_key(lane.pool, lane.run_id),
            when=(equal("gate", Gate.REFUSED),),
            add={"waiting": -1, "version": 1},
        ),
    ]


def end(shard: Shard, job: JobRow, seen: Seen | None = None) -> list[Write]:
    """SUBMITTED -> ENDED: Bedrock itself says that this very job is at its end. `seen`: how long it took."""
    return [
        release(shard),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*as_read(shard), equal("arn", job.arn)),
            set={"state": ShardState.ENDED, "ended_status": job.status, "message": job.message},
            add={"version": 1},
        ),
        todo(shard),
        Update(
            job_key(job.run_id, job.shard, job.attempt),
            # Not its rank: a job that had ended before it was adopted is written down as ended at once.
            when=(equal("arn", job.arn),),
            set=_reported(replace(job, rank=TERMINAL_RANK)),
        ),
        *seen_in(shard.pool, seen),
    ]


def observe(before: JobRow, job: JobRow) -> list[Write]:
    """What people see of a job moves forward: its status and counts. No decision reads it.

    Of several that see the same step at once, one takes it: so it is measured once.
    """
    assert before.rank <= job.rank < TERMINAL_RANK
    return [
        Update(
            job_key(job.run_id, job.shard, job.attempt),
            when=(equal("arn", job.arn), equal("rank", before.rank)),
            set=_reported(job),
        )
    ]


def _reported(job: JobRow) -> dict[str, object]:
    counts = {
        "total_records": job.total_records,
        "processed_records": job.processed_records,
        "success_records": job.success_records,
        "error_records": job.error_records,
    }
    return {
        "status": job.status,
        "rank": job.rank,
        "message": job.message,
        "ended_at": job.ended_at,
        **{name: value for name, value in counts.items() if value is not None},
    }
