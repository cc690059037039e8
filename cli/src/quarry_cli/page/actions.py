"""What can be done to a run from the page: the calls behind the commands of the same names."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from quarry_cli.client.changes import control, retrying
from quarry_cli.client.changes.budget import budgets, set_budget
from quarry_cli.client.changes.share import set_share
from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.errors import BadSetting
from quarry_cli.screen import wording
from quarry_core.contract.canary import HoldKind
from quarry_core.contract.states import RunState

# Empty, or dollars with a decimal point.
AMOUNT = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)?")

Do = Callable[[Connections, str, Mapping[str, str]], Awaitable["Done"]]


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, in sentences. `run_id` is of a run that came of it, if one did."""

    said: str
    next: Sequence[str] = ()
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done.

    Attributes:
        name: in the address.
        title: of the button.
        question: what comes of it, before it is done.
        danger: it cannot be undone.
        form: it has fields of its own.
    """

    name: str
    title: str
    question: str
    do: Do
    danger: bool = False
    form: bool = False


def possible(view: RunView) -> Sequence[Action]:
    """What can be done to a run as it is; the calls themselves have the last word."""
    if view.state.terminal:
        again = view.rows.error and view.results_uri and not view.erased_at
        return (ACTIONS["retry"],) if again else ()
    if view.cancelled_at:
        return ()
    found = []
    if view.held is not None and view.held.kind == HoldKind.CANARY:
        found.append(ACTIONS["approve"])
    if view.state is not RunState.CLOSING:
        found.append(ACTIONS["resume" if view.paused_at else "pause"])
        found.append(ACTIONS["share"])
        found.append(ACTIONS["budget"])
    return [*found, ACTIONS["cancel"]]


def lets_go_on(view: RunView) -> Action | None:
    """What lets a held run go on; None where nothing here does."""
    if view.held is None or view.held.kind == HoldKind.MONTH:
        return None
    return ACTIONS["budget" if view.held.kind == HoldKind.BUDGET else "approve"]


async def _cancel(connections: Connections, run_id: str, _: Mapping[str, str]) -> Done:
    done = await control.cancel(connections, run_id)
    return Done("The run is cancelled." if done.changed else "It was cancelled before.", done.next)


async def _pause(connections: Connections, run_id: str, _: Mapping[str, str]) -> Done:
    done = await control.pause(connections, run_id)
    return Done("The run is paused." if done.changed else "It was paused before.", done.next)


async def _resume(connections: Connections, run_id: str, _: Mapping[str, str]) -> Done:
    done = await control.resume(connections, run_id)
    return Done("The run goes on." if done.changed else "It was not paused.", done.next)


async def _approve(connections: Connections, run_id: str, _: Mapping[str, str]) -> Done:
    done = await control.approve(connections, run_id)
    return Done("The run is approved, and goes on." if done.changed else "It was approved before.", done.next)


async def _budget(connections: Connections, run_id: str, form: Mapping[str, str]) -> Done:
    text = form.get("budget_usd", "").strip()
    if len(text) > 20 or not AMOUNT.fullmatch(text):
        raise BadSetting(
            f"budget: {text[:20]!r} is not an amount of US dollars, such as 25 or 0.50; leave it empty for none"
        )
    done = await set_budget(connections, run_id, float(text) if text else None)
    before, now = budgets(done)
    return Done(
        "The run has no budget." if done.budget_usd is None else f"The run's budget is {now}.",
        ["before: no budget" if done.budget_usd_before is None else f"before: {before}"],
    )


async def _share(connections: Connections, run_id: str, form: Mapping[str, str]) -> Done:
    weight = form.get("weight", "").strip()
    if weight and not (weight.isascii() and weight.isdigit() and len(weight) <= 5):
        raise BadSetting(f"weight: {weight[:20]!r} is not a whole number")
    done = await set_share(connections, run_id, form.get("class") or None, int(weight) if weight else None)
    return Done(
        f"The run's class is {done.admission_class}, its weight {done.weight}.",
        [f"before: class {done.class_before}, weight {done.weight_before}"],
    )


async def _retry(connections: Connections, run_id: str, form: Mapping[str, str]) -> Done:
    done = await retrying.begin(connections, run_id, every=form.get("rows") == "all")
    rows = f"{done.asked:,} of {done.rows:,} rows are asked again"
    way = "on demand" if done.way == "on_demand" else f"by at least {done.jobs:,} {'job' if done.jobs == 1 else 'jobs'}"
    cost = "" if done.dollars is None else f", for {wording.dollars(done.dollars)}"
    left = f"{sum(done.stay.values()):,} rows keep their error" if done.stay else ""
    return Done(
        f"Version {done.version} of the results is being made.",
        [f"{rows} {way}{cost}", *filter(None, [left])],
        done.run_id,
    )


ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        Action(
            "pause",
            "Pause",
            "No further job is created until the run is resumed. Jobs that run finish, and are joined.",
            _pause,
        ),
        Action("resume", "Resume", "Shards that wait are admitted again as slots become free.", _resume),
        Action(
            "approve",
            "Approve",
            "The run goes on with all its shards, though its canary exceeded the limits. What that costs is on the page of"
            " the run.",
            _approve,
        ),
        Action(
            "cancel",
            "Cancel",
            "No further job is created, and those that run are stopped. What they have answered is kept, every other row"
            " gets the error CANCELLED. This cannot be undone.",
            _cancel,
            danger=True,
        ),
        Action(
            "share",
            "Change share",
            "The next admission goes by the class first; within a class, slots are shared by weight.",
            _share,
            form=True,
        ),
        Action(
            "budget",
            "Set budget",
            "No job is created that is likely to bring the run's cost above this. A run that was held for its budget goes"
            " on.",
            _budget,
            form=True,
        ),
        Action(
            "retry",
            "Retry errors",
            "The rows with an error are asked again, which is paid for, and the results become a new version beside this"
            " one. Nothing of this one is changed.",
            _retry,
            form=True,
        ),
    )
}
