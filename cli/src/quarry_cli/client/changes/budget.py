"""Changing a run's budget: one conditional write, decided again if something moved in between; who did it is kept."""

from __future__ import annotations

import math

import msgspec

from quarry_cli.client.caller import audit, caller
from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.search import find_run, no_such_run
from quarry_cli.errors import BadSetting, RunEnded
from quarry_core.contract.manifest import BUDGET_USD_MAX
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.states import RunState
from quarry_core.errors import PortError, Stale
from quarry_core.ledger import moves
from quarry_core.models.money import dollars_apart
from quarry_core.models.prices import price_of
from quarry_core.planning.spending import MICRO

TRIES_MAX = 20


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A run's budget in US dollars, now and before; None: it has none."""

    run_id: str
    budget_usd: float | None
    budget_usd_before: float | None


def budgets(budget: Budget) -> tuple[str, str]:
    """Before and now, told apart; `none` for no budget."""
    known = [each for each in (budget.budget_usd_before, budget.budget_usd) if each is not None]
    texts = iter(dollars_apart(*known))
    before, now = ("none" if each is None else next(texts) for each in (budget.budget_usd_before, budget.budget_usd))
    return before, now


async def set_budget(connections: Connections, text: str, budget_usd: float | None) -> Budget:
    """Set a run's budget, or take it away. The next admission goes by it.

    Args:
        text: the run's id, or its beginning.
        budget_usd: US dollars, for all of the run; None: no budget.

    Raises:
        BadSetting: it is no amount of dollars, or the model has no price.
        NoSuchRun, SeveralRuns.
        RunEnded: nothing more is created of the run.
    """
    if budget_usd is not None and not (math.isfinite(budget_usd) and 0 < budget_usd <= BUDGET_USD_MAX):
        raise BadSetting(f"budget_usd: {budget_usd} is not an amount of US dollars above 0, or none")
    run_id = await find_run(connections, text)
    ledger = connections.ledger
    who: str | None = None
    for _ in range(TRIES_MAX):
        run, totals = await ledger.run(run_id), await ledger.totals(run_id)
        if run is None or totals is None:
            raise await no_such_run(connections, run_id)
        if run.pins is None or totals.state.terminal or totals.state is RunState.CLOSING or totals.cancelled_at:
            raise RunEnded(
                f"run {run_id} is {totals.state}: no job of it is created any more, so there is no budget to set"
            )
        if budget_usd is not None and price_of(run.pins.model) is None:
            raise BadSetting(
                f"budget_usd: the table of prices has no {run.pins.model}, so nobody can say what is spent"
                " (`quarry prices` lists the models that have a price)"
            )
        after = None if budget_usd is None else max(1, round(budget_usd * MICRO))
        before = totals.budget_micros
        reported = Budget(
            run_id=run_id,
            budget_usd=None if after is None else after / MICRO,
            budget_usd_before=None if before is None else before / MICRO,
        )
        if after == before:
            return reported
        who = await caller(connections) if who is None else who
        lane = await ledger.lane(run.pins.pool, run_id)
        what = f"budget {' -> '.join(budgets(reported))}"
        kept = audit(connections, "set", who, connections.clock.now().isoformat(), run_id=run_id, what=what)
        try:
            await ledger.apply([*moves.set_budget(totals, lane, after), *kept])
        except Stale:
            continue
        if connections.wake is not None:
            try:
                await connections.wake("scheduler", Wakeup(step="admit", run_id=run_id))
            except PortError:
                return reported  # its timer comes to it
        return reported
    raise BadSetting(f"run {run_id} is being admitted too fast to be changed: {TRIES_MAX} tries; run the command again")
