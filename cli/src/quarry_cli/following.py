"""Following a run to its end: look, show, wait, again.

Only looks: stopping it, or its time running out, changes nothing for the run. AWS may fail to answer for a while;
a refusal ends it at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from quarry_cli.errors import StillRunning
from quarry_cli.view import RunView
from quarry_core.errors import Throttled, Unknown, credentials_fault, unreachable_endpoint
from quarry_core.ports import Clock

SILENCES_MAX = 30
ARRIVAL_HINT_AFTER_S = 60.0


class Show(Protocol):
    """Where a followed run is shown. Both are called at every look; saying the same twice is the callee's to avoid."""

    def show(self, view: RunView) -> None: ...

    def note(self, text: str) -> None: ...


async def follow(
    read: Callable[[], Awaitable[RunView | None]],
    clock: Clock,
    show: Show,
    run_id: str,
    *,
    every_s: float,
    timeout_s: float | None = None,
) -> RunView:
    """Show a run until it has ended, and give the last view.

    Args:
        every_s: pause between two looks.
        timeout_s: give up after this long; None waits for ever.

    Raises:
        StillRunning: see above.
        PortError: AWS refused, took no credentials, was out of reach from the start, or gave no answer `SILENCES_MAX`
            times in a row.
    """
    begun = clock.monotonic()
    silences, answered = 0, False
    while True:
        try:
            view = await read()
        except (Throttled, Unknown) as error:
            silences += 1
            if silences >= SILENCES_MAX or credentials_fault(error) or (unreachable_endpoint(error) and not answered):
                raise
            show.note(f"no answer from AWS, asking again: {error}")
        else:
            silences, answered = 0, True
            if view is not None:
                show.show(view)
                if view.state.terminal:
                    return view
            else:
                show.note(_waiting(run_id, clock.monotonic() - begun))
        left_s = every_s if timeout_s is None else min(every_s, begun + timeout_s - clock.monotonic())
        if left_s <= 0:
            raise StillRunning(f"run {run_id} has not ended after {timeout_s:g} s; it goes on: quarry watch {run_id}")
        await clock.sleep(left_s)


def _waiting(run_id: str, waited_s: float) -> str:
    if waited_s < ARRIVAL_HINT_AFTER_S:
        return f"run {run_id} is on the queue: no preprocessor has taken its manifest yet"
    return (
        f"still no run {run_id}: is the id right (quarry runs), and does a preprocessor run? If too many runs are open it "
        "waits its turn; if it broke, it is in the dead-letter queue with the reason (quarry dlq list)"
    )
