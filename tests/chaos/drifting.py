"""A service on a host whose wall clock jumps: `python -m tests.chaos.drifting <service>`.

The product's code is unchanged; another clock stands before it. What it says jumps to and fro by up to
`QUARRY_CHAOS_SKEW_S` seconds, anew after each `JUMP_EVERY_S` on average; its monotonic clock and its sleep are the host's,
as where NTP corrects a host that was wrong.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import random
import sys
import time
from datetime import datetime, timedelta
from typing import Any

from quarry_core.service import process
from quarry_core.service.process import World

SKEW = "QUARRY_CHAOS_SKEW_S"
JUMP_EVERY_S = 5.0


class DriftingClock:
    """Passes on whatever it does not know to the clock behind it."""

    def __init__(self, clock: Any, skew_s: float) -> None:
        self._clock = clock
        self._skew_s = skew_s
        self._chance = random.Random(os.getpid())
        self._until = 0.0
        self._off_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)

    def now(self) -> datetime:
        if time.monotonic() >= self._until:
            self._until = time.monotonic() + self._chance.expovariate(1 / JUMP_EVERY_S)
            self._off_s = self._chance.uniform(-self._skew_s, self._skew_s)
        now: datetime = self._clock.now()
        return now + timedelta(seconds=self._off_s)


def main(name: str) -> int:
    module = importlib.import_module(f"quarry_{name}.handler")
    skew_s = float(os.environ.get(SKEW, "0"))

    def wrap(world: World) -> World:
        clock: Any = DriftingClock(world.clock, skew_s)
        return dataclasses.replace(world, clock=clock)

    return process.main(name, module.build, module.QUEUES, wrap=wrap)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
