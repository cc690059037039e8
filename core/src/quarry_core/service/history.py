"""Doing a move together with what it adds to a pool's history.

Theory of operation. History is added to in the transaction of the move, so it counts once, and exactly if the move is
done. But it is for people: no move may fail for its sake. Where the move does not fit together with history (its row is
gone, as from a table that was restored), it is tried without; if it does not fit then either, it is the move that is
stale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from quarry_core.errors import Stale
from quarry_core.ledger import moves
from quarry_core.planning.history import WEEKS_MAX, History, Seen, week_of
from quarry_core.ports import Write
from quarry_core.service.process import World

log = structlog.get_logger()
# A week longer than it is read.
HISTORY_TTL_DAYS = 7 * (WEEKS_MAX + 1)
POOLS_MAX = 1_000

Move = Callable[[Seen | None], Sequence[Write]]


class HistoryKeeper:
    """Remembers, in this process only, which pools have a row for the week."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._standing: dict[str, str] = {}  # pool -> week

    async def apply(self, pool: str, history: History | None, move: Move) -> None:
        """Do the move, and add to history if it can be. Raises Stale: the move's own premise does not hold."""
        ledger = self._world.ledger
        if history is None:
            await ledger.apply(move(None))
            return
        week = week_of(self._world.clock.now())
        await self._open(pool, week)
        try:
            await ledger.apply(move(Seen(week, history)))
        except Stale:
            self._standing.pop(pool, None)
            await ledger.apply(move(None))
            log.info("history_lost", pool=pool, week=week)

    async def _open(self, pool: str, week: str) -> None:
        if self._standing.get(pool) == week:
            return
        expires_at = int((self._world.clock.now() + timedelta(days=HISTORY_TTL_DAYS)).timestamp())
        try:
            await self._world.ledger.apply(moves.open_history(pool, week, expires_at))
        except Stale:
            log.debug("history_opened_by_another", pool=pool, week=week)
        if len(self._standing) >= POOLS_MAX:
            self._standing.clear()
        self._standing[pool] = week
