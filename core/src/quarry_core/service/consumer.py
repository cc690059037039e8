"""Receive, handle, ack: the loop of every queue.

Theory of operation. A consumer takes no more messages than it can work on at once, and where it may, as many besides as it
works off in half a second: messages of short work then come and go ten by a request. While a handler works, or a message
waits for its turn, a heartbeat keeps it invisible. The handler's verdict is closed: `Done` acks, `Retry` hands back, `Poison` dead-letters with
its reason; nothing else acks. An exception is never a verdict of its own, and there are three kinds (`failures.py`).
An outage becomes a `Retry`: a wake-up that met nothing else `wakeup_tries_max` times is acked, for it only says "look",
the ledger's marker stays, and the sweep sends it again; a user's message is `renewed` instead. So an outage, or a
permission that is missing, fills no dead-letter queue. A process that has no disk, memory or file left is treated
alike, and receives nothing until it has paused: it is not the message that failed. What fails by itself is counted by
its step (`steps.py`), which ends the run; where no step knows a run, it is a `Retry` until `tries_max`, then `Poison`
with its text, so that nobody loses a message without a word. Of wake-ups that fail alike one is dead-lettered and the others
are acked: a bug that the sweep sends wake-ups for again and again must not fill the dead-letter queue either. And when the last messages
have all failed alike, nothing more is taken for a while (`breaker.py`): a bad deploy stops, rather than shovel its queue away.

SIGTERM: no new receive; work in hand has `drain_s` to finish, then it is cancelled and handed back at once. A long
poll that is on the wire is let come home, since SQS may have given it messages already; those are handed back too. So
is a heartbeat, which would hide what was handed back before it arrived; and a verdict is told to SQS to the end, since
its work is done. Either has `LAST_CALL_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import assert_never, cast

import structlog

from quarry_core.errors import PortError
from quarry_core.ports import Clock, Message, Queue
from quarry_core.service.breaker import Breaker
from quarry_core.service.delivery import DELIVERY
from quarry_core.service.failures import Failure, Kind, StepFailed, exhausted, failure_of, kind_of, poisoned
from quarry_core.service.joined import Acks
from quarry_core.service.pace import Pace
from quarry_core.service.verdicts import DONE, Done, Poison, Retry, Verdict
from quarry_core.telemetry import metrics

log = structlog.get_logger()

Handler = Callable[[Message], Awaitable[Verdict]]
Renew = Callable[[Message], Awaitable[None]]
Ack = Callable[[Message], Awaitable[None]]
RECEIVE_MAX = 10
HEARTBEATS_PER_VISIBILITY = 3
BACKOFF_FIRST_S = 1.0
AHEAD_S = 0.5
# Given to a call on the wire at the end. A heartbeat, a verdict, and what traces may take, stay within the 10 s that supervisors
# wait beyond the drain.
LAST_CALL_S = 3.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How one consumer works. Times in seconds, counts in messages."""

    concurrency: int
    ahead: int = field(default=0, kw_only=True)  # messages beyond these, while the work on one is short
    visibility_timeout_s: int
    receive_wait_s: int
    retry_after_max_s: float
    drain_s: float
    tries_max: int = 10
    wakeup_tries_max: int | None = None  # None: a message of the user's, which nothing would send again
    pause_max_s: float = 300  # without a receive, while the process has run out of something
    alike_max: int = 10  # distinct messages in a row that fail alike before nothing more is taken


@dataclass(slots=True)
class Counts:
    """What one `run_once` did."""

    done: int = 0
    retry: int = 0
    poison: int = 0
    handed_back: int = 0
    whys: list[str] = field(default_factory=list)

    @property
    def handled(self) -> int:
        return self.done + self.retry + self.poison


