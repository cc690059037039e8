"""Following a run from the command line: live on a terminal, line by line elsewhere."""

from __future__ import annotations

from typing import Annotated, TextIO

import typer
from rich.console import Console

from quarry_cli.client.api import Client
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.errors import Exit
from quarry_cli.screen import live, printing
from quarry_cli.screen.lines import Lines
from quarry_core.clock import SystemClock
from quarry_core.contract.states import RunState

RUN_EXITS = {
    RunState.SUCCEEDED: Exit.OK,
    RunState.SUCCEEDED_WITH_ERRORS: Exit.WITH_ERRORS,
    RunState.FAILED: Exit.FAILED,
    RunState.CANCELLED: Exit.FAILED,
}

Every = Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.2, help="Seconds between two checks.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", min=0, help="Stop waiting after this long, with exit code 4."),
]


def follow(client: Client, run: str, stream: TextIO, every_s: float, timeout_s: float | None) -> RunView:
    console = Console(file=stream, highlight=False)
    try:
        if live.is_screen(console):
            with live.Screen(console) as moving:
                return client.follow(run, moving, every_s=every_s, timeout_s=timeout_s)
        lines = Lines(lambda line: typer.echo(line, file=stream), SystemClock())
        return client.follow(run, lines, every_s=every_s, timeout_s=timeout_s)
    except KeyboardInterrupt:
        typer.echo(f"stopped watching; the run continues: quarry watch {run}", err=True)
        raise typer.Exit(printing.INTERRUPTED) from None
