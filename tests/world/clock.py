"""Virtual time and seeded chance.

With `auto_advance` a sleep moves the clock itself and returns at once: right for one task under test. Without it
sleepers wait until the test moves the time: `advance` jumps, `run_for` goes from sleeper to sleeper and lets each
one work at its own moment.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
# Turns of the event loop that a woken task is given to come to rest.
REST_TURNS = 50


class SkewedClock:
    """The same time as another clock's, on a host whose wall clock is wrong by `ahead_s`."""

    def __init__(self, clock: FakeClock, ahead_s: float) -> None:
        self._clock = clock
        self._ahead = timedelta(seconds=ahead_s)

    def now(self) -> datetime:
        return self._clock.now() + self._ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)


class FakeClock:
    def __init__(self, *, auto_advance: bool = True, seed: int = 0) -> None:
        self.auto_advance = auto_advance
        self.slept: list[float] = []
        self._elapsed_s = 0.0
        self._random = random.Random(seed)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.auto_advance or seconds <= 0:
            self.advance(max(seconds, 0.0))
            await asyncio.sleep(0)
            return
        await self.wait(seconds)

    async def wait(self, seconds: float) -> None:
        """Sleep until somebody else has moved the time by `seconds`."""
        due: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, self._order, due))
        await due

    def reseed(self, seed: int | str) -> None:
        """From here on another chance, as other processes have."""
        self._random = random.Random(seed)

    def token(self) -> str:
        return f"{self._random.getrandbits(64):016x}"

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def advance(self, seconds: float) -> None:
        """Move the time by `seconds` at once and wake everybody whose moment has come."""
        self._elapsed_s += seconds
        while self._sleepers and self._sleepers[0][0] <= self._elapsed_s:
            self._wake_first()

    async def run_for(self, seconds: float) -> None:
        """Let `seconds` pass, waking each sleeper at its own moment."""
        end = self._elapsed_s + seconds
        await self._rest()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._elapsed_s = self._sleepers[0][0]
            self._wake_first()
            await self._rest()
        self._elapsed_s = end

    def _wake_first(self) -> None:
        _, _, due = heapq.heappop(self._sleepers)
        if not due.done():  # its sleeper may have been cancelled
            due.set_result(None)

    async def _rest(self) -> None:
        for _ in range(REST_TURNS):
            await asyncio.sleep(0)


class Environment:
    """The same time as another clock's, seen by who never moves it by sleeping."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.wait(seconds)

    def token(self) -> str:
        return self._clock.token()

    def uniform(self, low: float, high: float) -> float:
        return self._clock.uniform(low, high)
