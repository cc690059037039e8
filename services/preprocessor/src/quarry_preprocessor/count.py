"""Step 1, second half: the rows are counted, the plan is made, the slices are opened.

Theory of operation. Counting reads the source once and judges it: whatever is wrong with its form, its columns or its
size refuses the run here, before anything is paid for. The plan is written once under a name of the run; who comes
second reads the first one's, so that all work of a run follows one plan. PLANNING -> RUNNING is the last write.

May be called any number of times: a run that is RUNNING already only has wake-ups sent for its open slices again.
"""

from __future__ import annotations

import hashlib
from functools import partial

import structlog

from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import plan_key
from quarry_core.contract.prompts import MissingColumn
from quarry_core.contract.results import ColumnTaken
from quarry_core.contract.run import Pins
from quarry_core.contract.states import RunState
from quarry_core.errors import Changed, Conflict, Missing, Refused, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Totals
from quarry_core.models import limits_of
from quarry_core.planning.counting import count_source, write_count
from quarry_core.planning.plan import Plan, PlanError, plan_shards
from quarry_core.ports import ObjectRef
from quarry_core.rendering.encode import NotEncodable
from quarry_core.service.failures import RunCode, Step, exhausted
from quarry_core.service.pieces import Piece, Pieces
from quarry_core.service.process import World
from quarry_core.service.verdicts import DONE, Verdict
from quarry_core.tabular.counted import DatasetCount
from quarry_core.tabular.dataset import Dataset
from quarry_core.tabular.errors import SourceError
from quarry_core.telemetry import metrics
from quarry_preprocessor.write import rows_per_shard_max

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
            async with self._pieces.begun(Piece(Step.COUNT, run_id)):
                totals = await self._plan(totals)
        if totals.state is RunState.RUNNING:
            async for piece in ledger.slices(run_id):
                if piece.state == "OPEN":
                    await self._world.wake("slices", Wakeup(step="slice", run_id=run_id, slice=piece.number))
        return DONE

    async def _plan(self, totals: Totals) -> Totals:
        ledger, run_id = self._world.ledger, totals.run_id
        run = await ledger.run(run_id)
        assert run is not None
        assert run.pins is not None
        objects, pins = self._world.objects, run.pins
        try:
            counted = await self._world.offload.run(partial(count_source, objects, run_id, pins))
            plan = plan_shards(
                rows_available=counted.dataset.count.rows,
                record_bytes=counted.record_bytes,
                limits=limits_of(pins.model_id),
                slots=self._world.settings.job_quota,
                max_records_per_job=_records_per_job(pins, counted.dataset.count),
                max_num_jobs=pins.max_num_jobs,
                max_records_total=pins.max_records_total,
                gaps=counted.gaps,
            )
        except Changed as error:
            return await self._refuse(totals, f"s3_uri: {pins.source.uri} was changed after it was accepted ({error})")
        except Missing:
            return await self._refuse(totals, f"s3_uri: {pins.source.uri} was deleted after it was accepted")
        except Refused as error:
            # HEAD, by which it was accepted, needs no permission on the object's KMS key.
            return await self._refuse(
                totals,
                f"s3_uri: {pins.source.uri} cannot be read ({error}): grant s3:GetObject, and kms:Decrypt on its key",
            )
        except (SourceError, MissingColumn, NotEncodable, ColumnTaken, PlanError) as error:
            if exhausted(error):
                raise  # the worker's want, not the source's fault
            return await self._refuse(totals, str(error))
        plan, digest = await self._world.offload.run(partial(write_plan, counted.dataset, run_id, plan))
        for number in range(plan.slice_count):
            piece = plan.slice_at(number)
            try:
                await ledger.apply(moves.open_slice(run_id, number, piece.first_shard, piece.shards))
            except Stale:
                log.debug("slice_opened_by_another", slice=number)
        pool = await ledger.pool(pins.pool)
        tag = pool.virtual_time[moves.NEW_RUN_CLASS] if pool else 0
        try:
            await ledger.apply(
                moves.begin_running(totals, pins.pool, tag, plan.rows_planned, counted.dataset.count.rows, digest)
            )
            metrics.ROWS_ACCEPTED.inc(plan.rows_planned)
            log.info("planned", rows=plan.rows_planned, shards=plan.shard_count, slices=plan.slice_count)
        except Stale:
            log.debug("planned_by_another")
        now = await ledger.totals(run_id)
        assert now is not None
        return now

    async def _refuse(self, totals: Totals, why: str) -> Totals:
        ledger = self._world.ledger
        ended_at = self._world.clock.now().isoformat()
        await ledger.apply(moves.refuse_run(totals, why, ended_at, code=RunCode.REFUSED, step=Step.COUNT))
        log.info("refused", why=why)
        now = await ledger.totals(totals.run_id)
        assert now is not None
        return now


def _records_per_job(pins: Pins, count: DatasetCount) -> int | None:
    """What the user wants, or less where the copy of so wide a shard could not be held."""
    limits, copied = limits_of(pins.model_id), rows_per_shard_max(pins.source, count)
    if copied is None or copied >= limits.records_max:
        return pins.max_records_per_job
    return min(pins.max_records_per_job or limits.records_max, max(copied, limits.records_min))


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
