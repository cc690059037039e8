"""`quarry dlq`: reads its options, asks before it acts, and prints what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from quarry_cli.aws.answers import for_people
from quarry_cli.client.dead_letters import acts as dead_letter_acts
from quarry_cli.client.dead_letters import queue as dead_letter_queue
from quarry_cli.client.dead_letters.connections import Open, Post, open_post
from quarry_cli.client.dead_letters.queue import DEAD_LETTER_QUEUES, NO_REASON, DeadLetter, Depth, Done
from quarry_cli.client.dead_letters.settings import DeadLetterSettings, source_of, variable_of
from quarry_cli.errors import Exit
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import plain
from quarry_cli.settings import ClientSettings
from quarry_core.errors import PortError

T = TypeVar("T")
LIMIT_MAX = 1_000

app = typer.Typer(no_args_is_help=True, help="Dead-letter messages: list, show, move back or delete them.")


QueueName = StrEnum("QueueName", {name.replace("-", "_"): name for name in DEAD_LETTER_QUEUES})  # type: ignore[misc]
QueueArgument = Annotated[
    QueueName,
    typer.Argument(metavar="QUEUE", help=f"The queue that the messages came from: {', '.join(DEAD_LETTER_QUEUES)}."),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Only messages with this text in their reason.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=LIMIT_MAX, help="At most this many messages.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@app.command("list")
def list_queues(ctx: typer.Context, as_json: Json = False) -> None:
    """Count the dead-letter messages of every queue, and show the reason of the oldest one.

    A queue whose variable is not set is skipped, and named on standard error.
    """

    async def count(settings: DeadLetterSettings, post: Post) -> list[Depth]:
        return [await dead_letter_queue.depth_of(name, post.dead_letters(name)) for name in settings.known()]

    with printing.telling():
        settings = _settings()
        known = settings.known()
        depths = _run(ctx, settings, count)
    for name in DEAD_LETTER_QUEUES:
        if name not in known:
            typer.echo(f"{name} is skipped: {variable_of(name)} is not set", err=True)
    if as_json:
        printing.print_json(depths)
    else:
        printing.console().print(_depth_table(depths))
    if any(depth.error for depth in depths):
        raise typer.Exit(Exit.NO_ANSWER)


@app.command()
def show(
    ctx: typer.Context, queue: QueueArgument, reason: Reason = "", limit: Limit = 10, as_json: Json = False
) -> None:
    """Show dead-letter messages, and leave them where they are.

    The first 2,000 characters of a body are shown; a manifest may contain a prompt, other messages hold only keys.

    Showing a message adds one to its receive count and hides it for a moment.
    """
    with printing.telling():
        settings = _settings(queue)
        dead_letters = _run(ctx, settings, lambda _, post: _look(post, queue, reason, limit), queue)
    if as_json:
        printing.print_json(dead_letters)
    elif dead_letters:
        for dead_letter in dead_letters:
            printing.console().print(_card(dead_letter))
    else:
        typer.echo(f"no such message on the dead-letter queue of {queue}", err=True)


@app.command()
def redrive(
    ctx: typer.Context,
    queue: QueueArgument,
    reason: Reason = "",
    limit: Limit = 100,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be moved.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Move dead-letter messages back to the queue that they came from, once the cause is fixed.

    A message keeps its first message id, so a manifest keeps its run id. Each message is sent before it is deleted, so none is lost; an interruption may leave one in both queues, which is harmless. `quarry audit` shows who moved which.

    Exit code 1: you answered no, or some messages were not moved; each is listed with the reason.
    """
    with printing.telling():
        settings = _settings(queue, source=True, acts=not dry_run)
        dead_letters = _run(ctx, settings, lambda _, post: _look(post, queue, reason, limit), queue)
        if not _reported(dead_letters, queue, f"to be moved back to {source_of(queue)}", as_json=as_json) or dry_run:
            if as_json:
                printing.print_json({"found": len(dead_letters), "done": 0, "left": {}})
            return
        _may_not_ask(as_json=as_json, yes=yes)
        if not yes and not typer.confirm(f"Move {len(dead_letters):,} back?"):
            raise typer.Exit(Exit.FAILED)
        done = _run(
            ctx,
            settings,
            lambda _, post: dead_letter_acts.redrive(
                post.recorder, queue, post.dead_letters(queue), post.source(queue), dead_letters
            ),
            queue,
        )
    _conclude(done, "moved back", as_json=as_json)


