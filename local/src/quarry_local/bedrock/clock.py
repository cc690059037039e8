"""The simulated clock: it begins at the wall clock's time and runs `speed` times as fast.

At speed 1 it *is* the wall clock. Faster, it runs ahead of it for good: a job's times, the 24 hours of its timeout and
the filters of List all use this one clock, so that they agree with each other. Nobody waits on it for a time alone:
every wait ends early when its event is set, which is how a stop, a new speed and the end of the server arrive.

`SteppedClock` stops until `advance` is called, and then goes from one thing that is due to the next, each done
before the next begins. So the order of all that happens follows from the requests alone, however busy the machine is.
For that it must know which tasks work: who drives something says `begin_work` and `end_work` of its task, and a wait on
the clock is no work. The running clock does not care.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

# Where a stepped clock begins: a fixed moment, so that two runs show the same times. 2026-01-01T00:00:00Z.
STEPPED_BEGINS_AT = 1_767_225_600.0
# Turns of the event loop that a task needs at most between being woken and working.
_TURNS_TO_WAKE = 12


class SimulatedClock:
    stepped = False

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

    def begin_work(self, task: asyncio.Task[None]) -> None:
        """The task has something to do, or soon will; harmless if that is known."""

    def end_work(self, task: asyncio.Task[None]) -> None:
        """It is done, or waits for something else than the clock; harmless if that is known."""

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


@dataclass(order=True, slots=True)
class _Sleeper:
    at: float
    order: int
    woken: asyncio.Event = field(compare=False)
    task: asyncio.Task[None] | None = field(compare=False)
    """Who sleeps, if it is one whose work is awaited."""
    awake: bool = field(default=False, compare=False)


class SteppedClock(SimulatedClock):
    """Stopped but for `advance`. Its own time has no speed."""

    stepped = True

    def __init__(self) -> None:
        super().__init__(1.0)
        self._now = STEPPED_BEGINS_AT
        self._sleepers: list[_Sleeper] = []
        self._orders = count()
        self._at_work: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._advancing = asyncio.Lock()

    def now(self) -> float:
        return self._now

    def set_speed(self, speed: float) -> None:
        """A stepped clock has none."""

    def begin_work(self, task: asyncio.Task[None]) -> None:
        self._at_work.add(task)

    def end_work(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        self._changed.set()

    async def until(self, at: float, woken: asyncio.Event) -> None:
        if at <= self._now:
            await asyncio.sleep(0)
            return
        task = asyncio.current_task()
        sleeper = _Sleeper(at, next(self._orders), woken, task if task in self._at_work else None)
        heappush(self._sleepers, sleeper)
        if sleeper.task:
            self.end_work(sleeper.task)
        try:
            await woken.wait()
        finally:
            self._wake(sleeper)

    async def advance(self, by_s: float) -> None:
        """Let so many seconds pass, and return when all that was due in them is done."""
        async with self._advancing:
            until = self._now + by_s
            await self._rest()
            while self._sleepers and self._sleepers[0].at <= until:
                sleeper = heappop(self._sleepers)
                if sleeper.awake:
                    continue
                self._now = max(self._now, sleeper.at)
                self._wake(sleeper)
                sleeper.woken.set()
                await self._rest()
            self._now = until

    def _wake(self, sleeper: _Sleeper) -> None:
        if not sleeper.awake:
            sleeper.awake = True
            if sleeper.task:
                self.begin_work(sleeper.task)

    async def _rest(self) -> None:
        """Until nobody works; who was woken a moment ago may not have said so yet."""
        idle_turns = 0
        while idle_turns < _TURNS_TO_WAKE:
            if self._at_work:
                idle_turns = 0
                self._changed.clear()
                await self._changed.wait()
            else:
                idle_turns += 1
                await asyncio.sleep(0)
