"""What several commands take, and the client that each of them opens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from quarry_cli.client.api import Client
from quarry_cli.commands.completing import run_ids

RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="The run id that `quarry submit` printed, or its beginning.", autocompletion=run_ids
    ),
]

Version = Annotated[
    int | None,
    typer.Option(
        "--version",
        metavar="N",
        min=1,
        help="This version of the run's dataset, instead of the newest (`quarry retry`).",
    ),
]

ManifestFile = Annotated[
    Path, typer.Argument(metavar="FILE", allow_dash=True, help="The manifest, a JSON file; - reads standard input.")
]
STDIN = Path("-")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def open_client(ctx: typer.Context) -> Client:
    """The context's object may be another way to connect: tests bring their own."""
    return Client(ctx.obj) if ctx.obj is not None else Client()


def text_of(file: Path) -> str:
    """A manifest as it is written."""
    try:
        body = sys.stdin.buffer.read() if file == STDIN else file.read_bytes()
        if body.startswith(_UTF16_MARKS):
            raise typer.BadParameter(f"{file} is UTF-16: save it as UTF-8", param_hint="FILE")
        return body.decode()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint="FILE") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is not UTF-8: {error}", param_hint="FILE") from error
