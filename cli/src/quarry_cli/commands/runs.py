"""`quarry runs`: lists runs."""

from __future__ import annotations

from typing import Annotated

import typer

from quarry_cli.client.runs.search import Wanted
from quarry_cli.commands.options import open_client
from quarry_cli.screen import live, printing
from quarry_cli.screen.printing import Json
from quarry_core.contract.states import ShownState


def runs(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="At most this many runs.")] = 20,
    name: Annotated[
        str, typer.Option("--name", metavar="TEXT", help="Only runs whose job name prefix begins with this.")
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="TEXT", help="Only runs with this text in the model id.")
    ] = "",
    state: Annotated[
        list[ShownState] | None,
        typer.Option("--state", case_sensitive=False, help="Only runs in this state; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the open runs, then those that ended this month or last month.

    A narrow terminal shows fewer columns; ids and numbers stay whole.
    """
    with printing.telling():
        wanted = Wanted(name=name, model=model, states=frozenset(state or ()))
        found = open_client(ctx).runs(limit, wanted=wanted)
        if as_json:
            printing.print_json(found)
        elif found:
            console = printing.console()
            console.print(live.run_table(found, console.width))
        elif wanted.all:
            typer.echo("no run is open, and none ended this month or last month", err=True)
        else:
            typer.echo("no run matches, among those that are open or ended this month or last month", err=True)
