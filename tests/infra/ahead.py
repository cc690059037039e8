"""Work that tests wait for, done ahead of them by two at a time.

A check of one module takes seconds, most of them the provider's start; there are two dozen modules. The first test that
asks starts the work of every collected test, in the order in which they will ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

PARALLEL_MAX = 2


class Ahead:
    """Results by name; each name's work is done once."""

    def __init__(self, work: Callable[[str], Any]) -> None:
        self._work = work
        self._pool = ThreadPoolExecutor(PARALLEL_MAX)
        self._begun: dict[str, Future[Any]] = {}

    def begin(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._begun:
                self._begun[name] = self._pool.submit(self._work, name)

    def __getitem__(self, name: str) -> Any:
        self.begin([name])
        return self._begun[name].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
