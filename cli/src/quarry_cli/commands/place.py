"""Where `quarry run` works: the environment that is named, or the local stack where none is, and it says which."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import typer

from quarry_cli.client.api import Client
from quarry_cli.client.local_stack import LocalStack, environment_given, local_stack, simulated, with_local
from quarry_cli.client.run_search import Wanted
from quarry_cli.commands.options import open_client
from quarry_cli.errors import QuarryError
from quarry_cli.screen import printing
from quarry_cli.screen.wording import plain
from quarry_core.contract.states import RunState
from quarry_core.errors import PortError


@dataclass(frozen=True, slots=True)
class Place:
    """`stays`: whether the run can be asked for when the command has ended."""

    client: Client
    simulated: bool
    stays: bool = True


@contextlib.contextmanager
def placed(ctx: typer.Context, *, local: bool, keep: bool) -> Iterator[Place]:
    """The environment, for the time of a command.

    Args:
        local: take the local stack, whatever the variables name.
        keep: leave a local stack up that was started here.
    """
    if ctx.obj is not None or (environment_given(os.environ) and not local):
        here = simulated(os.environ)
        _say(_described(os.environ, here=here))
        yield Place(open_client(ctx), here)
        return
    stack = local_stack()
    standing = stack.standing()
    if standing is None:
        _say(
            f"no environment is given: starting a local stack in {stack.directory}, with a simulated Bedrock; nothing is paid for"
        )
    else:
        _say(
            f"no environment is given: using the local stack in {stack.directory}, with a simulated Bedrock; nothing is paid for"
        )
    variables = stack.up() if standing is None else standing
    with _set(with_local(variables, stack)):
        client = Client()
        try:
            yield Place(client, simulated=True, stays=keep or standing is not None)
        finally:
            if standing is None:
                _end(stack, client, keep=keep)


def _end(stack: LocalStack, client: Client, *, keep: bool) -> None:
    """Stop the stack that was started for the command, unless somebody still needs it."""
    if keep or _open_runs(client):
        why = "as you asked" if keep else "because a run is open"
        _say(f'the local stack stays up, {why}: eval "$(quarry local env)" to use it, `quarry local down` to stop it')
        return
    _say("stopping the local stack; --keep would leave it up")
    stack.down()


def _open_runs(client: Client) -> bool:
    open_states = frozenset(state for state in RunState if not state.terminal)
    try:
        return bool(client.runs(1, wanted=Wanted(states=open_states)))
    except (QuarryError, PortError):
        return False  # it does not answer any more, so nobody can need it


@contextlib.contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    """The process's own variables; AWS's SDK reads them too."""
    before = dict(os.environ)
    try:
        _replace(variables)
        yield
    finally:
        _replace(before)


def _replace(variables: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)


def _described(variables: Mapping[str, str], *, here: bool) -> str:
    named = variables.get("QUARRY_ENV") or variables.get("QUARRY_BUCKET") or "that was given"
    return (
        f"environment {plain(named)}: a local stack, with a simulated Bedrock; nothing is paid for"
        if here
        else f"environment {plain(named)} in AWS: Bedrock is paid for"
    )


def _say(text: str) -> None:
    typer.echo(plain(text, printing.ERROR_CHARS_MAX), err=True)
