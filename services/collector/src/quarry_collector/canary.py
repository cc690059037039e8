"""A run's canary is judged, when its shard is settled and its part stands.

Theory of operation. What its records came to is read from its outcome, or, where every row has its answer, from its part: the
same columns. One transaction then writes the judgement, and opens the lane, holds the run or breaks it, on the premise that
the canary still waits; so of any number of collectors one judges. Who dies before it leaves the canary waiting, and a sweep
that sees its shard settled sends the message again. A run that its canary ends is broken only once all its shards are enlisted,
so that each row has its outcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from quarry_collector.parts import READ_BYTES, READ_ROWS, read_outcome
from quarry_collector.salvage import Salvage
from quarry_core.contract.canary import CANARY_SHARD, CanaryState
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import ON_DEMAND_QUEUE, estimate_key, part_key, plan_key
from quarry_core.contract.run import Pins
from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import Missing, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Shard, Totals
from quarry_core.models.prices import on_demand_price_of, price_of
from quarry_core.planning.canary import Answers, Judgement, judge
from quarry_core.planning.estimate import Estimate
from quarry_core.planning.plan import Plan
from quarry_core.ports import ObjectRef
from quarry_core.service.endings import wake_broken
from quarry_core.service.failures import RunCode, Step
from quarry_core.service.process import World
from quarry_core.structured.answers import CUT
from quarry_core.telemetry import metrics

log = structlog.get_logger()
STALE_MAX = 5
_COLUMNS = ("status", "error_code", "stop_reason", "input_tokens", "output_tokens")


class CanaryJudge:
    def __init__(self, world: World) -> None:
        self._world = world

    async def judge(self, salvage: Salvage, shard: Shard) -> None:
        """Judge the canary of a run, if this is it and nobody has."""
        if shard.shard != CANARY_SHARD or shard.state is not ShardState.SETTLED:
            return
        ledger, run_id = self._world.ledger, shard.run_id
        judgement: Judgement | None = None
        for _ in range(STALE_MAX):
            totals = await ledger.totals(run_id)
            if totals is None or totals.state is not RunState.RUNNING or totals.canary != CanaryState.WAITING:
                return
            if totals.fault or totals.cancelled_at:
                return
            if judgement is None:
                judgement = await self._judgement(salvage, shard, totals)
            if _fails(judgement, salvage.pins) and totals.enlisted < totals.accepted:
                # The rows of a shard that is not enlisted would come back without an outcome. Nothing is admitted
                # meanwhile, and a sweep sends the message again.
                log.info("canary_fails_once_all_is_enlisted", run_id=run_id, reason=judgement.reason)
                return
            try:
                await self._write(totals, salvage.pins, judgement)
            except Stale:
                continue  # judged by another, or paused meanwhile
            await self._tell(totals, judgement, salvage.pins)
            return
        raise Stale(f"run {run_id} changes faster than its canary can be judged")

    async def _judgement(self, salvage: Salvage, shard: Shard, totals: Totals) -> Judgement:
        world, pins = self._world, salvage.pins
        assert pins.canary is not None
        answers = await world.offload.run(partial(answers_of, salvage, shard))
        estimate = await world.offload.run(partial(self._estimate, shard.run_id))
        plan = await world.offload.run(partial(self._plan, shard.run_id))
        pool = await world.ledger.pool(pins.pool)
        unsent = estimate.rows_unsent if estimate is not None else 0
        price = on_demand_price_of(pins.model, shard.tier) if shard.on_demand else price_of(pins.model)
        return judge(
            answers,
            pins.canary,
            estimate=estimate,
            price=price,
            records=totals.accepted - unsent,
            shards_left=[each.rows for each in plan.shards()][1:],
            slots=pool.admit_limit if pool and pool.admit_limit else world.settings.job_quota,
            history=await world.ledger.history(pins.pool),
            judged_at=world.clock.now().isoformat(),
        )

    def _estimate(self, run_id: str) -> Estimate | None:
        try:
            return Estimate.model_validate_json(self._world.objects.read(ObjectRef(estimate_key(run_id))))
        except (Missing, ValueError):
            return None

    def _plan(self, run_id: str) -> Plan:
        return Plan.model_validate_json(self._world.objects.read(ObjectRef(plan_key(run_id))))

    async def _write(self, totals: Totals, pins: Pins, judgement: Judgement) -> None:
        """Raises Stale."""
        ledger, text = self._world.ledger, judgement.model_dump_json()
        if _fails(judgement, pins):
            await ledger.apply(
                moves.fail_canary(
                    totals, pins.pool, text, reason=judgement.reason, code=RunCode.CANARY_EXCEEDED, step=Step.SETTLE
                )
            )
            return
        lane = await ledger.lane(pins.pool, totals.run_id)
        await ledger.apply(
            moves.judge_canary(totals, lane, text, reason=judgement.reason, at=self._world.clock.now().isoformat())
        )

    async def _tell(self, totals: Totals, judgement: Judgement, pins: Pins) -> None:
        world, run_id = self._world, totals.run_id
        outcome = "passed" if not judgement.exceeded else "failed" if _fails(judgement, pins) else "held"
        metrics.CANARIES.labels(outcome).inc()
        log.info(
            "canary_judged",
            run_id=run_id,
            outcome=outcome,
            reason=judgement.reason,
            error_share=judgement.error.share,
            truncated_share=judgement.truncated.share,
            dollars=judgement.dollars.likely if judgement.dollars else None,
        )
        if outcome == "failed":
            await wake_broken(world, run_id)
        elif outcome == "passed":
            await world.wake("scheduler", Wakeup(step="admit", run_id=run_id))
            if ON_DEMAND_QUEUE in world.queues:
                for each in await world.ledger.invoking(run_id):
                    await world.wake(ON_DEMAND_QUEUE, Wakeup(step="on_demand", run_id=run_id, shard=each.shard))


def _fails(judgement: Judgement, pins: Pins) -> bool:
    """Whether it ends the run."""
    assert pins.canary is not None
    return bool(judgement.exceeded) and pins.canary.on_fail == "fail"


def answers_of(salvage: Salvage, shard: Shard) -> Answers:
    """What a settled shard's records came to. Blocking. Raises Missing: its part was not written yet."""
    errors: dict[str, int] = {}
    answered = truncated = counted = input_tokens = output_tokens = 0
    input_squares = output_squares = 0.0
    for batch in _batches(salvage, shard):
        status, code, stop, tokens_in, tokens_out = batch.columns
        for each in code.drop_null().value_counts().to_pylist():
            errors[each["values"]] = errors.get(each["values"], 0) + each["counts"]
        ok = np.asarray([each == "ok" for each in status.to_pylist()])
        cut = np.asarray([each in CUT for each in stop.to_pylist()])
        answered, truncated = answered + int(ok.sum()), truncated + int((ok & cut).sum())
        known = tokens_in.is_valid().to_numpy(zero_copy_only=False)
        inside = tokens_in.fill_null(0).to_numpy(zero_copy_only=False)[known]
        outside = tokens_out.fill_null(0).to_numpy(zero_copy_only=False)[known]
        counted += int(known.sum())
        input_tokens, output_tokens = input_tokens + int(inside.sum()), output_tokens + int(outside.sum())
        input_squares += float(np.square(inside, dtype=np.float64).sum())
        output_squares += float(np.square(outside, dtype=np.float64).sum())
    return Answers(
        rows=shard.rows,
        sent=shard.sendable,
        input_bytes=shard.bytes,
        errors=errors,
        answered=answered,
        truncated=truncated,
        counted=counted,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        input_squares=input_squares,
        output_squares=output_squares,
    )


def _batches(salvage: Salvage, shard: Shard) -> Iterator[pa.RecordBatch]:
    if not shard.without_outcome:
        yield from read_outcome(salvage.objects, salvage.identity(shard)).some(_COLUMNS)
        return
    names = [f"{salvage.pins.result_prefix}{name}" for name in _COLUMNS]
    part = ObjectRef(part_key(shard.run_id, shard.shard))
    info = salvage.objects.head(part)
    with closing(
        salvage.objects.random_access(ObjectRef(part.key, etag=info.etag, version_id=info.version_id))
    ) as source:
        file = pq.ParquetFile(source, pre_buffer=False, buffer_size=READ_BYTES)
        for batch in file.iter_batches(batch_size=READ_ROWS, columns=names, use_threads=False):
            yield batch.replace_schema_metadata(None).select(names)
