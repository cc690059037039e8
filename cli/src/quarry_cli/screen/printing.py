"""What all commands print by: JSON for scripts, a console for people, a sentence and an exit code for an error.

Nothing that came from elsewhere reaches a terminal raw: a file name, an unknown key, a model's answer or AWS's text may
hold control characters, which a terminal would obey.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from quarry_cli.aws.answers import for_people
from quarry_cli.errors import Exit, QuarryError
from quarry_cli.screen.wording import plain
from quarry_cli.settings import ClientSettings
from quarry_core.errors import PortError
from quarry_core.text import json_escaped

# Wider than any table: what is cut in a pipe cannot be scrolled to.
PIPE_CHARS = 100_000
ERROR_CHARS_MAX = 4_000
INTERRUPTED = 130  # what a shell gives for a command that SIGINT ended

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error as JSON. `code` is the name of a class of `quarry_cli.errors` or `quarry_core.errors`, or `OSError`."""

    code: str
    message: str
    exit_code: int


@dataclass(slots=True)
class _Command:
    """The command that runs: whether it prints JSON, its environment's name, and the shell's variables."""

    as_json: bool = False
    failed: bool = False
    environment: str | None = None
    shell: Mapping[str, str] | None = None


_command: ContextVar[_Command | None] = ContextVar("command", default=None)


@contextlib.contextmanager
def of_command(*, as_json: bool) -> Iterator[None]:
    """For the time of a command: with `as_json` its errors are JSON."""
    token = _command.set(_Command(as_json))
    try:
        yield
    finally:
        _command.reset(token)


@contextlib.contextmanager
def in_environment(name: str | None, shell: Mapping[str, str]) -> Iterator[None]:
    """For the time of a command: the profile that is in use, and the variables as the shell has them."""
    command = _command.get()
    if command is not None:
        command.environment, command.shell = name, shell
    yield


def environment() -> str | None:
    """The name of the profile in use."""
    command = _command.get()
    return command.environment if command is not None else None


def shell() -> Mapping[str, str]:
    """The variables of the shell, without what a profile says."""
    command = _command.get()
    return os.environ if command is None or command.shell is None else command.shell


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """Errors become a sentence and an exit code."""
    try:
        yield
    except QuarryError as error:
        print_error(error, type(error).__name__, error.exit_code)
        raise typer.Exit(error.exit_code) from error
    except OSError as error:
        print_error(error, "OSError", Exit.FAILED)
        raise typer.Exit(Exit.FAILED) from error
    except PortError as error:
        known = for_people(error, ClientSettings())
        exit_code = known.exit_code if known else Exit.NO_ANSWER
        name = type(known or error).__name__
        print_error(known or (error if _as_json() else f"{name}: {error}"), name, exit_code)
        raise typer.Exit(exit_code) from error


def print_error(what: object, code: str = "QuarryError", exit_code: int = Exit.FAILED) -> None:
    """One line on standard error, as every error of the command looks; with --json an object on standard output."""
    text = plain(str(what), ERROR_CHARS_MAX)
    typer.echo(f"quarry: {text}", err=True)
    if _as_json():
        print_failure(Failure(code=code, message=text, exit_code=int(exit_code)))


def print_failure(failure: Failure) -> None:
    """The one shape of errors as JSON, once a command."""
    command = _command.get()
    if command is None or not command.failed:
        print_json({"error": failure})
    if command is not None:
        command.failed = True


def _as_json() -> bool:
    command = _command.get()
    return command is not None and command.as_json


def console() -> Console:
    """As wide as its content where there is no terminal."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PIPE_CHARS)


def print_json(value: Any) -> None:
    """Print a value as JSON; characters that a terminal obeys are escaped, so the text reads back the same."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    typer.echo(json_escaped(text))
