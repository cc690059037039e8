"""`quarry submit`: puts a manifest on the queue."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from quarry_cli.client.runs.following import WAIT_EVERY_S
from quarry_cli.commands.following import RUN_EXITS, Every, Timeout, follow
from quarry_cli.commands.options import ManifestFile, open_client, text_of
from quarry_cli.errors import Exit
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import plain


def submit(
    ctx: typer.Context,
    file: ManifestFile,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run until it ends, as `quarry watch` does.")] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Send the text as it is, without any check.")] = False,
    any_queue: Annotated[
        bool, typer.Option("--any-queue", help="Send it even if the queue looks like another of Quarry's queues.")
    ] = False,
    every: Every = WAIT_EVERY_S,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Put a manifest on the queue and print its run id.

    The manifest is checked here first, and so are source, columns, prompt and model in AWS; one that is refused is not sent (exit code 2). What cannot be checked is reported, and the manifest is sent.

    With --wait the exit code is that of `quarry watch`.
    """
    with printing.telling():
        client = open_client(ctx)
        sent = client.submit(text_of(file), check=not no_check, any_queue=any_queue)
        for sentence in sent.unchecked:
            typer.echo(f"not checked: {plain(sentence)}", err=True)
        if sent.run_id is None:
            typer.echo(
                "sent, but it is not a JSON object: it will go to the dead-letter queue, with the reason", err=True
            )
            if as_json:
                printing.print_json(sent)
            raise typer.Exit(Exit.USAGE)
        if sent.known:
            typer.echo(f"run {sent.run_id} was accepted before: nothing happens twice", err=True)
        if not wait:
            if as_json:
                printing.print_json(sent)
            else:
                typer.echo(sent.run_id)
                typer.echo(
                    f"follow it with: quarry watch {sent.run_id}  (it waits until a preprocessor receives the"
                    " manifest)",
                    err=True,
                )
            return
        if not as_json:
            typer.echo(sent.run_id)
        view = follow(client, sent.run_id, sys.stderr, every, timeout)
        if as_json:
            printing.print_json(client.status(sent.run_id))
        raise typer.Exit(RUN_EXITS[view.state])
