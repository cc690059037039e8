"""`quarry verify`: counts a run again, and prints what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quarry_cli.commands.options import RunId, Version, open_client
from quarry_cli.errors import Exit
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import parts_of, plain

if TYPE_CHECKING:
    from quarry_cli.client.verification.verifying import Verified


def verify(
    ctx: typer.Context,
    run: RunId,
    source: Annotated[
        bool, typer.Option("--source/--no-source", help="Compare with the source's rows too, which reads all of them.")
    ] = True,
    version: Version = None,
    as_json: Json = False,
) -> None:
    """Count an ended run again from its objects in S3, and show what differs.

    Reads every part: each row of the plan must be there once, in order, with an answer or an error. What is counted is compared with the report, `_SUCCESS`, the plan and the ledger, and the source's columns with the source, or the copy of its rows. What cannot be looked at is named.

    Exit code 0: everything agrees; 1: something differs, or the run has not ended.
    """
    with printing.telling():
        done = open_client(ctx).verify(run, source=source, version=version)
        if as_json:
            printing.print_json(done)
        else:
            _print(done)
        if done.found:
            raise typer.Exit(Exit.FAILED)


def _print(done: Verified) -> None:
    console = printing.console()
    for difference in done.differences:
        console.print(f"{plain(difference.where)}: {plain(difference.what)}", markup=False)
    if done.found > len(done.differences):
        console.print(f"and {done.found - len(done.differences):,} more", markup=False)
    for sentence in done.unchecked:
        console.print(f"not checked: {plain(sentence)}", markup=False)
    counted = f"{done.rows:,} rows in {done.parts:,} parts: {done.ok:,} ok, {done.error:,} with an error"
    counted += f"; once more in {parts_of(done.compact_parts)}, compacted" if done.compact_parts else ""
    compared = f"; {done.compared:,} compared with the source" if done.compared else ""
    differs = f"{done.found:,} differences" if done.found != 1 else "1 difference"
    console.print(f"run {plain(done.run_id)}, {done.state}: {counted}{compared}; {differs}", markup=False)
