"""`quarry logs`: what the services logged about a run."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from quarry_cli.client.diagnosis.logs import LINES_MAX, LogLine, groups_of, local_lines, query_of
from quarry_cli.client.local_stack import local_stack, simulated
from quarry_cli.commands.options import RunId, open_client
from quarry_cli.errors import QuarryError
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import plain

LINE_CHARS_MAX = 2_000


def logs(
    ctx: typer.Context,
    run: RunId,
    lines: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", min=1, max=LINES_MAX, help="At most the last N lines.")
    ] = 200,
    query: Annotated[bool, typer.Option("--query", help="Only print the query for CloudWatch Logs Insights.")] = False,
    as_json: Json = False,
) -> None:
    """Show what the services logged about a run.

    Of a local stack from its files, in AWS by CloudWatch Logs Insights (logs:StartQuery and logs:GetQueryResults, which you need to have). Where Insights may not be asked, its query is printed.
    """
    with printing.telling():
        client = open_client(ctx)
        view = client.status(run)
        asked = query_of(view.run_id, lines)
        if query:
            found, why = None, ""
        elif simulated(os.environ):
            found, why = local_lines(local_stack().directory, view.run_id, lines), ""
        else:
            found, why = client.logs(view, lines)
        if found is None:
            groups = groups_of(os.environ.get("QUARRY_ENV") or "ENV")
            if why:
                typer.echo(plain(why, printing.ERROR_CHARS_MAX), err=True)
            if as_json:
                printing.print_json({"run_id": view.run_id, "query": asked, "log_groups": groups, "lines": None})
                return
            typer.echo(f"log groups: {', '.join(groups)}", err=True)
            typer.echo(asked)
            return
        if as_json:
            printing.print_json({"run_id": view.run_id, "query": asked, "lines": found})
            return
        if not found:
            raise QuarryError(
                f"no line about run {view.run_id} is in the logs: they may be older than the logs are kept"
            )
        for line in found:
            typer.echo(_text(line))


def _text(line: LogLine) -> str:
    more = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in line.fields.items())
    return plain(f"{line.at} {line.service} {line.level} {line.event} {more}", LINE_CHARS_MAX)
