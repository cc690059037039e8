"""Step 4: an ended shard is settled, or asked again.

Theory of operation. First the outcome stands, where one is needed (`salvage.py`), then the ledger moves, then the part is
written from the spool that is still open, and beside it the input is deleted, so that a Create which comes too late finds
nothing to be paid for: no part is made from it. A crash between any two leaves the rest to the next wake-up, or to closing. Who lost the race for the
ledger's move makes the part from what the winner left, never from what it has read itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import structlog

from quarry_collector.canary import CanaryJudge
from quarry_collector.datasets import Datasets
from quarry_collector.publish import Publisher
from quarry_collector.salvage import Held, Salvage
from quarry_collector.settle import ErrorCode, Repeat, Settlement
from quarry_collector.shares import Shares
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import input_key, output_prefix
from quarry_core.contract.states import ShardState
from quarry_core.errors import Missing, PortError, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Shard, Totals
from quarry_core.models import canonical_model
from quarry_core.models.prices import on_demand_price_of, price_of
from quarry_core.planning.history import History, of_settled
from quarry_core.planning.spending import Cost, cost_micros, month_of
from quarry_core.service.accepted import AcceptedRuns
from quarry_core.service.endings import end_run
from quarry_core.service.failures import Kind, RunCode, Step, StepFailed, Why, kind_of
from quarry_core.service.history import HistoryKeeper
from quarry_core.service.joined import Joined
from quarry_core.service.months import MonthKeeper
from quarry_core.service.pieces import Piece
from quarry_core.service.process import World
from quarry_core.service.steps import Steps
from quarry_core.service.verdicts import DONE, Verdict
from quarry_core.telemetry import metrics
from quarry_core.telemetry.spans import ROOT, About, Span

log = structlog.get_logger()
SHARD_TTL_DAYS = 180
CLOSING_WOKEN_MAX = 1_000
# Shards are settled side by side while their inputs are no more than this together; a longer one is settled alone.
BYTES_AT_ONCE = 32 << 20
SHARD_OVERHEAD_BYTES = 4 << 20  # of any shard: blocks, buffers and upload parts


class Shards:
    def __init__(self, world: World, steps: Steps, datasets: Datasets) -> None:
        self._world = world
        self._steps = steps
        self._datasets = datasets
        self._publisher = Publisher(world, steps)
        self._shares = Shares(BYTES_AT_ONCE)
        self._history = HistoryKeeper(world)
        self._months = MonthKeeper(world)
        self._canary = CanaryJudge(world)
        self._closing_woken: OrderedDict[str, int] = OrderedDict()  # by run: at which version of its totals
        self._runs = AcceptedRuns(world.ledger)
        self._whole = Joined(self._wake_if_whole)
        # Transactions on the same totals, month or history cancel each other; those of one process need not.
        self._moving = asyncio.Lock()
        self._turns = WeakValueDictionary[tuple[str, str], asyncio.Lock]()  # by shard, while somebody works on it

    async def on_settle(self, wakeup: Wakeup) -> Verdict:
        """Settle a shard that is ENDED; finish what a crash left of one that is SETTLED."""
        assert wakeup.shard is not None
        # The copy of a wake-up finds the work done, instead of doing it beside the first.
        async with self._turns.setdefault((wakeup.run_id, wakeup.shard), asyncio.Lock()):
            return await self._settle_or_finish(wakeup, wakeup.shard)

    async def _settle_or_finish(self, wakeup: Wakeup, name: str) -> Verdict:
        ledger = self._world.ledger
        shard, totals = await asyncio.gather(ledger.shard(wakeup.run_id, name), ledger.totals(wakeup.run_id))
        if totals is None:
            return DONE
        if totals.state.terminal or (shard is None and totals.fault):
            await self._delete_input(wakeup.run_id, name)  # whatever was written late: nobody sends it any more
            return DONE
        run = await self._runs.of(wakeup.run_id)
        if shard is None or run is None or run.pins is None:
            return DONE
        salvage = Salvage(self._world.objects, run.run_id, totals.plan, run.pins, self._datasets)
        ours = deleted = False
        if shard.state is ShardState.ENDED or not await self._published(salvage, shard, totals):
            piece = Piece(Step.SETTLE, wakeup.run_id, name)
            with Held() as held:
                async with self._shares.taken(shard.bytes + SHARD_OVERHEAD_BYTES), self._steps.pieces.begun(piece):
                    if shard.state is ShardState.ENDED:
                        with self._span("settle", shard) as reported:
                            came_of_it = await self._settle(salvage, shard, totals, held)
                            ours = isinstance(came_of_it, Shard)
                            reported["outcome"] = "settled" if isinstance(came_of_it, Shard) else came_of_it
                        shard = came_of_it if isinstance(came_of_it, Shard) else await self._reread(shard)
                    if shard.state is ShardState.SETTLED and has_part(shard, totals):
                        mine = held if ours else None
                        publishing = self._publish(salvage, shard, mine, broken=bool(totals.fault), rounds=totals.round)
                        await _beside(publishing, self._delete_input(wakeup.run_id, name))
                        deleted = True
        if shard.state is ShardState.SETTLED:
            if not deleted:
                await self._delete_input(wakeup.run_id, name)
            if ours:
                self._tell_whole(shard, run.accepted_at)
            await self._canary.judge(salvage, shard)
            await self._whole.look(wakeup.run_id)
        return DONE

    async def _reread(self, shard: Shard) -> Shard:
        now = await self._world.ledger.shard(shard.run_id, shard.shard)
        assert now is not None
        return now

    async def give_up(self, wakeup: Wakeup, why: Why) -> Verdict:
        """The ending of the step: rows get what can be read, the others INTERNAL_ERROR, and the run ends.

        What killed its worker is not read again.
        """
        assert wakeup.shard is not None
        ledger = self._world.ledger
        shard = await ledger.shard(wakeup.run_id, wakeup.shard)
        totals = await ledger.totals(wakeup.run_id)
        if shard is None or totals is None or totals.state.terminal:
            return DONE
        await end_run(self._world, wakeup.run_id, why)
        if shard.state is ShardState.ENDED:
            salvage = await self._salvage_if_can_be(wakeup.run_id, totals.plan)
            outcome = await self._outcome_in_part(salvage, shard, why)
            with contextlib.suppress(Stale):  # settled by another
                await self._move_settled(shard, outcome, salvage.pins.model if salvage else "")
            shard = await ledger.shard(wakeup.run_id, wakeup.shard)
            assert shard is not None
            if salvage is not None and why.code is not RunCode.WORKER_KILLED and has_part(shard, totals):
                await self._publish(salvage, shard, None, broken=True, rounds=totals.round)
        if shard.state is ShardState.SETTLED:
            await self._delete_input(wakeup.run_id, wakeup.shard)
            await self._whole.look(wakeup.run_id)
        return DONE

    async def _salvage_if_can_be(self, run_id: str, plan: str) -> Salvage | None:
        """None where the run's own pins cannot be read: nothing can be settled by them then."""
        try:
            run = await self._world.ledger.run(run_id)
        except PortError:
            raise
        except Exception:
            log.exception("pins_unreadable", run_id=run_id)
            return None
        if run is None or run.pins is None:
            return None
        return Salvage(self._world.objects, run_id, plan, run.pins, self._datasets)

    async def _outcome_in_part(self, salvage: Salvage | None, shard: Shard, why: Why) -> Settlement:
        """The best account that can be had, and its outcome where one can be written; the job's output stays."""
        message = (
            f"{why.sentence}; what the job wrote stays under {output_prefix(shard.run_id, shard.shard, shard.attempt)}"
        )
        if salvage is not None:
            ways: list[Callable[[], Settlement | None]] = [partial(salvage.standing, shard)]
            if why.code is not RunCode.WORKER_KILLED:
                ways.append(partial(salvage.outcome_in_part, shard, message, read=True))
            ways.append(partial(salvage.outcome_in_part, shard, message, read=False))
            for way in ways:
                try:
                    outcome = await self._world.offload.run(way)
                except Exception as error:
                    if kind_of(error) is not Kind.DETERMINISTIC:
                        raise
                    log.warning("outcome_not_written", run_id=shard.run_id, shard=shard.shard, error=_reported(error))
                    continue
                if outcome is not None:
                    return outcome
        return Settlement(rows=shard.rows, ok=0, errors={str(ErrorCode.INTERNAL_ERROR): shard.rows})

    async def _settle(self, salvage: Salvage, shard: Shard, totals: Totals, held: Held) -> Shard | str:
        """What came of it: the settled row; or that it was settled by another, or is to be repeated."""
        world = self._world
        repeats_max = world.settings.repeats_max
        try:
            outcome = await world.offload.run(partial(salvage.outcome, shard, repeats_max, held, totals.why_cancelled))
            if isinstance(outcome, Repeat):
                if await self._repeat(shard):
                    return "repeat"
                totals = await world.ledger.totals(shard.run_id) or totals  # cancelled meanwhile, perhaps
                outcome = await world.offload.run(partial(salvage.outcome, shard, 0, held, totals.why_cancelled))
                assert isinstance(outcome, Settlement)
        except Missing:
            # Who settles a shard deletes its input, of which lines were to be copied.
            now = await world.ledger.shard(shard.run_id, shard.shard)
            if now is None or (now.state, now.attempt) != (ShardState.ENDED, shard.attempt):
                return "settled_by_another"
            raise
        try:
            # What is carried over was counted with the version before.
            carried = shard.ended_status == moves.CARRIED
            tokens = None if carried else _tokens_of(outcome, totals.record_millitokens)
            model = salvage.pins.model
            settled = await self._move_settled(shard, outcome, model, tokens, without_outcome=held.without_outcome)
        except Stale:
            log.debug("settled_by_another", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt)
            return "settled_by_another"
        _count(salvage.pins.model, outcome, shard)
        log.info(
            "settled",
            run_id=shard.run_id,
            shard=shard.shard,
            attempt=shard.attempt,
            status=shard.ended_status,
            ok=outcome.ok,
            errors=dict(outcome.errors),
            again=outcome.records_again,
        )
        return settled

    async def _move_settled(
        self,
        shard: Shard,
        outcome: Settlement,
        model: str,
        tokens: History | None = None,
        *,
        without_outcome: bool = False,
    ) -> Shard:
        """The row as it stands then. Raises Stale: another has settled it."""
        world = self._world
        month = shard.month or month_of(world.clock.now())
        expires_at = int((world.clock.now() + timedelta(days=SHARD_TTL_DAYS)).timestamp())
        move = partial(
            moves.settle,
            shard,
            outcome.ok,
            outcome.error,
            expires_at,
            again=outcome.records_again,
            input_tokens=outcome.input_tokens,
            output_tokens=outcome.output_tokens,
            errors=outcome.errors,
            without_outcome=without_outcome,
            cost=Cost(_micros(model, outcome, shard), month),
        )
        await self._months.open(month)
        async with self._moving:
            try:
                await self._history.apply(shard.pool, tokens, lambda seen: move(seen=seen))
            except Stale:
                if await world.ledger.month(month) is not None:
                    raise
                self._months.forget()
                await self._months.open(month)
                await self._history.apply(shard.pool, tokens, lambda seen: move(seen=seen))
        return moves.as_settled(shard, move())

    async def _repeat(self, shard: Shard) -> bool:
        """Ask the whole job again, after a pause. False: it cannot be, since its lane is refused."""
        world = self._world
        pause_ms = round(world.settings.repeat_pause_s(shard.attempt) * 1_000)
        try:
            await self._months.apply(shard.month, moves.repeat(shard, pause_ms))
        except Stale:
            now = await world.ledger.shard(shard.run_id, shard.shard)
            return now is None or (now.state, now.attempt) != (ShardState.ENDED, shard.attempt)
        log.warning("repeat", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, status=shard.ended_status)
        await world.wake("scheduler", Wakeup(step="admit", run_id=shard.run_id, shard=shard.shard))
        return True

    async def _published(self, salvage: Salvage, shard: Shard, totals: Totals) -> bool:
        """Whether there is no part to be written now: what a wake-up too many costs is this look."""
        return not has_part(shard, totals) or await self._world.offload.run(partial(salvage.part_stands, shard))

    async def _publish(self, salvage: Salvage, shard: Shard, held: Held | None, *, broken: bool, rounds: int) -> None:
        """Write the part. Why it cannot be written is told by closing, which tries again; of a broken run it may lack."""
        try:
            with self._span("part", shard):
                await self._publisher.part(salvage, shard, held, rounds=rounds)
        except StepFailed:
            if not broken:
                raise

    async def _delete_input(self, run_id: str, shard: str) -> None:
        """So that a Create which comes too late finds nothing to be paid for, and nothing is left behind."""
        await self._world.offload.run(partial(self._world.objects.delete, input_key(run_id, shard)))

    def _span(self, name: str, shard: Shard) -> AbstractContextManager[About]:
        about: About = {"attempt": shard.attempt, "pool": shard.pool, "status": shard.ended_status, "rows": shard.rows}
        return self._world.traces.span(name, shard.run_id, shard.shard, **about)

    def _tell_whole(self, shard: Shard, accepted_at: str) -> None:
        """The root of the shard's trace: told once, for one worker's move has settled it."""
        about: About = {
            "attempts": shard.attempt,
            "pool": shard.pool,
            "status": shard.ended_status,
            "rows": shard.rows,
            "ok": shard.ok,
            "error": shard.error,
        }
        began = datetime.fromisoformat(accepted_at)
        self._world.traces.add(Span(ROOT, shard.run_id, shard.shard, began, self._world.clock.now(), about))

    async def _wake_if_whole(self, run_id: str) -> None:
        totals = await self._world.ledger.totals(run_id)
        # Copies of the last shards' messages find the run whole too: one wake-up of this process is enough.
        if totals is None or not totals.whole or self._closing_woken.get(run_id) == totals.version:
            return
        await self._world.wake("collector", Wakeup(step="close", run_id=run_id))
        self._closing_woken[run_id] = totals.version
        while len(self._closing_woken) > CLOSING_WOKEN_MAX:
            self._closing_woken.popitem(last=False)


