"""Step 5: a run whose shards are all settled is closed.

Theory of operation. Closing is a row of steps, each write-once and a function of what stands: the parts that a crash
left unwritten, then the *decision*, in the ledger: the terminal state and its reason. What follows only repeats it:
the report, the marker, the event, and last of all the terminal state. So a source that goes and comes back between
two closers makes no report of one end beside a marker of another. Any number of closers may take any of the steps at
once, or again after a crash; the report's times come from the ledger, so that its bytes repeat. The event is told at
least once; the state changes exactly once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import structlog

from quarry_collector.batches import pieces
from quarry_collector.datasets import Datasets
from quarry_collector.next_round import Rounds
from quarry_collector.publish import Publisher
from quarry_collector.report import SUCCESS, RunFacts, ShardEnd, build_report, short_report, state_of
from quarry_collector.report_page import page_of
from quarry_collector.retry_shards import read_plan
from quarry_collector.salvage import Salvage
from quarry_collector.settle import ErrorCode
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import (
    estimate_key,
    input_key,
    part_key,
    report_key,
    report_page_key,
    results_prefix,
    shard_id,
    success_key,
)
from quarry_core.contract.notices import RUN_ENDED, run_ended
from quarry_core.contract.run import Pins
from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import Missing, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Shard, Totals
from quarry_core.planning.estimate import Estimate
from quarry_core.ports import ObjectRef
from quarry_core.service.failures import Kind, RunCode, Step, StepFailed, Why, kind_of
from quarry_core.service.notices import leave_for_webhook
from quarry_core.service.pieces import Piece
from quarry_core.service.process import World
from quarry_core.service.steps import Steps
from quarry_core.service.verdicts import DONE, Verdict
from quarry_core.telemetry import metrics

log = structlog.get_logger()
WITHOUT_MARKER = (RunState.FAILED, RunState.CANCELLED)
# Inputs that closing deletes once more by name. Of a longer run it is left to the wake-ups of what died half-way.
INPUTS_MAX = 500
PART_SUFFIX = ".parquet"
# As many missing parts the closer writes by itself; it calls the others to more.
PARTS_ALONE_MAX = 8
# Of one slice that was not finished: a shard and its other half, with what splits before them have skipped.
OPEN_INPUTS_MAX = 64


class Runs:
    def __init__(self, world: World, steps: Steps, datasets: Datasets) -> None:
        self._world = world
        self._steps = steps
        self._datasets = datasets
        self._publisher = Publisher(world, steps)
        self._rounds = Rounds(world)
        self._unaccounted: dict[str, int] = {}  # rows, by run; of the runs whose closing found any

    async def on_close(self, wakeup: Wakeup) -> Verdict:
        """Close a run that is whole, or finish closing one, or open what is missing of its next round."""
        ledger = self._world.ledger
        totals = await self._closing(wakeup.run_id) or await ledger.totals(wakeup.run_id)
        if totals is None or not (totals.state is RunState.CLOSING or totals.opening):
            return DONE
        run = await ledger.run(wakeup.run_id)
        if run is None:
            return DONE
        if run.pins is None:
            # Cancelled after its manifest was refused and before that was told: there is nothing to be closed but itself.
            await self._close_shortly(totals)
            return DONE
        if totals.opening:
            await self._rounds.open_rest(totals, run.pins)
            return DONE
        async with self._steps.pieces.begun(Piece(Step.CLOSE, wakeup.run_id)):
            await self._close(totals, run.pins, run.accepted_at)
        return DONE

    async def _closing(self, run_id: str) -> Totals | None:
        """The totals of a run that is CLOSING, which it is made if it is whole; else None."""
        ledger = self._world.ledger
        totals = await ledger.totals(run_id)
        if totals is not None and totals.whole:
            try:
                await ledger.apply(moves.begin_closing(totals, self._world.clock.now().isoformat()))
            except Stale:
                log.debug("closing_begun_by_another", run_id=run_id)
            totals = await ledger.totals(run_id)
        return totals if totals is not None and totals.state is RunState.CLOSING else None

    async def _close_shortly(self, totals: Totals) -> None:
        if not totals.end_state:
            totals = await self._decide(totals, RunState.CANCELLED, totals.why_cancelled, "", "")
        await self._put_short_report(totals)
        await self._tell(totals)
        await self._end(totals, "")

    async def give_up(self, wakeup: Wakeup, why: Why) -> Verdict:
        """The ending of the step: the terminal state, with a report of what the ledger knows and no more."""
        totals = await self._closing(wakeup.run_id)
        if totals is None:
            return DONE
        totals = await self._decide(totals, RunState.FAILED, why.sentence, why.code, why.step)
        if totals.end_code == why.code:
            metrics.RUNS_ENDED_BY_FAILURE.labels(why.code.lower()).inc()
        state = RunState(totals.end_state)
        # None of these may keep the run open: each has had its chances.
        await self._if_can_be(lambda: self._put_short_report(totals))
        if state not in WITHOUT_MARKER:
            await self._if_can_be(lambda: self._put_marker(totals))
        await self._if_can_be(lambda: self._tell(totals))
        marker = await self._world.ledger.open_run(wakeup.run_id)
        await self._end(totals, marker.pool if marker else "", note=why.sentence)
        return DONE

    async def _if_can_be(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:
            if kind_of(error) is not Kind.DETERMINISTIC:
                raise
            log.exception("not_reported")

    async def _close(self, totals: Totals, pins: Pins, accepted_at: str) -> None:
        world, run_id = self._world, totals.run_id
        salvage = Salvage(world.objects, run_id, totals.plan, pins, self._datasets)
        shards = [shard async for shard in world.ledger.shards(run_id)]
        assert all(shard.state is ShardState.SETTLED for shard in shards if shard.round <= totals.round)
        after = await self._rounds.after(totals, salvage, shards)
        if after is None:
            return  # the next round is open, or another closes it
        totals, why = after, None
        # Of a run that broke at its parts each has been tried, and none may be writable.
        if not totals.end_state and totals.fault_step != Step.PART:
            why = await self._missing_parts(salvage, shards, totals)
        # Another closer may have decided meanwhile.
        totals = await world.ledger.totals(run_id) or totals
        if totals.state is not RunState.CLOSING:
            return  # closed by another
        standing = await self._standing(run_id)
        ends = [
            end
            for some in pieces(shards)
            for end in await asyncio.gather(*(self._end_of(salvage, shard, standing, totals) for shard in some))
        ]
        await self._account_for(totals, ends)
        facts = partial(
            RunFacts,
            run_id=run_id,
            model_id=pins.model_id,
            model=pins.model,
            source_uri=pins.source.uri,
            bucket=world.settings.bucket,
            accepted_at=accepted_at,
            ended_at=totals.closing_at,
            source_rows=totals.rows_source,
            planned_rows=totals.accepted,
            rounds=totals.round,
            broken=bool(totals.fault),
            dry_run=pins.dry_run,
            estimate=await self._estimate(run_id),
            retry=pins.retry,
            canary=await self._canary(totals),
        )
        if not totals.end_state:
            state, message, code, step = _end_of_run(totals, ends, why, dry_run=pins.dry_run)
            # Before it is decided on: of an end that cannot be reported another one is to be found.
            build_report(facts(state=state, reason=message, code=code, step=step), ends)
            totals = await self._decide(totals, state, message, code, step)
        end = RunState(totals.end_state)
        reported = facts(state=end, reason=totals.end_message, code=totals.end_code, step=totals.end_step)
        await self._put_report(totals, build_report(reported, ends))
        if end not in WITHOUT_MARKER and not pins.dry_run:
            await self._put_marker(totals)
        await self._delete_inputs(run_id, shards, totals)
        version_of = _makes_version_of(totals, pins, ends)
        await self._tell(totals, dry_run=pins.dry_run, dataset=_dataset(totals, pins, version_of))
        await self._end(totals, pins.pool, newest_of=version_of)

    async def _decide(self, totals: Totals, state: RunState, message: str, code: str, step: str) -> Totals:
        ledger = self._world.ledger
        try:
            await ledger.apply(moves.decide_end(totals, state, message, code=code, step=step))
        except Stale:
            log.debug("end_decided_by_another", run_id=totals.run_id)
        now = await ledger.totals(totals.run_id)
        if now is None or not now.end_state:
            raise Stale(f"run {totals.run_id} is being closed by another collector")
        return now

    async def _end(self, totals: Totals, pool: str, note: str = "", *, newest_of: str = "") -> None:
        """CLOSING -> terminal; of a retry whose results are whole, with it, they become the newest version of that dataset."""
        if totals.state is not RunState.CLOSING:
            return  # closed by another
        rows = _rows(totals)
        try:
            published = moves.publish_version(newest_of, totals.run_id) if newest_of else []
            await self._world.ledger.apply([*moves.close_run(totals, pool, totals.closing_at, note=note), *published])
            by = {"cancelled_by": totals.cancelled_by or "unknown"} if totals.cancelled_at else {}
            log.info("run_ended", run_id=totals.run_id, state=totals.end_state, code=totals.end_code, **by, **rows)
        except Stale:
            log.debug("closed_by_another", run_id=totals.run_id)

    async def _estimate(self, run_id: str) -> Estimate | None:
        """What was expected; None for a run that an earlier release planned. No run stays open for want of it."""
        try:
            body = await self._world.offload.run(partial(self._world.objects.read, ObjectRef(estimate_key(run_id))))
            return Estimate.model_validate_json(body)
        except Missing:
            return None
        except ValueError:
            log.exception("estimate_unreadable", run_id=run_id)
            return None

    async def _canary(self, totals: Totals) -> dict[str, Any] | None:
        """What the report says of the run's canary."""
        if not totals.canary:
            return None
        text = await self._world.ledger.canary(totals.run_id)
        approved = {"approved_at": totals.approved_at or None, "approved_by": totals.approved_by or None}
        return {"state": totals.canary, **approved, **(json.loads(text) if text else {})}

    async def _tell(self, totals: Totals, *, dry_run: bool = False, dataset: tuple[int, str] | None = None) -> None:
        """`dataset`: which version the results are, and of which run's dataset."""
        settings = self._world.settings
        version, version_of = dataset or (None, None)
        detail = run_ended(
            env=settings.env,
            bucket=settings.bucket,
            run_id=totals.run_id,
            state=totals.end_state,
            code=totals.end_code,
            step=totals.end_step,
            reason=totals.end_message,
            rows=_rows(totals),
            ended_at=totals.closing_at,
            since=totals.closing_at,
            dry_run=dry_run,
            version=version,
            version_of=version_of,
        )
        await self._world.bus.put(RUN_ENDED, detail)
        await leave_for_webhook(self._world, detail)

    async def _account_for(self, totals: Totals, ends: list[ShardEnd]) -> None:
        """Show what is missing between the rows that the run accepted and the outcomes that stand. It must be none."""
        reported = sum(end.account.ok + end.account.error for end in ends)
        self._unaccounted[totals.run_id] = abs(totals.accepted - totals.open - reported)
        for run_id, missing in list(self._unaccounted.items()):
            # A run that was fixed may have been closed by another collector.
            now = await self._world.ledger.totals(run_id) if missing else None
            if now is None or now.state.terminal:
                self._unaccounted.pop(run_id, None)
        metrics.ROWS_UNACCOUNTED.set(sum(self._unaccounted.values()))

    async def _missing_parts(self, salvage: Salvage, shards: list[Shard], totals: Totals) -> Why | None:
        """Write the parts that do not stand yet; or why one cannot be written. Of a broken run it then lacks."""
        standing, broken = await self._standing(salvage.run_id), bool(totals.fault)
        missing = [
            shard for shard in shards if not shard.retries and part_key(salvage.run_id, shard.shard) not in standing
        ]
        if len(missing) > PARTS_ALONE_MAX:
            await self._share(salvage.run_id, missing)
        for shard in reversed(missing):
            if len(missing) > PARTS_ALONE_MAX and await self._world.offload.run(partial(salvage.part_stands, shard)):
                continue  # written meanwhile
            try:
                why = await self._publisher.killed(salvage, shard) or await self._publisher.part(
                    salvage, shard, rounds=totals.round
                )
            except StepFailed:
                if broken:
                    continue
                raise
            if why is not None and not broken:
                return why
        return None

    async def _share(self, run_id: str, missing: Sequence[Shard]) -> None:
        """Call the others to many parts: they begin at the front, and who closes at the end. After rounds all wait at once."""
        for some in pieces(missing):
            await asyncio.gather(
                *(
                    self._world.wake("collector", Wakeup(step="settle", run_id=run_id, shard=shard.shard))
                    for shard in some
                )
            )

    async def _standing(self, run_id: str) -> set[str]:
        objects = self._world.objects
        return await self._world.offload.run(lambda: {info.key for info in objects.list(results_prefix(run_id))})

    async def _end_of(self, salvage: Salvage, shard: Shard, standing: set[str], totals: Totals) -> ShardEnd:
        account = await self._world.offload.run(partial(salvage.account, shard))
        if shard.round == totals.round:
            account = account.final  # no round followed
        sent = bool(shard.arn) or (shard.on_demand and shard.ended_status == moves.ANSWERED)
        stands = part_key(salvage.run_id, shard.shard) in standing
        return ShardEnd(
            shard.shard,
            shard.rows,
            shard.attempt,
            shard.ended_status,
            shard.message,
            account,
            stands,
            on_demand=shard.on_demand,
            tier=shard.tier,
            asked_twice=shard.asked_twice,
            round=shard.round,
            sent=shard.sendable if sent else 0,
        )

    async def _put_short_report(self, totals: Totals) -> None:
        parts = sorted(key for key in await self._standing(totals.run_id) if key.endswith(PART_SUFFIX))
        await self._put_report(totals, short_report(totals, self._world.settings.bucket, parts))

    async def _put_report(self, totals: Totals, report: bytes) -> None:
        # First the page: where the report stands, all that is told of the run does. No page may keep a run open.
        await self._if_can_be(lambda: self._put_page(totals, report))
        await self._put(totals, report_key(totals.run_id), report, "report")

    async def _put_page(self, totals: Totals, report: bytes) -> None:
        page = await page_of(self._world.ledger, totals.run_id, report)
        await self._put(totals, report_page_key(totals.run_id), page, "report_page")

    async def _put_marker(self, totals: Totals) -> None:
        await self._put(totals, success_key(totals.run_id), SUCCESS, "success")

    async def _put(self, totals: Totals, key: str, body: bytes, kind: str) -> None:
        identity = {"kind": kind, "run": totals.run_id, "plan": totals.plan}
        await self._world.offload.run(partial(self._world.objects.put_once, key, body, identity))

    async def _delete_inputs(self, run_id: str, shards: list[Shard], totals: Totals) -> None:
        """What a collector that died between settling and publishing has left, or a worker of a run that broke."""
        enlisted = [shard.shard for shard in shards]
        retries = [shard.shard for shard in shards if shard.retries]
        if any(shard.again and shard.round == totals.round for shard in shards):
            # One that was planned and never opened.
            plan = await self._world.offload.run(partial(read_plan, self._world.objects, run_id, totals.round + 1))
            retries += [shard.shard for shard in plan.shards] if plan is not None else []
        left = [*retries[:INPUTS_MAX], *enlisted[:INPUTS_MAX]]
        if totals.fault:
            left += (await self._not_enlisted(run_id, set(enlisted)))[:INPUTS_MAX]

        offload, objects = self._world.offload, self._world.objects
        for some in pieces(left):
            await asyncio.gather(*(offload.run(partial(objects.delete, input_key(run_id, shard))) for shard in some))

    async def _not_enlisted(self, run_id: str, enlisted: set[str]) -> list[str]:
        """The shards at which the open slices' workers were: of each slice the first ones that are not enlisted."""
        found: list[str] = []
        async for piece in self._world.ledger.slices(run_id):
            if piece.state != "OPEN":
                continue
            # Planned shards have even numbers, the second half of a split one the next odd one.
            numbers = range(2 * piece.first_shard, 2 * (piece.first_shard + piece.shards))
            missing = (name for number in numbers if (name := shard_id(number)) not in enlisted)
            found += islice(missing, OPEN_INPUTS_MAX)
        return found


