"""Work that tests wait for, done ahead of them, two pieces at a time whoever asked for them.

A check of one module takes seconds, most of them the provider's start; there are two dozen modules. The first test that
asks starts the work of every collected test, in the order in which they will ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

PARALLEL_MAX = 2
_POOL = ThreadPoolExecutor(PARALLEL_MAX)


class Ahead:
    """Results by name; each name's work is done once."""

    def __init__(self, work: Callable[[str], Any]) -> None:
        self._work = work
        self._begun: dict[str, Future[Any]] = {}

    def begin(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._begun:
                self._begun[name] = _POOL.submit(self._work, name)

    def __getitem__(self, name: str) -> Any:
        self.begin([name])
        return self._begun[name].result()

    def close(self) -> None:
        """Drop what has not begun and wait for what has."""
        for future in self._begun.values():
            future.cancel()
        wait(self._begun.values())
