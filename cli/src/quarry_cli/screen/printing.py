"""What all commands print by: JSON for scripts, a console for people, a sentence and an exit code for an error.

Nothing that came from elsewhere reaches a terminal raw: a file name, an unknown key, a model's answer or AWS's text may
hold control characters, which a terminal would obey.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from quarry_cli.aws.answers import for_people
from quarry_cli.errors import Exit, QuarryError
from quarry_cli.screen.wording import plain
from quarry_cli.settings import ClientSettings
from quarry_core.contract.text import json_escaped
from quarry_core.errors import PortError

# Wider than any table: what is cut in a pipe cannot be scrolled to.
PIPE_CHARS = 100_000
ERROR_CHARS_MAX = 4_000
INTERRUPTED = 130  # what a shell gives for a command that SIGINT ended

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """Errors become a sentence and an exit code."""
    try:
        yield
    except QuarryError as error:
        print_error(error)
        raise typer.Exit(error.exit_code) from error
    except OSError as error:
        print_error(error)
        raise typer.Exit(Exit.FAILED) from error
    except PortError as error:
        known = for_people(error, ClientSettings())
        print_error(known or f"{type(error).__name__}: {error}")
        raise typer.Exit(known.exit_code if known else Exit.NO_ANSWER) from error


def print_error(what: object) -> None:
    """One line on standard error, as every error of the command looks."""
    typer.echo(f"quarry: {plain(str(what), ERROR_CHARS_MAX)}", err=True)


def console() -> Console:
    """As wide as its content where there is no terminal."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PIPE_CHARS)


def print_json(value: Any) -> None:
    """Print a value as JSON; characters that a terminal obeys are escaped, so the text reads back the same."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    typer.echo(json_escaped(text))
