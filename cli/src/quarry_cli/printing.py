"""What all commands print by: JSON for scripts, a console for people, a sentence and an exit code for an error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from quarry_cli.errors import Exit, QuarryError
from quarry_core.errors import PortError

PIPE_WIDTH = 200

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """Errors become a sentence and an exit code."""
    try:
        yield
    except QuarryError as error:
        typer.echo(f"quarry: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except OSError as error:
        typer.echo(f"quarry: {error}", err=True)
        raise typer.Exit(Exit.FAILED) from error
    except PortError as error:
        typer.echo(f"quarry: {type(error).__name__}: {error}", err=True)
        raise typer.Exit(Exit.NO_ANSWER) from error


def console() -> Console:
    """Wide where there is no terminal: what is cut there cannot be scrolled to."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


def print_json(value: Any) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
