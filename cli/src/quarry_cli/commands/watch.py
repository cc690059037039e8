"""`quarry watch`: follows a run to its end."""

from __future__ import annotations

import sys

import typer

from quarry_cli.client.runs.following import WAIT_EVERY_S
from quarry_cli.commands.following import RUN_EXITS, Every, Timeout, follow
from quarry_cli.commands.options import RunId, open_client
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json


def watch(
    ctx: typer.Context, run: RunId, every: Every = WAIT_EVERY_S, timeout: Timeout = None, as_json: Json = False
) -> None:
    """Follow a run to its end, live on a terminal, line by line elsewhere.

    If no preprocessor has received the manifest yet, the command waits for it. Ctrl-C stops watching, not the run (exit code 130).

    Exit code 0: every row has an answer; 3: some have an error instead; 1: the run failed.
    """
    with printing.telling():
        client = open_client(ctx)
        view = follow(client, run, sys.stderr if as_json else sys.stdout, every, timeout)
        if as_json:
            printing.print_json(client.status(view.run_id))
        raise typer.Exit(RUN_EXITS[view.state])
