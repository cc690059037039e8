"""Which wake-ups the sweep sends again, so that a lost one is fixed and a slow worker is not dead-lettered in copies.

Theory of operation. Each thing that waits for a worker (an ended shard, a slice, a run to be counted or closed) was
announced once, by a message. The sweep announces it again only where that message may be lost, under four bounds:

* **Its time.** The thing has not moved for `patience_s` on this process's clock; after each wake-up of ours for the
  same stay the pause doubles, up to `PAUSE_FACTOR_MAX` times the patience. A thing that moves begins anew.
* **The queue.** SQS says about how many messages it holds. With as many as there are things waiting, none is lost: the
  workers are behind, or away. So never more are sent than are missing. The count is approximate and anybody's, so it is
  a hint: what has waited for `HINT_FACTOR` times its patience is sent against it, `DOUBTS_MAX` in as long a time, for
  the queue may be full of something else. Without an answer it is not used.
* **What is done.** Of our own wake-ups of the last patience at most `IN_FLIGHT_FIRST` are not handled yet, and as many
  more as were handled since the last one that came to nothing: at first few, then twice as many, and few again when
  nobody takes them.
* **`wake_max`** wake-ups in one sweep.

Schedulers know nothing of each other's wake-ups but what the queue's count says. Among things that are equally due each
takes its own order, so that two of them seldom choose the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quarry_core.contract.messages import Step
from quarry_core.contract.names import ON_DEMAND_QUEUE

IN_FLIGHT_FIRST = 10
PAUSE_FACTOR_MAX = 4
HINT_FACTOR = 12
DOUBTS_MAX = 3

Thing = tuple[Step, str, str | None, int | None]  # step, run, shard, slice


@dataclass(frozen=True, slots=True)
class Stuck:
    """Something that waits: which message says "look", and for how long it has not moved."""

    step: Step
    run_id: str
    version: int
    stale_s: float
    patience_s: float
    shard: str | None = None
    slice: int | None = None

    @property
    def thing(self) -> Thing:
        return self.step, self.run_id, self.shard, self.slice

    @property
    def queue(self) -> str:
        return _queue_of(self.thing)


@dataclass(frozen=True, slots=True)
class _Sent:
    """Our wake-ups for one stay of a thing: at which version, how many, and when the last one. Monotonic seconds."""

    version: int
    times: int
    at_s: float


class WakeUps:
    """What this process has sent, for as long as the things stay as they were."""

    def __init__(self, salt: str) -> None:
        self._salt = salt
        self._sent: dict[Thing, _Sent] = {}
        self._handled: dict[str, int] = {}  # by queue, since the last wake-up that came to nothing
        self._doubted: dict[str, list[float]] = {}  # by queue: when its count was not trusted

    def see(self, waiting: Sequence[Stuck]) -> None:
        """Take note of all that waits now: what we woke and has moved since was handled."""
        now = {stuck.thing: stuck for stuck in waiting}
        for thing, sent in list(self._sent.items()):
            stuck = now.get(thing)
            if stuck is None or stuck.version != sent.version:
                del self._sent[thing]
                queue = _queue_of(thing)
                self._handled[queue] = self._handled.get(queue, 0) + 1
        idle = set(self._handled) - {stuck.queue for stuck in waiting}
        for queue in idle:
            del self._handled[queue]

    def choose(self, waiting: Sequence[Stuck], messages: Mapping[str, int], most: int, now_s: float) -> list[Stuck]:
        """The things to wake in this sweep.

        Args:
            waiting: all that waits, of all queues, seen with `see`.
            messages: about how many each queue held before `waiting` was read; a queue that did not say is absent.
            most: wake-ups in all.
        """
        chosen: list[Stuck] = []
        for queue in sorted({stuck.queue for stuck in waiting}):
            here = [stuck for stuck in waiting if stuck.queue == queue]
            due = sorted((stuck for stuck in here if self._is_due(stuck, now_s)), key=self._turn)
            if any(self._times(stuck) for stuck in due):
                self._handled[queue] = 0  # one of ours came to nothing
            out = self._in_flight(here, now_s)
            missing = len(here) - messages.get(queue, 0)
            for stuck in due:
                if len(chosen) >= most or out >= IN_FLIGHT_FIRST + self._handled.get(queue, 0):
                    break
                if missing > 0 or self._doubts(stuck, now_s):
                    chosen.append(stuck)
                    out += 1
                    missing -= 1
        return chosen

    def sent(self, stuck: Stuck, now_s: float) -> None:
        """A wake-up for it is on its queue."""
        self._sent[stuck.thing] = _Sent(stuck.version, self._times(stuck) + 1, now_s)

    def _times(self, stuck: Stuck) -> int:
        sent = self._sent.get(stuck.thing)
        return sent.times if sent is not None and sent.version == stuck.version else 0

    def _is_due(self, stuck: Stuck, now_s: float) -> bool:
        times = self._times(stuck)
        if not times:
            return stuck.stale_s >= stuck.patience_s
        pause_s = stuck.patience_s * min(1 << times, PAUSE_FACTOR_MAX)
        return now_s - self._sent[stuck.thing].at_s >= pause_s

    def _in_flight(self, here: Sequence[Stuck], now_s: float) -> int:
        """Ours that may still be on the queue: after their patience they were handled to no avail, or are lost."""
        return sum(
            1 for stuck in here if self._times(stuck) and now_s - self._sent[stuck.thing].at_s < stuck.patience_s
        )

    def _doubts(self, stuck: Stuck, now_s: float) -> bool:
        """Whether to wake what its queue's count says is on its way, since it has waited for too long to believe it."""
        trusted_s = HINT_FACTOR * stuck.patience_s
        if stuck.stale_s < trusted_s:
            return False
        recent = [at_s for at_s in self._doubted.get(stuck.queue, []) if now_s - at_s < trusted_s]
        doubts = len(recent) < DOUBTS_MAX
        self._doubted[stuck.queue] = [*recent, now_s] if doubts else recent
        return doubts

    def _turn(self, stuck: Stuck) -> tuple[int, int]:
        """Fewest wake-ups first; then in an order of this process's own."""
        return self._times(stuck), zlib.crc32(f"{self._salt} {stuck.thing}".encode())


def _queue_of(thing: Thing) -> str:
    match thing[0]:
        case "count" | "slice":
            return "slices"
        case "on_demand":
            return ON_DEMAND_QUEUE
        case _:
            return "collector"
