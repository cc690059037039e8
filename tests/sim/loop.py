"""Virtual time as asyncio's own: an event loop that never waits, and the same turns for the same seed.

When nothing can go on now, the loop moves its clock to the next moment at which something can. So whatever sleeps,
whether through the port `Clock` or inside asyncio, sleeps in virtual time, and hours of it cost what is done in them.

Tasks are numbered, and hash as their number: a set of tasks then has the same order in each process that runs a seed.
A task belongs to the simulated process whose task made it (`owner`), so that a crash can end them all.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Deadlock(RuntimeError):
    """Nothing is ready and nothing ever will be."""


class _Jumps(selectors.SelectSelector):
    """Waits for no file: the time of waiting passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("every task waits for another one")
        self.now += max(0.0, timeout)
        return []


class NumberedTask(asyncio.Task):
    """A task that knows whose it is. `owner` is None for the world's own."""

    def __init__(self, coro: Coroutine[Any, Any, Any], number: int, owner: object, **options: Any) -> None:
        self.number = number  # before asyncio hashes it for the first time
        self.owner = owner
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.number


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumps = _Jumps()
        super().__init__(self._jumps)
        self._numbers = itertools.count(1)
        self.tasks: set[NumberedTask] = set()
        self.set_task_factory(self._task)
        # What a crashed process leaves unheard is what the test is about.
        self.set_exception_handler(lambda loop, context: None)

    def time(self) -> float:
        return self._jumps.now

    def _task(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        owner = getattr(asyncio.current_task(self), "owner", None)
        task = NumberedTask(coro, next(self._numbers), owner, loop=self, context=options.get("context"))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def end_tasks_of(self, owner: object) -> None:
        """Cancel all tasks of a process but the one that asks for it."""
        current = asyncio.current_task(self)
        for task in sorted((each for each in self.tasks if each.owner is owner), key=hash):
            if task is not current:
                task.cancel()


class LoopClock:
    """The port `Clock` on a virtual loop, as one host has it.

    ahead_s: by how much its wall clock is wrong.
    up_s: what its monotonic clock said when the world began: no two hosts' agree.
    """

    def __init__(self, loop: VirtualLoop, seed: int | str, *, ahead_s: float = 0.0, up_s: float = 0.0) -> None:
        self._loop = loop
        self._random = random.Random(seed)
        self._ahead_s = ahead_s
        self._up_s = up_s

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time() + self._ahead_s)

    def monotonic(self) -> float:
        return self._loop.time() + self._up_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def token(self) -> str:
        return f"{self._random.getrandbits(64):016x}"

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)
