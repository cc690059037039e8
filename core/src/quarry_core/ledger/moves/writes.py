"""What several moves of a shard write: the premise that it is as it was read, its markers, the slot that it gives up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quarry_core.ledger.keys import pool_key, todo_key, wait_key
from quarry_core.ledger.moves.premise import equal
from quarry_core.ledger.rows import Shard
from quarry_core.planning.spending import Booking
from quarry_core.ports import Cond, Key, Put, Update

# What stands as `ended_status` where no job was made; every other word there is Bedrock's.
BELOW_MINIMUM = "BELOW_MINIMUM"
REFUSED = "REFUSED"
ANSWERED = "ANSWERED"  # each record was asked on demand
# What the rows of a shard get that Quarry ended by itself: the step failed, or the run broke before their turn.
INTERNAL_ERROR = "INTERNAL_ERROR"
NOT_PROCESSED = "NOT_PROCESSED"
# Both: how a shard ended for which no job was made, since its run was cancelled; and what its rows get.
CANCELLED = "CANCELLED"
# Of a shard: at what it was booked, and in which month.
BOOKED = ("booked_micros", "month")
# Of a retry's shard: its rows have the outcomes of the version before.
CARRIED = "CARRIED"


def as_read(shard: Shard) -> tuple[Cond, ...]:
    return (equal("state", shard.state), equal("attempt", shard.attempt))


def booked_at(booking: Booking) -> dict[str, Any]:
    """What is written to a shard that is booked at its likely cost."""
    if not booking.likely:
        return {}
    return {"booked_micros": booking.likely} | ({"month": booking.month} if booking.month else {})


def booked_more(shard: Shard, booking: Booking) -> dict[str, int]:
    """What is added to its lane: what the shard was booked at before, by an admission that came to nothing, counts no more."""
    more = booking.likely - shard.booked_micros if booking.likely else 0
    return {"booked_micros": more} if more else {}


def booked_less(shard: Shard) -> dict[str, int]:
    """What is added to its lane when it waits again for its admission: what it was booked at is returned."""
    return {"booked_micros": -shard.booked_micros} if shard.booked_micros else {}


def release(shard: Shard) -> Update:
    return Update(
        pool_key(shard.pool),
        when=(Cond("holders", "contains", shard.holder),),
        add={"in_use": -1},
        discard={"holders": shard.holder},
    )


def wait(shard: Shard, pause_ms: int = 0) -> Put:
    item = {"run_id": shard.run_id, "shard": shard.shard, "attempt": shard.attempt}
    return Put(wait_key(shard.run_id, shard.shard, shard.attempt), item | ({"pause_ms": pause_ms} if pause_ms else {}))


def todo(shard: Shard) -> Put:
    return marker(todo_key, shard)


def marker(key: Callable[[str, str], Key], shard: Shard) -> Put:
    return Put(key(shard.run_id, shard.shard), {"run_id": shard.run_id, "shard": shard.shard, "attempt": shard.attempt})


def held(shard: Shard) -> Cond:
    """The worker that was seen to hold the shard still does."""
    return equal(shard.heartbeat_attribute, shard.heartbeat)
