"""Gathers for the sweep and performs its actions."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

import structlog

from quarry_core.contract.canary import CANARY_SHARD, CanaryState
from quarry_core.contract.messages import Step, Wakeup
from quarry_core.contract.names import ON_DEMAND_QUEUE
from quarry_core.contract.states import JobStatus, RunState, ShardState
from quarry_core.errors import Missing, PortError, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.ledger import OpenRun
from quarry_core.ledger.rows import Lane, Pool, Shard, Totals, Waiting
from quarry_core.ports import Job, Write
from quarry_core.service.failures import StepFailed
from quarry_core.service.process import World
from quarry_core.telemetry import metrics
from quarry_scheduler import gauges
from quarry_scheduler.audit import KINDS, Breach, breaches
from quarry_scheduler.batch_load import BatchLoads
from quarry_scheduler.budgets import Budgets
from quarry_scheduler.limits import Others, PoolLimits
from quarry_scheduler.on_demand import OnDemand
from quarry_scheduler.staleness import Staleness
from quarry_scheduler.sweep import Abandoned, Action, Foreign, Look, Tell, Unallowed, View, decide
from quarry_scheduler.tick import Ticker
from quarry_scheduler.track_step import Tracking
from quarry_scheduler.tracking import NOTHING, Observed
from quarry_scheduler.wake_ups import Stuck, WakeUps

log = structlog.get_logger()
# What one sweep may fail at and still go on.
QUERIES_AT_ONCE = 16
FAILURES_MAX = 10
# A pool that nothing holds, waits in or has a lane in is kept this long, with its limit and its figures.
POOL_IDLE_S = 3_600.0


class Sweeper:
    """One sweep at a time in this process; callers that come meanwhile share the one that is running."""

    def __init__(
        self,
        world: World,
        tracking: Tracking,
        ticker: Ticker,
        on_demand: OnDemand,
        limits: PoolLimits,
        load: BatchLoads,
        budgets: Budgets,
    ) -> None:
        self._world = world
        self._limits = limits
        self._set_at: dict[str, str] = {}  # by pool: the operator's change that was logged last
        self._on_demand = on_demand
        self._tracking = tracking
        self._ticker = ticker
        self._staleness = Staleness()
        self._wake_ups = WakeUps(world.clock.token())
        self._waiting: frozenset[str] = frozenset()  # queues for whose workers something waited at the last sweep
        self._idle = Staleness()  # pools
        self._heartbeats = Staleness()  # heartbeats of shards that are asked on demand
        self._gone = Staleness()  # jobs of ours that Bedrock does not know
        self._remembered = gauges.Memory()
        self._load = load
        self._budgets = budgets
        self._used: Sequence[str] = ()  # pools of open runs, as this sweep read them; not all of them stand
        self._breaches: frozenset[Breach] = frozenset()  # what the last sweep saw
        self._running: asyncio.Task[dict[str, int]] | None = None

    async def sweep(self) -> dict[str, int]:
        """Compare and fix; corrections by kind."""
        if self._running is None or self._running.done():
            # A context of its own: a sweep is of the environment, not of the message that was the first to ask for it.
            self._running = asyncio.create_task(self._sweep(), context=contextvars.Context())
        return await asyncio.shield(self._running)

    async def pools(self) -> list[str]:
        """The pools that open runs wait in."""
        return sorted({run.pool for run in await self._world.ledger.open_runs() if run.pool})

    async def _sweep(self) -> dict[str, int]:
        structlog.contextvars.bind_contextvars(step="sweep")
        messages = await self._backlogs()
        view, ledgered, waiting, asked = await self._gather()
        self._wake_ups.see(waiting)
        self._waiting = frozenset(stuck.queue for stuck in waiting)
        self._audit(view)
        try:
            self._show(ledgered)
            await self._budgets.show()
        except Exception:  # figures are for people: a bug in them must not keep the sweep from fixing
            log.exception("figures_failed")
        now_s, most = self._world.clock.monotonic(), self._world.settings.wake_max
        actions: list[Action | Stuck] = [*decide(view), *self._of_asked(asked)]
        actions += self._wake_ups.choose(waiting, messages, most, now_s)
        corrections, failures = await self._fix(actions)
        for name in self._used:
            await self._ticker.tick(name)
        if corrections:
            log.info("swept", **corrections)
        if failures:
            raise failures[0]
        metrics.SWEEP_LAST_SUCCESS.set(self._world.clock.now().timestamp())
        return corrections

    async def _fix(self, actions: Sequence[Action | Stuck]) -> tuple[dict[str, int], list[Exception]]:
        """Corrections by kind, and what stood in the way: of one job or row, it is in no other's."""
        corrections: dict[str, int] = {}
        failures: list[Exception] = []
        for action in actions:
            try:
                kind = await self._perform(action)
            except StepFailed:
                continue  # told, and counted for its run
            except Exception as error:
                log.exception("not_fixed", action=type(action).__name__.lower())
                failures.append(error)
                if len(failures) >= FAILURES_MAX:
                    raise  # it is not this row's fault: nobody answers
                continue
            if kind:
                corrections[kind] = corrections.get(kind, 0) + 1
                metrics.SWEEP_CORRECTIONS.labels(kind).inc()
        return corrections, failures

    def _audit(self, view: View) -> None:
        """Report what does not fit together, and did not at the last sweep."""
        now = breaches(view)
        lasting = now & self._breaches
        self._breaches = now
        for breach in sorted(lasting, key=lambda each: (each.kind, each.subject)):
            log.error("audit_breach", kind=breach.kind, subject=breach.subject)
        for kind in KINDS:
            metrics.AUDIT_BREACHES.labels(kind).set(sum(breach.kind == kind for breach in lasting))

    # ----------------------------------------------------------------- gather

    async def _gather(self) -> tuple[View, gauges.Ledgered, list[Stuck], list[Shard]]:
        ledger, settings = self._world.ledger, self._world.settings
        # List first, rows after: a job that is created in between is then in neither, not in the list alone.
        active = await self._world.jobs.active()
        pools: list[Pool] = []
        held: list[Shard] = []
        lanes: list[Lane] = []
        self._used = await self.pools()
        for pool, lanes_here in await self._standing(self._used):
            pools.append(pool)
            held += await ledger.held(pool.holders)
            lanes += lanes_here
        self._gone.keep(shard.arn for shard in held)
        stuck: list[Stuck] = []
        accounts: list[gauges.Account] = []
        asked: list[Shard] = []
        for run, totals, ended in await self._going_on():
            if totals.repeats:
                await self._ticker.see_repeats(run.run_id)
            here = await self._asked_of(run.run_id) if totals.shards_on_demand else []
            stuck += await self._stuck_of(totals, ended, here)
            accounts.append(gauges.Account(run, totals, tuple(ended), tuple(here)))
            asked += here
        self._ticker.keep_pauses(account.run.run_id for account in accounts)
        self._staleness.keep(item.thing for item in stuck)
        names = tuple(pool.pool for pool in pools)
        return (
            View(settings.env, active, held, pools),
            gauges.Ledgered(names, tuple(accounts), tuple(lanes), tuple(held), tuple(active)),
            stuck,
            asked,
        )

    async def _going_on(self) -> list[tuple[OpenRun, Totals, list[Waiting]]]:
        """The open runs that have not ended, with what of them waits to be settled: a few batches, however many they are."""
        ledger = self._world.ledger
        runs = await ledger.open_runs()
        totals = await ledger.totals_of([run.run_id for run in runs])
        going_on = [run for run in runs if run.run_id in totals and not totals[run.run_id].state.terminal]
        ended: list[list[Waiting]] = []
        for start in range(0, len(going_on), QUERIES_AT_ONCE):
            some = going_on[start : start + QUERIES_AT_ONCE]
            ended += await asyncio.gather(*(ledger.todo(run.run_id) for run in some))
        return [(run, totals[run.run_id], here) for run, here in zip(going_on, ended, strict=True)]

    async def _asked_of(self, run_id: str) -> list[Shard]:
        """A run's shards that wait to be asked on demand, or are."""
        ledger = self._world.ledger
        rows = [await ledger.shard(run_id, each.shard) for each in await ledger.invoking(run_id)]
        return [row for row in rows if row is not None and row.state in (ShardState.PENDING, ShardState.INVOKING)]

    def _of_asked(self, asked: Sequence[Shard]) -> list[Action]:
        """What is to be done about shards that are asked on demand."""
        settings, now_s = self._world.settings, self._world.clock.monotonic()
        invoking = [shard for shard in asked if shard.state is ShardState.INVOKING]
        stale_s = {shard.holder: self._heartbeats.stale_s(shard.holder, shard.heartbeat, now_s) for shard in invoking}
        self._heartbeats.keep(stale_s)
        actions: list[Action] = [
            Abandoned(shard) for shard in invoking if stale_s[shard.holder] >= settings.finish_after_s
        ]
        if not settings.asks_on_demand:
            actions += [Unallowed(shard) for shard in asked if shard.state is ShardState.PENDING]
        return actions

    async def _standing(self, used: Sequence[str]) -> list[tuple[Pool, list[Lane]]]:
        """Of the pools that open runs use, those that stand, with their lanes.

        The others that stand are idle, or will be once their last job is learned of: they are removed in their time.
        """
        ledger = self._world.ledger
        listed = await ledger.pools()
        found: list[tuple[Pool, list[Lane]]] = []
        standing: set[str] = set()
        for name in sorted({*listed, *used}):
            pool = await ledger.pool(name)
            if pool is None:
                continue
            lanes = await ledger.lanes(name)
            if name not in listed:
                await self._move_pool(moves.list_pool(name), name, "pool_listed")
            # What an operator has set for a pool outlives its runs.
            idle = not (pool.in_use or lanes or name in used or pool.set_to is not None)
            if self._idle.stale_s(name, idle, self._world.clock.monotonic()) >= POOL_IDLE_S and idle:
                await self._move_pool(moves.remove_pool(pool), name, "pool_removed")
                continue
            standing.add(name)
            if not idle:
                found.append((pool, lanes))
        self._idle.keep(standing)
        metrics.keep_pools(standing)
        return found

    async def _move_pool(self, writes: list[Write], name: str, what: str) -> None:
        try:
            await self._world.ledger.apply(writes)
            log.info(what, pool=name)
        except Stale:
            log.debug("pool_moved_by_another", pool=name)

    async def _backlogs(self) -> dict[str, int]:
        """About how many messages are on the queues that something waits for.

        Asked before the ledger is: what is handled in between counts as on its way, and nothing is sent again for it.
        """
        found: dict[str, int] = {}
        for queue in sorted(self._waiting):
            try:
                found[queue] = await self._world.queues[queue].backlog()
            except PortError as error:
                log.warning("queue_not_counted", queue=queue, error=str(error))
        return found

    def _show(self, ledgered: gauges.Ledgered) -> None:
        """Set the ledger's gauges; what is of a pool without an open run is taken out."""
        paces = self._load.show(ledgered)
        now_s = self._world.clock.now().timestamp()
        found, self._remembered = gauges.figures(ledgered, self._remembered, now_s, paces)
        metrics.set_all(metrics.RUNS, found.runs)
        metrics.set_all(metrics.RUN_OLDEST_HELD, found.held_since_s)
        metrics.set_all(metrics.SHARDS, found.shards)
        metrics.set_all(metrics.SLOT_OLDEST_ADMITTED, found.slot_idle_since_s)
        metrics.set_all(metrics.ROWS_OPEN, found.rows_open)
        metrics.set_all(metrics.ROWS_PROCESSED, found.rows_processed)
        metrics.set_all(metrics.ETA, found.eta_s)
        metrics.OLDEST_PENDING_SHARD.set(found.oldest_pending_s)
        metrics.OLDEST_ON_DEMAND_SHARD.set(found.oldest_on_demand_s)
        metrics.ROWS_UNACCOUNTED.set(found.rows_unaccounted)
        for gauge in (metrics.SLOTS_LIMIT, metrics.SLOTS_IN_USE, metrics.SLOTS_FOREIGN):
            metrics.keep_only(gauge, ledgered.pools)

    async def _stuck_of(self, totals: Totals, ended: Sequence[Waiting], asked: Sequence[Shard]) -> list[Stuck]:
        """What of an open run waits for somebody; each with the time for which it has not moved."""
        ledger, settings, now_s = self._world.ledger, self._world.settings, self._world.clock.monotonic()
        run_id = totals.run_id
        found: list[Stuck] = []

        def waits(
            step: Step, version: int, patience_s: float, *, shard: str | None = None, number: int | None = None
        ) -> None:
            stale_s = self._staleness.stale_s((step, run_id, shard, number), version, now_s)
            found.append(Stuck(step, run_id, version, stale_s, patience_s, shard, number))

        if totals.state in (RunState.ACCEPTED, RunState.PLANNING):
            waits("count", totals.version, settings.wake_after_slices_s)
        if totals.state is RunState.RUNNING and not totals.fault and totals.enlisted < totals.accepted:
            async for piece in ledger.slices(run_id):
                if piece.state == "OPEN":
                    waits("slice", piece.version, settings.wake_after_slices_s, number=piece.number)
        if totals.whole or totals.opening or totals.state is RunState.CLOSING:
            waits("close", totals.version, settings.wake_after_ended_s)
        for shard in asked:
            if shard.state is ShardState.PENDING and settings.asks_on_demand and not totals.waits(shard.shard):
                waits("on_demand", shard.version, settings.wake_after_ended_s, shard=shard.shard)
        if totals.canary == CanaryState.WAITING:
            canary = await ledger.shard(run_id, CANARY_SHARD)
            if canary is not None and canary.state is ShardState.SETTLED:
                waits("settle", totals.version, settings.wake_after_ended_s, shard=CANARY_SHARD)
        for todo in ended:
            waits("settle", todo.attempt, settings.wake_after_ended_s, shard=todo.shard)
        return found

    # ----------------------------------------------------------------- apply

    async def _perform(self, action: Action | Stuck) -> str:
        match action:
            case Look(shard):
                return (await self._tracking.of(shard, partial(self._looked, shard))).kind
            case Tell(job):
                return (await self._tracking.job_seen(job.name, job.arn, job.status, "sweep", job)).kind
            case Foreign(name, found):
                await self._limit(name, found)
                return ""
            case Abandoned(shard):
                return await self._abandoned(shard)
            case Unallowed(shard):
                await self._on_demand.end_waiting(shard, moves.BELOW_MINIMUM, "")
                return "ended"
            case Stuck():
                wakeup = Wakeup(step=action.step, run_id=action.run_id, shard=action.shard, slice=action.slice)
                await self._world.wake(action.queue, wakeup)
                self._wake_ups.sent(action, self._world.clock.monotonic())
                log.warning("woken", **wakeup.model_dump(exclude_none=True), stale_s=round(action.stale_s, 1))
                return action.step

    async def _abandoned(self, shard: Shard) -> str:
        """INVOKING -> PENDING: whoever asked it is not heard of any more, and another is to go on."""
        try:
            await self._world.ledger.apply(moves.leave_invoking(shard, lost=True))
        except Stale:
            return ""  # it is heard of
        log.warning("asker_lost", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt)
        if ON_DEMAND_QUEUE in self._world.queues:
            wakeup = Wakeup(step="on_demand", run_id=shard.run_id, shard=shard.shard)
            await self._world.wake(ON_DEMAND_QUEUE, wakeup)
        return "left"

    async def _looked(self, shard: Shard) -> Observed:
        job = await self._look(shard)
        if job is None:
            return NOTHING
        # The row's own job: its name is known, also where Bedrock leaves it out.
        name = job.name or await self._tracking.name_of(shard)
        return await self._tracking.job_seen(name, job.arn, job.status, "sweep", job)

    async def _look(self, shard: Shard) -> Job | None:
        """The row's job; where Bedrock has not known it for `list_settle_s`, a job that failed, so that no slot is lost.

        For how long Bedrock remembers its jobs is not documented (contract section 11).
        """
        try:
            return await self._world.jobs.get(shard.arn)
        except Missing:
            stale_s = self._gone.stale_s(shard.arn, "", self._world.clock.monotonic())
            row = await self._world.ledger.job(shard.run_id, shard.shard, shard.attempt)
            if row is None or stale_s < self._world.settings.list_settle_s:
                return None
            log.error(  # noqa: TRY400 told whole
                "job_forgotten", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, arn=shard.arn
            )
            return Job(shard.arn, row.name, JobStatus.FAILED, "", "", "", message="Bedrock no longer knows this job")

    async def _limit(self, name: str, found: Others) -> None:
        pool = await self._world.ledger.pool(name)
        if pool is None:
            return
        metrics.SLOTS_FOREIGN.labels(name).set(found.foreign + found.siblings)
        if pool.set_at and self._set_at.get(name) != pool.set_at:
            log.info("limit_set_by_operator", pool=name, to=pool.set_to, by=pool.set_by, at=pool.set_at)
            self._set_at[name] = pool.set_at
        limits = self._limits.now(pool, found, refused=name in self._ticker.refused_since_sweep)
        self._ticker.refused_since_sweep.discard(name)
        if limits == pool.limits and limits.admit_limit == pool.admit_limit:
            return
        try:
            await self._world.ledger.apply(moves.limit_pool(pool, limits))
        except Stale:
            log.debug("limit_set_by_another", pool=name)
            return
        if limits.admit_limit != pool.admit_limit:
            log.info("limit_changed", pool=name, before=pool.admit_limit, after=limits.admit_limit, **asdict(limits))
