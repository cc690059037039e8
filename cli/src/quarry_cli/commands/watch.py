"""`quarry watch`: follows a run to its end."""

from __future__ import annotations

import sys

import typer

from quarry_cli.client.api import WAIT_EVERY_S
from quarry_cli.commands.following import RUN_EXITS, Every, Timeout, follow
from quarry_cli.commands.options import RunId, open_client
from quarry_cli.screen import printing


def watch(ctx: typer.Context, run: RunId, every: Every = WAIT_EVERY_S, timeout: Timeout = None) -> None:
    """Follow a run to its end, live on a terminal, line by line elsewhere.

    If no preprocessor has received the manifest yet, the command waits for it. Ctrl-C stops watching, not the run (exit code 130).

    Exit code 0: every row has an answer; 3: some have an error instead; 1: the run failed.
    """
    with printing.telling():
        view = follow(open_client(ctx), run, sys.stdout, every, timeout)
        raise typer.Exit(RUN_EXITS[view.state])
