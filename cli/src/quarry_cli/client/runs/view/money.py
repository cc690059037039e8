"""LLM tokens and dollars: what a run has cost, and what of its budget is left. Pure."""

from __future__ import annotations

from quarry_cli.client.runs.view.shown import Money, Spent
from quarry_core.ledger.rows import Lane, Totals
from quarry_core.models.prices import table
from quarry_core.planning.spending import MICRO, Account, spent_dollars


def spent_by(totals: Totals, model_id: str) -> Spent | None:
    """LLM tokens and dollars of a run's settled shards; None until one is settled."""
    if totals.input_tokens is None or totals.output_tokens is None:
        return None
    return Spent(
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        dollars=spent_dollars(model_id, totals.spent),
        prices_as_of=table().as_of,
    )


def budget(totals: Totals, model_id: str, lane: Lane | None) -> Money | None:
    """What of a run's budget is spent, and booked for jobs that run; None where it has none."""
    if totals.budget_micros is None:
        return None
    spent = spent_dollars(model_id, totals.spent) or 0.0
    booked = lane.booked if lane else totals.unbooked_micros
    account = Account.of(totals.budget_micros, round(spent * MICRO), booked, totals.unbooked_micros)
    return Money(
        budget_usd=totals.budget_micros / MICRO,
        spent_usd=spent,
        committed_usd=account.committed / MICRO,
    )
