"""Time, chance and threads as they really are: the production side of the ports Clock and Offload.

Owns the pool of worker threads and nothing else. Everything else in Quarry takes these two from outside, which is
what lets a whole service run under virtual time.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

TOKEN_BYTES = 8


class SystemClock:
    """The machine's clocks and its source of randomness."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def token(self) -> str:
        return secrets.token_hex(TOKEN_BYTES)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


class ThreadOffload:
    """Runs blocking work in at most `workers_max` threads; what is handed in beyond that waits its turn.

    A cancelled caller stops waiting, but a thread cannot be stopped: work that has begun runs to its end, and
    `close` waits for it. Log fields bound in the caller's context are seen in the thread.
    """

    def __init__(self, workers_max: int) -> None:
        if workers_max < 1:
            raise ValueError(f"workers_max is {workers_max}; it takes at least one thread to do work")
        self._pool = ThreadPoolExecutor(max_workers=workers_max, thread_name_prefix="quarry-offload")

    async def run(self, work: Callable[[], T]) -> T:
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: context.run(work))

    def close(self) -> None:
        """Drop what has not begun and wait for what has; blocks."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
