"""Step 4: an ended shard is settled, or asked again.

Theory of operation. First the outcome stands, then the ledger moves, then the part is written and the input deleted,
so that a Create which comes too late finds nothing to be paid for. A crash between any two leaves the rest to the next
doorbell, or to closing.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial

import structlog

from quarry_collector.salvage import Salvage
from quarry_collector.settle import Repeat, Settlement
from quarry_core import metrics
from quarry_core.errors import Changed, Missing, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Shard
from quarry_core.messages import Doorbell
from quarry_core.models import canonical_model
from quarry_core.names import input_key
from quarry_core.part_file import PartError
from quarry_core.prices import price_of
from quarry_core.rows import SourceError
from quarry_core.service import World
from quarry_core.states import ShardState
from quarry_core.traces import ROOT, About, Span
from quarry_core.verdicts import DONE, Verdict

log = structlog.get_logger()
SHARD_TTL_DAYS = 180
CLOSING_RUNG_MAX = 1_000


class Shards:
    def __init__(self, world: World) -> None:
        self._world = world
        self._closing_rung: OrderedDict[str, int] = OrderedDict()  # by run: at which version of its totals

    async def on_settle(self, bell: Doorbell) -> Verdict:
        """Settle a shard that is ENDED; finish what a crash left of one that is SETTLED."""
        assert bell.shard is not None
        ledger = self._world.ledger
        shard = await ledger.shard(bell.run_id, bell.shard)
        run = await ledger.run(bell.run_id)
        totals = await ledger.totals(bell.run_id)
        if shard is None or run is None or run.pins is None or totals is None or totals.state.terminal:
            return DONE
        salvage = Salvage(self._world.objects, run.run_id, totals.plan, run.pins)
        ours = False
        if shard.state is ShardState.ENDED:
            with self._span("settle", shard) as told:
                told["outcome"] = await self._settle(salvage, shard)
                ours = told["outcome"] == "settled"
            shard = await ledger.shard(bell.run_id, bell.shard)
            assert shard is not None
        if shard.state is ShardState.SETTLED:
            await self._publish(salvage, shard, again=not ours)
            if ours:
                self._tell_whole(shard, run.accepted_at)
            await self._ring_if_whole(bell.run_id)
        return DONE

    async def _settle(self, salvage: Salvage, shard: Shard) -> str:
        """What came of it: settled by us or by another, or repeat."""
        world = self._world
        repeats_max = world.settings.repeats_max
        outcome = await world.offload.run(partial(salvage.outcome, shard, repeats_max))
        if isinstance(outcome, Repeat):
            if await self._repeat(shard):
                return "repeat"
            outcome = await world.offload.run(partial(salvage.outcome, shard, 0))
            assert isinstance(outcome, Settlement)
        expires_at = int((world.clock.now() + timedelta(days=SHARD_TTL_DAYS)).timestamp())
        try:
            await world.ledger.apply(
                moves.settle(
                    shard,
                    outcome.ok,
                    outcome.error,
                    expires_at,
                    input_tokens=outcome.input_tokens,
                    output_tokens=outcome.output_tokens,
                    errors=outcome.errors,
                )
            )
        except Stale:
            log.debug("settled_by_another", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt)
            return "settled_by_another"
        _count(salvage.pins.model_id, outcome)
        log.info(
            "settled",
            run_id=shard.run_id,
            shard=shard.shard,
            attempt=shard.attempt,
            status=shard.ended_status,
            ok=outcome.ok,
            errors=dict(outcome.errors),
        )
        return "settled"

    async def _repeat(self, shard: Shard) -> bool:
        """Ask the whole job again, after a pause. False: it cannot be, since its lane is refused."""
        world = self._world
        pause_ms = round(world.settings.repeat_pause_s(shard.attempt) * 1_000)
        try:
            await world.ledger.apply(moves.repeat(shard, pause_ms))
        except Stale:
            now = await world.ledger.shard(shard.run_id, shard.shard)
            return now is None or (now.state, now.attempt) != (ShardState.ENDED, shard.attempt)
        log.warning("repeat", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, status=shard.ended_status)
        await world.ring("scheduler", Doorbell(kind="admit", run_id=shard.run_id, shard=shard.shard))
        return True

    async def _publish(self, salvage: Salvage, shard: Shard, *, again: bool) -> None:
        """Write the part and delete the input. Where another message was first, it costs one HEAD to see that."""
        world = self._world
        try:
            if not (again and await world.offload.run(partial(salvage.part_stands, shard))):
                with self._span("part", shard):
                    await world.offload.run(partial(salvage.part, shard))
        except (Changed, Missing, PartError, SourceError) as error:
            # The answers are safe in the outcome; closing tries again, and tells.
            log.error(  # noqa: TRY400 told whole
                "part_not_written", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, why=str(error)
            )
        await world.offload.run(partial(world.objects.delete, input_key(shard.run_id, shard.shard)))

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

    async def _ring_if_whole(self, run_id: str) -> None:
        totals = await self._world.ledger.totals(run_id)
        # Copies of the last shards' messages find the run whole too: one wake-up of this process is enough.
        if totals is None or not totals.whole or self._closing_rung.get(run_id) == totals.version:
            return
        await self._world.ring("collector", Doorbell(kind="close", run_id=run_id))
        self._closing_rung[run_id] = totals.version
        while len(self._closing_rung) > CLOSING_RUNG_MAX:
            self._closing_rung.popitem(last=False)


def _count(model_id: str, outcome: Settlement) -> None:
    """Count a shard, by whoever has just moved it to SETTLED: so each once, however many settle it."""
    metrics.ROWS_FINISHED.labels("ok").inc(outcome.ok)
    for code, rows in outcome.errors.items():
        metrics.ROWS_FINISHED.labels(code.lower()).inc(rows)
    model = canonical_model(model_id)
    metrics.TOKENS.labels(model, "input").inc(outcome.input_tokens)
    metrics.TOKENS.labels(model, "output").inc(outcome.output_tokens)
    price = price_of(model_id)
    if price is not None:
        metrics.COST.labels(model).inc(price.dollars(outcome.input_tokens, outcome.output_tokens))
    else:
        metrics.PRICE_UNKNOWN.labels(model).inc(outcome.ok)
