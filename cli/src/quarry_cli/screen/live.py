"""A run on a terminal: a card with rows, shards, slots, what is left and the jobs; `Screen` keeps it moving.

Everything that came from elsewhere is put into `Text`, so that rich reads no markup in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from quarry_cli.client.runs.search import RunLine
from quarry_cli.client.runs.view.shown import JobView, RunView
from quarry_cli.screen import wording
from quarry_cli.screen.plans import plan_table, planned_of
from quarry_cli.screen.tables import Column, fit
from quarry_core.contract.states import job_ended
from quarry_core.models import canonical_model
from quarry_core.planning.estimate import Estimate

JOBS_SHOWN = 20
BAR_CHARS = 50
# What a card has above and below its jobs.
CARD_LINES = 15
COLOURS = {"SUCCEEDED": "green", "SUCCEEDED_WITH_ERRORS": "yellow", "FAILED": "red", "CANCELLED": "red"}


def is_screen(console: Console) -> bool:
    """Whether what is printed is seen by somebody, on a terminal that can move its cursor."""
    return console.file.isatty() and console.is_terminal and not console.is_dumb_terminal


def card(view: RunView, jobs_shown: int | None = None) -> RenderableType:
    """The whole of a run; of its jobs at most `jobs_shown`, those that have not ended first."""
    head = Text.assemble(
        (view.run_id, "bold"),
        "  ",
        (wording.state_of(view), COLOURS.get(view.state, "cyan")),
        f"  {wording.plain(view.model_id or '')}",
    )
    parts: list[RenderableType] = [head]
    if view.error:
        parts.append(Text(wording.plain(view.error, 2_000), style="red"))
    if view.held:
        parts.append(Text(wording.held_of(view), style="yellow"))
    if view.rows.accepted:
        done = view.rows.ok + view.rows.error + view.rows.processed
        bar = Table.grid(padding=(0, 2))
        bar.add_row(_bar(done, view.rows.accepted), wording.rows_of(view))
        parts.append(bar)
    reported = (
        "" if view.rows.accepted else wording.rows_of(view),
        wording.left_out_of(view),
        wording.versions_of(view),
        wording.rounds_of(view),
        "" if view.dry_run and view.state.terminal else wording.shards_of(view),
        "; ".join(part for part in (wording.slots_of(view), wording.eta_of(view)) if part),
        wording.waits_of(view),
        wording.canary_of(view),
        wording.budget_of(view),
        wording.errors_of(view),
        wording.job_messages_of(view),
        "; ".join(part for part in (wording.pace_of(view), wording.spent_of(view)) if part),
        "" if view.dry_run else planned_of(view),
    )
    parts += [Text(line) for line in reported if line]
    if view.dry_run and view.estimate is not None:
        parts.append(plan_table(Estimate.model_validate(view.estimate)))
    if view.jobs:
        parts.append(_jobs(view.jobs, jobs_shown))
    if view.results_uri and view.state.terminal:
        parts.append(Text(f"results: {view.results_uri}"))
    if view.compact:
        parts.append(Text(f"compacted into {wording.parts_of(view.compact.parts)}: {view.compact.uri}"))
    return Group(*parts)


def _bar(done: int, of: int) -> ProgressBar:
    return ProgressBar(total=of, completed=done, width=BAR_CHARS, complete_style="cyan", finished_style="green")


def _jobs(jobs: Sequence[JobView], shown: int | None) -> RenderableType:
    ordered = sorted(jobs, key=lambda job: job_ended(job.status))  # stable: else in order of shards
    chosen = ordered if shown is None else ordered[:shown]
    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("job", "status", "records", "message"):
        table.add_column(title, overflow="fold")
    for job in chosen:
        cells = (job.name, job.status, wording.records_of(job), wording.plain(job.message, 120))
        table.add_row(*(Text(wording.plain(cell)) for cell in cells))
    if len(chosen) < len(jobs):
        return Group(table, Text(f"and {len(jobs) - len(chosen)} more jobs", style="dim"))
    return table


def _state(run: RunLine) -> str:
    return f"{run.state} (dry run)" if run.dry_run else run.state


def _name(run: RunLine) -> str:
    name = run.name or "-"
    return f"{name} (version {run.version} of {run.of})" if run.version > 1 else name


def run_table(runs: Sequence[RunLine], width_chars: int) -> RenderableType:
    return fit(
        [
            Column("run", [run.run_id for run in runs]),
            Column("name", [_name(run) for run in runs], keep=2),
            Column("model", [canonical_model(run.model_id) if run.model_id else "-" for run in runs], keep=1),
            Column("state", [_state(run) for run in runs], styles=[COLOURS.get(run.state, "cyan") for run in runs]),
            Column("rows", [f"{run.accepted:,}" for run in runs], justify="right"),
            Column("ok", [f"{run.ok:,}" for run in runs], keep=3, justify="right"),
            Column("error", [f"{run.error:,}" for run in runs], justify="right"),
            Column("age", [wording.duration(run.age_s) for run in runs], keep=4, justify="right"),
        ],
        width_chars,
    )


class Screen:
    """Shows a run in place, redrawn at every look."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, view: RunView) -> None:
        room = max(3, min(JOBS_SHOWN, self._console.height - CARD_LINES))
        self._live.update(card(view, room), refresh=True)

    def note(self, text: str) -> None:
        self._live.update(Text(wording.plain(text), style="yellow"), refresh=True)
