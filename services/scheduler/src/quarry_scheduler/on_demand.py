"""Shards that are too small for a job: their records are asked one by one.

Theory of operation. PENDING -> INVOKING -> ENDED, without a slot. Who begins writes a random heartbeat, and a new one every
quarter of `finish_after_s`; the sweep makes a row PENDING again whose heartbeat has been stale for the whole of it. Who cannot
write its heartbeat for so long stops by itself, for another may have begun. Every twenty answers are written down once
(`checkpoints`). A scheduler that dies has asked at most these twenty, and those in flight, that no checkpoint tells of: they
are asked again, and the row counts them. One that is told to stop asks nothing more, waits for what is in flight, and leaves
nothing in doubt.

No record is an error of the shard: it has an answer, or Bedrock's error, or is given up (`asking.after`). Only an answer
about the caller or the model ends the shard, and no credentials or no network leaves it for later.

May be called any number of times for a shard: the row says who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import structlog

from quarry_core.contract.messages import Wakeup
from quarry_core.contract.on_demand import CHECKPOINT_RECORDS
from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import PortError, Stale, Unknown
from quarry_core.ledger import moves
from quarry_core.ledger.rows import HEARTBEAT, Shard
from quarry_core.ports import Message
from quarry_core.service.endings import end_run
from quarry_core.service.failures import Step, Why
from quarry_core.service.pieces import Piece
from quarry_core.service.process import World
from quarry_core.service.steps import Steps
from quarry_core.service.verdicts import DONE, Poison, Verdict
from quarry_core.service.wakeups import handle_wakeup
from quarry_core.telemetry import metrics
from quarry_scheduler.budgets import Budgets
from quarry_scheduler.checkpoints import Records, read_answered, write_checkpoint
from quarry_scheduler.pins import PinsCache
from quarry_scheduler.record_calls import Asking, RecordCalls, first_tier, pause

log = structlog.get_logger()
HEARTBEATS_PER_PATIENCE = 4
CHECKPOINT_TRIES_MAX = 5
HOLDERS_MAX = 1_000
NOT_ALLOWED = (
    "its records are fewer than the model's smallest job has, and this environment does not ask on demand any more"
)


class Lost(Exception):
    """Another has the row, or may have: nothing more is asked or written of it here."""


class OnDemand:
    """Asks shards; one for a process, whose rates and concurrency all its shards share."""

    def __init__(self, world: World, pins: PinsCache, steps: Steps, budgets: Budgets) -> None:
        self._world = world
        self._pins = pins
        self._budgets = budgets
        self._steps = steps
        self._calls = RecordCalls(world)
        self._asking: dict[str, Asking] = {}  # by holder
        self._ours: dict[str, str] = {}  # heartbeats written, perhaps in vain, by holder

    async def on_wakeup(self, message: Message) -> Verdict:
        """`on_demand`: ask a shard's records."""
        return await handle_wakeup(message, self._answer)

    async def stop(self) -> None:
        """The process is told to stop: what is in flight is waited for, and nothing more is asked."""
        self._calls.stopping = True
        for asking in self._asking.values():
            asking.halt.set()

    async def _answer(self, wakeup: Wakeup) -> Verdict:
        if wakeup.step != "on_demand" or wakeup.shard is None:
            return Poison(f"step {wakeup.step!r} is not asked on demand, or names no shard")
        return await self._steps.answer(
            Piece(Step.INVOKE, wakeup.run_id, wakeup.shard),
            partial(self._invoke, wakeup.run_id, wakeup.shard),
            partial(self._give_up, wakeup.run_id, wakeup.shard),
        )

    # ----------------------------------------------------------------- begin and end

    async def _invoke(self, run_id: str, shard_id: str) -> Verdict:
        ledger = self._world.ledger
        shard = await ledger.shard(run_id, shard_id)
        if shard is None or not shard.on_demand or self._calls.stopping or shard.holder in self._asking:
            return DONE
        if shard.state is ShardState.ENDED:
            await self._wake_settle(shard)  # who ended it may have died before it told
            return DONE
        if shard.state is ShardState.PENDING:
            totals = await ledger.totals(run_id)
            if totals is None or totals.state is not RunState.RUNNING:
                return DONE
            if totals.cancelled_at:
                await self.end_waiting(shard, moves.CANCELLED, totals.why_cancelled)
                return DONE
            if totals.waits(shard.shard) and not totals.fault:
                return DONE  # paused, held, or its canary comes first: the sweep wakes it
            if totals.fault or not self._world.settings.asks_on_demand:
                await self.end_waiting(
                    shard, moves.NOT_PROCESSED if totals.fault else moves.BELOW_MINIMUM, totals.fault
                )
                return DONE
        elif shard.state is not ShardState.INVOKING or self._ours.get(shard.holder) != shard.heartbeat:
            return DONE  # another asks it, or the sweep will find that nobody does
        else:
            # Ours, and not asked by us any more: it could not be left in order.
            await ledger.apply(moves.leave_invoking(shard, lost=True))
            shard = await ledger.shard(run_id, shard_id)
            assert shard is not None
        outage = ""
        with contextlib.suppress(Stale, Lost):
            outage = await self._ask(shard)
        if outage:
            raise Unknown(outage)
        return DONE

    async def end_waiting(self, shard: Shard, code: str, message: str) -> None:
        """A shard that waits is not to be asked: its rows get this code, and the collector is told."""
        try:
            await self._world.ledger.apply(moves.end_uninvoked(shard, code, message or NOT_ALLOWED))
        except Stale:
            return
        await self._wake_settle(shard)

    async def _give_up(self, run_id: str, shard_id: str, why: Why) -> Verdict:
        """The step fails by itself: the run ends. What stands in checkpoints is settled."""
        await end_run(self._world, run_id, why, wake_admit=False)
        shard = await self._world.ledger.shard(run_id, shard_id)
        if shard is not None and shard.on_demand and shard.state is ShardState.PENDING:
            await self.end_waiting(shard, moves.INTERNAL_ERROR, why.sentence)
        return DONE

    async def _ask(self, shard: Shard) -> str:
        """Ask a shard that is PENDING; what kept it from its end, if that is for another time. Raises Stale, Lost."""
        world = self._world
        pins = await self._pins.of(shard.run_id)
        answered = await world.offload.run(partial(read_answered, world.objects, shard))
        left = max(0, shard.sendable - len(answered.ids))
        began_s = world.clock.monotonic()
        shard = await self._begin(shard, left)
        asking = Asking(
            shard,
            pins,
            first_tier(pins.model, answered.tier),
            answered.checkpoints,
            shard.heartbeat,
            answered.tier,
            seen_alive_at_s=began_s,
        )
        self._asking[shard.holder] = asking
        log.info(
            "asking", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, records=left, tier=asking.tier
        )
        try:
            async with self._keeping_alive(asking):
                await self._ask_all(asking, answered.ids)
            return await self._end(asking)
        except BaseException:
            # Cancelled, or failed: what was answered is kept, and what was in flight is in doubt.
            await self._leave(asking, lost=True)
            raise
        finally:
            self._asking.pop(shard.holder, None)

    async def _begin(self, shard: Shard, left: int) -> Shard:
        """PENDING -> INVOKING. Raises Stale."""
        world = self._world
        heartbeat = world.clock.token()
        lane = await world.ledger.lane(shard.pool, shard.run_id)
        if lane is None:
            raise Stale(f"run {shard.run_id} has no lane any more")
        booking = await self._budgets.book(lane, shard)
        if booking is None:
            raise Lost  # its run is held, and it is looked at again when that is over
        again = min(left, shard.in_doubt)
        in_doubt = CHECKPOINT_RECORDS + world.settings.on_demand_concurrency
        # Remembered before it is written: should the reply be lost, the next message knows its own beginning.
        self._ours = {shard.holder: heartbeat} | dict(list(self._ours.items())[:HOLDERS_MAX])
        try:
            await world.ledger.apply(
                moves.begin_invoking(shard, heartbeat, in_doubt, again, lane=lane, booking=booking)
            )
        except Stale:
            self._budgets.forget()
            raise
        if again:
            log.warning("asked_twice", run_id=shard.run_id, shard=shard.shard, at_most=again)
            metrics.ON_DEMAND_ASKED_TWICE.inc(again)
        return replace(
            shard,
            state=ShardState.INVOKING,
            heartbeat=heartbeat,
            heartbeat_attribute=HEARTBEAT,
            in_doubt=in_doubt,
            asked_twice=shard.asked_twice + again,
            booked_micros=booking.likely or shard.booked_micros,
            month=booking.month or shard.month,
        )

    async def _end(self, asking: Asking) -> str:
        """What follows when nothing more is asked: the shard ends, or is left for later. The outage, if it was one."""
        if asking.lost:
            raise Lost
        if asking.halt.is_set() and asking.status == moves.ANSWERED:
            await self._leave(asking, lost=False)
            return asking.outage
        await self._checkpoint(asking)
        shard, tier = asking.shard, asking.proven or ""
        ending = {"status": asking.status, "message": asking.message, "error_code": asking.error_code}
        await self._world.ledger.apply(moves.end_invoking(shard, tier, **ending))
        log.info("asked", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, status=asking.status)
        await self._wake_settle(shard)
        return ""

    async def _leave(self, asking: Asking, *, lost: bool) -> None:
        """INVOKING -> PENDING, with all answers written down; the sweep does it, where this cannot."""
        if asking.lost:
            return
        shard = asking.shard
        try:
            await self._checkpoint(asking)
            await self._world.ledger.apply(moves.leave_invoking(asking.shard, lost=lost))
            await self._wake_on_demand(shard)
        except (PortError, Lost) as error:
            log.warning("not_left", run_id=shard.run_id, shard=shard.shard, error=str(error))

    # ----------------------------------------------------------------- heartbeats

    @contextlib.asynccontextmanager
    async def _keeping_alive(self, asking: Asking) -> AsyncIterator[None]:
        """Heartbeats while the work inside goes on."""
        done = asyncio.Event()
        heartbeats = asyncio.create_task(self._heartbeats(asking, done))
        try:
            yield
        finally:
            # One that is being written is waited for: the row's next move repeats what it wrote.
            done.set()
            await heartbeats

    async def _heartbeats(self, asking: Asking, done: asyncio.Event) -> None:
        patience_s = self._world.settings.finish_after_s
        while not asking.lost:
            await pause(self._world.clock, done, patience_s / HEARTBEATS_PER_PATIENCE)
            if done.is_set():
                return
            try:
                await self._write_heartbeat(asking)
            except Stale:
                self._lose(asking, "another asks it")
            except PortError as error:
                log.warning("heartbeat_failed", run_id=asking.shard.run_id, shard=asking.shard.shard, error=str(error))
                if self._world.clock.monotonic() - asking.seen_alive_at_s >= patience_s:
                    self._lose(asking, "its heartbeat could not be written")

    async def _write_heartbeat(self, asking: Asking) -> None:
        """Write a new heartbeat, and look whether the run still wants answers."""
        shard, heartbeat = asking.shard, self._world.clock.token()
        began_s = self._world.clock.monotonic()
        try:
            await self._world.ledger.apply(moves.keep_invoking(shard, heartbeat))
        except Stale:
            # Our own write, whose reply was lost before?
            row = await self._world.ledger.shard(shard.run_id, shard.shard)
            if row is None or row.state is not ShardState.INVOKING or row.heartbeat != self._ours.get(shard.holder):
                raise
            asking.shard = row
            return
        finally:
            self._ours[shard.holder] = heartbeat
        asking.shard = replace(shard, heartbeat=heartbeat)
        asking.seen_alive_at_s = began_s
        totals = await self._world.ledger.totals(shard.run_id)
        if totals is not None and totals.cancelled_at:
            asking.stop(status=moves.CANCELLED, error_code=moves.CANCELLED, message=totals.why_cancelled)
        elif totals is not None and totals.fault:
            asking.stop(status=moves.REFUSED, error_code=moves.NOT_PROCESSED, message=totals.fault)

    def _lose(self, asking: Asking, why: str) -> None:
        log.warning("lost", run_id=asking.shard.run_id, shard=asking.shard.shard, why=why)
        asking.lost = True
        asking.halt.set()

    # ----------------------------------------------------------------- asking

    async def _ask_all(self, asking: Asking, answered: set[str]) -> None:
        """Ask what is not answered, a few at once, and write every twenty answers down."""
        world, most = self._world, self._world.settings.on_demand_concurrency
        records = await world.offload.run(partial(Records, world.objects, asking.shard, answered))
        begun: set[asyncio.Task[bytes | None]] = set()
        try:
            last = False
            while True:
                while not last and len(begun) < most and not (asking.halt.is_set() or self._calls.stopping):
                    record = await world.offload.run(records.next)
                    last = record is None
                    if record is not None:
                        begun.add(asyncio.create_task(self._calls.line(asking, record)))
                if not begun:
                    break
                finished, begun = await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
                asking.lines += [line for task in finished if not task.exception() and (line := task.result())]
                for task in finished:
                    task.result()  # of a failure of our own the step is told
                if len(asking.lines) >= CHECKPOINT_RECORDS:
                    await self._checkpoint(asking)
            if self._calls.stopping and not last:
                asking.halt.set()
        finally:
            for task in begun:
                task.cancel()
            cut = await asyncio.gather(*begun, return_exceptions=True)
            asking.lines += [line for line in cut if isinstance(line, bytes)]
            await world.offload.run(records.close)

    async def _checkpoint(self, asking: Asking) -> None:
        """Write down what is answered; tried a few times, for it was paid for."""
        world = self._world
        tries = 0
        while asking.lines and not asking.lost:
            tries += 1
            lines = list(asking.lines)
            tier = asking.proven or ""
            try:
                asking.checkpoint = await world.offload.run(
                    partial(write_checkpoint, world.objects, asking.shard, asking.checkpoint, lines, asking.by, tier)
                )
            except PortError as error:
                if tries >= CHECKPOINT_TRIES_MAX:
                    raise
                log.warning("checkpoint_failed", run_id=asking.shard.run_id, shard=asking.shard.shard, error=str(error))
                await world.clock.sleep(world.clock.uniform(0, 2.0**tries))
                continue
            del asking.lines[: len(lines)]

    # ----------------------------------------------------------------- messages

    async def _wake_settle(self, shard: Shard) -> None:
        await self._world.wake("collector", Wakeup(step="settle", run_id=shard.run_id, shard=shard.shard))

    async def _wake_on_demand(self, shard: Shard) -> None:
        await self._world.wake("on-demand", Wakeup(step="on_demand", run_id=shard.run_id, shard=shard.shard))
