"""Offloaded work, done inline; `delay_s` of virtual time stands for how long a thread would take."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from quarry_core.ports import Clock

T = TypeVar("T")


class InlineOffload:
    def __init__(self, clock: Clock | None = None, delay_s: float = 0.0) -> None:
        self._clock = clock
        self._delay_s = delay_s
        self.runs = 0

    async def run(self, work: Callable[[], T]) -> T:
        self.runs += 1
        if self._clock is not None and self._delay_s:
            await self._clock.sleep(self._delay_s)
        return work()
