"""`quarry retry`: says what would be asked again, asks whether to, and begins."""

from __future__ import annotations

from typing import Annotated

import typer

from quarry_cli.client.changes.retrying import Retry, nothing_asked
from quarry_cli.commands.options import RunId, open_client
from quarry_cli.errors import Exit, NotRetried
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import dollars, plain


def retry(
    ctx: typer.Context,
    run: RunId,
    code: Annotated[
        list[str] | None,
        typer.Option("--code", metavar="CODE", help="Only rows with this error code; may be repeated."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All rows with an error, whatever it is.")] = False,
    look: Annotated[bool, typer.Option("--look", help="Only say what would be asked.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to begin.")] = False,
    as_json: Json = False,
) -> None:
    """Ask the error rows of an ended run again, into a new version of its dataset.

    Without --code or --all, the rows are asked whose error another attempt may fix: transient ones, rows that were not reached or were cancelled, answers that could not be used, refusals. Rows with an answer are neither asked nor paid again. The retry is a run of its own; when it ends, its results hold every row once, and `quarry results RUN` takes them. Until then, and if it fails, the version before is the newest. --json needs --yes or --look.

    Exit code 0: it was begun, or there was only to be looked, also if nothing would be asked ("asked": 0 with --json); 1: it cannot be, for nothing would be asked or for another reason, or you said no.
    """
    if as_json and not (yes or look):
        raise typer.BadParameter("--json asks nothing: add --yes, or --look", param_hint="--json")
    with printing.telling():
        client, codes = open_client(ctx), tuple(each.upper() for each in code or ())
        if not yes or look:
            planned = client.retry(run, codes=codes, every=every, look_only=True)
            if not look and not planned.asked:
                raise NotRetried(nothing_asked(planned))
            if not as_json:
                _print(planned)
            if look:
                if as_json:
                    printing.print_json(planned)
                return
            if not typer.confirm("Begin?"):
                typer.echo("not begun", err=True)
                raise typer.Exit(Exit.FAILED)
        done = client.retry(run, codes=codes, every=every)
        if as_json:
            printing.print_json(done)
            return
        if yes:
            _print(done)
        console = printing.console()
        console.print(f"run {plain(done.run_id)} makes version {done.version}", markup=False)
        if not done.woken:
            console.print("the services were not woken from here, and come to it by themselves", markup=False)
        console.print(f"follow it: quarry watch {plain(done.run_id)}", markup=False)


def _print(found: Retry) -> None:
    console = printing.console()
    if not found.asked:
        console.print(plain(nothing_asked(found), printing.ERROR_CHARS_MAX), markup=False)
        return
    of = f"run {plain(found.of)}" + (f", as run {plain(found.base)} left them," if found.base != found.of else "")
    how = (
        f"in at least {found.jobs:,} job{'' if found.jobs == 1 else 's'}"
        if found.way == "jobs"
        else "on demand, record by record, for they are too few for a job"
    )
    cost = "" if found.dollars is None else f", for {dollars(found.dollars)}"
    console.print(f"{found.asked:,} of {found.rows:,} rows of {of} are asked again, {how}{cost}", markup=False)
    for title, errors in (("asked again", found.errors), ("not asked", found.stay)):
        if errors:
            listed = ", ".join(f"{rows:,} {plain(code)}" for code, rows in errors.items())
            console.print(f"{title}: {listed}", markup=False)
