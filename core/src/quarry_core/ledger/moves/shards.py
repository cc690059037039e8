"""The moves of a shard, and with it of its slot, its markers, its lane and its job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from quarry_core.contract.states import TERMINAL_RANK, Gate, RunState, ShardState
from quarry_core.ledger.moves.pools import seen_in
from quarry_core.ledger.moves.premise import equal
from quarry_core.ledger.rows import (
    ERRORS,
    HEARTBEAT,
    HEARTBEAT_BEFORE,
    JobRow,
    Lane,
    Pool,
    Shard,
    invoke_key,
    job_key,
    lane_key,
    pool_key,
    shard_key,
    slice_key,
    todo_key,
    totals_key,
    wait_key,
)
from quarry_core.planning.history import Seen
from quarry_core.ports import Cond, Delete, Key, Put, Update, Write

STRIDE = 1 << 20
# What stands as `ended_status` where no job was made; every other word there is Bedrock's.
BELOW_MINIMUM = "BELOW_MINIMUM"
REFUSED = "REFUSED"
ANSWERED = "ANSWERED"  # each record was asked on demand
# What the rows of a shard get that Quarry ended by itself: the step failed, or the run broke before their turn.
INTERNAL_ERROR = "INTERNAL_ERROR"
NOT_PROCESSED = "NOT_PROCESSED"


def enlist(shard: Shard, slice_number: int, *, below_minimum: str = "") -> list[Write]:
    """(none) -> PENDING; or (none) -> ENDED, with the sentence that says why no job can be made of it.

    A shard that is asked on demand takes no slot, so it waits in no lane.
    """
    state = ShardState.ENDED if below_minimum else ShardState.PENDING
    item = {
        "run_id": shard.run_id,
        "shard": shard.shard,
        "state": state,
        "attempt": shard.attempt,
        "version": 1,
        "pool": shard.pool,
        "first_row": shard.first_row,
        "rows": shard.rows,
        "sendable": shard.sendable,
        "bytes": shard.bytes,
        "half": shard.half,
    } | ({"kind": shard.kind} if shard.kind else {})
    writes: list[Write] = [
        Update(
            totals_key(shard.run_id),
            when=(equal("state", RunState.RUNNING), Cond("fault", "absent")),
            add={"enlisted": shard.rows, "shards_enlisted": 1, "version": 1}
            | ({"shards_on_demand": 1} if shard.on_demand else {}),
        ),
        # The sweep sees by the slice's version that its worker is alive.
        Update(slice_key(shard.run_id, slice_number), when=(equal("state", "OPEN"),), add={"version": 1}),
    ]
    if below_minimum:
        item |= {"ended_status": BELOW_MINIMUM, "message": below_minimum}
        return [Put(shard_key(shard.run_id, shard.shard), item), *writes, _todo(shard)]
    if shard.on_demand:
        return [Put(shard_key(shard.run_id, shard.shard), item), *writes, _marker(invoke_key, shard)]
    return [
        Put(shard_key(shard.run_id, shard.shard), item),
        *writes,
        _wait(shard),
        Update(lane_key(shard.pool, shard.run_id), when=(Cond("gate", "exists"),), add={"waiting": 1, "version": 1}),
    ]


def admit(pool: Pool, lane: Lane, shard: Shard, heartbeat: str) -> list[Write]:
    """PENDING -> ADMITTED: a slot is taken, and the lane and the pool's virtual time advance."""
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
            set={"state": ShardState.ADMITTED, HEARTBEAT: heartbeat},
            add={"version": 1},
        ),
        Delete(wait_key(shard.run_id, shard.shard, shard.attempt)),
        Update(
            lane_key(pool.pool, lane.run_id),
            when=(equal("gate", Gate.OPEN), equal("tag", lane.tag)),
            set={"tag": tag + STRIDE // lane.weight},
            add={"waiting": -1, "version": 1},
        ),
    ]


def take_over(shard: Shard, heartbeat: str) -> list[Write]:
    """ADMITTED stays ADMITTED: another worker finishes what its first one left standing."""
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*_as_read(shard), _held(shard)),
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
    """ADMITTED -> PENDING: Bedrock answered "not now"; no attempt is used."""
    return [
        _release(shard),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*_as_read(shard), _held(shard)),
            set={"state": ShardState.PENDING},
            remove=(HEARTBEAT, HEARTBEAT_BEFORE),
            add={"version": 1},
        ),
        _wait(shard),
        Update(lane_key(shard.pool, shard.run_id), when=(Cond("gate", "exists"),), add={"waiting": 1, "version": 1}),
    ]


