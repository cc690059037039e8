"""The simulated clock: it begins at the wall clock's time and runs `speed` times as fast.

At speed 1 it *is* the wall clock. Faster, it runs ahead of it for good: a job's times, the 24 hours of its timeout and
the filters of List all use this one clock, so that they agree with each other. Nobody waits on it for a time alone:
every wait ends early when its event is set, which is how a stop, a new speed and the end of the server arrive.
"""

import asyncio
import time
from collections.abc import Callable


class SimulatedClock:
    def __init__(
        self,
        speed: float,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._began = monotonic()
        self._base = wall()
        self._speed = speed

    def now(self) -> float:
        """Simulated seconds since the epoch."""
        return self._base + (self._monotonic() - self._began) * self._speed

    def set_speed(self, speed: float) -> None:
        """Change the pace from now on; whoever waits must be woken to reckon anew."""
        self._base = self.now()
        self._began = self._monotonic()
        self._speed = speed

    async def until(self, at: float, woken: asyncio.Event) -> None:
        """Return at simulated time `at`, or earlier when `woken` is set."""
        left_s = (at - self.now()) / self._speed
        if left_s <= 0:
            # A job whose waits are all due must still let the server answer.
            await asyncio.sleep(0)
            return
        try:
            await asyncio.wait_for(woken.wait(), left_s)
        except TimeoutError:
            return
