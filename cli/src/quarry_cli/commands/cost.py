"""`quarry cost`: shows what runs have cost, from the ledger."""

from __future__ import annotations

from typing import Annotated

import typer

from quarry_cli.client.history.costing import Costs
from quarry_cli.commands.options import open_client
from quarry_cli.errors import BadSetting
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.tables import Column, fit
from quarry_core.models.money import dollars


def cost(
    ctx: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run's id, or its beginning: what each of its shards has cost."),
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="GROUP", help="run, model, prefix, month, or tag=KEY.")] = "",
    since: Annotated[
        str,
        typer.Option("--since", metavar="WHEN", help="As 36h, 30d or 2026-11-30; by default 30 days, of months all."),
    ] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000, help="Show at most this many lines.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what the runs have cost that are open or have ended since then, by run, model, prefix, tag or month.

    Dollars are LLM tokens as the model counted them, by the table of prices on the day on which a shard was settled; what was asked on demand costs more, and stands apart. Each shard counts once. A run counts whole, also what was settled before --since; a month counts the shards that were admitted in it. What failed and was not paid for is not in it, nor are discounts: AWS's bill is what you pay.

    Exit code 0: shown, also if there is nothing to show; 1: there is no such run; 2: a group or a time that cannot be.
    """
    with printing.telling():
        if run is not None and (by or since):
            raise BadSetting("give either RUN, or --by and --since")
        client = open_client(ctx)
        found = client.cost(run) if run is not None else client.costs(by=by or "run", since=since or None)
        if as_json:
            printing.print_json(found)
            return
        if not found.lines:
            typer.echo(f"nothing was spent since {found.since}" if found.since else "nothing was spent", err=True)
            return
        console = printing.console()
        console.print(_table(found, limit, console.width))
        if len(found.lines) > limit:
            typer.echo(f"the total is of all {len(found.lines):,}; --limit shows more of them", err=True)
        if found.unpriced:
            typer.echo(
                f"{found.unpriced:,} {'run is' if found.unpriced == 1 else 'runs are'} of a model without a price"
                " (`quarry prices`): not in the dollars",
                err=True,
            )
        if found.cut:
            typer.echo("there is more than was looked at: give a later --since", err=True)


def _table(found: Costs, limit: int, width_chars: int) -> object:
    lines = [*found.lines[:limit], found.total]
    columns = [
        Column(found.by, [each.name for each in lines], folds=True),
        Column("dollars", [_dollars(each.dollars) for each in lines], justify="right"),
        Column("batch", [_dollars(each.batch_dollars) for each in lines], justify="right", keep=4),
        Column("on demand", [_dollars(each.on_demand_dollars) for each in lines], justify="right", keep=5),
    ]
    if found.total.runs is not None and found.by not in ("run", "shard"):
        columns.append(Column("runs", [_number(each.runs) for each in lines], justify="right", keep=3))
    if found.by in ("run", "shard"):
        columns.append(Column("state", [each.state for each in lines], keep=3))
    if found.by == "run":
        columns.insert(1, Column("prefix", [each.prefix for each in lines], keep=3))
    if found.by not in ("month", "shard"):
        columns.append(Column("tokens in", [_number(each.input_tokens) for each in lines], justify="right", keep=2))
        columns.append(Column("tokens out", [_number(each.output_tokens) for each in lines], justify="right", keep=2))
    return fit(columns, width_chars)


def _dollars(amount: float | None) -> str:
    return "-" if amount is None else dollars(amount)


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"
