"""Why a run is held, and what its canary came to. Pure."""

from __future__ import annotations

import json

from quarry_cli.client.runs.view.shown import CanaryView, Hold
from quarry_core.contract.canary import HoldKind
from quarry_core.ledger.rows import Totals

MONTH_REMEDY = "set QUARRY_BUDGET_USD of the services higher"


def hold(totals: Totals) -> Hold | None:
    """Why a run is held; None if it is not."""
    if not totals.held:
        return None
    remedy = f"quarry approve {totals.run_id}"
    if totals.held_kind == HoldKind.BUDGET:
        remedy = f"quarry set {totals.run_id} budget_usd=DOLLARS"
    if totals.held_kind == HoldKind.MONTH:
        remedy = MONTH_REMEDY
    return Hold(kind=totals.held_kind, reason=totals.held_reason, at=totals.held_at, remedy=remedy)


def canary(totals: Totals, judgement: str) -> CanaryView | None:
    """What the canary came to; None where the run has none.

    Args:
        judgement: as JSON; empty where there is none yet.
    """
    if not totals.canary:
        return None
    return CanaryView(
        state=totals.canary,
        judgement=json.loads(judgement) if judgement else None,
        approved_at=totals.approved_at or None,
        approved_by=totals.approved_by or None,
    )
