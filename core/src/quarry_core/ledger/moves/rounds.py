"""The moves of a round: records that had an error go again, in retry shards; or they do not, and their error stands.

Theory of operation. CLOSING -> RUNNING takes the records of the next round from `again` to `open`, all at once, and opens as
many retry shards as a transaction holds. The others are opened by transactions that follow, each on the premise of how many
are open: so a crash between two leaves records `open` that no shard asks yet, the run cannot be whole, and whoever looks
next goes on from that number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quarry_core.contract.states import RunState, ShardState
from quarry_core.ledger.keys import invoke_key, lane_key, shard_key, totals_key
from quarry_core.ledger.moves.premise import equal
from quarry_core.ledger.moves.shards import new_item
from quarry_core.ledger.moves.writes import marker, wait
from quarry_core.ledger.rows import ERRORS, Shard, Totals
from quarry_core.ports import Cond, Put, Update, Write

# Two items a shard, with the totals and the lane: a transaction holds 100.
RETRY_SHARDS_AT_ONCE = 40


def open_round(totals: Totals, shards: Sequence[Shard], shards_in_all: int) -> list[Write]:
    """CLOSING -> RUNNING, round + 1: all that is to go again is open, and its first retry shards wait.

    Args:
        totals: as read; all its `again` records go.
        shards: the first retry shards, at most RETRY_SHARDS_AT_ONCE.
        shards_in_all: how many the round has.
    """
    assert totals.state is RunState.CLOSING
    assert totals.again > 0
    return [
        Update(
            totals_key(totals.run_id),
            when=(
                equal("state", RunState.CLOSING),
                equal("round", totals.round),
                equal("again", totals.again),
                Cond("end_state", "absent"),
                Cond("fault", "absent"),
                Cond("cancelled_at", "absent"),
            ),
            set={
                "state": RunState.RUNNING,
                "round": totals.round + 1,
                "round_shards": shards_in_all,
                "round_opened": len(shards),
            },
            add={"again": -totals.again, "open": totals.again, "retried": totals.again, "version": 1}
            | _enlisted(shards),
        ),
        *_waiting(shards),
    ]


def open_more(totals: Totals, shards: Sequence[Shard]) -> list[Write]:
    """(none) -> PENDING: further retry shards of the round that is open. Of a run that broke or is cancelled too: what waits is then told so."""
    return [
        Update(
            totals_key(totals.run_id),
            when=(
                equal("state", RunState.RUNNING),
                equal("round", totals.round),
                equal("round_opened", totals.round_opened),
            ),
            set={"round_opened": totals.round_opened + len(shards)},
            add={"version": 1} | _enlisted(shards),
        ),
        *_waiting(shards),
    ]


def end_rounds(totals: Totals, errors: Mapping[str, int]) -> list[Write]:
    """CLOSING stays CLOSING: what was to go again does not, and is counted by the errors that it has (rows by code)."""
    assert sum(errors.values()) == totals.again, f"{errors} are not the {totals.again} records of run {totals.run_id}"
    return [
        Update(
            totals_key(totals.run_id),
            when=(equal("state", RunState.CLOSING), equal("round", totals.round), equal("again", totals.again)),
            add={
                "again": -totals.again,
                "error": totals.again,
                "version": 1,
                **{f"{ERRORS}{code}": count for code, count in errors.items() if count},
            },
        )
    ]


def _enlisted(shards: Sequence[Shard]) -> dict[str, int]:
    on_demand = sum(shard.on_demand for shard in shards)
    return {"shards_enlisted": len(shards)} | ({"shards_on_demand": on_demand} if on_demand else {})


def _waiting(shards: Sequence[Shard]) -> list[Write]:
    assert 0 < len(shards) <= RETRY_SHARDS_AT_ONCE
    assert all(shard.retries and shard.state is ShardState.PENDING for shard in shards)
    writes: list[Write] = []
    for shard in shards:
        writes.append(Put(shard_key(shard.run_id, shard.shard), new_item(shard)))
        writes.append(marker(invoke_key, shard) if shard.on_demand else wait(shard))
    in_lane = [shard for shard in shards if not shard.on_demand]
    if in_lane:
        key = lane_key(in_lane[0].pool, in_lane[0].run_id)
        writes.append(Update(key, when=(Cond("gate", "exists"),), add={"waiting": len(in_lane), "version": 1}))
    return writes
