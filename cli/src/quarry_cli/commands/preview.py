"""`quarry preview`: shows what would be sent of the first rows, and sends nothing."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from quarry_cli.commands.options import ManifestFile, open_client, text_of
from quarry_cli.commands.plan import Reading
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import plain, size

ROWS_MAX = 100
LOOKED_AT_MAX = 100_000
RECORD_CHARS_MAX = 20_000
UNSENT_SHOWN_MAX = 20

Rows = Annotated[int, typer.Option("--rows", min=1, max=ROWS_MAX, help="How many requests to show.")]
Look = Annotated[
    int, typer.Option("--look", min=1, max=LOOKED_AT_MAX, help="In how many rows to look for some that would fail.")
]


def preview(ctx: typer.Context, file: ManifestFile, rows: Rows = 3, look: Look = 1_000, as_json: Json = False) -> None:
    """Show the requests of a manifest's first rows, which of the first rows would fail and why, and the size of all.

    The source is read and counted here, with your own credentials, as by `quarry plan`. Nothing is sent, and nothing is written to AWS. Exit codes are those of `quarry plan`.
    """
    with printing.telling():
        with Reading(sys.stderr) as reading:
            found = open_client(ctx).preview(text_of(file), rows=rows, looked_at_max=look, tell=reading.tell)
        for sentence in found.unchecked:
            typer.echo(f"not checked: {plain(sentence)}", err=True)
        if as_json:
            printing.print_json(found.as_json())
            return
        from quarry_cli.screen.plans import plan_table  # noqa: PLC0415 pydantic's models take their time

        for each in found.first.records:
            typer.echo(f"row {each.row}, {size(each.size_bytes)}, {found.invocation}:")
            for line in json.dumps(each.model_input, indent=2, ensure_ascii=False).split("\n"):
                typer.echo(plain(line, RECORD_CHARS_MAX))
        unsent = found.first.unsent
        typer.echo(
            f"of the first {found.first.looked_at:,} rows, {len(unsent):,} would not be sent" + (":" if unsent else "")
        )
        for fault in unsent[:UNSENT_SHOWN_MAX]:
            typer.echo(f"  row {fault.row}: {fault.code}: {plain(fault.message)}")
        if len(unsent) > UNSENT_SHOWN_MAX:
            typer.echo(f"  and {len(unsent) - UNSENT_SHOWN_MAX:,} more (--json has all of them)")
        typer.echo(plain(f"all of {found.estimate.source_uri}, {found.estimate.model_id}:", printing.ERROR_CHARS_MAX))
        printing.console().print(plan_table(found.estimate))
