"""The moves of a shard at its beginning and its end: it is enlisted, repeated, settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from quarry_core.contract.states import Gate, RunState, ShardState
from quarry_core.ledger.keys import invoke_key, lane_key, shard_key, slice_key, todo_key, totals_key
from quarry_core.ledger.moves.months import returned_to, settled_in
from quarry_core.ledger.moves.pools import seen_in
from quarry_core.ledger.moves.premise import equal
from quarry_core.ledger.moves.writes import BELOW_MINIMUM, BOOKED, CANCELLED, as_read, booked_less, marker, todo, wait
from quarry_core.ledger.rows import ERRORS, HEARTBEAT, HEARTBEAT_BEFORE, Shard
from quarry_core.planning.history import Seen
from quarry_core.planning.spending import Cost
from quarry_core.ports import Cond, Delete, Put, Update, Write


def enlist(shard: Shard, slice_number: int, *, below_minimum: str = "", cancelled: str = "") -> list[Write]:
    """(none) -> PENDING; or (none) -> ENDED, with the sentence that says why no job is made of it.

    A shard that is asked on demand takes no slot, so it waits in no lane.

    Args:
        below_minimum: it has too few records for a job.
        cancelled: its run is cancelled. Without this the run must not be: so of a cancelled one nothing waits.
    """
    ended = bool(below_minimum or cancelled)
    item = new_item(replace(shard, state=ShardState.ENDED if ended else ShardState.PENDING))
    writes: list[Write] = [
        Update(
            totals_key(shard.run_id),
            when=(
                equal("state", RunState.RUNNING),
                Cond("fault", "absent"),
                Cond("cancelled_at", "exists" if cancelled else "absent"),
            ),
            add={"enlisted": shard.rows, "shards_enlisted": 1, "version": 1}
            | ({"shards_on_demand": 1} if shard.on_demand else {}),
        ),
        # The sweep sees by the slice's version that its worker is alive.
        Update(slice_key(shard.run_id, slice_number), when=(equal("state", "OPEN"),), add={"version": 1}),
    ]
    if cancelled:
        item |= {"ended_status": CANCELLED, "error_code": CANCELLED, "message": cancelled}
        return [Put(shard_key(shard.run_id, shard.shard), item), *writes, todo(shard)]
    if below_minimum:
        item |= {"ended_status": BELOW_MINIMUM, "message": below_minimum}
        return [Put(shard_key(shard.run_id, shard.shard), item), *writes, todo(shard)]
    if shard.on_demand:
        return [Put(shard_key(shard.run_id, shard.shard), item), *writes, marker(invoke_key, shard)]
    return [
        Put(shard_key(shard.run_id, shard.shard), item),
        *writes,
        wait(shard),
        Update(lane_key(shard.pool, shard.run_id), when=(Cond("gate", "exists"),), add={"waiting": 1, "version": 1}),
    ]


def new_item(shard: Shard) -> dict[str, Any]:
    """The row of a shard that comes to be."""
    item = {
        "run_id": shard.run_id,
        "shard": shard.shard,
        "state": shard.state,
        "attempt": shard.attempt,
        "version": 1,
        "pool": shard.pool,
        "first_row": shard.first_row,
        "rows": shard.rows,
        "sendable": shard.sendable,
        "bytes": shard.bytes,
        "half": shard.half,
    }
    return item | ({"kind": shard.kind} if shard.kind else {}) | ({"round": shard.round} if shard.retries else {})


def repeat(shard: Shard, pause_ms: int) -> list[Write]:
    """ENDED -> PENDING, attempt + 1: nothing usable came out, and what was booked is returned until it is admitted again."""
    assert not shard.on_demand, "what was asked on demand has no job that could be repeated"
    following = replace(shard, attempt=shard.attempt + 1)
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=as_read(shard),
            set={"state": ShardState.PENDING, "attempt": following.attempt},
            remove=("arn", HEARTBEAT, HEARTBEAT_BEFORE, "ended_status", "message", "error_code", *BOOKED),
            add={"version": 1},
        ),
        Delete(todo_key(shard.run_id, shard.shard)),
        wait(following, pause_ms),
        Update(
            lane_key(shard.pool, shard.run_id),
            # It may be paused: then the repeat waits with the others.
            when=(Cond("gate", "ne", Gate.REFUSED),),
            add={"waiting": 1, "version": 1} | booked_less(shard),
        ),
        Update(
            totals_key(shard.run_id),
            when=(equal("state", RunState.RUNNING),),
            add={"repeats": 1, "version": 1},
        ),
        *returned_to(shard),
    ]


def settle(
    shard: Shard,
    ok: int,
    error: int,
    expires_at: int,
    *,
    again: int = 0,
    input_tokens: int = 0,
    output_tokens: int = 0,
    errors: Mapping[str, int] | None = None,
    without_outcome: bool = False,
    seen: Seen | None = None,
    cost: Cost | None = None,
) -> list[Write]:
    """ENDED -> SETTLED: every record has its outcome, and the run's account moves with it.

    Args:
        again: records whose error is not their end: they wait for the next round.
        input_tokens: LLM tokens of the shard's answers, for people; likewise `output_tokens`.
        errors: error rows by code, for people.
        without_outcome: every row has its answer and no outcome was written: the row tells the whole account.
        seen: the tokens that were counted beside those that had been estimated.
        cost: what its answers cost; it takes the place of what was booked.
    """
    counted = ok + error + again
    spent = {} if cost is None else {"spent_micros": cost.micros}
    assert counted == shard.rows, f"{counted} outcomes for {shard.rows} rows of shard {shard.shard}"
    account: dict[str, Any] = {"again": again} if again else {}
    if without_outcome:
        assert ok == shard.rows, f"shard {shard.shard} has {error} error rows, and no outcome that tells them"
        account = {"without_outcome": True, "input_tokens": input_tokens, "output_tokens": output_tokens}
    return [
        Update(
            shard_key(shard.run_id, shard.shard),
            when=as_read(shard),
            set={"state": ShardState.SETTLED, "ok": ok, "error": error, "expires_at": expires_at, **account, **spent},
            add={"version": 1},
        ),
        Delete(todo_key(shard.run_id, shard.shard)),
        Update(
            totals_key(shard.run_id),
            when=(equal("state", RunState.RUNNING),),
            add={
                "ok": ok,
                "error": error,
                **({"again": again} if again else {}),
                "open": -shard.rows,
                "shards_settled": 1,
                "version": 1,
                "input_tokens": input_tokens,
                "output_tokens": output_tokens,
                **_at_full_price(shard, input_tokens, output_tokens),
                **({"unbooked_micros": shard.booked_micros} if shard.booked_micros else {}),
                **{name: micros for name, micros in _paid(shard, cost).items() if micros},
                **{f"{ERRORS}{code}": count for code, count in (errors or {}).items() if count},
            },
        ),
        *settled_in(shard, cost),
        *seen_in(shard.pool, seen),
    ]


def _paid(shard: Shard, cost: Cost | None) -> dict[str, int]:
    micros = 0 if cost is None else cost.micros
    return {"spent_micros": micros, "on_demand_micros": micros if shard.on_demand else 0}


def as_settled(shard: Shard, settled: Sequence[Write]) -> Shard:
    """The row that these writes of `settle` leave of the one that was read."""
    [change] = [write for write in settled if write.key == shard_key(shard.run_id, shard.shard)]
    assert isinstance(change, Update)
    known = {name: value for name, value in change.set.items() if name in Shard.__slots__}
    return replace(shard, **known, version=shard.version + change.add["version"])


def _at_full_price(shard: Shard, input_tokens: int, output_tokens: int) -> dict[str, int]:
    """What a shard adds to the tokens that cost more than batch."""
    if not shard.on_demand or shard.tier:
        return {}
    return {"on_demand_input_tokens": input_tokens, "on_demand_output_tokens": output_tokens}
