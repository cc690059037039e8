"""What AWS does by itself in a simulation: queues that deliver twice and out of order, jobs that live, events that err."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quarry_core.contract.names import parse_s3_uri
from quarry_core.ports import Job, Message
from tests.world.bedrock import FakeBedrock, event
from tests.world.jobs import ACTIVE
from tests.world.queue import FakeQueue
from tests.world.world import SimulatedWorld

ENDINGS = ("Completed", "PartiallyCompleted", "Expired", "Stopped", "Failed")


@dataclass(frozen=True)
class Bus:
    """What becomes of an event, or of a message, in shares of all."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    late_max_s: float = 600.0
    false_ends: float = 0.0  # a job's end is told when it has only begun
    redelivered: float = 0.0  # a message comes again after it was deleted
    shuffled: bool = False


CALM = Bus()


class SimQueue(FakeQueue):
    """Wakes who waits when there is something to take, so that an idle queue costs one call a poll."""

    bus: Bus = CALM
    chance = random.Random(0)
    patience_s = 0.0  # an idle poll lasts at least so long: for days in which nothing comes

    async def receive(self, most: int, wait_s: int) -> Sequence[Message]:
        if not self.patience_s:
            return await super().receive(most, wait_s)
        async with self._faults.call("queue.receive", self.name):
            while not (taken := self._take(most)):
                await self._more(self.patience_s)
            return taken

    def put(self, body: str, attributes: Mapping[str, str] | None = None, delay_s: float = 0, **options: Any) -> str:
        message_id = super().put(body, attributes, delay_s, **options)
        self._look()
        return message_id

    async def extend(self, message: Message, visibility_s: int) -> None:
        await super().extend(message, visibility_s)
        self._look()

    async def ack(self, message: Message) -> None:
        await super().ack(message)
        self._perhaps_again(message)

    async def ack_all(self, messages: Sequence[Message]) -> None:
        await super().ack_all(messages)
        for message in messages:
            self._perhaps_again(message)

    def _perhaps_again(self, message: Message) -> None:
        if self.bus.redelivered and self.chance.random() < self.bus.redelivered:
            asyncio.get_running_loop().call_later(self.chance.uniform(0, 120), self._again, message)

    def _again(self, message: Message) -> None:
        self.deliver_again(message)
        self._look()

    def _look(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    @property
    def _waiters(self) -> list[asyncio.Future[None]]:
        waiters: list[asyncio.Future[None]] = self.__dict__.setdefault("_arrivals", [])
        return waiters

    async def _more(self, left_s: float) -> None:
        now_s = self._clock.monotonic()
        hidden = [held.visible_at - now_s for held in self._contents.waiting.values() if held.visible_at > now_s]
        arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(arrival)
        await asyncio.wait([arrival], timeout=min([left_s, *hidden]))


@dataclass(frozen=True)
class JobCourse:
    """How jobs live, drawn by seed and name.

    lasts_s: from Create to the end, from and to.
    cut_share: of the jobs, how many end otherwise than Completed.
    attempts_failing_max: later attempts of a shard complete, so that each run can come to its end.
    """

    lasts_s: tuple[float, float] = (60.0, 200.0)
    cut_share: float = 0.0
    attempts_failing_max: int = 2
    missing_share: float = 0.0
    error_share: float = 0.0
    throttled_share: float = 0.0


class LivingBedrock(FakeBedrock):
    """Each job that is created goes its way by itself."""

    def live(self, course: JobCourse, bus: Bus) -> None:
        self.course = course
        self.bus = bus
        self.missing_share, self.error_share = course.missing_share, course.error_share
        self.throttled_share = course.throttled_share
        self.jobs.watch(self._begin)

    def _begin(self, job: Job) -> None:
        if not job.input_uri.startswith(f"s3://{self.objects.bucket}/"):
            return  # somebody else's
        life = asyncio.get_running_loop().create_task(self._live(job))
        life.owner = None  # type: ignore[attr-defined]  # not of the process that asked for the job: it may crash

    async def _live(self, job: Job) -> None:
        chance = random.Random(f"{self.seed} {job.arn}")
        lasts_s = chance.uniform(*self.course.lasts_s)
        self.tell(job, "Submitted")
        await asyncio.sleep(lasts_s * 0.2)
        key = parse_s3_uri(job.input_uri)[1]
        if key not in self.objects.bodies:
            # The input of a settled shard is gone: a job that comes too late is refused unpaid.
            self.jobs.finish(job.arn, "Failed", message="ValidationException: the input was not found")
            self.tell(job, "Failed")
            return
        if self._status(job) != "Stopping":
            self.begin(job)
        if chance.random() < self.bus.false_ends:
            self.tell(job, "Completed")
        await asyncio.sleep(lasts_s * 0.8)
        status = self._ending(job, chance)
        # What is settled meanwhile, by another job of the shard, has no input any more: the rest of this one comes to nothing.
        gone = key not in self.objects.bodies
        if gone and status != "Stopped":
            status = "Failed"
        message = "" if status == "Completed" else "as drawn"
        self.end(job, status, message=message, output=status != "Failed" and not gone)

    def _ending(self, job: Job, chance: random.Random) -> str:
        if self._status(job) == "Stopping":
            return "Stopped"
        attempt = int(job.name.rsplit("-", 2)[1])
        if attempt > self.course.attempts_failing_max or chance.random() >= self.course.cut_share:
            return "Completed"
        return chance.choice(ENDINGS)

    def _status(self, job: Job) -> str:
        return next(each.status for each in self.jobs.all if each.arn == job.arn)

    def tell(self, job: Job, status: str, message: str = "") -> None:
        if self._random.random() < self.bus.lost:
            return
        for _ in range(2 if self._random.random() < self.bus.doubled else 1):
            late = self._random.random() < self.bus.late
            delay_s = self._random.uniform(0, self.bus.late_max_s) if late else self._random.uniform(0, 2)
            self.events.put(event(job, status, message), delay_s=delay_s)


class SimulatedAws(SimulatedWorld):
    """The world without its services: those are a `Fleet`'s."""

    def start(self, faults: object = None) -> None:
        pass

    def live(self, course: JobCourse, bus: Bus, seed: int | str) -> None:
        """Let the jobs live, and the queues err."""
        self.bedrock = LivingBedrock(self.jobs, self.objects, self.queues["events"], seed=0)
        self.bedrock._random = random.Random(f"{seed} bus")
        self.bedrock.seed = hash_of(seed)
        self.bedrock.live(course, bus)
        for name, queue in self.queues.items():
            queue.visibility_s = self.settings.visibility_timeout_s
            queue.bus, queue.chance = bus, random.Random(f"{seed} {name}")
            queue._shuffle = random.Random(f"{seed} {name} order") if bus.shuffled else None

    def calm(self) -> None:
        """Events and messages come once and in time from now on."""
        self.bedrock.bus = CALM
        for queue in self.queues.values():
            queue.bus = CALM

    @property
    def active(self) -> list[Job]:
        return [job for job in self.jobs.all if job.status in ACTIVE]


def hash_of(seed: int | str) -> int:
    return random.Random(f"{seed} answers").randrange(1 << 30)