async def _beside(work: Coroutine[Any, Any, None], other: Coroutine[Any, Any, None]) -> None:
    """Run both to their ends. Raises what `work` raised, else what `other` did; what ends the process ends both."""
    beside = asyncio.create_task(other)
    try:
        await work
    except Exception:
        with contextlib.suppress(Exception):  # one reason is enough, and the message comes again
            await beside
        raise
    except BaseException:
        beside.cancel()
        raise
    await beside


def has_part(shard: Shard, totals: Totals) -> bool:
    """Whether a settled shard's part is to be written by now: nothing of it goes again."""
    return not shard.retries and (not shard.again or totals.rounds_over)


def _reported(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _tokens_of(outcome: Settlement, record_millitokens: int) -> History | None:
    """What the model counted, beside what the plan had estimated for the records that it counted."""
    counted = outcome.ok + outcome.errors.get(ErrorCode.EMPTY_ANSWER, 0)
    return of_settled(counted, record_millitokens, outcome.input_tokens, outcome.output_tokens)


def _micros(model: str, outcome: Settlement, shard: Shard) -> int:
    """What a shard's answers cost, in millionths of a dollar. What was carried over was paid by the version before."""
    if shard.ended_status == moves.CARRIED or not model:
        return 0
    return cost_micros(model, outcome.input_tokens, outcome.output_tokens, on_demand=shard.on_demand, tier=shard.tier)


def _count(model_id: str, outcome: Settlement, shard: Shard) -> None:
    """Count a shard, by whoever has just moved it to SETTLED: so each once, however many settle it."""
    metrics.ROWS_FINISHED.labels("ok").inc(outcome.ok)
    for code, rows in outcome.errors.items():
        metrics.ROWS_FINISHED.labels(code.lower()).inc(rows)
    if shard.ended_status == moves.CARRIED or not (outcome.ok or outcome.input_tokens or outcome.output_tokens):
        return  # its answers were paid before; and a model that was made up has answered nothing, and gets no series
    price = on_demand_price_of(model_id, shard.tier) if shard.on_demand else price_of(model_id)
    model = metrics.model_label(canonical_model(model_id), priced=price is not None)
    metrics.TOKENS.labels(model, "input").inc(outcome.input_tokens)
    metrics.TOKENS.labels(model, "output").inc(outcome.output_tokens)
    if price is not None:
        dollars = price.dollars(outcome.input_tokens, outcome.output_tokens)
        metrics.COST.labels(model).inc(dollars)
        if shard.on_demand:
            metrics.ON_DEMAND_COST.labels(model).inc(dollars)
    else:
        metrics.PRICE_UNKNOWN.labels(model).inc(outcome.ok)
