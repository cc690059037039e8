"""Step 1, second half: the rows are counted, the plan is made, the slices are opened.

Theory of operation. Counting reads the source once and judges it: whatever is wrong with its form, its columns or its
size refuses the run here, before anything is paid for. The plan is written once under a name of the run; who comes
second reads the first one's, so that all work of a run follows one plan. PLANNING -> RUNNING is the last write.

May be called any number of times: a run that is RUNNING already only has wake-ups sent for its open slices again.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial

import structlog

from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import estimate_key, plan_key
from quarry_core.contract.policy import limits_cost, read_policy, too_dear, too_large
from quarry_core.contract.run import Pins, Run
from quarry_core.contract.states import RunState
from quarry_core.contract.versions import RetryOf
from quarry_core.errors import Conflict, Missing, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Totals
from quarry_core.planning.counting import write_count
from quarry_core.planning.estimate import Estimate
from quarry_core.planning.plan import Plan, has_canary
from quarry_core.planning.plan_source import REFUSING, Planned, plan_source, refusal_of
from quarry_core.planning.spending import known_nanodollars
from quarry_core.ports import ObjectRef, Objects
from quarry_core.service.failures import Kind, RunCode, Step, exhausted, kind_of
from quarry_core.service.notices import tell_of_refusal
from quarry_core.service.pieces import Piece, Pieces
from quarry_core.service.process import World
from quarry_core.service.refused_models import why_refused
from quarry_core.service.verdicts import DONE, Verdict
from quarry_core.tabular.dataset import Dataset
from quarry_core.telemetry import metrics

log = structlog.get_logger()


class Counting:
    def __init__(self, world: World, pieces: Pieces) -> None:
        self._world = world
        self._pieces = pieces

    async def on_count(self, wakeup: Wakeup) -> Verdict:
        """Count, plan, open the slices and wake their writers."""
        ledger, run_id = self._world.ledger, wakeup.run_id
        totals = await ledger.totals(run_id)
        if totals is None:
            return DONE
        if totals.state is RunState.ACCEPTED:
            await ledger.apply(moves.begin_planning(totals))
            totals = await ledger.totals(run_id)
            assert totals is not None
        if totals.state is RunState.PLANNING:
            totals = await self._plan(totals)
        if totals.state is RunState.RUNNING and totals.whole:
            # A dry run: there is nothing to write.
            await self._world.wake("collector", Wakeup(step="close", run_id=run_id))
        elif totals.state is RunState.RUNNING:
            async for piece in ledger.slices(run_id):
                if piece.state == "OPEN":
                    await self._world.wake("slices", Wakeup(step="slice", run_id=run_id, slice=piece.number))
        return DONE

    async def _plan(self, totals: Totals) -> Totals:
        ledger, run_id = self._world.ledger, totals.run_id
        run = await ledger.run(run_id)
        assert run is not None
        assert run.pins is not None
        pins = run.pins
        if pins.retry is not None:
            return await self._plan_retry(totals, pins, pins.retry)
        refused = "" if pins.dry_run else await why_refused(self._world, pins)
        if refused and not pins.on_demand_below:
            return await self._refuse(totals, refused)
        # Only this may take the process down; what follows are a few small reads and writes.
        async with self._pieces.begun(Piece(Step.COUNT, run_id)):
            planned = await self._planned(run_id, pins)
        if isinstance(planned, str):
            return await self._refuse(totals, planned)
        if refused and planned.plan.rows_planned >= pins.on_demand_below:
            return await self._refuse(totals, refused)  # else no job is made of it
        beyond = "" if pins.dry_run else await self._beyond(run, pins, planned)
        if beyond:
            return await self._refuse(totals, beyond)
        dataset = planned.counted.dataset
        plan, digest = await self._world.offload.run(partial(write_plan, dataset, run_id, planned.plan))
        estimated = await self._estimated(run_id, pins, replace(planned, plan=plan))
        of_a_record = (estimated.record_millitokens, estimated.record_nanodollars) if estimated else (0, 0)
        return await self._open(totals, pins, plan, dataset.count.rows, digest, *of_a_record)

    async def _plan_retry(self, totals: Totals, pins: Pins, of: RetryOf) -> Totals:
        """A retry has the plan of the run whose error rows it asks again: nothing is counted."""
        first = await self._world.ledger.totals(of.root)
        try:
            plan, digest = await self._world.offload.run(
                partial(copy_plan, self._world.objects, of.root, totals.run_id)
            )
        except Missing:
            plan, digest = None, ""
        if first is None or plan is None:
            gone = f"the plan of run {of.root}, whose errors are to be asked again, does not lie in the bucket any more"
            return await self._refuse(totals, gone)
        # Budgets need to know what it may cost before anything of it has ended.
        nanodollars = known_nanodollars(pins.model, first.spent, first.record_nanodollars)
        return await self._open(totals, pins, plan, first.rows_source, digest, 0, nanodollars)

    async def _open(
        self,
        totals: Totals,
        pins: Pins,
        plan: Plan,
        rows_source: int,
        digest: str,
        record_millitokens: int,
        record_nanodollars: int,
    ) -> Totals:
        """Open the slices of a plan that stands, then the run: PLANNING -> RUNNING.

        Args:
            record_millitokens, record_nanodollars: what a record is estimated to have and to cost, as `begin_running` takes them.
        """
        ledger, run_id = self._world.ledger, totals.run_id
        for number in range(0 if pins.dry_run else plan.slice_count):
            piece = plan.slice_at(number)
            try:
                await ledger.apply(moves.open_slice(run_id, number, piece.first_shard, piece.shards))
            except Stale:
                log.debug("slice_opened_by_another", slice=number)
        try:
            await self._begin(totals, pins, plan, rows_source, digest, record_millitokens, record_nanodollars)
            metrics.ROWS_ACCEPTED.inc(0 if pins.dry_run else plan.rows_planned)
            if pins.retry is not None:
                metrics.RUNS_ACCEPTED.inc()  # it came by the ledger, and not as a manifest
            log.info(
                "planned",
                rows=plan.rows_planned,
                shards=plan.shard_count,
                slices=plan.slice_count,
                dry_run=pins.dry_run,
            )
        except Stale:
            log.debug("planned_by_another")
        now = await ledger.totals(run_id)
        assert now is not None
        if now.state is RunState.PLANNING:
            # Paused or resumed meanwhile: the plan stands, and is found again.
            raise Stale(f"run {run_id} was changed while it was planned")
        return now

    async def _begin(
        self,
        totals: Totals,
        pins: Pins,
        plan: Plan,
        rows_source: int,
        digest: str,
        record_millitokens: int,
        record_nanodollars: int,
    ) -> None:
        """PLANNING -> RUNNING. Class and weight may be set meanwhile: then once more, as they are now. Raises Stale."""
        ledger = self._world.ledger
        for again in (True, False):
            pool = await ledger.pool(pins.pool)
            admission_class = totals.lane_class or pins.admission_class
            try:
                await ledger.apply(
                    moves.begin_running(
                        totals,
                        pins.pool,
                        pool.virtual_time[admission_class] if pool else 0,
                        0 if pins.dry_run else plan.rows_planned,
                        rows_source,
                        digest,
                        record_millitokens=record_millitokens,
                        record_nanodollars=record_nanodollars,
                        admission_class=admission_class,
                        weight=totals.lane_weight or pins.weight,
                        canary=not (pins.dry_run or pins.retry)
                        and has_canary(plan, pins.canary, pins.canary_above_shards),
                    )
                )
            except Stale:
                now = await ledger.totals(totals.run_id)
                if not again or now is None or now.state is not RunState.PLANNING:
                    raise
                totals = now
            else:
                return

    async def _planned(self, run_id: str, pins: Pins) -> Planned | str:
        """The plan; or the sentence with which the source is refused."""
        objects, slots = self._world.objects, self._world.settings.job_quota
        try:
            return await self._world.offload.run(partial(plan_source, objects, run_id, pins, slots))
        except REFUSING as error:
            if exhausted(error):
                raise  # the worker's want, not the source's fault
            return refusal_of(error, pins.source)

    async def _estimated(self, run_id: str, pins: Pins, planned: Planned) -> Estimate | None:
        """Estimate the run. It is for people: no run fails for it but a dry one."""
        try:
            return await self._estimate(run_id, pins, planned)
        except Exception as error:
            if pins.dry_run or kind_of(error) is not Kind.DETERMINISTIC:
                raise
            log.exception("estimate_failed")
            return None

    async def _beyond(self, run: Run, pins: Pins, planned: Planned) -> str:
        """Why the environment's policy does not allow so much; empty: it does."""
        policy = read_policy(self._world.settings.policy)
        why = too_large(policy, run.sender, planned.plan.rows_planned)
        if why or not limits_cost(policy, run.sender):
            return why
        return too_dear(policy, run.sender, (await self._forecast(run.run_id, pins, planned)).dollars)

    async def _estimate(self, run_id: str, pins: Pins, planned: Planned) -> Estimate:
        """What the run will be, as far as is known now; the first worker's is kept."""
        estimate = await self._forecast(run_id, pins, planned)
        return await self._world.offload.run(partial(keep_estimate, self._world.objects, run_id, estimate))

    async def _forecast(self, run_id: str, pins: Pins, planned: Planned) -> Estimate:
        ledger, slots = self._world.ledger, self._world.settings.job_quota
        pool = await ledger.pool(pins.pool)
        return planned.estimate(
            pins,
            slots=pool.admit_limit if pool and pool.admit_limit else slots,
            history=await ledger.history(pins.pool),
            ahead=await ledger.ahead(pins.pool, run_id),
        )

    async def _refuse(self, totals: Totals, why: str) -> Totals:
        ledger = self._world.ledger
        ended_at = self._world.clock.now().isoformat()
        await tell_of_refusal(self._world, totals, why, ended_at, code=RunCode.REFUSED, step=Step.COUNT)
        await ledger.apply(moves.refuse_run(totals, why, ended_at, code=RunCode.REFUSED, step=Step.COUNT))
        log.info("refused", why=why)
        now = await ledger.totals(totals.run_id)
        assert now is not None
        return now


