"""An SQS queue and its dead-letter queue in memory, on the fake clock.

At least once: a message comes back when its visibility ends, and after `max_receive` deliveries it goes to the
dead-letter queue by itself, without a reason. In sending order unless a `shuffle` is given, but for the groups that
fair queues serve last.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from quarry_core.aws.dead_letters import dead_lettered
from quarry_core.errors import Missing, Refused
from quarry_core.ports import Message
from tests.world.clock import FakeClock
from tests.world.faults import Faults

BODY_BYTES_MAX = 1_048_576
# How often, in virtual time, a long poll looks again.
LOOK_AGAIN_S = 1.0
RESTORED = 1_000_000


@dataclass(slots=True, eq=False)
class _Held:
    id: str
    body: str
    attributes: dict[str, str]
    sent_at_ms: int
    visible_at: float
    delayed: bool
    receive_count: int = 0
    receipt: str = ""
    group: str = ""
    sender: str = ""
    place: int = 0


@dataclass(slots=True)
class _Contents:
    waiting: dict[int, _Held] = field(default_factory=dict)  # by the order of their coming
    flying: dict[int, _Held] = field(
        default_factory=dict
    )  # of these, those that were received and may still be in flight
    receipts: dict[str, int] = field(default_factory=dict)
    came: int = 0
    dead: list[Message] = field(default_factory=list)
    numbered: int = 0
    deliveries: int = 0
    redelivered: int = 0

    def add(self, held: _Held) -> None:
        self.came += 1
        held.place = self.came
        self.waiting[held.place] = held

    def remove(self, held: _Held) -> None:
        del self.waiting[held.place]
        self.flying.pop(held.place, None)
        self.receipts.pop(held.receipt, None)

    def received(self, held: _Held, receipt: str) -> None:
        self.receipts.pop(held.receipt, None)
        held.receipt = receipt
        self.receipts[receipt] = held.place
        self.flying[held.place] = held


class FakeQueue:
    def __init__(
        self,
        name: str,
        clock: FakeClock,
        *,
        visibility_s: float = 30,
        max_receive: int = 30,
        faults: Faults | None = None,
        shuffle: random.Random | None = None,
    ) -> None:
        self.name = name
        self.visibility_s = visibility_s
        self.max_receive = max_receive
        self.sender = ""  # under which SQS knows who sends by `send`
        self._clock = clock
        self._shuffle = shuffle
        self._contents = _Contents()
        self._faults = faults or Faults()

    def for_worker(self, faults: Faults) -> FakeQueue:
        """The same queue, as another worker reaches it."""
        seen = copy.copy(self)
        seen._faults = faults
        return seen

    # ------------------------------------------------------------------ the port

    async def receive(self, most: int, wait_s: int) -> Sequence[Message]:
        if not (1 <= most <= 10 and 0 <= wait_s <= 20):
            raise ValueError(f"SQS gives 1 to 10 messages within 0 to 20 s, not {most} within {wait_s}")
        async with self._faults.call("queue.receive", self.name):
            end = self._clock.monotonic() + wait_s
            while not (taken := self._take(most)) and (left := end - self._clock.monotonic()) > 0:
                await self._more(left)
            return taken

    async def send(
        self, body: str, attributes: Mapping[str, str] | None = None, delay_s: int = 0, *, group: str = ""
    ) -> str:
        given = dict(attributes or {})
        if not 0 <= delay_s <= 900 or len(given) > 10 or not all(given.values()):
            raise ValueError(f"SQS takes a delay of 0 to 900 s and 10 attributes with values: {delay_s}, {given}")
        async with self._faults.call("queue.send", self.name, body):
            return self.put(body, given, delay_s, group=group, sender=self.sender)

    async def ack(self, message: Message) -> None:
        async with self._faults.call("queue.ack", self.name, message):
            held = self._held(message)
            if held is not None:
                self._contents.remove(held)

    async def ack_all(self, messages: Sequence[Message]) -> None:
        if not 1 <= len(messages) <= 10:
            raise ValueError(f"SQS deletes 1 to 10 messages at once, not {len(messages)}")
        async with self._faults.call("queue.ack_all", self.name, messages):
            for message in messages:
                if (held := self._held(message)) is not None:
                    self._contents.remove(held)

    async def extend(self, message: Message, visibility_s: int) -> None:
        if not 0 <= visibility_s <= 43_200:
            raise ValueError(f"SQS keeps a message for 0 to 43200 s, not {visibility_s}")
        async with self._faults.call("queue.extend", self.name, message):
            held = self._held(message)
            if held is None:
                raise Missing(f"message {message.id} of {self.name} is no longer ours")
            held.visible_at = self._clock.monotonic() + visibility_s
            self._contents.flying[held.place] = held

    async def dead_letter(self, message: Message, reason: str, step: str) -> None:
        async with self._faults.call("queue.dead_letter", self.name, message):
            body, attributes = dead_lettered(message, reason, step)
            if _bytes(body, attributes) > BODY_BYTES_MAX:
                body, attributes = dead_lettered(message, reason, step, cut=True)
            self._contents.dead.append(Message(self._number(), body, "", attributes, 0, self._now_ms()))

    async def backlog(self) -> int:
        async with self._faults.call("queue.backlog", self.name):
            return len(self._contents.waiting)

    async def depth(self) -> Mapping[str, int]:
        async with self._faults.call("queue.depth", self.name):
            now = self._clock.monotonic()
            hidden = [held for held in self._contents.waiting.values() if held.visible_at > now]
            delayed = sum(held.delayed for held in hidden)
            return {
                "visible": len(self._contents.waiting) - len(hidden),
                "in_flight": len(hidden) - delayed,
                "delayed": delayed,
                "dead": len(self._contents.dead),
            }

    # ------------------------------------------------------------------ what a test may look at and do

    @property
    def dead(self) -> Sequence[Message]:
        """The dead-letter messages, oldest first."""
        return tuple(self._contents.dead)

    @property
    def deliveries(self) -> int:
        """How many messages were ever handed out."""
        return self._contents.deliveries

    @property
    def redelivered(self) -> int:
        """Of these, how many had been handed out before."""
        return self._contents.redelivered

    @property
    def bodies(self) -> Sequence[str]:
        """What is on the queue, in flight or not."""
        return tuple(held.body for held in self._contents.waiting.values())

    @property
    def groups(self) -> Sequence[str]:
        """Of what is on the queue, in flight or not: the group of each."""
        return tuple(held.group for held in self._contents.waiting.values())

    @property
    def waiting(self) -> Sequence[tuple[Message, float]]:
        """What is on the queue, and for how many seconds from now nobody is given it: it is in flight, or delayed."""
        now = self._clock.monotonic()
        return tuple((_reported(held), max(0.0, held.visible_at - now)) for held in self._contents.waiting.values())

    def restore(self, waiting: Iterable[tuple[Message, float]], dead: Iterable[Message]) -> None:
        """These messages and no others, with their ids and counts; each hidden for so many seconds from now."""
        now = self._clock.monotonic()
        for held in list(self._contents.waiting.values()):
            self._contents.remove(held)
        for message, hidden_s in waiting:
            held = _Held(
                message.id,
                message.body,
                dict(message.attributes),
                message.sent_at_ms,
                now + hidden_s,
                delayed=hidden_s > 0 and not message.receive_count,
                receive_count=message.receive_count,
            )
            self._contents.add(held)
            if hidden_s > 0 and not held.delayed:
                self._contents.flying[held.place] = held
        self._contents.dead = list(dead)
        self._contents.numbered += RESTORED  # an id that was given before is not given again

    def put(
        self,
        body: str,
        attributes: Mapping[str, str] | None = None,
        delay_s: float = 0,
        *,
        group: str = "",
        sender: str = "",
    ) -> str:
        """Somebody else's send: no worker's call is counted."""
        given = dict(attributes or {})
        if not body or _bytes(body, given) > BODY_BYTES_MAX:
            raise Refused(f"{self.name}: SQS takes bodies of 1 to {BODY_BYTES_MAX} bytes", "InvalidParameterValue")
        visible_at = self._clock.monotonic() + delay_s
        held = _Held(
            self._number(), body, given, self._now_ms(), visible_at, delayed=delay_s > 0, group=group, sender=sender
        )
        self._contents.add(held)
        return held.id

    def deliver_again(self, message: Message) -> None:
        """The duplicate that SQS may always bring, even after a delete."""
        copied = _Held(
            message.id,
            message.body,
            dict(message.attributes),
            message.sent_at_ms,
            self._clock.monotonic(),
            delayed=False,
        )
        self._contents.add(copied)

    def redrive(self) -> int:
        """Move all dead-letter messages back, as an operator does after the fix. Gives their number."""
        dead, self._contents.dead = self._contents.dead, []
        for dead_letter in dead:
            self.put(dead_letter.body, dead_letter.attributes)
        return len(dead)

    # ------------------------------------------------------------------ inside

    async def _more(self, left_s: float) -> None:
        """Wait until there may be more to take, at most for so long."""
        await self._clock.sleep(min(left_s, LOOK_AGAIN_S))

    def _take(self, most: int) -> list[Message]:
        now = self._clock.monotonic()
        ready: Iterable[_Held] = (held for held in self._contents.waiting.values() if held.visible_at <= now)
        if self._shuffle is not None:
            ready = list(ready)
            self._shuffle.shuffle(ready)
        if noisy := self._noisy(now):
            ready = sorted(ready, key=lambda held: held.group in noisy)  # stable: those are served last
        taken: list[Message] = []
        dead: list[_Held] = []
        for held in ready:
            if held.receive_count >= self.max_receive:
                dead.append(held)
                continue
            if len(taken) == most:
                break
            held.receive_count += 1
            self._contents.deliveries += 1
            self._contents.redelivered += held.receive_count > 1
            self._contents.received(held, f"{held.id}/{held.receive_count}/{self._number()}")
            held.visible_at = now + self.visibility_s
            held.delayed = False
            taken.append(_reported(held))
        for held in dead:
            self._contents.remove(held)
            self._contents.dead.append(_reported(held))
        return taken

    def _noisy(self, now: float) -> set[str]:
        """The groups that SQS serves last: more than a tenth, and at least 30, of the messages in flight (SQS guide)."""
        for held in [held for held in self._contents.flying.values() if held.visible_at <= now]:
            del self._contents.flying[held.place]
        flying = Counter(held.group for held in self._contents.flying.values())
        return {group for group, count in flying.items() if group and count >= 30 and count > flying.total() / 10}

    def _held(self, message: Message) -> _Held | None:
        place = self._contents.receipts.get(message.receipt)
        return None if place is None else self._contents.waiting[place]

    def _number(self) -> str:
        self._contents.numbered += 1
        return f"{self.name}-{self._contents.numbered}"

    def _now_ms(self) -> int:
        return round(self._clock.now().timestamp() * 1000)


def _reported(held: _Held) -> Message:
    attributes = dict(held.attributes)
    return Message(
        held.id, held.body, held.receipt, attributes, held.receive_count, held.sent_at_ms, sender=held.sender
    )


def _bytes(body: str, attributes: Mapping[str, str]) -> int:
    texts = (body, *attributes, *attributes.values())
    return sum(len(text.encode()) for text in texts) + len("String") * len(attributes)
