"""Blocking work under virtual time: in a thread that runs only while the loop pauses, or inline.

Where a call of the work is to stall, or others are to go first, the thread hands the turn back to the loop for so many
virtual seconds. Never do two of them run at once, so a seed is a seed with threads too.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_AT_WORK = threading.local()


class _Stepper:
    """One piece of work in its thread. `wanted_s`: for how long it wants others to go first."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._context = contextvars.copy_context()
        self.wanted_s = 0.0
        self.over = False
        self.result: object = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Let it run until it is over, or wants to pause; blocks."""
        self._go.release()
        self._back.acquire()
        if self.over:
            self._thread.join()

    def pause(self, seconds: float) -> None:
        """Called in the thread: others go first for so long."""
        self.wanted_s = seconds
        self._back.release()
        self._go.acquire()

    def _run(self) -> None:
        self._go.acquire()
        _AT_WORK.stepper = self
        try:
            self.result = self._context.run(self._work)
        except BaseException as error:
            self.error = error
        self.over = True
        self._back.release()


def pause(seconds: float) -> bool:
    """Let others go first for so many virtual seconds, from within offloaded work. False: it is done inline."""
    stepper = getattr(_AT_WORK, "stepper", None)
    if stepper is None:
        return False
    stepper.pause(seconds)
    return True


class SteppedOffload:
    """The port `Offload`. `stepped`: whether work can pause; else it is done inline, which is faster."""

    def __init__(self, *, stepped: bool) -> None:
        self._stepped = stepped
        self._left: set[asyncio.Task[None]] = set()
        self._begun: set[_Stepper] = set()

    async def run(self, work: Callable[[], T]) -> T:
        if not self._stepped:
            return work()
        stepper = _Stepper(work)
        self._begun.add(stepper)
        try:
            await self._finish(stepper)
        except asyncio.CancelledError:
            # Who waits may go; a thread cannot be stopped, and runs to its end.
            left = asyncio.create_task(self._finish(stepper))
            self._left.add(left)
            left.add_done_callback(self._left.discard)
            raise
        if stepper.error is not None:
            raise stepper.error
        return stepper.result  # type: ignore[return-value]

    def close(self) -> None:
        """Let all that was begun run to its end, without any pause."""
        for stepper in self._begun:
            while not stepper.over:
                stepper.step()

    async def _finish(self, stepper: _Stepper) -> None:
        while not stepper.over:
            stepper.step()
            if not stepper.over:
                await asyncio.sleep(stepper.wanted_s)
        self._begun.discard(stepper)
