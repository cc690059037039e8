"""Carries events from the jobs to the delivery: in the order they came, after their delay, past the faults.

One task and one thread, so that without faults the order of events is the order of the changes. A job never waits for
its events: they may come before Create's answer is read, or never (contract section 3). Only a Create that is to
be answered after its own event waits for it, by `hurry`.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol

from quarry_local.bedrock.clock import SimulatedClock
from quarry_local.bedrock.events.envelope import Disorder, Event, EventFigures
from quarry_local.bedrock.faults.plan import Faults

log = logging.getLogger(__name__)


class Deliverer(Protocol):
    def deliver(self, envelope: str) -> None: ...


@dataclass(order=True, slots=True)
class _Waiting:
    at: float
    """When it is due, but for the delay that all events have."""
    order: int
    event: Event = field(compare=False)
    dealt_with: asyncio.Event | None = field(default=None, compare=False)


class Dispatch:
    def __init__(
        self,
        delivery: Deliverer,
        disorder: Disorder,
        figures: EventFigures,
        clock: SimulatedClock,
        live: Callable[[], Faults],
    ) -> None:
        self._delivery = delivery
        self._disorder = disorder
        self._figures = figures
        self._clock = clock
        self._live = live
        self._waiting: list[_Waiting] = []
        self._orders = count()
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="events")

    def offer(self, event: Event) -> None:
        self._figures.produced += 1
        late_s = self._disorder.lateness_s(event, self._live())
        heappush(self._waiting, _Waiting(event.at + late_s, next(self._orders), event))
        if self._task:
            self._clock.begin_work(self._task)
        self._woken.set()

    async def hurry(self, job_arn: str) -> None:
        """If the job's first event is one that comes early, return when it has been dealt with."""
        for waiting in self._waiting:
            if waiting.event.job_arn == job_arn and self._disorder.comes_early(waiting.event, self._live()):
                break
        else:
            return
        self._figures.early += 1
        dealt_with = waiting.dealt_with = asyncio.Event()
        waiting.at = float("-inf")
        heapify(self._waiting)
        self._woken.set()
        await dealt_with.wait()

    def wake(self) -> None:
        """The clock's speed or the delay has changed."""
        self._woken.set()

    async def run(self) -> None:
        task = self._task = asyncio.current_task()
        assert task is not None
        while True:
            if not self._waiting:
                self._clock.end_work(task)
                await self._until_offered()
            due = self._waiting[0].at + self._live().events_delay_s
            if self._clock.now() < due:
                self._woken.clear()
                await self._clock.until(due, self._woken)
                continue
            waiting = heappop(self._waiting)
            try:
                await self._deliver(waiting.event)
            finally:
                if waiting.dealt_with:
                    waiting.dealt_with.set()

    async def _until_offered(self) -> None:
        while not self._waiting:
            self._woken.clear()
            await self._woken.wait()

    async def _deliver(self, event: Event) -> None:
        loop = asyncio.get_running_loop()
        for going in self._disorder.offer(event, self._live()):
            try:
                await loop.run_in_executor(self._thread, self._delivery.deliver, going.envelope)
            except Exception:
                # One event that cannot be sent must not end the sending of all others.
                self._figures.undeliverable += 1
                log.exception("event not delivered: %s %s", going.job_arn, going.status)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
