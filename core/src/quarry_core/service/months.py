"""The item of a month, to which the moves of its shards add.

Theory of operation. A move that adds to it has its standing as a premise, so it is made before the first of them. It is never
deleted; should it be gone all the same, as from a table that was restored, the move is stale, and whoever is told so forgets
what it remembers and makes it anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from quarry_core.errors import Stale
from quarry_core.ledger import moves
from quarry_core.ports import Write
from quarry_core.service.process import World

log = structlog.get_logger()
MONTHS_MAX = 100


class MonthKeeper:
    """Remembers, in this process only, which months have an item."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._standing: set[str] = set()

    async def open(self, month: str) -> None:
        """Make the item of a month (`yyyy-mm`), if it does not stand."""
        if month in self._standing:
            return
        try:
            await self._world.ledger.apply(moves.open_month(month))
        except Stale:
            log.debug("month_opened_by_another", month=month)
        if len(self._standing) >= MONTHS_MAX:
            self._standing.clear()
        self._standing.add(month)

    async def apply(self, month: str, writes: Sequence[Write]) -> None:
        """A move that adds to the item of a month (empty: to none), which is made anew if it is gone. Raises Stale."""
        try:
            await self._world.ledger.apply(writes)
        except Stale:
            if not month or await self._world.ledger.month(month) is not None:
                raise
            self.forget()
            await self.open(month)
            await self._world.ledger.apply(writes)

    def forget(self) -> None:
        """A move was stale, and the item may be gone."""
        self._standing.clear()
