"""Pools with their lanes: who holds slots, who waits, in which class and with which weight."""

from __future__ import annotations

import msgspec

from quarry_cli.client.connections import Connections
from quarry_cli.client.pools.limits import POOLS_MAX, PoolLimit, shown
from quarry_core.ledger.rows import Lane, Pool

PAGE_POOLS = 20
LANES_MAX = 200


class LaneView(msgspec.Struct, frozen=True, kw_only=True):
    """A run's place in a pool: `held` slots, `waiting` shards. `gate` is open, paused or refused."""

    run_id: str
    admission_class: str = msgspec.field(name="class")
    weight: int
    gate: str
    waiting: int
    held: int
    message: str


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """A pool; of its lanes at most `LANES_MAX`, `more_lanes` where there are others."""

    limit: PoolLimit
    lanes: list[LaneView]
    more_lanes: bool


class PoolsPage(msgspec.Struct, frozen=True, kw_only=True):
    pools: list[PoolView]
    page: int
    pages: int


async def read_pools(connections: Connections, page: int = 0) -> PoolsPage:
    """A page of pools by name; two reads a pool."""
    names = sorted(await connections.ledger.pools(POOLS_MAX))
    pages = max(1, -(-len(names) // PAGE_POOLS))
    page = max(0, min(page, pages - 1))
    found = []
    for name in names[page * PAGE_POOLS : (page + 1) * PAGE_POOLS]:
        pool = await connections.ledger.pool(name)
        if pool is not None:
            lanes = await connections.ledger.lanes(name, LANES_MAX + 1)
            found.append(_view(pool, lanes))
    return PoolsPage(pools=found, page=page, pages=pages)


def _view(pool: Pool, lanes: list[Lane]) -> PoolView:
    held: dict[str, int] = {}
    for holder in pool.holders:
        run_id = holder.partition("/")[0]
        held[run_id] = held.get(run_id, 0) + 1
    views = [
        LaneView(
            run_id=lane.run_id,
            admission_class=lane.admission_class,
            weight=lane.weight,
            gate=lane.gate.value,
            waiting=lane.waiting,
            held=held.get(lane.run_id, 0),
            message=lane.message,
        )
        for lane in lanes[:LANES_MAX]
    ]
    views.sort(key=lambda lane: (-lane.held, -lane.waiting, lane.run_id))
    return PoolView(limit=shown(pool), lanes=views, more_lanes=len(lanes) > LANES_MAX)