def _end_of_run(
    totals: Totals, ends: list[ShardEnd], why: Why | None, *, dry_run: bool
) -> tuple[RunState, str, str, str]:
    """State, message, code and step."""
    if totals.cancelled_at:
        return RunState.CANCELLED, _why_cancelled(totals, why), "", ""
    if totals.fault:
        code, step = totals.fault_code or RunCode.SOURCE_BROKEN, totals.fault_step or Step.SLICE
        return RunState.FAILED, totals.fault, code, step
    if why is not None:
        return RunState.FAILED, why.sentence, why.code, why.step
    if dry_run:
        return RunState.SUCCEEDED, "", "", ""
    state = state_of(totals.ok, totals.error - totals.errors.get(ErrorCode.SKIPPED, 0))
    if state is RunState.FAILED:
        return state, _why_failed(ends), RunCode.NO_RESULTS, Step.SETTLE
    return state, "", "", ""


def _dataset(totals: Totals, pins: Pins, newest_of: str) -> tuple[int, str] | None:
    """The version that the results are, and the run whose dataset that is. None: a dry run, or a retry that is not whole."""
    if pins.dry_run:
        return None
    if pins.retry is None:
        return 1, totals.run_id
    return (pins.retry.version, pins.retry.root) if newest_of else None


def _makes_version_of(totals: Totals, pins: Pins, ends: Sequence[ShardEnd]) -> str:
    """The run whose dataset a retry has a new version of, whole: every row is in it once. Else empty.

    Of a cancelled one too: what was paid until then is in it, and each other row is as it was.
    """
    whole = bool(totals.plan) and not totals.fault and all(end.part for end in ends if end.round == 1)
    return pins.retry.root if pins.retry is not None and whole else ""


def _why_cancelled(totals: Totals, why: Why | None) -> str:
    """What went wrong beside it is told too."""
    return "; ".join(part for part in (totals.why_cancelled, totals.fault, why.sentence if why else "") if part)


def _rows(totals: Totals) -> dict[str, int]:
    return {"accepted": totals.accepted, "ok": totals.ok, "error": totals.error + totals.open}


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
    # Rows that the prompt skips are none: they are the reason only where there is no other.
    code = max(errors, key=lambda each: (each != ErrorCode.SKIPPED, errors[each]))
    return f"no row has a result; {errors[code]} rows end with {code}: {words.get(code, '')}"
