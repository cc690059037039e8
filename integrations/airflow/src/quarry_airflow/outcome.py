"""What a task tells of a run that has ended. Pure.

XCom gets numbers and names, never rows, prompts, links or credentials: it lies in Airflow's database, where many may read.
"""

from __future__ import annotations

from typing import Any

from quarry_cli.client.runs.view.shown import RunView
from quarry_core.contract.states import RunState


def summary(view: RunView) -> dict[str, Any]:
    """What is put into XCom."""
    return {
        "run_id": view.run_id,
        "state": view.state.value,
        "rows": view.rows.accepted,
        "ok": view.rows.ok,
        "error": view.rows.error,
        "errors": dict(view.errors),
        "input_tokens": view.spent.input_tokens if view.spent else 0,
        "output_tokens": view.spent.output_tokens if view.spent else 0,
        "dollars": view.spent.dollars if view.spent else None,
        "results_uri": view.results_uri,
    }


def fault(view: RunView, max_error_share: float) -> str:
    """Why the task fails; empty if it does not.

    Args:
        view: of an ended run.
        max_error_share: of its rows that may have an error, 0 to 1.
    """
    if view.state in (RunState.FAILED, RunState.CANCELLED):
        return f"run {view.run_id} is {view.state.value}: {view.error or 'no reason is recorded'}"
    share = view.rows.error / view.rows.accepted if view.rows.accepted else 0.0
    if share > max_error_share:
        return (
            f"run {view.run_id}: {view.rows.error:,} of {view.rows.accepted:,} rows have an error, and {max_error_share:.1%} "
            f"may (max_error_share); quarry errors {view.run_id} says which"
        )
    return ""
