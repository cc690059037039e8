"""The moves of a shard whose records are asked on demand: it takes no slot and has no job."""

from __future__ import annotations

from quarry_core.contract.states import RunState, ShardState
from quarry_core.ledger.keys import invoke_key, lane_key, shard_key, totals_key
from quarry_core.ledger.moves.months import booked_in
from quarry_core.ledger.moves.premise import equal, equal_or_absent
from quarry_core.ledger.moves.writes import (
    ANSWERED,
    CANCELLED,
    REFUSED,
    as_read,
    booked_at,
    booked_more,
    held,
    todo,
)
from quarry_core.ledger.rows import HEARTBEAT, Lane, Shard
from quarry_core.planning.spending import NOT_BOOKED, Booking
from quarry_core.ports import Cond, Delete, Update, Write


def begin_invoking(
    shard: Shard,
    heartbeat: str,
    in_doubt: int,
    asked_twice: int,
    *,
    lane: Lane | None = None,
    booking: Booking = NOT_BOOKED,
) -> list[Write]:
    """PENDING -> INVOKING: one scheduler asks its records on demand.

    Args:
        in_doubt: at most so many records will be asked and in no checkpoint yet.
        asked_twice: at most so many that it will ask were asked by one before it, which was lost.
        lane: the run's, if the shard is booked in it; no other shard of it may be booked meanwhile.
        booking: what it is likely to cost.
    """
    booked: list[Write] = []
    if lane is not None and booking.likely:
        premise = (Cond("gate", "exists"), equal_or_absent("booked_micros", lane.booked_micros))
        more = booked_more(shard, booking)
        booked = [
            Update(lane_key(lane.pool, lane.run_id), when=premise, add={"version": 1} | more),
            *booked_in(shard, booking),
        ]
    return [
        *booked,
        # Of a run that broke, or is cancelled, paused or held, nothing more is asked.
        Update(
            totals_key(shard.run_id),
            when=(
                equal("state", RunState.RUNNING),
                Cond("fault", "absent"),
                Cond("cancelled_at", "absent"),
                Cond("paused_at", "absent"),
                Cond("held_at", "absent"),
            ),
            add={"version": 1},
        ),
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(equal("state", ShardState.PENDING), equal("attempt", shard.attempt), equal("version", shard.version)),
            set={"state": ShardState.INVOKING, HEARTBEAT: heartbeat, "in_doubt": in_doubt}
            | (booked_at(booking) if booked else {}),
            add={"version": 1} | ({"asked_twice": asked_twice} if asked_twice else {}),
        ),
    ]


def keep_invoking(shard: Shard, heartbeat: str) -> list[Write]:
    """INVOKING stays INVOKING: its scheduler shows that it still asks."""
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*as_read(shard), held(shard)),
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
            when=(*as_read(shard), held(shard)),
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
            when=(*as_read(shard), held(shard)),
            set={"state": ShardState.ENDED, **ending} | ({"error_code": error_code} if error_code else {}),
            remove=(HEARTBEAT, "in_doubt"),
            add={"version": 1},
        ),
        Delete(invoke_key(shard.run_id, shard.shard)),
        todo(shard),
    ]


def end_uninvoked(shard: Shard, code: str, message: str) -> list[Write]:
    """PENDING -> ENDED: a shard on demand whose records are not to be asked."""
    assert shard.on_demand
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=(*as_read(shard), equal("version", shard.version)),
            set={
                "state": ShardState.ENDED,
                "ended_status": CANCELLED if code == CANCELLED else REFUSED,
                "error_code": code,
                "message": message,
            },
            add={"version": 1},
        ),
        Delete(invoke_key(shard.run_id, shard.shard)),
        todo(shard),
    ]
