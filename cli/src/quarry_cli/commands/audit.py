"""`quarry audit`: shows who did what."""

from __future__ import annotations

from typing import Annotated

import typer

from quarry_cli.commands.options import open_client
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.tables import Column, fit
from quarry_cli.screen.wording import plain


def audit(
    ctx: typer.Context,
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run's id, or its beginning; by default all of them.")
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="WHEN", help="As 36h, 7d or 2026-11-30; by default 30 days, for a run as far as it goes."
        ),
    ] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000, help="At most this many entries.")] = 50,
    as_json: Json = False,
) -> None:
    """Show who sent, cancelled, paused, resumed, changed, retried, compacted or erased what, or moved or deleted dead-letter messages, the newest first.

    Entries are kept in the ledger for 400 days. Who sent a manifest is known by the id that SQS gives a sender: AIDA... of a user, AROA...:session of a role. Everybody else is known by the ARN, which the command has asked AWS for.

    Exit code 0: shown, also if there is nothing to show; 1: there is no such run; 2: a time that cannot be.
    """
    with printing.telling():
        found = open_client(ctx).audit(run, since=since or None, limit=limit)
        if as_json:
            printing.print_json(found)
            return
        if not found.entries:
            typer.echo(f"nobody did anything since {found.since}", err=True)
            return
        console = printing.console()
        console.print(
            fit(
                [
                    Column("at", [each.at[:19] for each in found.entries]),
                    Column("action", [each.action for each in found.entries]),
                    Column("what", [plain(each.run_id or each.subject) for each in found.entries]),
                    Column("by", [plain(each.by) for each in found.entries], keep=3),
                    Column("details", [plain(each.what) for each in found.entries], keep=2),
                ],
                console.width,
            )
        )
        if found.cut:
            typer.echo("there is more: give a run, a later --since, or a larger --limit", err=True)
