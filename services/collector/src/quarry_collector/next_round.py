"""Step 5, between two rounds: records that had an error go again, or their errors stand.

Theory of operation. A closing run whose `again` is not zero is not at its end. Whoever closes it plans the next round, writes
its retry shards, and opens it by one transaction; or, where nothing can be asked again, moves those records to `error` by one.
Both repeat the round and `again` as they were read, so of any number of closers one wins, and what the others have written is
the same. Retry shards beyond the first transaction are opened one batch after the other; whoever finds some missing goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import islice

import structlog

from quarry_collector.batches import pieces
from quarry_collector.retry_shards import measure, read_plan, write_plan, write_retry_shard
from quarry_collector.rounds import plan_round
from quarry_collector.salvage import Salvage
from quarry_collector.settle import NotConserved, add_up
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import ON_DEMAND_QUEUE, input_key
from quarry_core.contract.run import Pins
from quarry_core.contract.states import Gate, RunState, ShardState
from quarry_core.errors import Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import ON_DEMAND, Shard, Totals
from quarry_core.models import limits_of
from quarry_core.planning.rounds import RoundPlan
from quarry_core.service.process import World
from quarry_core.service.publishing import published
from quarry_core.telemetry import metrics

log = structlog.get_logger()


class Rounds:
    def __init__(self, world: World) -> None:
        self._world = world

    async def after(self, totals: Totals, salvage: Salvage, shards: Sequence[Shard]) -> Totals | None:
        """What becomes of a closing run's records that are to go again: its totals then, if it still closes.

        Args:
            totals: of the run, which is CLOSING.
            salvage: of the run.
            shards: all of it.
        """
        if not totals.again:
            return totals
        last = [shard for shard in shards if shard.again and shard.round == totals.round]
        plan = await self._plan(totals, salvage, shards, last)
        try:
            if plan is None:
                await self._stand(totals, salvage, last)
            else:
                await self._open(totals, salvage.pins, plan)
        except Stale:
            log.debug("round_decided_by_another", run_id=totals.run_id, round=totals.round)
        now = await self._world.ledger.totals(totals.run_id)
        if plan is not None and now is not None:
            await self._tidy(now, plan)
        return now if now is not None and now.rounds_over and now.state is RunState.CLOSING else None

    async def open_rest(self, totals: Totals, pins: Pins) -> None:
        """Open the retry shards of a round that is open, as far as they are not."""
        world, run_id = self._world, totals.run_id
        plan = await world.offload.run(partial(read_plan, world.objects, run_id, totals.round))
        if plan is None:
            raise NotConserved(f"the plan of round {totals.round} of run {run_id} is gone")
        while totals.opening and totals.round == plan.round:
            some = self._retry_shards(plan, pins, run_id, totals.round_opened)
            try:
                await world.ledger.apply(moves.open_more(totals, some))
            except Stale:
                log.debug("opened_by_another", run_id=run_id, round=totals.round)
            now = await world.ledger.totals(run_id)
            if now is None:
                return
            totals = now
        on_demand = [shard.shard for shard in plan.shards if shard.on_demand]
        await world.wake("scheduler", Wakeup(step="admit", run_id=run_id))
        if ON_DEMAND_QUEUE in world.queues:  # else the sweep wakes it
            for shard in on_demand:
                await world.wake(ON_DEMAND_QUEUE, Wakeup(step="on_demand", run_id=run_id, shard=shard))

    # ----------------------------------------------------------------- one way or the other

    async def _stand(self, totals: Totals, salvage: Salvage, last: Sequence[Shard]) -> None:
        """Nothing can be asked again: the errors stand. Raises Stale."""
        offload = self._world.offload
        accounts = [
            account
            for some in pieces(last)
            for account in await asyncio.gather(*(offload.run(partial(salvage.account, shard)) for shard in some))
        ]
        errors = add_up(accounts).again
        if sum(errors.values()) != totals.again:
            raise NotConserved(
                f"{totals.again} records of run {totals.run_id} were to go again, its outcomes say {errors}"
            )
        await self._world.ledger.apply(moves.end_rounds(totals, errors))
        for code, rows in errors.items():
            metrics.ROWS_FINISHED.labels(code.lower()).inc(rows)
        log.info("rounds_over", run_id=totals.run_id, round=totals.round, errors=dict(errors))

    async def _open(self, totals: Totals, pins: Pins, plan: RoundPlan) -> None:
        """Write the retry shards, and open the round. Raises Stale."""
        world, run_id = self._world, totals.run_id
        for some in pieces(plan.shards):
            await asyncio.gather(
                *(
                    published(
                        world.offload,
                        partial(write_retry_shard, world.objects, run_id, totals.plan, plan.round, shard),
                        partial(world.wake, "collector", Wakeup(step="settle", run_id=run_id, shard=shard.shard)),
                    )
                    for shard in some
                )
            )
        first = self._retry_shards(plan, pins, run_id, 0)
        await world.ledger.apply(moves.open_round(totals, first, len(plan.shards)))
        metrics.RECORDS_RETRIED.inc(totals.again)
        log.info("round_opened", run_id=run_id, round=plan.round, records=plan.records, shards=len(plan.shards))
        now = await world.ledger.totals(run_id)
        if now is not None:
            await self.open_rest(now, pins)

    async def _plan(
        self, totals: Totals, salvage: Salvage, shards: Sequence[Shard], last: Sequence[Shard]
    ) -> RoundPlan | None:
        """The round that follows; None if there is none."""
        world, pins, run_id = self._world, salvage.pins, totals.run_id
        if totals.fault or totals.cancelled_at or totals.end_state or totals.round >= pins.record_retries.max_attempts:
            return None
        lane = await world.ledger.lane(pins.pool, run_id)
        if lane is not None and lane.gate is Gate.REFUSED:
            return None  # Bedrock would refuse these too, and their own errors say more
        number = totals.round + 1
        plan = await world.offload.run(partial(read_plan, world.objects, run_id, number))
        if plan is None:
            copies = [
                copy
                for some in pieces(last)
                for copy in await asyncio.gather(
                    *(
                        world.offload.run(
                            partial(measure, world.objects, run_id, shard.shard, shard.attempt, shard.again)
                        )
                        for shard in some
                    )
                )
            ]
            # Retry shards of this very round may be enlisted already, by who was faster.
            first = 1 + max(int(shard.shard) for shard in shards if shard.round <= totals.round)
            limits, most = limits_of(pins.model), pins.max_records_per_job
            plan = plan_round(number, copies, first, limits, most, pins.on_demand_below)
            if plan is None:
                return None
            plan = await world.offload.run(partial(write_plan, world.objects, run_id, totals.plan, plan))
        if plan.records != totals.again:
            raise NotConserved(
                f"round {number} of run {run_id} has {plan.records} records, and {totals.again} go again"
            )
        return plan

    async def _tidy(self, now: Totals, plan: RoundPlan) -> None:
        """Take away inputs that were written when it was too late for them: nobody sends them any more."""
        world, run_id = self._world, now.run_id
        if now.state is RunState.RUNNING and now.round == plan.round and now.shards_settled < now.shards_enlisted:
            return  # the usual case: they have just been opened
        for shard in plan.shards:
            row = await world.ledger.shard(run_id, shard.shard)
            unopened = row is None and now.round < plan.round and now.rounds_over
            if unopened or (row is not None and row.state is ShardState.SETTLED):
                await world.offload.run(partial(world.objects.delete, input_key(run_id, shard.shard)))

    @staticmethod
    def _retry_shards(plan: RoundPlan, pins: Pins, run_id: str, first: int) -> list[Shard]:
        """The next ones to be opened."""
        return [
            Shard(
                run_id=run_id,
                shard=each.shard,
                state=ShardState.PENDING,
                attempt=1,
                version=1,
                pool=pins.pool,
                first_row=0,
                rows=each.records,
                sendable=each.records,
                bytes=each.bytes,
                kind=ON_DEMAND if each.on_demand else "",
                round=plan.round,
            )
            for each in islice(plan.shards, first, first + moves.RETRY_SHARDS_AT_ONCE)
        ]
