"""Following a run where nobody looks at a screen: one line for each change, and no control characters.

For pipes, logs and CI. What has not changed is not said again.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from quarry_cli.client.runs.view.shown import JobView, RunView
from quarry_cli.screen import wording
from quarry_cli.screen.plans import plan_lines, planned_of
from quarry_core.contract.states import job_ended
from quarry_core.planning.estimate import Estimate
from quarry_core.ports import Clock


class Lines:
    """Shows a run as lines; `say` takes one line without its end."""

    def __init__(self, say: Callable[[str], None], clock: Clock) -> None:
        self._say_line = say
        self._clock = clock
        self._last = ""
        self._note = ""
        self._planned = False  # whether the plan was shown
        self._statuses: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def show(self, view: RunView) -> None:
        self._note = ""
        if view.estimate is not None and not self._planned:
            self._planned = True
            if view.dry_run:
                for word, text in plan_lines(Estimate.model_validate(view.estimate)):
                    self._say(f"{word}: {text}")
            else:
                self._say(planned_of(view))
        for job in view.jobs:
            if self._statuses.get(job.name) != job.status:
                self._statuses[job.name] = job.status
                self._say(_job(job))
        if view.state.terminal:
            if left_out := wording.left_out_of(view):
                self._say(left_out)
            self._say(wording.end_of(view))
            return
        reported = (
            wording.rows_of(view),
            wording.rounds_of(view),
            wording.shards_of(view),
            wording.slots_of(view),
            wording.waits_of(view),
            wording.held_of(view),
            wording.canary_of(view),
            wording.budget_of(view),
        )
        line = "; ".join(part for part in (f"{wording.state_of(view)}: {reported[0]}", *reported[1:]) if part)
        if line != self._last:
            self._last = line
            moving = (wording.pace_of(view), wording.spent_of(view), wording.eta_of(view))
            self._say("; ".join((line, *(part for part in moving if part))))

    def note(self, text: str) -> None:
        if text != self._note:
            self._note = text
            self._say(text)

    def _say(self, text: str) -> None:
        self._say_line(f"{self._clock.now():%H:%M:%S} {wording.plain(text, 1_000)}")


def _job(job: JobView) -> str:
    reported = [f"job {job.name}: {job.status}"]
    if job_ended(job.status):
        reported += [part for part in (wording.records_of(job), job.message) if part]
    return "; ".join(reported)
