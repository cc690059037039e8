"""What was read a moment ago, so that many who look ask AWS once.

Owns its entries alone. An entry is read by one caller while the others wait for it; an error is kept by nobody.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

ENTRIES_MAX = 500


class Cache:
    """At most `entries_max` results, the least used of which go first.

    Args:
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float], entries_max: int = ENTRIES_MAX) -> None:
        self._monotonic = monotonic
        self._entries_max = entries_max
        self._entries: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    async def get(self, key: Hashable, fresh_s: float, read: Callable[[], Awaitable[T]]) -> T:
        """What stands under a key, if it is not older than `fresh_s`; else what is read now."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = lock, users + 1
        try:
            async with lock:
                found = self._entries.get(key)
                if found is not None and self._monotonic() - found[0] < fresh_s:
                    self._entries.move_to_end(key)
                    value: T = found[1]
                    return value
                begun = self._monotonic()
                value = await read()
                self._entries[key] = begun, value
                self._entries.move_to_end(key)
                while len(self._entries) > self._entries_max:
                    self._entries.popitem(last=False)
                return value
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = lock, users - 1

    def forget(self) -> None:
        """All of it: somebody has changed something."""
        self._entries.clear()
