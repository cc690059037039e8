"""The moves of a pool's limit, and of what was seen of its jobs. What it holds moves with its shards."""

from __future__ import annotations

from dataclasses import fields

from quarry_core.contract.share import CLASSES
from quarry_core.ledger.moves.premise import equal
from quarry_core.ledger.rows import Pool, history_key, listed_pool_key, pool_key
from quarry_core.planning.history import Seen
from quarry_core.ports import Cond, Delete, Put, Update, Write


def open_pool(pool: str, configured: int) -> list[Write]:
    """Make a pool, for the first shard that waits in it."""
    return [
        _listed(pool),
        Put(
            pool_key(pool),
            {
                "pool": pool,
                "configured": configured,
                "admit_limit": configured,
                "in_use": 0,
                "foreign": 0,
                **{f"virtual_time_{name}": 0 for name in CLASSES},
            },
        ),
    ]


def list_pool(pool: str) -> list[Write]:
    """List a pool that the release before made, which listed none."""
    return [_listed(pool), Update(pool_key(pool), when=(Cond("in_use", "exists"),), set={"pool": pool})]


def remove_pool(pool: Pool) -> list[Write]:
    """Remove a pool that nothing holds. Should a lane open at the same moment, its first shard makes a new one."""
    return [Delete(pool_key(pool.pool), (equal("in_use", 0),)), Delete(listed_pool_key(pool.pool))]


def open_history(pool: str, week: str, expires_at: int) -> list[Write]:
    """Make the row to which the moves of a week's jobs and shards add."""
    return [Put(history_key(pool, week), {"pool": pool, "week": week, "expires_at": expires_at})]


def seen_in(pool: str, seen: Seen | None) -> list[Write]:
    """What a move adds to history: in its transaction, so that it counts exactly if the move is done."""
    if seen is None:
        return []
    sums = {each.name: number for each in fields(seen.history) if (number := getattr(seen.history, each.name))}
    return [Update(history_key(pool, seen.week), when=(Cond("week", "exists"),), add=sums)]


def _listed(pool: str) -> Put:
    return Put(listed_pool_key(pool), {"pool": pool})


def limit_pool(pool: Pool, configured: int, learned: int | None, foreign: int) -> list[Write]:
    """Set the limit anew: `min(configured, learned)`. A smaller one admits nothing until the pool has drained."""
    limit = configured if learned is None else min(configured, learned)
    return [
        Update(
            pool_key(pool.pool),
            when=(equal("admit_limit", pool.admit_limit), equal("configured", pool.configured)),
            set={"configured": configured, "admit_limit": limit, "foreign": foreign}
            | ({} if learned is None else {"learned": learned}),
            remove=("learned",) if learned is None else (),
        )
    ]
