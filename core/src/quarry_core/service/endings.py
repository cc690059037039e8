"""How a run ends that cannot be brought to its end: by what the ledger says of it, and by nothing else.

Theory of operation. Whoever ends a run here has just failed at it again and again, so this reads as little as can be:
the totals, and the marker that names the pool. Before its plan stands, a run is FAILED at once, for nothing is owed.
From then on it is *broken*: nothing more is enlisted or submitted, what Bedrock has is settled, and closing tells the
rest. May be called any number of times; the first reason stands.
"""

from __future__ import annotations

import structlog

from quarry_core.contract.messages import Wakeup
from quarry_core.contract.states import RunState
from quarry_core.errors import Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Totals
from quarry_core.service.failures import Why
from quarry_core.service.notices import tell_of_refusal
from quarry_core.service.process import World
from quarry_core.service.verdicts import DONE, Done
from quarry_core.telemetry import metrics

log = structlog.get_logger()
STALE_MAX = 5


async def end_run(world: World, run_id: str, why: Why, *, wake_admit: bool = True) -> Done:
    """Bring a run as near to its end as can be now, and say why. A run that is closing is its closer's to end.

    Args:
        wake_admit: whether the scheduler is woken; it does not wake itself.
    """
    for _ in range(STALE_MAX):
        totals = await world.ledger.totals(run_id)
        if totals is None or totals.state.terminal or totals.state is RunState.CLOSING:
            return DONE
        try:
            await _end(world, totals, why, wake_admit=wake_admit)
        except Stale:
            continue  # it has just moved: look again
        return DONE
    raise Stale(f"run {run_id} changes faster than it can be ended")


async def _end(world: World, totals: Totals, why: Why, *, wake_admit: bool) -> None:
    run_id = totals.run_id
    if totals.state is not RunState.RUNNING:
        ended_at = world.clock.now().isoformat()
        await tell_of_refusal(world, totals, why.sentence, ended_at, code=why.code, step=why.step)
        await world.ledger.apply(moves.refuse_run(totals, why.sentence, ended_at, code=why.code, step=why.step))
    elif not totals.fault:
        marker = await world.ledger.open_run(run_id)
        pool = marker.pool if marker else ""
        await world.ledger.apply(moves.break_run(totals, pool, why.sentence, code=why.code, step=why.step))
    else:
        return
    metrics.RUNS_ENDED_BY_FAILURE.labels(why.code.lower()).inc()
    log.error("run_ended_by_failure", run_id=run_id, code=why.code, failed=why.step)
    if totals.state is RunState.RUNNING:
        await wake_broken(world, run_id, wake_admit=wake_admit)


async def wake_broken(world: World, run_id: str, *, wake_admit: bool = True) -> None:
    """What waits in the run's lane is told, and the run closed, if nothing of it is with Bedrock."""
    if wake_admit:
        await world.wake("scheduler", Wakeup(step="admit", run_id=run_id))
    await world.wake("collector", Wakeup(step="close", run_id=run_id))
