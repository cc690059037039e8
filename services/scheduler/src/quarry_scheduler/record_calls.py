"""Asking one record on demand: when it is its turn, in which tier, and again as long as that helps.

Every record of every shard of this process is asked here, so the rates and the number that is asked at once are the
process's. A tier that a model may not have in this region is found out by the first record: while none has answered, a
refusal is asked again without the tier.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec
import structlog

from quarry_core.contract.on_demand import Record, answer_line, error_line
from quarry_core.contract.run import Pins
from quarry_core.errors import PortError, Refused, Throttled
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Shard
from quarry_core.models import EmptyAnswer, reader_named
from quarry_core.models.on_demand import burndown_of, tier_of
from quarry_core.ports import Clock, InvocationForm, RuntimeRequest
from quarry_core.service.process import World
from quarry_core.telemetry import metrics
from quarry_scheduler.asking import Again, GiveUp, Halt, Outage, Rate, after, tokens_to_reserve, with_limit

log = structlog.get_logger()
POOLS_MAX = 1_000
# What is left of a wait by rounding alone is no time at all.
WAIT_MIN_S = 0.01


@dataclass(slots=True)
class Asking:
    """A shard that this process asks, and how far it is."""

    shard: Shard
    pins: Pins
    tier: str | None  # in which the next record is asked
    checkpoint: int  # the number of the next
    by: str
    proven: str | None  # the tier that has answered; None: none yet
    lines: list[bytes] = field(default_factory=list)  # answers that no checkpoint has yet
    halt: asyncio.Event = field(default_factory=asyncio.Event)  # nothing more is to be asked
    status: str = moves.ANSWERED
    message: str = ""
    error_code: str = ""
    outage: str = ""
    seen_alive_at_s: float = 0.0  # before its latest heartbeat was written, so never later than others may have seen it
    lost: bool = False

    def stop(self, *, status: str = moves.ANSWERED, message: str = "", error_code: str = "", outage: str = "") -> None:
        """Ask nothing more; the first reason stands."""
        if not self.halt.is_set():
            self.status, self.message, self.error_code, self.outage = status, message, error_code, outage
            self.halt.set()


class RecordCalls:
    """Asks records; one for a process, whose rates and concurrency all its shards share.

    Attributes:
        stopping: the process is told to stop: nothing more is asked.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._room = asyncio.Semaphore(world.settings.on_demand_concurrency)
        self._rates: dict[str, tuple[Rate, asyncio.Lock]] = {}  # by pool
        self.stopping = False

    async def line(self, asking: Asking, record: Record) -> bytes | None:
        """A record's line; None if it was not asked to its end, since nothing more is to be asked."""
        world = self._world
        form: InvocationForm = asking.pins.invocation or "InvokeModel"
        body = bytes(record.model_input)
        if form == "Converse":
            body = with_limit(body)
        attempt = 0
        while True:
            attempt += 1
            tier = asking.tier
            try:
                output = await self._call(asking, RuntimeRequest(asking.pins.model_id, form, body, tier))
            except PortError as error:
                failure = error
            else:
                return answer_line(record.record_id, output) if output is not None else None
            if tier is not None and not asking.proven and _of_record(failure):
                # Perhaps for the tier, which not every region has. Asked without it, Bedrock says.
                if asking.tier == tier:
                    log.info("tier_refused", run_id=asking.shard.run_id, tier=tier, error=str(failure))
                asking.tier = None
                attempt -= 1
                continue
            if tier is None and asking.proven is None and _of_record(failure):
                asking.tier = tier_of(asking.pins.model)  # it was not for the tier
            match after(failure, attempt, world.settings.on_demand_attempts_max):
                case Again(pause_max_s):
                    if isinstance(failure, Throttled):
                        self._rate(asking.shard.pool)[0].throttled(world.clock.monotonic())
                    await pause(world.clock, asking.halt, world.clock.uniform(0, pause_max_s))
                case GiveUp(code, message):
                    return error_line(record.record_id, code, message)
                case Halt(message):
                    asking.stop(status=moves.REFUSED, message=message)
                    return None
                case Outage(message):
                    asking.stop(outage=message)
                    return None

    async def _call(self, asking: Asking, invocation: RuntimeRequest) -> bytes | None:
        """Ask once, when it is this record's turn. None: nothing more is to be asked. Raises PortError."""
        reserved = await self._turn(asking, invocation.body)
        if reserved is None:
            return None
        outcome = "aborted"
        try:
            async with self._room:
                if asking.halt.is_set() or self._overdue(asking):
                    return None
                output = await self._world.runtime.ask(invocation)
            outcome = "ok"
        except PortError as error:
            outcome = type(error).__name__.lower()
            raise
        finally:
            metrics.ON_DEMAND_REQUESTS.labels(asking.shard.pool, outcome).inc()
        asking.proven = asking.proven or invocation.tier or ""
        asking.tier = asking.proven or None
        self._settle(asking, reserved, output)
        return output

    def _overdue(self, asking: Asking) -> bool:
        """Whether the sweep may give the shard to another by now: then what this process has in hand stays all there is in doubt.

        A process that was paused comes here before its heartbeat tells it anything.
        """
        if self._world.clock.monotonic() - asking.seen_alive_at_s < self._world.settings.finish_after_s:
            return False
        log.warning("overdue", run_id=asking.shard.run_id, shard=asking.shard.shard)
        asking.stop()
        return True

    async def _turn(self, asking: Asking, body: bytes) -> int | None:
        """Wait until the rates allow a request; the LLM tokens set aside for it. None: nothing more is to be asked."""
        tokens = tokens_to_reserve(body)
        rate, turn = self._rate(asking.shard.pool)
        async with turn:  # first come, first served
            while (wait_s := rate.wait_s(tokens, self._world.clock.monotonic())) > 0 and not asking.halt.is_set():
                await pause(self._world.clock, asking.halt, max(wait_s, WAIT_MIN_S))
            if asking.halt.is_set() or self.stopping:
                return None
            rate.take(tokens, self._world.clock.monotonic())
        return tokens

    def _settle(self, asking: Asking, reserved: int, output: bytes) -> None:
        """Return what was set aside and not used; an answer that cannot be read is the collector's to tell."""
        family = reader_named(asking.pins.family)
        try:
            answer = family.answer(msgspec.json.decode(output, type=family.output_type))
            input_tokens, output_tokens = answer.input_tokens, answer.output_tokens
        except EmptyAnswer as empty:
            input_tokens, output_tokens = empty.input_tokens, empty.output_tokens
        except Exception:
            return
        if input_tokens is None and output_tokens is None:
            return
        used = (input_tokens or 0) + (output_tokens or 0) * burndown_of(asking.pins.model)
        self._rate(asking.shard.pool)[0].settle(reserved, used, self._world.clock.monotonic())

    def _rate(self, pool: str) -> tuple[Rate, asyncio.Lock]:
        if pool not in self._rates:
            settings = self._world.settings
            while len(self._rates) >= POOLS_MAX:
                del self._rates[next(iter(self._rates))]
            rate = Rate.of(settings.on_demand_requests_per_minute, settings.on_demand_tokens_per_minute)
            self._rates[pool] = (rate, asyncio.Lock())
        return self._rates[pool]


def first_tier(model_id: str, proven: str | None) -> str | None:
    """The tier in which a shard's first record is asked.

    Args:
        proven: the tier that has answered before, empty for none; None where nothing is known.
    """
    return tier_of(model_id) if proven is None else proven or None


async def pause(clock: Clock, event: asyncio.Event, seconds: float) -> None:
    """Sleep, or until something happens."""
    halted = asyncio.ensure_future(event.wait())
    slept = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({halted, slept}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        halted.cancel()
        slept.cancel()


def _of_record(error: PortError) -> bool:
    """Whether Bedrock's no was to this request, and not to the caller."""
    return isinstance(error, Refused) and not error.denied
