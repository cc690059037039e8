"""When a consumer stops taking messages, because all of them fail in the same way. Pure.

Theory of operation. A bug that a deploy brought fails one message after the other, and each costs a try, a count towards
its run's end, or a place in the dead-letter queue. So when the last `alike_max` distinct messages have all failed by the
same deterministic failure, and nothing in between has gone well, the consumer pauses. After the pause it takes one batch:
if a message of it does not fail so, all is as before; else the next pause is twice as long, up to `PAUSE_MAX_S`. A failure
of the world's (an outage, a full disk) says nothing of the code, and is not counted.
"""

from __future__ import annotations

from collections import OrderedDict

PAUSE_FIRST_S = 30.0
PAUSE_MAX_S = 300.0


class Breaker:
    """Of one consumer. Times are seconds of a monotonic clock."""

    def __init__(self, alike_max: int) -> None:
        """`alike_max`: distinct messages in a row that fail alike before the first pause."""
        self._alike_max = alike_max
        self._fingerprint = ""
        self._failed: OrderedDict[str, None] = OrderedDict()  # ids of the messages that failed so, in a row
        self._pauses = 0
        self._until_s = 0.0

    @property
    def open(self) -> bool:
        """Whether the consumer has stopped, also while it tries again."""
        return self._pauses > 0

    @property
    def alike(self) -> int:
        """Distinct messages in a row that have failed alike."""
        return len(self._failed)

    def pause_s(self, now_s: float) -> float:
        """Seconds until messages may be taken again; 0: now."""
        return max(0.0, self._until_s - now_s)

    def went_well(self) -> bool:
        """A message did not fail by itself. Whether this ends a stop."""
        stopped = self.open
        self._fingerprint, self._pauses, self._until_s = "", 0, 0.0
        self._failed.clear()
        return stopped

    def failed(self, message_id: str, fingerprint: str, now_s: float) -> float:
        """A message failed by itself. The seconds of the pause that begins with it; 0: none does."""
        if fingerprint != self._fingerprint:
            self.went_well()  # not in the same way: the count begins anew
            self._fingerprint = fingerprint
        self._failed[message_id] = None
        while len(self._failed) > self._alike_max:
            self._failed.popitem(last=False)
        if len(self._failed) < self._alike_max or self.pause_s(now_s) > 0:
            return 0.0
        pause_s = min(PAUSE_FIRST_S * 2.0 ** min(self._pauses, 16), PAUSE_MAX_S)
        self._pauses += 1
        self._until_s = now_s + pause_s
        return pause_s
