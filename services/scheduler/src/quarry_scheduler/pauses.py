"""The pause before a repeat, measured by the scheduler that looks.

Theory of operation. The collector writes down for how long a repeat shall wait, never until when: hosts' clocks differ,
and one that is an hour ahead would hold every repeat for an hour. Each scheduler counts from its own first sight of the
marker, on its own monotonic clock; a fresh one waits the whole pause again. No pause is longer than `PAUSE_MAX_S`,
whatever the row says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quarry_core.ledger.rows import Waiting
from quarry_core.settings import PAUSE_MAX_S, Settings


class Pauses:
    """Since when this process has seen each paused repeat, by run. Times in seconds, monotonic."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._since_s: dict[str, dict[tuple[str, int], float]] = {}

    def over(self, run_id: str, waiting: Sequence[Waiting], now_s: float) -> list[Waiting]:
        """Note a run's waiting shards, in order, and give those that have no pause left."""
        before = self._since_s.get(run_id, {})
        since_s: dict[tuple[str, int], float] = {}
        ready = []
        for each in waiting:
            pause_s = self._pause_s(each)
            if pause_s <= 0:
                ready.append(each)
                continue
            seen_s = since_s[each.shard, each.attempt] = before.get((each.shard, each.attempt), now_s)
            if now_s - seen_s >= pause_s:
                ready.append(each)
        if since_s:
            self._since_s[run_id] = since_s
        else:
            self._since_s.pop(run_id, None)
        return ready

    def keep(self, run_ids: Iterable[str]) -> None:
        """Forget all runs but these."""
        kept = set(run_ids)
        self._since_s = {run_id: since_s for run_id, since_s in self._since_s.items() if run_id in kept}

    def _pause_s(self, waiting: Waiting) -> float:
        pause_s = waiting.pause_ms / 1_000
        if waiting.not_before:
            # Of the release before: a moment by the collector's clock. What pause it meant, the settings say.
            pause_s = self._settings.repeat_pause_s(waiting.attempt - 1)
        return min(pause_s, PAUSE_MAX_S)
