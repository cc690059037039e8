"""`quarry export`: writes a run's rows into a table, and says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from quarry_cli.client.export.asked import RUN_COLUMN, Distance, Export, Mode, Target
from quarry_cli.client.export.targets import TARGETS
from quarry_cli.commands.options import RunId, Version, open_client
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import plain

if TYPE_CHECKING:
    from quarry_cli.client.export.asked import Exported


def export(
    ctx: typer.Context,
    run: RunId,
    to: Annotated[Target, typer.Option("--to", help="What to write into.")],
    place: Annotated[
        str,
        typer.Option(
            "--at",
            metavar="PLACE",
            help="; ".join(kind.place for kind in TARGETS.values()) + ".",
        ),
    ],
    table: Annotated[
        str,
        typer.Option(
            "--table",
            metavar="NAME",
            help="; ".join(("The table", *(kind.table for kind in TARGETS.values() if kind.table))) + ".",
        ),
    ],
    mode: Annotated[
        Mode,
        typer.Option("--mode", help="create refuses a table that exists, append needs one, replace takes its place."),
    ] = "create",
    answered_only: Annotated[bool, typer.Option("--answered-only", help="Leave out rows without an answer.")] = False,
    version: Version = None,
    run_column: Annotated[
        str, typer.Option("--run-column", metavar="NAME", help="The added column that tells runs apart.")
    ] = RUN_COLUMN,
    properties: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            metavar="KEY=VALUE",
            help="Of Iceberg's catalog, beside pyiceberg's own configuration, where secrets belong; may be repeated.",
        ),
    ] = None,
    distance: Annotated[
        Distance | None,
        typer.Option("--distance", help="Of a new index of S3 Vectors.  [default: cosine]", show_default=False),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata",
            metavar="COLUMN",
            help="A column that S3 Vectors keeps beside each vector; may be repeated.  [default: those of the source]",
            show_default=False,
        ),
    ] = None,
    not_filterable: Annotated[
        list[str] | None,
        typer.Option(
            "--not-filterable",
            metavar="COLUMN",
            help="One of them by which nobody filters, so that it may be long; may be repeated.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write an ended run's rows into a table, and read them back.

    Every value is cast with checks before the target sees it. The rows are then read back through the target's own reader: their number, record ids, columns of numbers, and up to a hundred rows value by value. A run is never in a table twice: called again, this compares what is there and writes nothing.

    Exit code 1: what is read back differs, and was taken back; 2: the table exists or does not, or a column does not fit.
    """
    given = {
        "--property": properties,
        "--distance": distance,
        "--metadata": metadata,
        "--not-filterable": not_filterable,
    }
    for target, kind in TARGETS.items():
        if target != to and any(given[option] for option in kind.options):
            raise typer.BadParameter(kind.alone, param_hint=", ".join(kind.options))
    if to == "s3-vectors" and mode == "append" and distance:
        raise typer.BadParameter("an index keeps the distance that it was made with", param_hint="--distance")
    asked = Export(
        target=to,
        place=place,
        table=table,
        mode=mode,
        answered_only=answered_only,
        version=version,
        run_column=run_column,
        properties=dict(_pair(each) for each in properties or ()),
        distance=distance or "cosine",
        metadata=tuple(metadata) if metadata else None,
        not_filterable=tuple(not_filterable or ()),
    )
    with printing.telling():
        client = open_client(ctx)
        console = Console(stderr=True, highlight=False)
        with console.status("reading the results") as working:
            done = client.export(run, asked, tell=lambda read, of: working.update(f"{read} of {of} parts"))
        if as_json:
            printing.print_json(done)
        else:
            _print(done)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise typer.BadParameter(f"{key!r} has no value: write KEY=VALUE", param_hint="--property")
    return key, value


def _print(done: Exported) -> None:
    console = printing.console()
    what = "are in it already" if done.already else "written"
    console.print(f"{done.rows:,} rows of run {plain(done.run_id)}: {what}", markup=False)
    if done.left_out:
        console.print(f"{done.left_out:,} rows were left out", markup=False)
    for change in done.changes:
        name = f"{change.column} {change.type}" if change.column else f"a column without a name, {change.type}"
        console.print(f"column {plain(name)} is {plain(change.became)} {change.became_type} there", markup=False)
    in_all = f", which has {done.table_rows:,} rows" if done.table_rows is not None else ""
    console.print(
        f"read back from {plain(done.table)}{in_all}: {done.rows:,} rows counted, {done.compared:,} compared value by value",
        markup=False,
    )
