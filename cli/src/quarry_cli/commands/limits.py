"""`quarry limits`: shows and sets how many jobs of a model may be active at once."""

from __future__ import annotations

from typing import Annotated

import typer

from quarry_cli.client.pools.limits import Change, MonthBudget, PoolLimit
from quarry_cli.commands.options import open_client
from quarry_cli.errors import BadSetting
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.tables import Column, fit
from quarry_cli.screen.wording import plain
from quarry_core.models.money import dollars_apart


def limits(
    ctx: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="A model's id, profile or ARN, or a pool; by default all.")
    ] = None,
    to: Annotated[int | None, typer.Option("--set", metavar="JOBS", help="Allow this many; 0 admits nothing.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Go by QUARRY_JOB_QUOTA again.")] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Send the next run of MODEL, though Bedrock refused the last one.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the change.")] = "",
    as_json: Json = False,
) -> None:
    """Show how many jobs of each model may be active at once, and why; or set it for one, without a restart.

    The limit is the smallest of three: QUARRY_JOB_QUOTA (or what --set gives), the account's quota less the jobs of others, and what Bedrock's refusals have left. A smaller limit stops no job: nothing is admitted until enough have ended.

    A model of which Bedrock refused to create a job, for its own sake, is remembered for QUARRY_REFUSED_MODEL_DAYS: runs of it are refused at once. They are listed too; --forget ends it for one, by its id.

    The last line is what the runs of this month (UTC) have cost together, and the budget that they have.

    Each change is kept in the ledger for 400 days, with who, when and why; those of a limit are shown with MODEL.

    Exit code 0: shown, or set; 2: a limit or a model that cannot be.
    """
    with printing.telling():
        client = open_client(ctx)
        if forget:
            if model is None or to is not None or clear:
                raise BadSetting("give MODEL, and --forget alone")
            found = client.forget_refused(model, reason=reason)
        elif to is not None or clear:
            if model is None or (to is not None and clear):
                raise BadSetting("give MODEL, and either --set JOBS or --clear")
            found = client.set_limit(model, None if clear else to, reason=reason)
        else:
            found = client.limits(model)
        if as_json:
            printing.print_json(found)
            return
        console = printing.console()
        if found.pools:
            console.print(_table(found.pools, console.width))
        else:
            typer.echo("no pool stands: one is made when a run has its first shard waiting", err=True)
        if found.month is not None:
            typer.echo(_of_month(found.month))
        for each in found.refused:
            typer.echo(
                f"refused until {each.until}: {plain(each.model_id)}, since Bedrock told run {plain(each.run_id)} at {each.at}:"
                f" {plain(each.message)}"
            )
        for change in found.changes:
            typer.echo(_sentence(change))


def _table(pools: list[PoolLimit], width_chars: int) -> object:
    return fit(
        [
            Column("pool", [pool.pool for pool in pools]),
            Column("limit", [str(pool.limit) for pool in pools], justify="right"),
            Column("in use", [str(pool.in_use) for pool in pools], justify="right"),
            Column("configured", [_configured(pool) for pool in pools], keep=4),
            Column("quota", [_or_dash(pool.service_quota) for pool in pools], keep=3, justify="right"),
            Column("others", [str(pool.foreign + pool.siblings) for pool in pools], keep=2, justify="right"),
            Column("after refusals", [_or_dash(pool.learned) for pool in pools], keep=1, justify="right"),
        ],
        width_chars,
    )


def _of_month(month: MonthBudget) -> str:
    spent, running, budget = dollars_apart(month.spent_usd, month.running_usd, month.budget_usd or 0)
    text = f"{month.month}: {spent} spent"
    if month.running_usd:
        text += f", about {running} in jobs that run"
    if month.budget_usd is None:
        return f"{text}; no budget (QUARRY_BUDGET_USD)"
    return f"{text}, of a budget of {budget} (QUARRY_BUDGET_USD)"


def _configured(pool: PoolLimit) -> str:
    return str(pool.configured) if pool.set_to is None else f"{pool.set_to}, by hand"


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)


def _sentence(change: Change) -> str:
    before, after = ("QUARRY_JOB_QUOTA" if each is None else str(each) for each in (change.before, change.after))
    why = f": {plain(change.reason)}" if change.reason else ""
    return f"{change.at}  {before} -> {after}  by {plain(change.by)}{why}"
