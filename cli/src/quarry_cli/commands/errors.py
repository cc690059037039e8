"""`quarry errors`: what went wrong in a run, and what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from quarry_cli.commands.options import RunId, Version, open_client
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import plain

EXAMPLES_MAX = 100
JOBS_SHOWN_MAX = 5
MESSAGE_CHARS_MAX = 600


def errors(
    ctx: typer.Context,
    run: RunId,
    examples: Annotated[
        int, typer.Option("--examples", metavar="N", min=0, max=EXAMPLES_MAX, help="Rows to show of each code.")
    ] = 3,
    code: Annotated[str, typer.Option("--code", metavar="CODE", help="Only this error code.")] = "",
    version: Version = None,
    as_json: Json = False,
) -> None:
    """Show a run's errors by code: how many rows, examples, and what to do.

    From the report; while the run goes on, from its counters and the parts so far.

    Exit code 0: the run exists, with errors or without; 1: there is no such run.
    """
    with printing.telling():
        found = open_client(ctx).errors(run, examples_max=examples, code=code.upper(), version=version)
        if as_json:
            printing.print_json(found)
            return
        if found.error:
            typer.echo(f"run {found.run_id} is {found.state}: {plain(found.error, MESSAGE_CHARS_MAX)}")
        if not found.codes:
            rows = "no row has an error" if not code else f"no row has the error {plain(code.upper())}"
            typer.echo(
                f"{rows} so far" if found.state not in ("SUCCEEDED", "SUCCEEDED_WITH_ERRORS", "FAILED") else rows
            )
        for each in found.codes:
            typer.echo(f"{plain(each.code)}: {each.rows:,} of {found.rows:,} rows")
            typer.echo(f"  do: {each.remedy}")
            for example in each.examples:
                typer.echo(f"  {plain(example.record_id)}: {plain(example.message, MESSAGE_CHARS_MAX)}")
        if found.unread:
            typer.echo(f"{found.unread:,} rows are in no part: reading the source failed before them")
        for job in found.jobs[:JOBS_SHOWN_MAX]:
            typer.echo(f"job {plain(job.job)}: {plain(job.status)}: {plain(job.message, MESSAGE_CHARS_MAX)}")
        if len(found.jobs) > JOBS_SHOWN_MAX:
            typer.echo(f"and {len(found.jobs) - JOBS_SHOWN_MAX:,} more jobs that did not complete (--json has all)")
