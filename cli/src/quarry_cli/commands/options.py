"""What several commands take, and the client that each of them opens."""

from __future__ import annotations

from typing import Annotated

import typer

from quarry_cli.client.api import Client

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run id that `quarry submit` printed, or its beginning.")]


def open_client(ctx: typer.Context) -> Client:
    """The context's object may be another way to connect: tests bring their own."""
    return Client(ctx.obj) if ctx.obj is not None else Client()
