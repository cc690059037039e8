"""`quarry erase`: asks for the run's name, then erases it."""

from __future__ import annotations

from typing import Annotated

import typer

from quarry_cli.commands.options import open_client
from quarry_cli.errors import Exit
from quarry_cli.screen import live, printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import plain, size


def erase(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The whole run id; a beginning is not enough.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for the run's name.")] = False,
    as_json: Json = False,
) -> None:
    """Erase an ended run for good: all its objects in S3 in all versions, and what the ledger says of it.

    Results, report, plan, outputs and copies of rows go; the source stays. What is left is a tombstone with numbers and times, so that the same manifest is not run and paid again. Needs the eraser's policy. If it is interrupted, run it again. --json needs --yes.

    Exit code 0: the run is erased; 1: there is no such run, it has not ended, or you gave another name; 5: AWS refused.
    """
    with printing.telling():
        client = open_client(ctx)
        if as_json and not yes:
            raise typer.BadParameter("--json asks nothing: add --yes", param_hint="--json")
        if not yes:
            view = client.status(run)
            printing.console().print(live.card(view, jobs_shown=0))
            typer.echo("Everything of it will be erased for good, except its source.")
            if (
                typer.prompt("Type the run's id to erase it", default="", show_default=False) != view.run_id
                or view.run_id != run
            ):
                typer.echo("not erased", err=True)
                raise typer.Exit(Exit.FAILED)
        done = client.erase(run)
        if as_json:
            printing.print_json(done)
        else:
            printing.console().print(
                f"run {plain(done.run_id)} is erased: {done.versions:,} versions of objects ({size(done.size_bytes)}),"
                f" {done.items:,} items of the ledger; its id stays used",
                markup=False,
            )
