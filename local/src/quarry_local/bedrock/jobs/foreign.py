"""Jobs of somebody else: they take slots of a pool and end by themselves.

For each slot that a pool is to lose (`foreign_jobs`), one job at a time is created like any other, without files; when
it ends, the next one comes after a pause. Where the pool is full, it is refused as anybody would be, and tries again
after the same pause. When the fault is taken away or made smaller, those beyond it are stopped, as their owner might.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from quarry_local.bedrock.clock import SimulatedClock
from quarry_local.bedrock.errors import ApiError
from quarry_local.bedrock.faults.plan import Faults
from quarry_local.bedrock.jobs.job import Job

log = logging.getLogger(__name__)


class Foreigners:
    """Keeps as many foreign jobs standing as the faults say.

    Args:
        create: begins a job for this request as somebody else's; gives it and the task of its life; raises ApiError.
        stop: asks an active job to stop.
        clock: on which jobs live and pauses pass.
        faults: as they are set now.
    """

    def __init__(
        self,
        create: Callable[[dict[str, Any]], "tuple[Job, asyncio.Task[None]]"],
        stop: Callable[[Job], None],
        clock: SimulatedClock,
        faults: Callable[[], Faults],
    ) -> None:
        self._create = create
        self._stop = stop
        self._clock = clock
        self._faults = faults
        self._slots: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._standing: dict[tuple[str, int], Job] = {}
        self._woken = asyncio.Event()

    def keep(self) -> None:
        """Have a taker for every slot that the faults name; at the start and after each change of them."""
        self._woken.set()
        for (pool, slot), job in self._standing.items():
            if job.active and slot >= self._faults().foreign_jobs.get(pool, 0):
                self._stop(job)
        for pool, number in self._faults().foreign_jobs.items():
            for slot in range(number):
                standing = self._slots.get((pool, slot))
                if standing is None or standing.done():
                    task = self._slots[pool, slot] = asyncio.create_task(self._take(pool, slot))
                    self._clock.begin_work(task)
                    task.add_done_callback(self._clock.end_work)

    async def _take(self, pool: str, slot: int) -> None:
        number = 0
        try:
            while slot < self._faults().foreign_jobs.get(pool, 0):
                number += 1
                try:
                    self._standing[pool, slot], life = self._create(_request(pool, slot, number))
                    await self._outlive(life)
                except ApiError as refused:
                    log.info("foreign job refused: %s", refused)
                await self._wait(self._clock.now() + self._faults().foreign_pause_s)
        except Exception:
            # A pool whose name is no model's, for one: told in the log, and no slot is taken.
            log.exception("foreign jobs of %s", pool)

    async def _outlive(self, life: "asyncio.Task[None]") -> None:
        here = asyncio.current_task()
        if here is None:
            raise AssertionError("a coroutine runs in a task")
        self._clock.end_work(here)
        await asyncio.wait({life})
        self._clock.begin_work(here)

    async def _wait(self, until: float) -> None:
        self._woken.clear()
        await self._clock.until(until, self._woken)

    async def close(self) -> None:
        for task in self._slots.values():
            task.cancel()
        await asyncio.gather(*self._slots.values(), return_exceptions=True)


def _request(pool: str, slot: int, number: int) -> dict[str, Any]:
    location = {"s3Uri": "s3://somebody-elses-bucket/somebody-elses-file.jsonl"}
    return {
        "jobName": f"somebody-elses-job-{slot}-{number}",
        "roleArn": "arn:aws:iam::000000000000:role/somebody-else",
        "modelId": pool,
        "inputDataConfig": {"s3InputDataConfig": location},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://somebody-elses-bucket/out/"}},
    }