def refuse(shard: Shard, message: str) -> list[Write]:
    """ADMITTED -> ENDED: Bedrock answered no, and will to the run's other shards too: the lane is refused."""
    return [
        _release(shard),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*_as_read(shard), _held(shard)),
            set={"state": ShardState.ENDED, "ended_status": REFUSED, "message": message},
            add={"version": 1},
        ),
        _todo(shard),
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
        _release(shard),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*_as_read(shard), _held(shard)),
            set={"state": ShardState.ENDED, "ended_status": REFUSED, "error_code": code, "message": message},
            add={"version": 1},
        ),
        _todo(shard),
    ]


def end_plainly(shard: Shard, arn: str, status: str, message: str) -> list[Write]:
    """ADMITTED | SUBMITTED -> ENDED: Bedrock says that its job ended; what people see of the job is left as it is."""
    assert shard.state.holds_a_slot
    premise = equal("arn", arn) if shard.state is ShardState.SUBMITTED else _held(shard)
    return [
        _release(shard),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*_as_read(shard), premise),
            set={"state": ShardState.ENDED, "ended_status": status, "message": message}
            | ({"arn": arn} if shard.state is ShardState.ADMITTED else {}),
            add={"version": 1},
        ),
        _todo(shard),
    ]


def refuse_waiting(lane: Lane, shard: Shard) -> list[Write]:
    """PENDING -> ENDED: its lane is refused, so it is told why instead of waiting for ever."""
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(equal("state", ShardState.PENDING), equal("attempt", shard.attempt)),
            set={"state": ShardState.ENDED, "ended_status": REFUSED, "message": lane.message}
            | ({"error_code": NOT_PROCESSED} if lane.broken else {}),
            add={"version": 1},
        ),
        Delete(wait_key(shard.run_id, shard.shard, shard.attempt)),
        _todo(shard),
        Update(
            lane_key(lane.pool, lane.run_id),
            when=(equal("gate", Gate.REFUSED),),
            add={"waiting": -1, "version": 1},
        ),
    ]


def begin_invoking(shard: Shard, heartbeat: str, in_doubt: int, asked_twice: int) -> list[Write]:
    """PENDING -> INVOKING: one scheduler asks its records on demand.

    Args:
        in_doubt: at most so many records will be asked and in no checkpoint yet.
        asked_twice: at most so many that it will ask were asked by one before it, which was lost.
    """
    return [
        # Of a run that broke nothing more is asked.
        Update(
            totals_key(shard.run_id),
            when=(equal("state", RunState.RUNNING), Cond("fault", "absent")),
            add={"version": 1},
        ),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(equal("state", ShardState.PENDING), equal("attempt", shard.attempt), equal("version", shard.version)),
            set={"state": ShardState.INVOKING, HEARTBEAT: heartbeat, "in_doubt": in_doubt},
            add={"version": 1} | ({"asked_twice": asked_twice} if asked_twice else {}),
        ),
    ]


def keep_invoking(shard: Shard, heartbeat: str) -> list[Write]:
    """INVOKING stays INVOKING: its scheduler shows that it still asks."""
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*_as_read(shard), _held(shard)),
            set={HEARTBEAT: heartbeat},
            add={"version": 1},
        )
    ]


def leave_invoking(shard: Shard, *, lost: bool) -> list[Write]:
    """INVOKING -> PENDING.

    Args:
        lost: its scheduler was not heard of any more, so what it has asked and not written down is in doubt; else it
            leaves nothing behind.
    """
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*_as_read(shard), _held(shard)),
            set={"state": ShardState.PENDING},
            remove=(HEARTBEAT,) if lost else (HEARTBEAT, "in_doubt"),
            add={"version": 1},
        )
    ]


def end_invoking(
    shard: Shard, tier: str, *, status: str = ANSWERED, message: str = "", error_code: str = ""
) -> list[Write]:
    """INVOKING -> ENDED: each record has an answer or an error; or, with another status, no more are to be asked.

    Args:
        tier: the service tier that answered; empty for the default one.
        status: ANSWERED, or REFUSED where Bedrock refuses them all.
        message: why, for records that were not answered.
        error_code: what these get, where Quarry ended it by itself.
    """
    ending = {"ended_status": status, "message": message, "tier": tier}
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*_as_read(shard), _held(shard)),
            set={"state": ShardState.ENDED, **ending} | ({"error_code": error_code} if error_code else {}),
            remove=(HEARTBEAT, "in_doubt"),
            add={"version": 1},
        ),
        Delete(invoke_key(shard.run_id, shard.shard)),
        _todo(shard),
    ]


