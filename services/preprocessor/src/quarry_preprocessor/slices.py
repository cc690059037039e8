"""Writing a slice: shard by shard, each enlisted as soon as it stands.

Theory of operation. What is enlisted in the ledger is the worker's progress: a restarted worker begins at the first
row that no enlisted shard of its slice holds. Each shard is enlisted in one transaction, which refuses a second
enlistment and a run that has ended. After each the scheduler is woken: the first jobs run while later shards are still
being written. A shard is enlisted while the next one is written, one at a time and in their order.

The reader of the rows stays open between shards, and between slices that follow each other: whoever writes all slices of
a file decodes each of its row groups once. One is kept, of the run whose slice was written last.

May be called twice at once: both write the same bytes under the same names, and one enlists.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog

from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import ON_DEMAND_QUEUE, plan_key, shard_id
from quarry_core.contract.run import Run, Source
from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import Changed, Conflict, Missing, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import ON_DEMAND, Shard, Slice, Totals
from quarry_core.models import limits_of
from quarry_core.planning.plan import HalfTooLarge, Plan, ShardRange, split_in_halves
from quarry_core.ports import ObjectRef
from quarry_core.rendering.encoders import sending_encoder_of
from quarry_core.rendering.images import ImageEncoder
from quarry_core.service.endings import wake_broken
from quarry_core.service.failures import RunCode, Step, exhausted
from quarry_core.service.pieces import Piece, Pieces
from quarry_core.service.process import World
from quarry_core.service.publishing import published
from quarry_core.service.verdicts import DONE, Verdict
from quarry_core.tabular.dataset import open_dataset
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.reader import RowReader
from quarry_core.telemetry import metrics
from quarry_preprocessor.retry_slices import SLICE_TTL_S, RetrySlices
from quarry_preprocessor.write import ShardTooLarge, ShardWriter, Written

log = structlog.get_logger()


@dataclass(slots=True)
class Work:
    """A slice and everything needed to write it. `cancelled`: why nothing of it is to be sent any more."""

    run: Run
    totals: Totals
    piece: Slice
    plan: Plan
    writer: ShardWriter
    cancelled: str = ""
    enlisting: asyncio.Task[None] | None = None

    async def enlisted(self) -> None:
        """Wait until the shard before is enlisted. Raises as `Slices._enlist`."""
        task, self.enlisting = self.enlisting, None
        if task is not None:
            await task


class Slices:
    def __init__(self, world: World, pieces: Pieces) -> None:
        self._world = world
        self._pieces = pieces
        self._kept: tuple[tuple[str, str], RowReader] | None = None
        self._retries = RetrySlices(world, pieces)

    def close(self) -> None:
        """Close the reader that is kept: somebody else needs the memory."""
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None

    async def on_slice(self, wakeup: Wakeup) -> Verdict:
        """Write what is missing of a slice."""
        assert wakeup.slice is not None
        ledger = self._world.ledger
        totals = await ledger.totals(wakeup.run_id)
        piece = await ledger.slice(wakeup.run_id, wakeup.slice)
        if totals is None or piece is None or piece.state == "DONE":
            return DONE
        if totals.state is not RunState.RUNNING or totals.fault:
            return DONE
        run = await ledger.run(wakeup.run_id)
        assert run is not None
        assert run.pins is not None
        try:
            if run.pins.retry is not None:
                reader = await self._reader(run.counted_as, totals.plan, run.pins.source)
                await self._retries.write(run, totals, piece, reader)
                self._hold(run, totals.plan, reader)
                return DONE
            work = await self._prepare(run, totals, piece)
            await self._write(work)
            self._keep(work)
        except (SourceError, HalfTooLarge, Changed, Missing) as error:
            if exhausted(error):
                raise  # the worker's want, not the source's fault
            await self._break(run, totals, error)
        return DONE

    def _keep(self, work: Work) -> None:
        """Keep the reader for the next slice."""
        if work.writer.reader is not None:
            self._hold(work.run, work.writer.plan, work.writer.reader)

    def _hold(self, run: Run, plan: str, reader: RowReader) -> None:
        self.close()
        self._kept = (run.counted_as, plan), reader

    async def _reader(self, run_id: str, plan: str, source: Source) -> RowReader:
        """The one that is kept, or a new one; another run's is closed before."""
        kept, self._kept = self._kept, None
        if kept is not None and kept[0] == (run_id, plan):
            return kept[1]
        if kept is not None:
            kept[1].close()
        return RowReader(await self._world.offload.run(partial(open_dataset, self._world.objects, run_id, source)))

    async def _prepare(self, run: Run, totals: Totals, piece: Slice) -> Work:
        objects, offload = self._world.objects, self._world.offload
        assert run.pins is not None
        plan = Plan.model_validate_json(await offload.run(partial(objects.read, ObjectRef(plan_key(run.run_id)))))
        reader = await self._reader(run.run_id, totals.plan, run.pins.source)
        limits = limits_of(run.pins.model)
        writer = ShardWriter(
            objects=objects,
            run_id=run.run_id,
            plan=totals.plan,
            pins=run.pins,
            dataset=reader.dataset,
            encoder=sending_encoder_of(run.pins, objects, sound=reader.dataset.count.sound),
            sendable_min=1 if run.pins.on_demand_below else limits.records_min,
            shard_bytes_max=min(self._world.settings.shard_bytes_max, limits.file_bytes_max),
            reader=reader,
        )
        return Work(run, totals, piece, plan, writer, totals.why_cancelled)

    async def _write(self, work: Work) -> None:
        run_id, piece, plan = work.run.run_id, work.piece, work.plan
        planned = [plan.shard_at(index) for index in range(piece.first_shard, piece.first_shard + piece.shards)]
        enlisted = {
            shard.shard: shard
            for shard in await self._world.ledger.shards_between(
                run_id, shard_id(planned[0].number), shard_id(planned[-1].number + 1)
            )
        }
        try:
            for shard in planned:
                await self._write_shard(work, shard, enlisted)
        except asyncio.CancelledError:
            if work.enlisting is not None:
                work.enlisting.cancel()
            raise
        finally:
            # Also of a source that breaks: what was written before has its row.
            await work.enlisted()
        expires_at = int(self._world.clock.now().timestamp()) + SLICE_TTL_S
        try:
            await self._world.ledger.apply(moves.finish_slice(run_id, piece.number, expires_at))
        except Stale:
            log.debug("slice_finished_by_another", slice=piece.number)
        if isinstance(work.writer.encoder, ImageEncoder):
            tally = work.writer.encoder.tally
            log.info("images_sent", run_id=run_id, slice=piece.number, images=tally.sent, unusual=dict(tally.odd))
        log.info("slice_written", run_id=run_id, slice=piece.number, shards=len(planned))

    async def _write_shard(self, work: Work, shard: ShardRange, enlisted: dict[str, Shard]) -> None:
        """Write and enlist a planned shard, or its two halves where it is too large for one job."""
        standing = enlisted.get(shard_id(shard.number))
        if standing is None:
            if work.cancelled:
                await self._write_cancelled(work, shard)
                return
            try:
                written = await self._written(work, shard)
            except ShardTooLarge as error:
                first, second = split_in_halves(shard, work.writer.sendable_min)
                log.info("split", run_id=work.run.run_id, shard=shard_id(shard.number), why=str(error))
                await self._write_half(work, first)
                await self._write_half(work, second)
                return
            await self._enlist_beside(work, shard, written, half=False)
        elif standing.half and shard_id(shard.number + 1) not in enlisted:
            await self._write_half(work, split_in_halves(shard, work.writer.sendable_min)[1])

    async def _write_cancelled(self, work: Work, shard: ShardRange, *, half: bool = False) -> None:
        """Of a cancelled run nothing more is rendered; but its rows are in the result, each with an error."""
        try:
            await self._world.offload.run(partial(work.writer.write_rows, shard))
        except Conflict:
            if half:
                raise
            # Before it was cancelled somebody had found it too large, and begun with its first half.
            for each in split_in_halves(shard, work.writer.sendable_min):
                await self._write_cancelled(work, each, half=True)
            return
        await self._enlist_beside(work, shard, Written(), half=half)

    async def _write_half(self, work: Work, half: ShardRange) -> None:
        if work.cancelled:
            await self._write_cancelled(work, half, half=True)
            return
        try:
            written = await self._written(work, half)
        except ShardTooLarge as error:
            raise HalfTooLarge(
                f"{error}, and it is already half of a shard: shorten the prompt or the rows, or set"
                " max_records_per_job lower"
            ) from error
        await self._enlist_beside(work, half, written, half=True)

    async def _written(self, work: Work, shard: ShardRange) -> Written:
        assert work.run.pins is not None
        name = shard_id(shard.number)
        piece = Piece(Step.SLICE, work.run.run_id, f"{work.piece.number:05d}/{name}")
        async with self._pieces.begun(piece):
            return await self._write_objects(work, shard)

    async def _write_objects(self, work: Work, shard: ShardRange) -> Written:
        assert work.run.pins is not None
        run_id, name = work.run.run_id, shard_id(shard.number)
        with self._world.traces.span("write", run_id, name, pool=work.run.pins.pool, rows=shard.rows) as reported:
            written = await published(
                self._world.offload, partial(work.writer.write, shard), partial(self._wake_settle, run_id, name)
            )
            reported |= {"sendable": written.sendable, "bytes": written.input_bytes}
        return written

    async def _enlist_beside(self, work: Work, shard: ShardRange, written: Written, *, half: bool) -> None:
        """Enlist it while the next one is written. Raises what the enlistment before it raised."""
        await work.enlisted()
        work.enlisting = asyncio.create_task(self._enlist(work, shard, written, half=half))

    async def _enlist(self, work: Work, shard: ShardRange, written: Written, *, half: bool) -> None:
        assert work.run.pins is not None
        row = Shard(
            run_id=work.run.run_id,
            shard=shard_id(shard.number),
            state=ShardState.PENDING,
            attempt=1,
            version=1,
            pool=work.run.pins.pool,
            first_row=shard.first_row,
            rows=shard.rows,
            sendable=written.sendable,
            bytes=written.input_bytes,
            half=half,
            kind=_kind(work, written.sendable),
        )
        below = written.sendable < work.writer.sendable_min and not work.cancelled
        why = f"{len(written.unsent)} of {shard.rows} rows could not be rendered, and {_fewest(work)}" if below else ""
        ledger = self._world.ledger
        try:
            await ledger.apply(moves.enlist(row, work.piece.number, below_minimum=why, cancelled=work.cancelled))
        except Stale:
            totals = await ledger.totals(row.run_id)
            standing = await ledger.shard(row.run_id, row.shard)
            if standing is None and totals is not None and totals.cancelled_at and not work.cancelled:
                work.cancelled = totals.why_cancelled
                log.info("slice_cancelled", run_id=row.run_id, slice=work.piece.number, shard=row.shard)
                await self._enlist(work, shard, written, half=half)
                return
            if standing is None and totals is not None and totals.state is RunState.RUNNING and not totals.fault:
                raise  # the slice is not open to us any more
            log.debug("enlisted_by_another", shard=row.shard)
            if standing is None or standing.state is ShardState.SETTLED:
                await self._wake_settle(row.run_id, row.shard)
            return
        metrics.SHARDS_ENLISTED.inc()
        if below or work.cancelled:
            await self._wake_settle(row.run_id, row.shard)
        elif row.on_demand:
            # Without the queue, the sweep tells what waits that nobody will ask it.
            if ON_DEMAND_QUEUE in self._world.queues:
                wakeup = Wakeup(step="on_demand", run_id=row.run_id, shard=row.shard)
                await self._world.wake(ON_DEMAND_QUEUE, wakeup)
        else:
            await self._world.wake("scheduler", Wakeup(step="admit", run_id=row.run_id, shard=row.shard))

    async def _wake_settle(self, run_id: str, shard: str) -> None:
        """There is something to settle; or an input was written that nobody will send, which the collector takes away."""
        await self._world.wake("collector", Wakeup(step="settle", run_id=run_id, shard=shard))

    async def _break(self, run: Run, totals: Totals, error: Exception) -> None:
        """The source cannot be read to its end. What is paid for is settled; nothing more is submitted."""
        assert run.pins is not None
        fault = f"{run.pins.source.field}: {run.pins.source.uri}: {error}"
        log.error("run_broken", run_id=run.run_id, why=fault)
        try:
            await self._world.ledger.apply(
                moves.break_run(totals, run.pins.pool, fault, code=RunCode.SOURCE_BROKEN, step=Step.SLICE)
            )
        except Stale:
            log.debug("broken_by_another")
        await wake_broken(self._world, run.run_id)


def _kind(work: Work, sendable: int) -> str:
    """How a shard of so many records is to be asked: by a job, or on demand where it is too small or the run is."""
    assert work.run.pins is not None
    below = work.run.pins.on_demand_below
    few = sendable < limits_of(work.run.pins.model).records_min or work.plan.rows_planned < below
    return ON_DEMAND if below and sendable and few else ""


def _fewest(work: Work) -> str:
    assert work.run.pins is not None
    if work.run.pins.on_demand_below:
        return "none is left to be asked on demand"
    return f"the model's smallest job has {limits_of(work.run.pins.model).records_min} records"
