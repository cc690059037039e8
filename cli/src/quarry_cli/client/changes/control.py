"""Controlling a run: cancel, pause, resume, approve.

Theory of operation. Each is one conditional write on the run's totals and its lane (`ledger/moves/control.py`, `holding.py`), whose
premise the services repeat with every admission; from then on it holds, whatever else fails. Then the services are woken,
so that it shows soon: where that cannot be, their timers come to it. Asked for again, nothing is written.

Who asked is written down beside it, if AWS says who that is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from quarry_cli.client.caller import audit, caller
from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.reading import RunReader
from quarry_cli.client.runs.search import find_run, no_such_run
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.errors import NotControlled
from quarry_core.contract.canary import CanaryState, HoldKind
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.states import Gate, RunState, ShardState
from quarry_core.errors import PortError, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.rows import Lane, Totals
from quarry_core.ports import Write

TRIES_MAX = 10


class Action(StrEnum):
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to a run, and what will still come of it.

    Attributes:
        changed: False: it had been so before, and nothing was written.
        state: of the run.
        at: since when it is so, ISO 8601 in UTC; likewise `by`, an ARN, empty where it is not known.
        woken: the services were told; else their timers come to it, within a minute with their usual settings.
        shards: by state, as they were read just after the write.
        next: what will still come, a sentence each.
    """

    run_id: str
    action: Action
    changed: bool
    state: RunState
    at: str
    by: str
    woken: bool
    shards: dict[str, int]
    next: list[str]


async def cancel(connections: Connections, text: str) -> Control:
    """Cancel a run that has not ended. Raises NoSuchRun, SeveralRuns, NotControlled."""

    def decide(now: _Now, by: moves.By) -> Sequence[Write]:
        totals = now.totals
        if totals.cancelled_at:
            return ()
        if totals.state.terminal:
            raise NotControlled(_ended(totals, "cancel"))
        if totals.end_state:
            raise NotControlled(
                f"run {totals.run_id} is just ending as {totals.end_state}: every row has its outcome, and nothing is"
                " left to cancel"
            )
        return moves.cancel(totals, now.pool, by)

    return await _control(connections, text, Action.CANCEL, decide)


async def pause(connections: Connections, text: str) -> Control:
    """Admit nothing more of a run, until it is resumed. Raises NoSuchRun, SeveralRuns, NotControlled."""

    def decide(now: _Now, by: moves.By) -> Sequence[Write]:
        _must_go_on(now.totals, now.lane, "pause")
        return () if now.totals.paused_at else moves.pause(now.totals, now.lane, by)

    return await _control(connections, text, Action.PAUSE, decide)


async def resume(connections: Connections, text: str) -> Control:
    """Let a paused run go on. Raises NoSuchRun, SeveralRuns, NotControlled."""

    def decide(now: _Now, _: moves.By) -> Sequence[Write]:
        _must_go_on(now.totals, None, "resume")
        return moves.resume(now.totals, now.lane) if now.totals.paused_at else ()

    return await _control(connections, text, Action.RESUME, decide)


async def approve(connections: Connections, text: str) -> Control:
    """Let a run go on that its canary holds. Raises NoSuchRun, SeveralRuns, NotControlled."""

    def decide(now: _Now, by: moves.By) -> Sequence[Write]:
        totals = now.totals
        if totals.canary == CanaryState.APPROVED and not totals.held:
            return ()
        _must_go_on(totals, None, "approve")
        if totals.held_kind == HoldKind.CANARY:
            return moves.approve(totals, now.lane, by)
        if totals.canary == CanaryState.WAITING:
            raise NotControlled(
                f"the canary of run {totals.run_id} is not judged yet: it is approved, or held, by its own answers"
            )
        if totals.held_kind == HoldKind.BUDGET:
            raise NotControlled(
                f"run {totals.run_id} is held for its budget: raise it with quarry set {totals.run_id} budget_usd=DOLLARS"
            )
        if totals.held_kind == HoldKind.MONTH:
            raise NotControlled(
                f"run {totals.run_id} is held for the budget of the month: it goes on when QUARRY_BUDGET_USD is raised, or with"
                " the next month"
            )
        raise NotControlled(f"run {totals.run_id} is not held: there is nothing to approve")

    return await _control(connections, text, Action.APPROVE, decide)


def _must_go_on(totals: Totals, lane: Lane | None, verb: str) -> None:
    """Raises NotControlled: the run is at its end, or on the way there."""
    if totals.state.terminal:
        raise NotControlled(_ended(totals, verb))
    if totals.cancelled_at:
        raise NotControlled(f"{totals.why_cancelled}: there is nothing to {verb} in run {totals.run_id}")
    if totals.state is RunState.CLOSING or totals.fault:
        why = f" ({totals.fault})" if totals.fault else ""
        raise NotControlled(f"run {totals.run_id} is on its way to its end{why}: there is nothing to {verb}")
    if lane is not None and lane.gate is Gate.REFUSED:
        raise NotControlled(
            f"Bedrock refuses the jobs of run {totals.run_id}, so none of its shards waits: {lane.message}"
        )


def _ended(totals: Totals, verb: str) -> str:
    return f"run {totals.run_id} ended as {totals.state} at {totals.ended_at}: there is nothing to {verb}"


