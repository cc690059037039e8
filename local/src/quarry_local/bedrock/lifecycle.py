"""Lifecycle: each job's course, driven on the clock; the only place that moves a job.

One task per job asks `jobs.next_move` what comes next and when, waits, does the status's work in a few threads that all
jobs share, and moves the job. A stop moves the job from outside and wakes its task, so every step, when it comes
back from waiting or working, looks whether the status is still its own. Outputs are written before the job is terminal.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from zlib import crc32

from botocore.exceptions import BotoCoreError, ClientError

from quarry_local.bedrock.clock import SimulatedClock
from quarry_local.bedrock.errors import invalid
from quarry_local.bedrock.events.dispatch import Dispatch
from quarry_local.bedrock.events.envelope import event_of
from quarry_local.bedrock.families.registry import answering
from quarry_local.bedrock.faults.plan import FAILED_BY_FAULT, RecordFates, job_fault
from quarry_local.bedrock.jobs.job import Counts, Job, Progress, Status, foreign_progress, next_move, plan_progress
from quarry_local.bedrock.jobs.limits import own_limits
from quarry_local.bedrock.jobs.records import Halted, InputFile, Unfit, validate
from quarry_local.bedrock.jobs.register import Register
from quarry_local.bedrock.jobs.spool import Spool
from quarry_local.bedrock.settings import LiveSettings

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class _Course:
    """What a job needs while it is active."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    files: list[InputFile] = field(default_factory=list)
    spool: Spool | None = None
    answered: "Future[None] | None" = None
    done: int = 0


@dataclass(frozen=True, slots=True)
class _Move:
    to: Status
    message: str | None = None


