"""`quarry set`: changes a run's admission class, weight or budget."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from quarry_cli.client.changes.budget import Budget, budgets
from quarry_cli.client.changes.share import Share
from quarry_cli.commands.options import RunId, open_client
from quarry_cli.errors import BadSetting
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json

KEYS = ("class", "weight", "budget_usd")
SHARE = ("class", "weight")


def set_(
    ctx: typer.Context,
    run: RunId,
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE...", help="class=high, normal or low; weight=1 to 100; budget_usd=DOLLARS or none."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Change a run's admission class, weight or budget while it is open, as in: quarry set RUN class=high weight=4.

    Runs of a higher class get slots first, as long as they have shards waiting. Inside a class, weight 4 gets four times as many slots as weight 1. The change works from the next admission on; running jobs stay.

    No job is created that is likely to bring the run's cost above budget_usd. A run that is HELD for its budget goes on when that is raised; who set it is kept.

    Exit code 0: it is as you wish, also if it was before; 1: there is no such run, or it takes no more slots; 2: an unknown key or value.
    """
    with printing.telling():
        wanted = _read(settings)
        weight = wanted.get("weight")
        client, budget, share = open_client(ctx), None, None
        if "budget_usd" in wanted:
            budget = client.set_budget(run, _dollars(wanted["budget_usd"]))
        if any(key in wanted for key in SHARE):
            share = client.set_share(
                run, admission_class=wanted.get("class"), weight=None if weight is None else _number(weight)
            )
        if as_json:
            printing.print_json(
                (msgspec.to_builtins(share) if share else {}) | (msgspec.to_builtins(budget) if budget else {})
            )
            return
        for sentence in (share and _sentence(share), budget and _of_budget(budget)):
            if sentence:
                typer.echo(sentence)


def _read(settings: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in settings:
        key, equals, value = each.partition("=")
        if not equals or key not in KEYS:
            raise BadSetting(f"{each}: give {' or '.join(f'{known}=VALUE' for known in KEYS)}")
        if key in found:
            raise BadSetting(f"{key}: it is given twice; give it once")
        found[key] = value
    return found


def _dollars(text: str) -> float | None:
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise BadSetting(f"budget_usd: {text!r} is neither an amount of US dollars nor none") from None


def _of_budget(budget: Budget) -> str:
    before, after = budgets(budget)
    changed = f"{before} -> {after}" if before != after else f"{after}, as it was"
    return f"run {budget.run_id}: budget {changed}"


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise BadSetting(f"weight: {text!r} is not a whole number from 1 to 100")
    return int(text)


def _sentence(share: Share) -> str:
    changes = [
        f"{key} {before} -> {after}" if before != after else f"{key} {after}, as it was"
        for key, before, after in (
            ("class", share.class_before, share.admission_class),
            ("weight", share.weight_before, share.weight),
        )
    ]
    return f"run {share.run_id}: {'; '.join(changes)}"
