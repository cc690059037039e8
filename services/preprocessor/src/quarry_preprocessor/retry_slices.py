"""Slices of a retry: shard by shard carried over from the version before, each enlisted as soon as what it asks again stands.

As with any slice the ledger is the worker's progress, and two that write one slice write the same bytes.
"""

from __future__ import annotations

from functools import partial

import structlog

from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import plan_key, shard_id
from quarry_core.contract.run import Run
from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import Missing, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Shard, Slice, Totals
from quarry_core.planning.plan import Plan
from quarry_core.ports import ObjectRef
from quarry_core.rendering.encoders import sending_encoder_of
from quarry_core.service.failures import Step
from quarry_core.service.pieces import Piece, Pieces
from quarry_core.service.process import World
from quarry_core.tabular.reader import RowReader
from quarry_core.telemetry import metrics
from quarry_preprocessor.carry import ATTEMPT, ShardCarrier
from quarry_preprocessor.write import Written

log = structlog.get_logger()
SLICE_TTL_S = 180 * 86_400


class RetrySlices:
    def __init__(self, world: World, pieces: Pieces) -> None:
        self._world = world
        self._pieces = pieces

    async def write(self, run: Run, totals: Totals, piece: Slice, reader: RowReader) -> None:
        """Carry over the shards of a slice that are not yet, and finish it.

        Args:
            run: the retry, whose pins say of what.
            totals: its, as read.
            piece: the slice.
            reader: of the source, as it was counted for the first run.

        Raises:
            Missing: the ledger has forgotten shards of the version before. And as `ShardCarrier.carry`.
        """
        ledger, offload, objects = self._world.ledger, self._world.offload, self._world.objects
        assert run.pins is not None
        assert run.pins.retry is not None
        base = run.pins.retry.base
        plan = Plan.model_validate_json(await offload.run(partial(objects.read, ObjectRef(plan_key(run.run_id)))))
        planned = [plan.shard_at(index) for index in range(piece.first_shard, piece.first_shard + piece.shards)]
        ends = shard_id(planned[0].number), shard_id(planned[-1].number + 1)
        before = [shard for shard in await ledger.shards_between(base, *ends) if not shard.retries]
        if sum(shard.rows for shard in before) != sum(shard.rows for shard in planned):
            raise Missing(f"the ledger has forgotten shards of run {base}")
        done = {shard.shard for shard in await ledger.shards_between(run.run_id, *ends)}
        encoder = sending_encoder_of(run.pins, objects, sound=reader.dataset.count.sound)
        carrier = ShardCarrier(objects, run.run_id, totals.plan, run.pins, reader, encoder)
        for shard in before:
            if shard.shard not in done:
                written = Written() if totals.cancelled_at else await self._carried(run, piece, carrier, shard)
                await self._enlist(run, piece, shard, written)
        expires_at = int(self._world.clock.now().timestamp()) + SLICE_TTL_S
        try:
            await ledger.apply(moves.finish_slice(run.run_id, piece.number, expires_at))
        except Stale:
            log.debug("slice_finished_by_another", slice=piece.number)
        log.info("slice_carried", run_id=run.run_id, slice=piece.number, shards=len(before))

    async def _carried(self, run: Run, piece: Slice, carrier: ShardCarrier, shard: Shard) -> Written:
        async with self._pieces.begun(Piece(Step.SLICE, run.run_id, f"{piece.number:05d}/{shard.shard}")):
            return await self._world.offload.run(partial(carrier.carry, shard))

    async def _enlist(self, run: Run, piece: Slice, before: Shard, written: Written) -> None:
        row = Shard(
            run_id=run.run_id,
            shard=before.shard,
            state=ShardState.ENDED,
            attempt=ATTEMPT,
            version=1,
            pool=before.pool,
            first_row=before.first_row,
            rows=before.rows,
            sendable=written.sendable,
            bytes=written.input_bytes,
            half=before.half,
        )
        ledger = self._world.ledger
        try:
            await ledger.apply(moves.carry(row, piece.number))
        except Stale:
            totals = await ledger.totals(row.run_id)
            standing = await ledger.shard(row.run_id, row.shard)
            if standing is None and totals is not None and totals.state is RunState.RUNNING and not totals.fault:
                raise  # the slice is not open to us any more
            log.debug("carried_by_another", shard=row.shard)
            return
        metrics.SHARDS_ENLISTED.inc()
        await self._world.wake("collector", Wakeup(step="settle", run_id=row.run_id, shard=row.shard))
