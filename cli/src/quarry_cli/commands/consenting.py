"""The question before a call is paid for: what it would cost, and whether to go on. All of it on standard error.

Nothing is asked on the local stack, of a call that was begun before, and of a dry run: there nothing is paid for, or somebody has agreed.
"""

from __future__ import annotations

import sys

import typer

from quarry_cli.client.place import Place
from quarry_cli.client.submission.consent import beyond
from quarry_cli.client.submission.one_call import Asked
from quarry_cli.commands.plan import Reading
from quarry_cli.errors import Exit, NotPlanned, NotSubmitted
from quarry_cli.screen import printing
from quarry_cli.screen.wording import plain

UNANSWERED = (
    "nobody answered, so nothing was sent: --yes goes on without a question, --max-cost DOLLARS up to an amount"
)


def consent(place: Place, asked: Asked, *, yes: bool, max_cost: float | None) -> None:
    """Return if the call may be paid for.

    Args:
        yes: somebody has said so.
        max_cost: somebody has said so up to this many US dollars.

    Raises:
        NotSubmitted: it may cost more than `max_cost`, or would be refused anyway.
        typer.Exit: the answer is no, or there is none.
    """
    if place.simulated or asked.fields.get("dry_run") is True or (yes and max_cost is None):
        return
    if place.client.begun(asked):
        return
    unknown = ""
    try:
        with Reading(sys.stderr, after_s=0.5) as reading:
            found = place.client.estimate(asked, tell=reading.tell)
    except NotPlanned as error:
        unknown = str(error)
    else:
        from quarry_cli.screen.costs import consent_lines  # noqa: PLC0415 rich takes its time to import

        for word, text in consent_lines(found.estimate, found.costs):
            typer.echo(f"{word:<9} {plain(text, printing.ERROR_CHARS_MAX)}", err=True)
        if max_cost is not None:
            if why := beyond(
                found.costs, max_cost, remedy="give a higher --max-cost, a smaller --max-tokens, or --yes alone"
            ):
                raise NotSubmitted(f"--max-cost: {why}")
            return
    if unknown:
        typer.echo(f"cost      not known: {plain(unknown, printing.ERROR_CHARS_MAX)}", err=True)
        if max_cost is not None:
            raise NotSubmitted("--max-cost: nobody can say what it would cost: --yes alone goes on all the same")
    _ask()


def _ask() -> None:
    try:
        agreed = typer.confirm("Send it, and pay for it?", err=True)
    except typer.Abort:
        typer.echo(f"\n{UNANSWERED}", err=True)
        raise typer.Exit(Exit.USAGE) from None
    if not agreed:
        typer.echo("nothing was sent", err=True)
        raise typer.Exit(Exit.FAILED)
