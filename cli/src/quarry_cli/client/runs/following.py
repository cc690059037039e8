"""Following a run to its end: look, show, wait, again.

Only looks: stopping it, or its time running out, changes nothing for the run. AWS may fail to answer for a while;
a refusal ends it at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.reading import RunReader
from quarry_cli.client.runs.search import beginning_with, find_run
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.errors import StillRunning
from quarry_core.contract.states import ShardState
from quarry_core.errors import Throttled, Unknown, credentials_fault, unreachable_endpoint
from quarry_core.ports import Clock

SILENCES_MAX = 30
CHECKS_MAX = 30  # looks at a run that its pace is taken from
ARRIVAL_HINT_AFTER_S = 60.0
WAIT_EVERY_S = 2.0


class Pace:
    """How fast the rows of a followed run are settled, by the clock of who follows it."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=CHECKS_MAX)

    def see(self, view: RunView, now_s: float) -> RunView:
        """The view with an estimate that goes by what was settled between the looks, once something was."""
        self._seen.append((now_s, view.rows.ok + view.rows.error))
        (then_s, before), (_, settled) = self._seen[0], self._seen[-1]
        if not view.rows.processed or not view.shards[ShardState.ENDED] or settled <= before or now_s <= then_s:
            return view
        settling_s = round(view.rows.processed * (now_s - then_s) / (settled - before))
        at_bedrock_s = view.eta_s or 0 if view.rows.open > view.rows.processed else 0
        if settling_s <= at_bedrock_s:
            return view
        # How long settling takes is measured; what jobs may be off by has no part in it.
        return msgspec.structs.replace(view, eta_s=max(1, settling_s), eta_low_s=None, eta_high_s=None)


class Show(Protocol):
    """Where a followed run is shown. Both are called at every look; saying the same twice is the callee's to avoid."""

    def show(self, view: RunView) -> None: ...

    def note(self, text: str) -> None: ...


class Unseen:
    """For who only waits: shows nothing."""

    def show(self, view: RunView) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


async def follow_run(
    connections: Connections,
    run_id: str,
    show: Show,
    *,
    every_s: float = WAIT_EVERY_S,
    timeout_s: float | None = None,
) -> RunView:
    """Show a run until it has ended, also if it has not arrived yet, and give the last view. Raises as `follow` does.

    Args:
        run_id: or its beginning.
        every_s, timeout_s: as for `follow`.
    """
    reader: RunReader | None = None

    async def read() -> RunView | None:
        nonlocal reader
        if reader is not None:
            return await reader.read(all_jobs=False)
        # Asked anew at each look: the run that the beginning of an id means may arrive meanwhile.
        found = RunReader(connections, await find_run(connections, run_id, may_come=True))
        view = await found.read(all_jobs=False)
        reader = found if view is not None else None
        return view

    async def others() -> list[str]:
        return await beginning_with(connections, run_id)

    return await follow(read, connections.clock, show, run_id, every_s=every_s, timeout_s=timeout_s, others=others)


async def follow(
    read: Callable[[], Awaitable[RunView | None]],
    clock: Clock,
    show: Show,
    run_id: str,
    *,
    every_s: float,
    timeout_s: float | None = None,
    others: Callable[[], Awaitable[list[str]]] | None = None,
) -> RunView:
    """Show a run until it has ended, and give the last view.

    Args:
        every_s: pause between two looks.
        timeout_s: give up after this long; None waits for ever.
        others: the runs whose id only begins like `run_id`, for as long as there is none of that id.

    Raises:
        StillRunning: see above.
        PortError: AWS refused, took no credentials, was out of reach from the start, or gave no answer `SILENCES_MAX`
            times in a row.
    """
    begun = clock.monotonic()
    silences, answered, seen = 0, False, False
    pace = Pace()
    while True:
        try:
            view = await read()
            like = await others() if view is None and others is not None else []
        except (Throttled, Unknown) as error:
            silences += 1
            if silences >= SILENCES_MAX or credentials_fault(error) or (unreachable_endpoint(error) and not answered):
                raise
            show.note(f"no answer from AWS, retrying: {error}")
        else:
            silences, answered = 0, True
            if view is not None:
                seen = True
                show.show(pace.see(view, clock.monotonic()))
                if view.state.terminal:
                    return view
            else:
                show.note(_waiting(run_id, clock.monotonic() - begun, like))
        left_s = every_s if timeout_s is None else min(every_s, begun + timeout_s - clock.monotonic())
        if left_s <= 0:
            reported = f"run {run_id} has not ended after {timeout_s:g} s; it continues"
            if not seen:
                reported = f"there is still no run {run_id} after {timeout_s:g} s; to keep waiting"
            raise StillRunning(f"{reported}: quarry watch {run_id}")
        await clock.sleep(left_s)


def _waiting(run_id: str, waited_s: float, like: list[str]) -> str:
    if like:
        return f"no run {run_id} yet, but {like[0]} begins with this: if you mean that one, give its full id"
    if waited_s < ARRIVAL_HINT_AFTER_S:
        return f"no run {run_id} yet: waiting for a preprocessor to receive its manifest"
    return (
        f"still no run {run_id}: is the id right (quarry runs), and is a preprocessor running? If too many"
        " runs are open, the manifest waits its turn; if it failed, it is in the dead-letter queue with the reason"
        " (quarry dlq list)"
    )
