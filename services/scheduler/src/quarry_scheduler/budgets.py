"""Whether a run's next shard fits into its budget; the run is held where it does not, and released where it does again.

Theory of operation. `planning.spending` says how money is counted. The decision is made on the lane and the totals as they were
read, and the admission repeats the lane's stride tag and what is booked in it: so of two schedulers that both see room for
one shard more, one admits it. What is settled meanwhile only moves money from committed to spent. A run that is held for its
budget is looked at again in every tick, for jobs that end may have cost less than they were booked at, and somebody may have
raised the budget.
"""

from __future__ import annotations

import structlog

from quarry_core.contract.canary import HoldKind
from quarry_core.contract.states import RunState
from quarry_core.errors import Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Lane, Shard, Totals
from quarry_core.planning.spending import MICRO, Account, likely_micros, over_budget, spent_dollars
from quarry_core.service.process import World
from quarry_scheduler.pins import PinsCache

log = structlog.get_logger()


class Budgets:
    def __init__(self, world: World, pins: PinsCache) -> None:
        self._world = world
        self._pins = pins

    async def likely(self, lane: Lane, shard: Shard) -> int | None:
        """What a shard is likely to cost, in millionths of a dollar; None: it does not fit, and its run is held. Raises Stale."""
        totals = await self._world.ledger.totals(shard.run_id)
        if totals is None or totals.state is not RunState.RUNNING or totals.held_at:
            raise Stale(f"run {shard.run_id} has moved")
        likely, why = await self._judged(totals, lane, shard)
        if not why:
            return likely
        at = self._world.clock.now().isoformat()
        await self._world.ledger.apply(moves.hold(totals, lane, kind=HoldKind.BUDGET, reason=why, at=at))
        log.warning("run_held", run_id=shard.run_id, kind=HoldKind.BUDGET, reason=why)
        return None

    async def reconsider(self, lane: Lane) -> bool:
        """Look again at a run that is held. Whether it goes on."""
        ledger, run_id = self._world.ledger, lane.run_id
        totals = await ledger.totals(run_id)
        if totals is None or not totals.held or totals.held_kind != HoldKind.BUDGET:
            return False
        shard = await self._next(run_id)
        why = "" if shard is None else (await self._judged(totals, lane, shard))[1]
        try:
            if not why:
                await ledger.apply(moves.release_held(totals, lane))
                log.info("run_released", run_id=run_id, kind=HoldKind.BUDGET)
                return True
            if why != totals.held_reason:
                await ledger.apply(moves.say_held(totals, why))
        except Stale:
            log.debug("run_moved_by_another", run_id=run_id)
        return False

    async def _judged(self, totals: Totals, lane: Lane, shard: Shard) -> tuple[int, str]:
        """What a shard is likely to cost, and why it does not fit; the second is empty if it does."""
        model = (await self._pins.of(shard.run_id)).model
        likely = likely_micros(
            model, shard.sendable, totals.spent, totals.record_nanodollars, on_demand=shard.on_demand
        )
        if totals.budget_micros is None:
            return likely, ""
        account = Account.of(
            totals.budget_micros,
            round((spent_dollars(model, totals.spent) or 0.0) * MICRO),
            # What an admission has booked that came to nothing is this very shard's.
            lane.booked_micros - shard.booked_micros,
            totals.unbooked_micros,
        )
        return likely, "" if account.fits(likely) else over_budget(account, likely, shard.run_id)

    async def _next(self, run_id: str) -> Shard | None:
        ledger = self._world.ledger
        for marker in [*await ledger.waiting(run_id, most=1), *await ledger.invoking(run_id, most=1)]:
            shard = await ledger.shard(run_id, marker.shard)
            if shard is not None:
                return shard
        return None