@dataclass(frozen=True, slots=True)
class _Now:
    """A run as it was just read; `pool` is empty if it was refused before it had one."""

    totals: Totals
    lane: Lane | None
    pool: str


Decide = Callable[[_Now, moves.By], Sequence[Write]]


async def _control(connections: Connections, text: str, action: Action, decide: Decide) -> Control:
    run_id = await find_run(connections, text)
    who: str | None = None
    for _ in range(TRIES_MAX):
        totals = await connections.ledger.totals(run_id)
        if totals is None:
            raise await no_such_run(connections, run_id)
        pool = await _pool_of(connections, run_id)
        lane = await connections.ledger.lane(pool, run_id) if pool else None
        now = _Now(totals, lane, pool)
        at = connections.clock.now().isoformat()
        if not decide(now, moves.By(at)):
            return await _told(connections, run_id, action, totals, None)
        who = await caller(connections) if who is None else who
        by = moves.By(at, who)
        try:
            what = totals.held_reason if action is Action.APPROVE else ""
            kept = audit(connections, action, by.who, by.at, run_id=run_id, what=what)
            await connections.ledger.apply([*decide(now, by), *kept])
        except Stale:
            continue  # it has just moved: look again
        woken = await _wake(connections, run_id, action, totals)
        return await _told(connections, run_id, action, totals, by, woken=woken)
    raise NotControlled(f"run {run_id} changes faster than it can be controlled from here; try again")


async def _pool_of(connections: Connections, run_id: str) -> str:
    marker = await connections.ledger.open_run(run_id)
    return marker.pool if marker else ""


async def _wake(connections: Connections, run_id: str, action: Action, before: Totals) -> bool:
    """Tell the services to look. The write is done: no failure here undoes it."""
    if connections.wake is None or action is Action.PAUSE:
        return False
    planned = before.state is RunState.RUNNING
    queue, wakeup = (
        ("scheduler", Wakeup(step="admit", run_id=run_id))
        if planned
        else ("collector", Wakeup(step="close", run_id=run_id))
    )
    try:
        return await connections.wake(queue, wakeup)
    except PortError:
        return False


async def _told(
    connections: Connections,
    run_id: str,
    action: Action,
    before: Totals,
    by: moves.By | None,
    *,
    woken: bool = False,
) -> Control:
    view = await RunReader(connections, run_id).read(all_jobs=False)
    totals = await connections.ledger.totals(run_id) or before
    assert view is not None
    since = {
        Action.CANCEL: (totals.cancelled_at, totals.cancelled_by),
        Action.PAUSE: (totals.paused_at, totals.paused_by),
        Action.RESUME: (by.at, by.who) if by else ("", ""),
        Action.APPROVE: (totals.approved_at, totals.approved_by),
    }[action]
    return Control(
        run_id=run_id,
        action=action,
        changed=by is not None,
        state=view.state,
        at=since[0],
        by=since[1],
        woken=woken,
        shards=view.shards,
        next=_next(action, view, totals),
    )


def _next(action: Action, view: RunView, totals: Totals) -> list[str]:
    if view.state.terminal:
        return []
    match action:
        case Action.CANCEL:
            return _next_of_cancel(view, totals)
        case Action.PAUSE:
            return _next_of_pause(view)
        case Action.RESUME:
            return _next_of_resume(view, totals)
        case Action.APPROVE:
            paused = ["it is paused, and goes on when it is resumed"] if totals.paused_at else []
            return paused or _next_of_resume(view, totals)


def _next_of_cancel(view: RunView, totals: Totals) -> list[str]:
    if not totals.plan:
        return ["nothing was sent of it; it ends CANCELLED with a report"]
    found = []
    if jobs := view.shards[ShardState.SUBMITTED]:
        found.append(f"{_count(jobs, 'job')} at Bedrock will be stopped; what they have answered until then is kept")
    if admitted := view.shards[ShardState.ADMITTED]:
        found.append(f"{_count(admitted, 'shard')} about to become jobs will not, unless Bedrock has the job already")
    if asked := view.shards.get(ShardState.INVOKING, 0):
        found.append(f"{_count(asked, 'shard')} being asked on demand will be asked no further")
    if ended := view.shards[ShardState.ENDED]:
        found.append(f"{_count(ended, 'shard')} that ended will be joined as they are")
    waiting = view.shards[ShardState.PENDING]
    unwritten = totals.accepted - totals.enlisted
    if waiting or unwritten:
        rows = f", {unwritten:,} rows that are not written yet" if unwritten else ""
        found.append(f"{_count(waiting, 'shard')} waiting{rows}: their rows get the error CANCELLED")
    return [*found, "then the run ends CANCELLED, with a report, and every row once in its results"]


def _next_of_pause(view: RunView) -> list[str]:
    found = ["no further job is created, and nothing more is asked on demand, until it is resumed"]
    running = view.shards[ShardState.SUBMITTED] + view.shards.get(ShardState.INVOKING, 0)
    if running:
        found.append(f"{_count(running, 'shard')} at Bedrock will finish, and be joined")
    return found


def _next_of_resume(view: RunView, totals: Totals) -> list[str]:
    if totals.held:
        return [f"it is held: {totals.held_reason}"]
    waiting = view.shards[ShardState.PENDING]
    return [f"{_count(waiting, 'shard')} waiting will be admitted as slots become free"] if waiting else []


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
