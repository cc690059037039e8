"""`quarry cancel`, `quarry pause`, `quarry resume`, `quarry approve`."""

from __future__ import annotations

import typer

from quarry_cli.client.changes.control import Action, Control
from quarry_cli.commands.options import RunId, open_client
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import plain

_DONE = {
    Action.CANCEL: ("is cancelled", "was cancelled before"),
    Action.PAUSE: ("is paused", "was paused before"),
    Action.RESUME: ("is resumed", "is not paused"),
    Action.APPROVE: ("is approved", "was approved before"),
}


def cancel(ctx: typer.Context, run: RunId, as_json: Json = False) -> None:
    """Cancel a run: create no further job, stop those that run, keep what is answered.

    Works until the run's end is decided, also before it is planned. Jobs that run are stopped; what they have answered is joined and reported, and every other row gets the error CANCELLED. The run then ends CANCELLED, with a report and without _SUCCESS. Cancelling it again changes nothing.

    Exit code 0: it is cancelled; 1: there is no such run, or it ended otherwise.
    """
    with printing.telling():
        _print(open_client(ctx).cancel(run), as_json=as_json)


def pause(ctx: typer.Context, run: RunId, as_json: Json = False) -> None:
    """Pause a run: create no further job until it is resumed.

    Jobs that run finish and are joined. A pause outlives restarts of the services, and has no end of its own.

    Exit code 0: it is paused; 1: there is no such run, or nothing of it is left to pause.
    """
    with printing.telling():
        _print(open_client(ctx).pause(run), as_json=as_json)


def resume(ctx: typer.Context, run: RunId, as_json: Json = False) -> None:
    """Let a paused run go on.

    Exit code 0: it is not paused; 1: there is no such run, or it is at its end.
    """
    with printing.telling():
        _print(open_client(ctx).resume(run), as_json=as_json)


def approve(ctx: typer.Context, run: RunId, as_json: Json = False) -> None:
    """Let a run go on that is HELD because its canary exceeded a limit.

    `quarry status` says which limit. Who approves it, and when, is kept. To stop the run instead: `quarry cancel`.

    Exit code 0: it goes on; 1: there is no such run, or it is not held.
    """
    with printing.telling():
        _print(open_client(ctx).approve(run), as_json=as_json)


def _print(done: Control, *, as_json: bool) -> None:
    if as_json:
        printing.print_json(done)
        return
    now, before = _DONE[done.action]
    since = f" since {done.at}" if done.at and not done.changed else ""
    by = f" by {plain(done.by)}" if done.by and not done.changed else ""
    console = printing.console()
    console.print(f"run {plain(done.run_id)} {now if done.changed else before}{since}{by}", markup=False)
    for sentence in done.next:
        console.print(f"- {plain(sentence)}", markup=False)
    if done.changed and not done.woken and done.action is not Action.PAUSE:
        console.print("- the services were not woken from here, and come to it by themselves", markup=False)
    if done.action is Action.CANCEL and not done.state.terminal:
        console.print(f"follow it: quarry watch {plain(done.run_id)}", markup=False)
