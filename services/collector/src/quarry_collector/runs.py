"""Step 5: a run whose shards are all settled is closed.

Theory of operation. Closing is a row of steps, each write-once and a function of what stands: the parts that a crash
left unwritten, the report, the marker, the event, and last of all the terminal state. Any number of closers may take
any of them at once, or again after a crash; the report's times come from the ledger, so that its bytes repeat. The
event is told at least once; the state changes exactly once.
"""

from __future__ import annotations

from functools import partial

import structlog

from quarry_collector.report import SUCCESS, RunFacts, ShardEnd, build_report, state_of
from quarry_collector.salvage import Salvage
from quarry_core import metrics
from quarry_core.errors import Changed, Missing, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Shard, Totals
from quarry_core.messages import Doorbell
from quarry_core.names import part_key, report_key, results_prefix, s3_uri, success_key
from quarry_core.part_file import PartError
from quarry_core.rows import SourceError
from quarry_core.run import Pins
from quarry_core.service import World
from quarry_core.states import RunState, ShardState
from quarry_core.verdicts import DONE, Verdict

log = structlog.get_logger()
RUN_ENDED = "Run Ended"


class Runs:
    def __init__(self, world: World) -> None:
        self._world = world
        self._unaccounted: dict[str, int] = {}  # rows, by run; of the runs whose closing found any

    async def on_close(self, bell: Doorbell) -> Verdict:
        """Close a run that is whole, or finish closing one."""
        ledger = self._world.ledger
        totals = await ledger.totals(bell.run_id)
        run = await ledger.run(bell.run_id)
        if totals is None or run is None or run.pins is None:
            return DONE
        if totals.whole:
            try:
                await ledger.apply(moves.begin_closing(totals, self._world.clock.now().isoformat()))
            except Stale:
                log.debug("closing_begun_by_another", run_id=bell.run_id)
            totals = await ledger.totals(bell.run_id)
            assert totals is not None
        if totals.state is RunState.CLOSING:
            await self._close(totals, run.pins, run.accepted_at)
        return DONE

    async def _close(self, totals: Totals, pins: Pins, accepted_at: str) -> None:
        world, run_id = self._world, totals.run_id
        salvage = Salvage(world.objects, run_id, totals.plan, pins)
        shards = [shard async for shard in world.ledger.shards(run_id)]
        assert all(shard.state is ShardState.SETTLED for shard in shards)
        fault = totals.fault or await self._missing_parts(salvage, shards)
        facts = RunFacts(
            run_id=run_id,
            model_id=pins.model_id,
            source_uri=pins.source.uri,
            bucket=world.settings.bucket,
            accepted_at=accepted_at,
            ended_at=totals.closing_at,
            source_rows=totals.rows_source,
            planned_rows=totals.accepted,
            reason=fault,
        )
        ends = [await self._end_of(salvage, shard) for shard in shards]
        await self._account_for(totals, ends)
        state = RunState.FAILED if fault else state_of(totals.ok, totals.error)
        await self._publish(totals, state, build_report(facts, ends))
        rows = {"accepted": totals.accepted, "ok": totals.ok, "error": totals.error + totals.open}
        await world.bus.put(
            RUN_ENDED,
            {
                "run_id": run_id,
                "state": state,
                "rows": rows,
                "results_uri": s3_uri(world.settings.bucket, results_prefix(run_id)),
                "report_uri": s3_uri(world.settings.bucket, report_key(run_id)),
            },
        )
        message = fault or (_why_failed(ends) if state is RunState.FAILED else "")
        try:
            await world.ledger.apply(moves.close_run(totals, pins.pool, state, message, totals.closing_at))
            log.info("run_ended", run_id=run_id, state=state, **rows)
        except Stale:
            log.debug("closed_by_another", run_id=run_id)

    async def _account_for(self, totals: Totals, ends: list[ShardEnd]) -> None:
        """Show what is missing between the rows that the run accepted and the outcomes that stand. It must be none."""
        told = sum(end.account.ok + end.account.error for end in ends)
        self._unaccounted[totals.run_id] = abs(totals.accepted - totals.open - told)
        for run_id, missing in list(self._unaccounted.items()):
            # A run that was mended may have been closed by another collector.
            now = await self._world.ledger.totals(run_id) if missing else None
            if now is None or now.state.terminal:
                self._unaccounted.pop(run_id, None)
        metrics.ROWS_UNACCOUNTED.set(sum(self._unaccounted.values()))

    async def _missing_parts(self, salvage: Salvage, shards: list[Shard]) -> str:
        """Write the parts that do not stand yet; the sentence that says why one cannot be written."""
        world = self._world
        standing = await world.offload.run(
            lambda: {info.key for info in world.objects.list(results_prefix(salvage.run_id))}
        )
        for shard in shards:
            if part_key(salvage.run_id, shard.shard) in standing:
                continue
            try:
                await world.offload.run(partial(salvage.part, shard))
            except PartError as error:
                return f"a part of the result cannot be written: {error}; the answers stand under outcomes/{salvage.run_id}/"
            except (Changed, Missing, SourceError) as error:
                uri = salvage.pins.source.uri
                return f"s3_uri: {uri} cannot be joined any more ({error}); the answers stand under outcomes/{salvage.run_id}/"
        return ""

    async def _end_of(self, salvage: Salvage, shard: Shard) -> ShardEnd:
        account = await self._world.offload.run(partial(salvage.account, shard))
        return ShardEnd(shard.shard, shard.rows, shard.attempt, shard.ended_status, shard.message, account)

    async def _publish(self, totals: Totals, state: RunState, report: bytes) -> None:
        objects, offload = self._world.objects, self._world.offload
        identity = {"run": totals.run_id, "plan": totals.plan}
        await offload.run(partial(objects.put_once, report_key(totals.run_id), report, {"kind": "report", **identity}))
        if state is not RunState.FAILED:
            await offload.run(
                partial(objects.put_once, success_key(totals.run_id), SUCCESS, {"kind": "success", **identity})
            )


def _why_failed(ends: list[ShardEnd]) -> str:
    """The commonest error, with Bedrock's or our own words for it."""
    errors: dict[str, int] = {}
    words: dict[str, str] = {}
    for end in ends:
        for code, rows in end.account.errors.items():
            errors[code] = errors.get(code, 0) + rows
            for example in end.account.examples.get(code, ()):
                words.setdefault(code, example.message)
    if not errors:
        return "no row has a result"
    code = max(errors, key=lambda each: errors[each])
    return f"no row has a result; {errors[code]} rows end with {code}: {words.get(code, '')}"