def write_plan(dataset: Dataset, run_id: str, plan: Plan) -> tuple[Plan, str]:
    """Write count and plan once; the plan that holds (ours, or the one that stood already) and its SHA-256. Blocking."""
    body = plan.model_dump_json().encode()
    digest = hashlib.sha256(body).hexdigest()
    objects = dataset.objects
    try:
        write_count(dataset, run_id)
        objects.put_once(plan_key(run_id), body, {"run": run_id, "plan": digest})
    except Conflict:
        body = objects.read(ObjectRef(plan_key(run_id)))
        return Plan.model_validate_json(body), hashlib.sha256(body).hexdigest()
    return plan, digest


def copy_plan(objects: Objects, from_run_id: str, run_id: str) -> tuple[Plan, str]:
    """Write the plan of another run once as this one's; it and its SHA-256. Blocking. Raises Missing."""
    body = objects.read(ObjectRef(plan_key(from_run_id)))
    digest = hashlib.sha256(body).hexdigest()
    objects.put_once(plan_key(run_id), body, {"run": run_id, "plan": digest})
    return Plan.model_validate_json(body), digest


def keep_estimate(objects: Objects, run_id: str, estimate: Estimate) -> Estimate:
    """Write an estimate once; the one that stands. Blocking."""
    body = estimate.model_dump_json().encode()
    if objects.put_once(estimate_key(run_id), body, {"run": run_id}):
        return estimate
    return Estimate.model_validate_json(objects.read(ObjectRef(estimate_key(run_id))))