def end_uninvoked(shard: Shard, code: str, message: str) -> list[Write]:
    """PENDING -> ENDED: a shard on demand whose records are not to be asked."""
    assert shard.on_demand
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*_as_read(shard), equal("version", shard.version)),
            set={"state": ShardState.ENDED, "ended_status": REFUSED, "error_code": code, "message": message},
            add={"version": 1},
        ),
        Delete(invoke_key(shard.run_id, shard.shard)),
        _todo(shard),
    ]


def end(shard: Shard, job: JobRow, seen: Seen | None = None) -> list[Write]:
    """SUBMITTED -> ENDED: Bedrock itself says that this very job is at its end. `seen`: how long it took."""
    return [
        _release(shard),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*_as_read(shard), equal("arn", job.arn)),
            set={"state": ShardState.ENDED, "ended_status": job.status, "message": job.message},
            add={"version": 1},
        ),
        _todo(shard),
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


def repeat(shard: Shard, pause_ms: int) -> list[Write]:
    """ENDED -> PENDING, attempt + 1: nothing usable came out."""
    assert not shard.on_demand, "what was asked on demand has no job that could be repeated"
    following = replace(shard, attempt=shard.attempt + 1)
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=_as_read(shard),
            set={"state": ShardState.PENDING, "attempt": following.attempt},
            remove=("arn", HEARTBEAT, HEARTBEAT_BEFORE, "ended_status", "message", "error_code"),
            add={"version": 1},
        ),
        Delete(todo_key(shard.run_id, shard.shard)),
        _wait(following, pause_ms),
        Update(
            lane_key(shard.pool, shard.run_id),
            when=(equal("gate", Gate.OPEN),),
            add={"waiting": 1, "version": 1},
        ),
        Update(
            totals_key(shard.run_id),
            when=(equal("state", RunState.RUNNING),),
            add={"repeats": 1, "version": 1},
        ),
    ]


def settle(
    shard: Shard,
    ok: int,
    error: int,
    expires_at: int,
    *,
    input_tokens: int = 0,
    output_tokens: int = 0,
    errors: Mapping[str, int] | None = None,
    seen: Seen | None = None,
) -> list[Write]:
    """ENDED -> SETTLED: every record has its outcome, and the run's account moves with it.

    Args:
        input_tokens: LLM tokens of the shard's answers, for people; likewise `output_tokens`.
        errors: error rows by code, for people.
        seen: the tokens that were counted beside those that had been estimated.
    """
    assert ok + error == shard.rows, f"{ok} + {error} outcomes for {shard.rows} rows of shard {shard.shard}"
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=_as_read(shard),
            set={"state": ShardState.SETTLED, "ok": ok, "error": error, "expires_at": expires_at},
            add={"version": 1},
        ),
        Delete(todo_key(shard.run_id, shard.shard)),
        Update(
            totals_key(shard.run_id),
            when=(equal("state", RunState.RUNNING),),
            add={
                "ok": ok,
                "error": error,
                "open": -shard.rows,
                "shards_settled": 1,
                "version": 1,
                "input_tokens": input_tokens,
                "output_tokens": output_tokens,
                **_at_full_price(shard, input_tokens, output_tokens),
                **{f"{ERRORS}{code}": count for code, count in (errors or {}).items() if count},
            },
        ),
        *seen_in(shard.pool, seen),
    ]


# --------------------------------------------------------------------------- pieces


def _at_full_price(shard: Shard, input_tokens: int, output_tokens: int) -> dict[str, int]:
    """What a shard adds to the tokens that cost more than batch."""
    if not shard.on_demand or shard.tier:
        return {}
    return {"on_demand_input_tokens": input_tokens, "on_demand_output_tokens": output_tokens}


def _as_read(shard: Shard) -> tuple[Cond, ...]:
    return (equal("state", shard.state), equal("attempt", shard.attempt))


def _release(shard: Shard) -> Update:
    return Update(
        pool_key(shard.pool),
        when=(Cond("holders", "contains", shard.holder),),
        add={"in_use": -1},
        discard={"holders": shard.holder},
    )


def _wait(shard: Shard, pause_ms: int = 0) -> Put:
    item = {"run_id": shard.run_id, "shard": shard.shard, "attempt": shard.attempt}
    return Put(wait_key(shard.run_id, shard.shard, shard.attempt), item | ({"pause_ms": pause_ms} if pause_ms else {}))


def _todo(shard: Shard) -> Put:
    return _marker(todo_key, shard)


def _marker(key: Callable[[str, str], Key], shard: Shard) -> Put:
    return Put(key(shard.run_id, shard.shard), {"run_id": shard.run_id, "shard": shard.shard, "attempt": shard.attempt})


def _held(shard: Shard) -> Cond:
    """The worker that was seen to hold the shard still does."""
    return equal(shard.heartbeat_attribute, shard.heartbeat)


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