@app.command()
def purge(
    ctx: typer.Context,
    queue: QueueArgument,
    reason: Reason = "",
    limit: Limit = 100,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete dead-letter messages permanently.

    Without --yes their number must be typed. A manifest that is deleted here is lost unless there is a copy elsewhere. `quarry audit` shows who deleted which.

    Exit code 1: you typed another number, or some messages were not deleted; each is listed with the reason.
    """
    with printing.telling():
        settings = _settings(queue, acts=True)
        dead_letters = _run(ctx, settings, lambda _, post: _look(post, queue, reason, limit), queue)
        if not _reported(dead_letters, queue, "to be deleted permanently", as_json=as_json):
            if as_json:
                printing.print_json({"found": 0, "done": 0, "left": {}})
            return
        _may_not_ask(as_json=as_json, yes=yes)
        if not yes and typer.prompt("Type the number of messages to delete them") != str(len(dead_letters)):
            typer.echo("that is not the number: nothing was deleted", err=True)
            raise typer.Exit(Exit.FAILED)
        done = _run(
            ctx,
            settings,
            lambda _, post: dead_letter_acts.purge(post.recorder, queue, post.dead_letters(queue), dead_letters),
            queue,
        )
    _conclude(done, "deleted", as_json=as_json)


# --------------------------------------------------------------------------- pieces


def _settings(queue: str = "", *, source: bool = False, acts: bool = False) -> DeadLetterSettings:
    """Where the queues are, and with `acts` the ledger, in which it is written down."""
    settings = DeadLetterSettings.read()
    settings.require("region", *(("table",) if acts else ()))
    if queue:
        settings.require_queue(queue, source=source)
    return settings


def _run(
    ctx: typer.Context,
    settings: DeadLetterSettings,
    work: Callable[[DeadLetterSettings, Post], Coroutine[Any, Any, T]],
    queue: str = "",
) -> T:
    """Open the queues and do it; the context's object may be another way to open them: tests bring their own."""
    open_with: Open = ctx.obj if ctx.obj is not None else open_post

    async def within() -> T:
        async with open_with(settings) as post:
            return await work(settings, post)

    try:
        return asyncio.run(within())
    except PortError as error:
        known = for_people(error, ClientSettings(), variable_of(queue) if queue else "")
        if known is None:
            raise
        raise known from error


async def _look(post: Post, queue: str, reason: str, limit: int) -> list[DeadLetter]:
    return await dead_letter_queue.look(
        post.dead_letters(queue), most=limit, choose=dead_letter_queue.with_reason(reason)
    )


def _may_not_ask(*, as_json: bool, yes: bool) -> None:
    if as_json and not yes:
        raise typer.BadParameter("a script cannot be asked: add --yes", param_hint="--json")


def _reported(dead_letters: Sequence[DeadLetter], queue: str, what: str, *, as_json: bool = False) -> bool:
    """Print which messages; whether there are any."""
    if not dead_letters:
        typer.echo(f"no such message on the dead-letter queue of {queue}: nothing to do", err=True)
        return False
    reasons: dict[str, int] = {}
    for dead_letter in dead_letters:
        reasons[dead_letter.reason or NO_REASON] = reasons.get(dead_letter.reason or NO_REASON, 0) + 1
    typer.echo(f"{len(dead_letters):,} of {queue} {what}:", err=as_json)
    for text, count in sorted(reasons.items(), key=lambda each: -each[1]):
        typer.echo(f"  {count:,}: {plain(text)}", err=as_json)
    return True


def _conclude(done: Done, what: str, *, as_json: bool) -> None:
    if as_json:
        printing.print_json({"found": done.done + len(done.left), "done": done.done, "left": done.left})
        if done.left:
            raise typer.Exit(Exit.FAILED)
        return
    typer.echo(f"{done.done:,} {what}")
    for dead_letter, why in done.left.items():
        printing.print_error(f"{dead_letter} {why}")
    if done.left:
        raise typer.Exit(Exit.FAILED)


def _depth_table(depths: Sequence[Depth]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("queue", "dead_letters", "in flight", "oldest"):
        table.add_column(title, no_wrap=True)
    table.add_column("reason", overflow="fold")
    for depth in depths:
        oldest = depth.oldest
        cells = [depth.queue, f"{depth.visible:,}", f"{depth.in_flight:,}"]
        cells += [f"{oldest.sent_at:%Y-%m-%d %H:%M}", oldest.reason or NO_REASON] if oldest else ["-", ""]
        if depth.error:
            cells = [depth.queue, "?", "?", "?", depth.error]
        table.add_row(*(Text(plain(cell)) for cell in cells))
    return table


def _card(dead_letter: DeadLetter) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    size = f"{dead_letter.body_bytes:,} bytes" + ("" if dead_letter.whole else ", truncated when it was dead-lettered")
    for name, value in (
        ("message", dead_letter.id),
        ("reason", dead_letter.reason or NO_REASON),
        ("step", dead_letter.step or "-"),
        ("run", dead_letter.run_id or "-"),
        ("origin", dead_letter.origin_id),
        ("since", f"{dead_letter.sent_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("received", f"{dead_letter.receive_count:,} times"),
        ("body", f"{plain(dead_letter.body, dead_letter_queue.SHOWN_BODY_CHARS_MAX)}  ({size})"),
    ):
        table.add_row(name, Text(plain(value, dead_letter_queue.SHOWN_BODY_CHARS_MAX + 100)))
    return table
