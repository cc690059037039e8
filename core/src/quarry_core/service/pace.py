"""How long the work on a message took lately. Pure."""

from __future__ import annotations

from collections import deque

REMEMBERED = 10


class Pace:
    """Of the last `REMEMBERED` messages."""

    def __init__(self) -> None:
        self._took_s: deque[float] = deque(maxlen=REMEMBERED)

    def note(self, seconds: float) -> None:
        """The work on one more took so long."""
        self._took_s.append(seconds)

    def within(self, seconds: float, at_once: int) -> int:
        """How many will be worked off in so many seconds, `at_once` side by side; 0 while nothing is known."""
        if not self._took_s:
            return 0
        mean_s = sum(self._took_s) / len(self._took_s)
        return int(at_once * seconds / max(mean_s, seconds / 1_000))
