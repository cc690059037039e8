"""Carries events from the jobs to the delivery: in the order they came, after their delay, past the faults.

One task and one thread, so that without faults the order of events is the order of the changes. A job never waits for
its events: they may come before Create's answer is read, or never (contract section 3).
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from quarry_local.bedrock.clock import SimulatedClock
from quarry_local.bedrock.delivery import Delivery
from quarry_local.bedrock.events import Disorder, Event, EventFigures
from quarry_local.bedrock.settings import LiveSettings

log = logging.getLogger(__name__)


class Courier:
    def __init__(
        self,
        delivery: Delivery,
        disorder: Disorder,
        figures: EventFigures,
        clock: SimulatedClock,
        live: Callable[[], LiveSettings],
    ) -> None:
        self._delivery = delivery
        self._disorder = disorder
        self._figures = figures
        self._clock = clock
        self._live = live
        self._queue: asyncio.Queue[Event] = asyncio.Queue()
        self._woken = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="events")

    def offer(self, event: Event) -> None:
        self._figures.produced += 1
        self._queue.put_nowait(event)

    def wake(self) -> None:
        """The clock's speed or the delay has changed."""
        self._woken.set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            event = await self._queue.get()
            while self._clock.now() < (due := event.at + self._live().events_delay_s):
                self._woken.clear()
                await self._clock.until(due, self._woken)
            for going in self._disorder.offer(event, self._live()):
                try:
                    await loop.run_in_executor(self._thread, self._delivery.deliver, going.envelope)
                except Exception:
                    # One event that cannot be sent must not end the sending of all others.
                    self._figures.undeliverable += 1
                    log.exception("event not delivered: %s %s", going.job_arn, going.status)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
