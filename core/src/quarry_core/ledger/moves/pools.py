"""The moves of a pool's limit, and of what was seen of its jobs. What it holds moves with its shards."""

from __future__ import annotations

from dataclasses import fields, replace

from quarry_core.contract.share import CLASSES
from quarry_core.ledger.keys import audit_key, history_key, listed_pool_key, pool_key
from quarry_core.ledger.limits import Limits
from quarry_core.ledger.moves.premise import equal, equal_or_absent
from quarry_core.ledger.rows import LimitChange, Pool
from quarry_core.planning.history import Seen
from quarry_core.ports import Cond, Delete, Put, Update, Write


def open_pool(pool: str, limits: Limits) -> list[Write]:
    """Make a pool, for the first shard that waits in it."""
    known = {} if limits.service_quota is None else {"service_quota": limits.service_quota}
    return [
        _listed(pool),
        Put(
            pool_key(pool),
            {
                "pool": pool,
                "configured": limits.configured,
                "admit_limit": limits.admit_limit,
                "in_use": 0,
                "foreign": limits.foreign,
                "siblings": limits.siblings,
                **known,
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


def limit_pool(pool: Pool, limits: Limits) -> list[Write]:
    """Set the limit anew. A smaller one admits nothing until the pool has drained."""
    optional = {"learned": limits.learned, "service_quota": limits.service_quota}
    return [
        Update(
            pool_key(pool.pool),
            when=(equal("admit_limit", pool.admit_limit), equal("configured", pool.configured)),
            set={
                "configured": limits.configured,
                "admit_limit": limits.admit_limit,
                "foreign": limits.foreign,
                "siblings": limits.siblings,
                **{name: value for name, value in optional.items() if value is not None},
            },
            remove=tuple(name for name, value in optional.items() if value is None),
        )
    ]


def set_limit(pool: Pool, change: LimitChange, token: str, expires_at: int) -> list[Write]:
    """An operator sets what is configured for a pool, or no longer does; who, when, what before and why is kept.

    Args:
        pool: as read; where none stands, `open_pool` comes first.
        change: `after` None gives the limit back to QUARRY_JOB_QUOTA, which the next sweep writes down.
        token: tells two changes of one moment apart.
        expires_at: when the ledger forgets the change, in seconds since the epoch.
    """
    assert change.before == pool.set_to
    at = {"set_by": change.by, "set_at": change.at}
    if change.after is None:
        moved = Update(pool_key(pool.pool), when=(equal_or_absent("set_to", pool.set_to),), set=at, remove=("set_to",))
    else:
        limits = replace(pool.limits, configured=change.after)
        moved = Update(
            pool_key(pool.pool),
            when=(
                equal_or_absent("set_to", pool.set_to),
                equal("admit_limit", pool.admit_limit),
                equal("configured", pool.configured),
            ),
            set={"set_to": change.after, "configured": change.after, "admit_limit": limits.admit_limit, **at},
        )
    kept = {"before": change.before, "after": change.after}
    item = {"pool": pool.pool, "by": change.by, "at": change.at, "reason": change.reason, "expires_at": expires_at}
    return [
        moved,
        Put(
            audit_key(pool.pool, change.at, token),
            item | {name: value for name, value in kept.items() if value is not None},
        ),
    ]
