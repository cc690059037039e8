"""Whether a shard fits into the budgets of its run and of the month; its run is held where it does not, and released where it does.

Theory of operation. `planning.spending` says how money is counted. The decision is made on the lane, the totals and the month as
they were read, and the admission repeats the lane's stride tag, what is booked in it, and that the month has room: so of two
schedulers that both see room for one shard more, one admits it. What is settled meanwhile only moves money from committed to
spent. A run that is held for a budget is looked at again in later ticks, for jobs that end may have cost less than they were
booked at, somebody may have raised the budget, and another month may have begun. A tick looks at so many held runs at most,
and the next one goes on behind them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from quarry_core.contract.canary import HoldKind
from quarry_core.contract.states import Gate, RunState
from quarry_core.errors import Missing, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Lane, Month, Shard, Totals
from quarry_core.models.prices import price_of
from quarry_core.planning.spending import (
    MICRO,
    NOTHING_SPENT,
    Account,
    Booking,
    likely_micros,
    month_of,
    no_month_price,
    over_budget,
    over_month,
    spent_dollars,
)
from quarry_core.service.months import MonthKeeper
from quarry_core.service.process import World
from quarry_core.telemetry import metrics
from quarry_scheduler.pins import PinsCache

log = structlog.get_logger()
# Held runs that one tick of a pool looks at.
RECONSIDERED_MAX = 50


@dataclass(frozen=True, slots=True)
class Why:
    """Why a shard does not fit."""

    kind: HoldKind
    reason: str


class Budgets:
    def __init__(self, world: World, pins: PinsCache) -> None:
        self._world = world
        self._pins = pins
        self._months = MonthKeeper(world)
        self._looked_at: dict[str, str] = {}  # by pool: the held run that the last tick looked at last

    async def book(self, lane: Lane, shard: Shard) -> Booking | None:
        """At what a shard is to be booked; None: it does not fit, and its run is held. Raises Stale."""
        totals = await self._world.ledger.totals(shard.run_id)
        if totals is None or totals.state is not RunState.RUNNING or totals.held_at:
            raise Stale(f"run {shard.run_id} has moved")
        judged = await self._judged(totals, lane, shard)
        if isinstance(judged, Booking):
            return judged
        at = self._world.clock.now().isoformat()
        await self._world.ledger.apply(moves.hold(totals, lane, kind=judged.kind, reason=judged.reason, at=at))
        log.warning("run_held", run_id=shard.run_id, kind=judged.kind, reason=judged.reason)
        return None

    def forget(self) -> None:
        """An admission was stale: perhaps because the month's item is gone."""
        self._months.forget()

    def held(self, pool: str, lanes: Iterable[Lane]) -> list[Lane]:
        """The held lanes that a tick is to look at, in turns where there are many."""
        held = sorted((lane for lane in lanes if lane.gate is Gate.HELD), key=lambda lane: lane.run_id)
        if len(held) > RECONSIDERED_MAX:
            after = self._looked_at.get(pool, "")
            held = [lane for lane in held if lane.run_id > after] + [lane for lane in held if lane.run_id <= after]
            held = held[:RECONSIDERED_MAX]
        if held:
            self._looked_at[pool] = held[-1].run_id
        else:
            self._looked_at.pop(pool, None)
        return held

    async def reconsider(self, lane: Lane) -> bool:
        """Look again at a run that is held. Whether it goes on."""
        ledger, run_id = self._world.ledger, lane.run_id
        totals = await ledger.totals(run_id)
        if totals is None or not totals.held or totals.held_kind not in (HoldKind.BUDGET, HoldKind.MONTH):
            return False
        shard = await self._next(run_id)
        judged = None if shard is None else await self._judged(totals, lane, shard)
        try:
            if not isinstance(judged, Why):
                await ledger.apply(moves.release_held(totals, lane))
                log.info("run_released", run_id=run_id, kind=totals.held_kind)
                return True
            if judged != Why(HoldKind(totals.held_kind), totals.held_reason):
                await ledger.apply(moves.say_held(totals, judged.kind, judged.reason))
        except Stale:
            log.debug("run_moved_by_another", run_id=run_id)
        return False

    async def show(self) -> None:
        """Write down the month's budget for people, and set its gauges."""
        month, budget = await self._now(), self._budget()
        if month.budget_micros != budget:
            try:
                await self._world.ledger.apply(moves.tell_budget(month, budget))
            except Stale:
                log.debug("month_told_by_another", month=month.month)
        metrics.MONTH_SPENT.set(month.spent_micros / MICRO)
        metrics.MONTH_PROJECTED.set(month.projected_micros / MICRO)
        if budget is not None:
            metrics.show_month_budget()
            metrics.MONTH_BUDGET.set(budget / MICRO)

    def _budget(self) -> int | None:
        dollars = self._world.settings.budget_usd
        return None if dollars is None else max(1, round(dollars * MICRO))

    async def _judged(self, totals: Totals, lane: Lane, shard: Shard) -> Booking | Why:
        """At what a shard is to be booked, or why it does not fit."""
        pins = await self._pins.of(shard.run_id)
        model = pins.model
        # Among the rows of a retry are those that were carried over, without LLM tokens of its own.
        known = totals.spent if pins.retry is None else NOTHING_SPENT
        likely = likely_micros(model, shard.sendable, known, totals.record_nanodollars, on_demand=shard.on_demand)
        if totals.budget_micros is not None:
            account = Account.of(
                totals.budget_micros,
                round((spent_dollars(model, totals.spent) or 0.0) * MICRO),
                # What is booked for a shard that was left on demand is this very shard's.
                lane.booked - shard.booked_micros,
                totals.unbooked_micros,
            )
            if not account.fits(likely):
                return Why(HoldKind.BUDGET, over_budget(account, likely, shard.run_id))
        return await self._in_month(model, shard, likely)

    async def _in_month(self, model: str, shard: Shard, likely: int) -> Booking | Why:
        budget, now = self._budget(), month_of(self._world.clock.now())
        if budget is None:
            if likely:
                await self._months.open(now)
            return Booking(likely, now if likely else "")
        if price_of(model) is None:
            return Why(HoldKind.MONTH, no_month_price(model))
        month = await self._now()
        before = shard.booked_micros if shard.month == month.month else 0
        booked = month.booked_micros - before
        account = Account.of(budget, month.spent_micros, booked, month.unbooked_micros)
        if not account.fits(likely):
            return Why(HoldKind.MONTH, over_month(account, likely, month.month))
        # Where jobs came to more than they were booked at, those that run are taken to as well.
        dearer = account.committed - max(0, booked - month.unbooked_micros)
        return Booking(likely, month.month, budget - dearer)

    async def _now(self) -> Month:
        """The item of the current month, which is made if it does not stand."""
        name = month_of(self._world.clock.now())
        month = await self._world.ledger.month(name)
        if month is None:
            self._months.forget()
            await self._months.open(name)
            month = await self._world.ledger.month(name)
        if month is None:
            raise Missing(f"month {name} is not in the ledger")
        return month

    async def _next(self, run_id: str) -> Shard | None:
        ledger = self._world.ledger
        for marker in [*await ledger.waiting(run_id, most=1), *await ledger.invoking(run_id, most=1)]:
            shard = await ledger.shard(run_id, marker.shard)
            if shard is not None:
                return shard
        return None
