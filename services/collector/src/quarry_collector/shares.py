"""So much at once and no more: a limit that is shared by weight, first come, first served."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator


class Shares:
    """Of one event loop. What weighs more than all there is takes all there is.

    Args:
        most: how much may be taken at once, in any unit.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._free = most
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def taken(self, weight: int) -> AsyncIterator[None]:
        """Wait for a share of this weight, and hold it inside."""
        weight = min(max(weight, 0), self._most)
        if self._waiting or weight > self._free:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((weight, turn))
            try:
                await turn
            except BaseException:
                if turn.done() and not turn.cancelled():
                    self._release(weight)  # it was ours already
                else:
                    self._waiting.remove((weight, turn))
                    self._release(0)
                raise
        else:
            self._free -= weight
        try:
            yield
        finally:
            self._release(weight)

    def _release(self, weight: int) -> None:
        self._free += weight
        while self._waiting and self._waiting[0][0] <= self._free:
            first, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= first
                turn.set_result(None)