class Lifecycle:
    def __init__(
        self,
        register: Register,
        clock: SimulatedClock,
        dispatch: Dispatch,
        s3: Any,
        live: Callable[[], LiveSettings],
        *,
        workers: int,
        seed: int,
        access: Callable[[Job], None] = lambda _: None,
        suffered: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._register = register
        self._clock = clock
        self._dispatch = dispatch
        self._s3 = s3
        self._live = live
        self._seed = seed
        self._suffered = suffered
        self._access = access
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="records")
        self._courses: dict[str, _Course] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False

    def begin(self, job: Job) -> "asyncio.Task[None]":
        self._courses[job.id] = _Course()
        job.fault = None if job.foreign else job_fault(self._seed, job.name, self._live())
        if job.fault:
            self._suffered(f"job_{job.fault}")
        self._announce(job)
        task = asyncio.create_task(self._live_out(job))
        self._clock.begin_work(task)
        task.add_done_callback(self._clock.end_work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def stop(self, job: Job) -> None:
        """Ask the job to stop.

        Raises:
            ApiError: ValidationException, when it has ended (contract section 1.5).
        """
        if job.status is Status.STOPPING:
            return
        if not job.active:
            # The end of the message was seen live (contract section 1.5).
            raise invalid(f"The job {job.arn} cannot be stopped. State was: {job.status.value}")
        course = self._courses[job.id]
        course.done = self._processed(job)
        if course.spool:
            course.spool.halt()
        self._move(job, _Move(Status.STOPPING))
        course.woken.set()

    def wake(self) -> None:
        """The clock or the settings have changed: everyone reckons anew."""
        for course in self._courses.values():
            course.woken.set()

    def counts(self, job: Job) -> Counts:
        """The job's counts at this moment."""
        course = self._courses.get(job.id)
        if course is None or course.spool is None:
            return job.counts
        done = course.done if job.status is Status.STOPPING else self._processed(job)
        return course.spool.counts(done)

    async def close(self) -> None:
        self._ending = True
        for course in self._courses.values():
            if course.spool:
                course.spool.halt()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _processed(self, job: Job) -> int:
        """Records that are processed by the clock's reckoning, as far as the work has really come."""
        course = self._courses[job.id]
        if job.progress is None or course.spool is None:
            return 0
        return min(job.progress.processed(self._clock.now()), len(course.spool))

    async def _live_out(self, job: Job) -> None:
        course = self._courses[job.id]
        try:
            while job.active:
                move = await self._step(job, course)
                if move is not None:
                    self._move(job, move)
        except Exception:
            # A fault of the simulator's own must not leave a job active for ever, nor go unseen.
            log.exception("job %s", job.arn)
            if job.active and Status.FAILED is not job.status:
                self._move(job, _Move(Status.FAILED, "Internal error"))
        finally:
            _dispose(course)
            del self._courses[job.id]

    async def _step(self, job: Job, course: _Course) -> _Move | None:
        """The work of the job's status; the move that follows, or None when the job was moved meanwhile."""
        if job.foreign:
            return await self._stay(job, course)
        try:
            match job.status:
                case Status.VALIDATING:
                    return await self._validate(job, course)
                case Status.IN_PROGRESS:
                    return await self._run(job, course)
                case Status.STOPPING:
                    return await self._finish_stop(job, course)
                case _:
                    return await self._stay(job, course)
        except Unfit as unfit:
            wrong = str(unfit)
        except (ClientError, BotoCoreError) as error:
            wrong = f"The job's files could not be read or written: {error}"
        return _Move(Status.FAILED, wrong)

    async def _stay(self, job: Job, course: _Course) -> _Move | None:
        """Wait until the next move is due."""
        status = job.status
        while True:
            live = self._live()
            due = next_move(job, live, capacity=self._register.has_capacity(job, live))
            if due is None:
                raise AssertionError("only active jobs stay")
            if due.at <= self._clock.now():
                return _Move(due.to)
            course.woken.clear()
            await self._clock.until(due.at, course.woken)
            if job.status is not status:
                return None

    async def _validate(self, job: Job, course: _Course) -> _Move | None:
        uri = job.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
        unfit: Unfit | None = None
        try:
            course.files = await self._work(self._judge, job, uri)
        except Unfit as wrong:
            unfit = wrong
        except Halted:
            return None
        if job.status is not Status.VALIDATING:
            return None
        move = await self._stay(job, course)
        return _Move(Status.FAILED, str(unfit)) if move and unfit else move

    def _judge(self, job: Job, uri: str) -> list[InputFile]:
        """What Validating checks: access first, for nothing can be read without it."""
        self._access(job)
        return validate(self._s3, job.arn, uri, own_limits(job.model, self._live()), self._halted(job))

    async def _run(self, job: Job, course: _Course) -> _Move | None:
        live = self._live()
        progress = job.progress
        if progress is None:
            raise AssertionError("a running job has a plan")
        uri = job.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
        spool = course.spool = Spool(progress.total, uri)
        fates = RecordFates(self._seed, job.name, live)
        course.answered = self._workers.submit(
            spool.answer, self._s3, course.files, progress.done, answering(job.model, job.invocation_type), fates
        )
        if self._clock.stepped:
            # How far the work has come must not follow from how fast this machine is.
            await asyncio.wrap_future(course.answered)
        if live.job_output_early:
            await self._publish_early(job, course, spool, progress)
        move = await self._stay(job, course)
        if move is None:
            return None
        await asyncio.wrap_future(course.answered)
        if job.status is not Status.IN_PROGRESS:
            return None
        if len(spool) < progress.done:
            raise Unfit("The input changed while the job was running")
        course.done = progress.done
        if move.to is Status.FAILED:
            move = _Move(Status.FAILED, FAILED_BY_FAULT)
        if move.to is Status.FAILED and not live.job_failed_output:
            job.counts = spool.counts(course.done)
        else:
            await self._publish(job, spool, course.done)
        return move if job.status is Status.IN_PROGRESS else None

    async def _finish_stop(self, job: Job, course: _Course) -> _Move | None:
        if course.spool and course.answered:
            await asyncio.wrap_future(course.answered)
            await self._publish(job, course.spool, course.done)
        return await self._stay(job, course)

    async def _publish_early(self, job: Job, course: _Course, spool: Spool, progress: Progress) -> None:
        """Write what is done when half of it should be; nothing if the job is stopped before."""
        half_at = progress.first_at + progress.per_record_s * progress.done / 2
        while self._clock.now() < half_at:
            course.woken.clear()
            await self._clock.until(half_at, course.woken)
            if job.status is not Status.IN_PROGRESS:
                return
        done = self._processed(job)
        if done:
            self._suffered("job_output_early")
            await self._publish(job, spool, done, ended=False)

    async def _publish(self, job: Job, spool: Spool, done: int, *, ended: bool = True) -> None:
        config = job.request["outputDataConfig"]["s3OutputDataConfig"]
        seed = crc32(f"{self._seed}/{job.name}".encode())
        try:
            publish = partial(spool.publish, ended=ended)
            await self._work(publish, self._s3, config, job.id, done, seed, lambda: self._ending)
        except Halted:
            return
        if ended:
            job.counts = spool.counts(done)

    def _halted(self, job: Job) -> Callable[[], bool]:
        return lambda: self._ending or job.status is Status.STOPPING

    async def _work(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work, *arguments)

    def _move(self, job: Job, move: _Move) -> None:
        if move.to is Status.IN_PROGRESS:
            total = sum(file.records for file in self._courses[job.id].files)
            plan = foreign_progress if job.foreign else plan_progress
            job.progress = plan(job, total, self._clock.now(), self._live())
            job.counts = Counts(total)
        left_pool = job.status is Status.IN_PROGRESS
        self._register.move(job, move.to, move.message)
        self._announce(job)
        if left_pool and self._live().quota_mode == "queue":
            self.wake()

    def _announce(self, job: Job) -> None:
        self._dispatch.offer(
            event_of(job, account=self._register.account, region=self._register.region, at=job.entered_at)
        )


def _dispose(course: _Course) -> None:
    """Close the spool when no thread writes to it any more."""
    if course.spool is None:
        return
    spool = course.spool
    spool.halt()
    if course.answered is None or course.answered.cancel() or course.answered.done():
        spool.close()
    else:
        course.answered.add_done_callback(lambda _: spool.close())