class Consumer:
    """One queue and its handler. Safe to be run by any number of processes at once."""

    def __init__(
        self, queue: Queue, handle: Handler, limits: Limits, clock: Clock, step: str, renew: Renew | None = None
    ) -> None:
        """`renew` puts a fresh copy of a message behind the others, for one that nothing would send again."""
        self.queue = queue
        self._handle = handle
        self._limits = limits
        self._clock = clock
        self._step = step
        self._renew = renew
        self._alike: set[str] = set()  # fingerprints of what this process has dead-lettered
        self._breaker = Breaker(limits.alike_max)
        self._exhausted = 0  # messages in a row for which the process had not enough of something
        self._paused_until = 0.0
        self._in_hand: set[asyncio.Task[None]] = set()
        self._unworked = 0  # of these, those whose handler has not said its verdict
        self._room = asyncio.Event()
        self._in_line: set[asyncio.Task[None]] = set()  # of these, those whose handler waits for its turn
        self._concluding: set[asyncio.Task[None]] = set()  # of these, those that tell SQS what their handler said
        self._places = asyncio.Semaphore(limits.concurrency)
        self._pace = Pace()
        self._acks = Acks(queue, clock)
        self._draining = False
        self.counts = Counts()
        self.polled = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set, then drain."""
        failures = 0
        while not stop.is_set():
            if self._unworked >= self._limits.concurrency:
                self._room.clear()
                await _first_of(stop, self._room)
                continue
            if (pause_s := self._pause_s()) > 0:
                await _pause(stop, self._clock, pause_s)
                continue
            ahead = min(self._limits.ahead, self._pace.within(AHEAD_S, self._limits.concurrency))
            free = self._limits.concurrency + ahead - self._unworked
            try:
                messages = await self.queue.receive(min(free, RECEIVE_MAX), self._limits.receive_wait_s)
                failures = 0
            except PortError as error:
                failures += 1
                log.warning("receive_failed", queue=self.queue.name, error=str(error), failures=failures)
                await _pause(stop, self._clock, min(BACKOFF_FIRST_S * 2**failures, 30.0))
                continue
            self.polled.set()
            metrics.QUEUE_LAST_POLL.labels(self.queue.name).set(self._clock.now().timestamp())
            for message in messages:
                if stop.is_set():
                    await self._hand_back(message)
                else:
                    self._begin(message)
        await self._drain()

    @property
    def stopped(self) -> bool:
        """Whether it takes nothing, or only tries again, since all that it took failed alike."""
        return self._breaker.open

    async def run_once(self) -> Counts:
        """Receive once without waiting, handle all of it, and tell what became of it. For tests and tools."""
        before = self.counts
        self.counts = Counts()
        for message in await self.queue.receive(min(self._limits.concurrency, RECEIVE_MAX), 0):
            await self._work(message, self.queue.ack, lambda: None)
        once, self.counts = self.counts, before
        return once

    def _begin(self, message: Message) -> None:
        self._unworked += 1
        task = asyncio.create_task(self._take_turn(message))
        for tasks in (self._in_hand, self._in_line):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def _pause_s(self) -> float:
        """For how long nothing is to be taken, nor begun."""
        now_s = self._clock.monotonic()
        return max(self._paused_until - now_s, self._breaker.pause_s(now_s))

    async def _drain(self) -> None:
        self._draining = True
        for task in self._in_line:
            task.cancel()  # it hands its message back
        if not self._in_hand:
            return
        log.info("draining", queue=self.queue.name, in_hand=len(self._in_hand), drain_s=self._limits.drain_s)
        _, late = await asyncio.wait(self._in_hand, timeout=self._limits.drain_s)
        for task in late - self._concluding:
            task.cancel()
        if concluding := late & self._concluding:
            _, stuck = await asyncio.wait(concluding, timeout=LAST_CALL_S)
            for task in stuck:
                task.cancel()
        if late:
            await asyncio.wait(late)

    async def _take_turn(self, message: Message) -> None:
        """Work on the message when there is a place, unless the process stops or pauses before."""
        if self._places.locked():
            try:
                async with self._kept_invisible(message):
                    await self._places.acquire()
            except asyncio.CancelledError:
                self._worked()
                await self._hand_back(message)
                return
            if self._draining or self._pause_s() > 0:
                self._leave_place()
                await self._hand_back(message)
                return
        else:
            await self._places.acquire()
        self._in_line.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        await self._work(message, self._acks.ack if self._limits.ahead else self.queue.ack, self._leave_place)

    def _leave_place(self) -> None:
        self._places.release()
        self._worked()

    def _worked(self) -> None:
        self._unworked -= 1
        self._room.set()

    @contextlib.asynccontextmanager
    async def _kept_invisible(self, message: Message) -> AsyncIterator[None]:
        heartbeat = asyncio.create_task(self._heartbeat(message))
        try:
            yield
        finally:
            heartbeat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heartbeat

    async def _work(self, message: Message, ack: Ack, worked: Callable[[], None]) -> None:
        """Handle the message and conclude it; `worked` is called between the two."""
        queue = self.queue.name
        metrics.MESSAGES_RECEIVED.labels(queue).inc()
        metrics.MESSAGES_IN_PROGRESS.labels(queue).inc()
        if message.sent_at_ms:
            delay_s = max(0.0, self._clock.now().timestamp() - message.sent_at_ms / 1000)
            metrics.MESSAGE_DELAY.labels(queue).observe(delay_s)
        began = self._clock.monotonic()
        with _lines_about(message_id=message.id, step=self._step):
            try:
                async with self._kept_invisible(message):
                    verdict = await self._verdict(message)
            except asyncio.CancelledError:
                await self._hand_back(message)
                return
            finally:
                metrics.MESSAGES_IN_PROGRESS.labels(queue).dec()
                took_s = self._clock.monotonic() - began
                metrics.MESSAGE_PROCESSING.labels(queue).observe(took_s)
                self._pace.note(took_s)
                worked()
            me = cast("asyncio.Task[None]", asyncio.current_task())
            self._concluding.add(me)
            try:
                await self._conclude(message, verdict, ack)
            except asyncio.CancelledError:  # whether SQS has heard of it is not known
                await self._hand_back(message)
            except PortError as error:
                # Not acked: it comes again when its visibility ends, and every handler may be called twice.
                log.warning("conclude_failed", queue=queue, error=str(error))
            finally:
                self._concluding.discard(me)

    async def _verdict(self, message: Message) -> Verdict:
        at_hand = DELIVERY.set(message)
        try:
            verdict = await self._handle(message)
        except StepFailed as failed:
            self._failed(message, failure_of(failed.__cause__ or failed))
            return self._again(message, str(failed), dead_lettered=False)
        except Exception as error:
            return await self._judge(message, error)
        finally:
            DELIVERY.reset(at_hand)
        self._exhausted = 0
        # A user's message may be wrong by itself, however many are; what the services send each other is not.
        if isinstance(verdict, Poison) and self._limits.wakeup_tries_max is not None:
            if verdict.by_itself:
                self._failed(message, poisoned(verdict.why))
        elif self._breaker.went_well():
            log.info("receiving_again", queue=self.queue.name)
            metrics.CONSUMER_STOPPED.labels(self.queue.name).set(0)
        return verdict

    def _failed(self, message: Message, failure: Failure) -> None:
        """Stop, if the last messages have all failed so."""
        pause_s = self._breaker.failed(message.id, failure.fingerprint, self._clock.monotonic())
        if pause_s:
            log.error(
                "stopped_receiving",
                queue=self.queue.name,
                messages=self._breaker.alike,
                pause_s=pause_s,
                why=failure.sentence,
            )
        metrics.CONSUMER_STOPPED.labels(self.queue.name).set(self._breaker.open)

    async def _judge(self, message: Message, error: Exception) -> Verdict:
        why = f"{type(error).__name__}: {error}"
        match kind_of(error):
            case Kind.OUTAGE:
                return await self._wait_out(message, why)
            case Kind.EXHAUSTED:
                what = exhausted(error) or "resources"
                log.error("exhausted", queue=self.queue.name, what=what, exc_info=error)
                metrics.EXHAUSTED.labels(self.queue.name, what).inc()
                self._exhausted += 1
                pause_s = min(BACKOFF_FIRST_S * 2 ** min(self._exhausted, 10), self._limits.pause_max_s)
                self._paused_until = self._clock.monotonic() + pause_s
                return await self._wait_out(message, f"the worker is out of {what}: {why}")
            case Kind.DETERMINISTIC:
                log.error("handler_failed", queue=self.queue.name, exc_info=error)
                failure = failure_of(error)
                self._failed(message, failure)
                fingerprint = failure.fingerprint
                verdict = self._again(message, why, dead_lettered=fingerprint not in self._alike)
                if isinstance(verdict, Poison):
                    self._alike.add(fingerprint)
                return verdict

    async def _wait_out(self, message: Message, why: str) -> Verdict:
        """It is not the message that failed. It comes again; and its receive count, by which SQS judges, stays low."""
        most = self._limits.wakeup_tries_max
        if most is not None and message.receive_count >= most:
            log.warning("wakeup_given_up", queue=self.queue.name, tries=most, why=why)
            return DONE
        if self._renew is not None and message.receive_count >= self._limits.tries_max:
            try:
                await self._renew(message)
            except PortError as error:
                log.warning("renew_failed", queue=self.queue.name, error=str(error))
            else:
                log.warning("renewed", queue=self.queue.name, tries=message.receive_count, why=why)
                return DONE
        return Retry(self._backoff(message), why)

    def _again(self, message: Message, why: str, *, dead_lettered: bool) -> Verdict:
        """What failed by itself is tried again; in the end a user's message is dead-lettered, and a wake-up where it may."""
        if message.receive_count < self._limits.tries_max:
            return Retry(self._backoff(message), why)
        if dead_lettered or self._limits.wakeup_tries_max is None:
            return Poison(why)
        log.error("wakeup_given_up", queue=self.queue.name, tries=message.receive_count, why=why)
        return DONE

    async def _conclude(self, message: Message, verdict: Verdict, ack: Ack) -> None:
        queue = self.queue.name
        match verdict:
            case Done():
                self.counts.done += 1
                outcome = "done"
            case Retry(after_s, why):
                self.counts.retry += 1
                self.counts.whys.append(why)
                metrics.MESSAGES_PROCESSED.labels(queue, "retry").inc()
                log.info("returned", queue=queue, after_s=after_s, why=why)
                await self.queue.extend(message, int(min(after_s, self._limits.retry_after_max_s)))
                return
            case Poison(why):
                self.counts.poison += 1
                self.counts.whys.append(why)
                outcome = "poison"
                log.error("dead_lettered", queue=queue, why=why)
                await self.queue.dead_letter(message, why, self._step)
            case _:
                assert_never(verdict)
        metrics.MESSAGES_PROCESSED.labels(queue, outcome).inc()
        await ack(message)

    def _backoff(self, message: Message) -> float:
        longest = min(BACKOFF_FIRST_S * 2 ** min(message.receive_count, 10), self._limits.retry_after_max_s)
        return self._clock.uniform(longest / 2, longest)

    async def _heartbeat(self, message: Message) -> None:
        every_s = self._limits.visibility_timeout_s / HEARTBEATS_PER_VISIBILITY
        while True:
            await self._clock.sleep(every_s)
            extended = asyncio.ensure_future(self._extend(message))
            try:
                await asyncio.shield(extended)
            except asyncio.CancelledError:
                await asyncio.wait({extended}, timeout=LAST_CALL_S)
                extended.cancel()
                raise

    async def _extend(self, message: Message) -> None:
        try:
            await self.queue.extend(message, self._limits.visibility_timeout_s)
        except PortError as error:
            # The work goes on: should another consumer take the message too, every write repeats its premise.
            log.warning("heartbeat_failed", queue=self.queue.name, message_id=message.id, error=str(error))

    async def _hand_back(self, message: Message) -> None:
        self.counts.handed_back += 1
        with contextlib.suppress(PortError):
            await self.queue.extend(message, 0)


@contextlib.contextmanager
def _lines_about(**about: str) -> Iterator[None]:
    """Log lines say this from here on, and what the handler binds (its run, its shard); at the end all is as before."""
    before = structlog.contextvars.get_contextvars()
    structlog.contextvars.bind_contextvars(**about)
    try:
        yield
    finally:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(**before)


async def _first_of(stop: asyncio.Event, other: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in (stop, other)]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


async def _pause(stop: asyncio.Event, clock: Clock, seconds: float) -> None:
    stopped = asyncio.create_task(stop.wait())
    pause = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({stopped, pause}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        pause.cancel()


async def every(
    stop: asyncio.Event, clock: Clock, seconds: float, jitter: float, work: Callable[[], Awaitable[object]], what: str
) -> None:
    """Do `work` every `seconds`, give or take the share `jitter`, until `stop` is set; a failed turn is told."""
    while not stop.is_set():
        await _pause(stop, clock, clock.uniform(seconds * (1 - jitter), seconds * (1 + jitter)))
        if stop.is_set():
            return
        try:
            await work()
        except Exception:  # the next turn starts from the table again, so nothing is lost by a failed one
            log.exception("turn_failed", what=what)
