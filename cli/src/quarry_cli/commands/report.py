"""`quarry report`: an ended run's report as one page that can be mailed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quarry_cli.commands.options import RunId, open_client
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_core.contract.report_page import ROWS_SHOWN_MAX


def report(
    ctx: typer.Context,
    run: RunId,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write; it is replaced.")],
    rows: Annotated[int, typer.Option("--rows", min=0, max=ROWS_SHOWN_MAX, help="So many of the first rows.")] = 0,
    prompt: Annotated[bool, typer.Option("--prompt", help="With the prompt, if it is still kept.")] = False,
    as_json: Json = False,
) -> None:
    """Write an ended run's report as one HTML file: what was asked, what came, errors, tokens, dollars, jobs over time.

    The file needs nothing else, has no script, and is at most 1 MiB, so it can be mailed. The collector leaves the same page, without rows and prompt, as _report.html beside the results. Whoever gets the file sees what is in it: add --rows and --prompt only for those who may.

    Exit code 1: the run has not ended, or has no report.
    """
    with printing.telling():
        page = open_client(ctx).report(run, rows=rows, prompt=prompt)
        out.write_bytes(page)
        if as_json:
            printing.print_json({"file": str(out), "size_bytes": len(page)})
        else:
            typer.echo(f"the report is in {out}")
