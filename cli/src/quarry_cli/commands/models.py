"""`quarry models`: reads its options, lists the models of the region and prints them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from quarry_cli.aws.answers import for_people, out_of_reach
from quarry_cli.aws.asking import Asking, reason
from quarry_cli.aws.connections import Open, open_reading
from quarry_cli.aws.environment_settings import EnvironmentSettings
from quarry_cli.aws.finding import NotKnown
from quarry_cli.aws.models_listing import ModelLine, list_models
from quarry_cli.errors import Exit
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.tables import Column, fit
from quarry_cli.settings import ClientSettings
from quarry_core.errors import PortError

COLOURS = {"yes": "green", "no": "red", "unknown": "yellow"}


def models(
    ctx: typer.Context,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="Only those with this text in id, name, provider or family.")
    ] = "",
    access: Annotated[
        bool, typer.Option("--access", help="Check for each model whether the account may use it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the region's models and profiles, and which take batch jobs.

    The family is Quarry's adapter; a model without one cannot be prompted yet. No AWS API lists which models take batch jobs: it is read from the names of the quotas, and unknown otherwise.
    """
    open_with: Open = ctx.obj if ctx.obj is not None else open_reading
    with printing.telling():
        try:
            found = asyncio.run(_list(open_with, text, access=access))
        except NotKnown as error:
            printing.print_error(error)
            raise typer.Exit(Exit.USAGE) from error
        except PortError as error:
            printing.print_error(for_people(error, ClientSettings()) if out_of_reach(error) else reason(error))
            raise typer.Exit(Exit.NO_ANSWER) from error
    if as_json:
        printing.print_json(found)
    elif found:
        console = printing.console()
        console.print(_table(found, console.width, access=access))
    else:
        typer.echo("the region has no such model or profile", err=True)


async def _list(open_with: Open, text: str, *, access: bool) -> Sequence[ModelLine]:
    settings = EnvironmentSettings.read()
    settings.require("region")
    async with open_with(settings) as reading:
        return await list_models(Asking(reading.ask), text, access=access)


def _table(lines: Sequence[ModelLine], width_chars: int, *, access: bool) -> Table:
    columns = [
        Column("model_id", [line.id for line in lines]),
        Column("kind", [line.kind + (", legacy" if line.legacy else "") for line in lines], keep=2),
        Column("family", [line.family or "-" for line in lines], keep=3),
        Column("batch", [line.batch for line in lines], styles=[COLOURS[line.batch] for line in lines]),
    ]
    if access:
        styles = [COLOURS.get(line.access or "", "") for line in lines]
        columns.append(Column("access", [line.access or "-" for line in lines], styles=styles))
    columns.append(Column("how this is known", [line.why for line in lines], keep=1, folds=True))
    return fit(columns, width_chars)
