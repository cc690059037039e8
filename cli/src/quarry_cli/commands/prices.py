"""`quarry prices`: the table of prices, its sources, and how old it is."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from quarry_cli.errors import Exit
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_core.clock import SystemClock
from quarry_core.models.on_demand import FLEX, tier_of
from quarry_core.models.prices import on_demand_price_of, price_of, table

DAYS_MAX = 90


def prices(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Only models with this text in their id.")] = "",
    check: Annotated[
        bool,
        typer.Option("--check", help=f"Say how old the table is; exit code 1 if it is older than {DAYS_MAX} days."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the table of prices by which costs are estimated: US dollars per million LLM tokens, with sources.

    Prices of a model's own id; its geographic profiles may cost more. Nothing is asked of AWS: the table comes with this release.
    """
    found = table()
    age_days = (SystemClock().now().date() - date.fromisoformat(found.as_of)).days
    old = age_days > DAYS_MAX
    lines = [] if check else [_line(model_id) for model_id in sorted(found.models) if text.casefold() in model_id]
    if as_json:
        known: dict[str, Any] = {"as_of": found.as_of, "age_days": age_days, "days_max": DAYS_MAX, "old": old}
        more = {} if check else {"unit": found.unit, "sources": found.sources, "models": lines}
        printing.print_json({**known, **more})
    else:
        if lines:
            printing.console().print(_table(lines))
        for number, source in () if check else sorted(found.sources.items()):
            typer.echo(f"[{number}] {source}")
        age = "today" if age_days < 1 else "1 day ago" if age_days == 1 else f"{age_days:,} days ago"
        typer.echo(f"the prices are of {found.as_of}, {age}" + (": they may have changed since" if old else ""))
        if not check:
            typer.echo(found.not_in_here)
            if not lines:
                typer.echo("no model of the table has that text in its id", err=True)
    if check and old:
        raise typer.Exit(Exit.FAILED)


def _line(model_id: str) -> dict[str, Any]:
    batch, on_demand = price_of(model_id), on_demand_price_of(model_id)
    assert batch is not None
    assert on_demand is not None
    return {
        "model_id": model_id,
        "batch": {"input": batch.input, "output": batch.output},
        "on_demand": {"input": on_demand.input, "output": on_demand.output},
        "flex": tier_of(model_id) == FLEX,
        "source": table().models[model_id].source,
    }


def _table(lines: list[dict[str, Any]]) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("model", "batch in", "out", "on demand in", "out", "flex", "source"):
        shown.add_column(title, justify="left" if title in ("model", "flex") else "right")
    for line in lines:
        amounts = [f"{line[way][side]:g}" for way in ("batch", "on_demand") for side in ("input", "output")]
        cells = (line["model_id"], *amounts, "as batch" if line["flex"] else "-", f"[{line['source']}]")
        shown.add_row(*map(Text, cells))
    return shown
