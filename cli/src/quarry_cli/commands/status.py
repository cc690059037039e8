"""`quarry status`: shows a run once."""

from __future__ import annotations

import typer

from quarry_cli.commands.options import RunId, open_client
from quarry_cli.screen import live, printing
from quarry_cli.screen.printing import Json


def status(ctx: typer.Context, run: RunId, as_json: Json = False) -> None:
    """Show a run once: state, rows, shards, jobs, slots, what is left.

    Exit code 0: the run exists, whatever its state; 1: there is no such run.
    """
    with printing.telling():
        view = open_client(ctx).status(run)
        if as_json:
            printing.print_json(view)
        else:
            printing.console().print(live.card(view))
