"""How long a row has was stale, by this process's own clock.

Wall clocks are never compared between hosts: a row is stale when its version has not moved for a while *while we
looked*. A fresh process therefore waits its time before it fixes anything.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable


class Staleness:
    """Remembers, for each thing looked at, the version seen and since when. Times in seconds, monotonic."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[Hashable, float]] = {}

    def stale_s(self, thing: Hashable, version: Hashable, now_s: float) -> float:
        """Note the version, and tell for how long it has been the same."""
        known = self._seen.get(thing)
        if known is None or known[0] != version:
            self._seen[thing] = (version, now_s)
            return 0.0
        return now_s - known[1]

    def keep(self, things: Iterable[Hashable]) -> None:
        """Forget all but these, so that memory follows what is open, not what has been."""
        wanted = set(things)
        self._seen = {thing: seen for thing, seen in self._seen.items() if thing in wanted}
