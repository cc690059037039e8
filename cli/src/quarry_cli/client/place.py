"""Where a call works: the environment that is named, or the local stack where none is, and it says which."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from quarry_cli.client.api import Client
from quarry_cli.client.connections import Connect, connect_to
from quarry_cli.client.local_stack import LocalStack, environment_given, local_stack, simulated, with_local
from quarry_cli.client.runs.search import Wanted
from quarry_cli.errors import QuarryError
from quarry_core.contract.states import HELD, RunState
from quarry_core.errors import PortError
from quarry_core.text import shown_name

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """`stays`: whether the run can be asked for when the call has ended. `stack`: one that was started for it."""

    client: Client
    simulated: bool
    stays: bool = True
    stack: LocalStack | None = None


@contextlib.contextmanager
def placed(
    say: Say,
    *,
    local: bool = False,
    keep: bool = False,
    connect_with: Connect | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Place]:
    """The environment, for the time of a call. A local stack that is started for it is ended with it.

    Args:
        say: told where that is, a sentence at a time.
        local: take the local stack, whatever the variables name.
        keep: leave a local stack up that was started here.
        connect_with: another way to connect.
        variables: in place of the process's.

    Raises:
        NotConfigured: none is named, and there is no local stack to be had.
    """
    place = find_place(say, local=local, keep=keep, connect_with=connect_with, variables=variables, own_process=True)
    try:
        yield place
    finally:
        if place.stack is not None:
            end(place.stack, place.client, say, keep=keep)


def find_place(
    say: Say,
    *,
    local: bool = False,
    keep: bool = False,
    connect_with: Connect | None = None,
    variables: Mapping[str, str] | None = None,
    own_process: bool = False,
) -> Place:
    """The same, for who ends by himself what is started.

    Args:
        own_process: nobody else works in this process, so its signals may be handled.
    """
    shell = os.environ if variables is None else variables
    if connect_with is not None or (environment_given(shell) and not local):
        here = simulated(shell)
        say(_described(shell, here=here))
        return Place(Client(connect_with or partial(connect_to, variables)), here)
    why = "you ask for it" if local else "no environment is given"
    stack = local_stack()
    standing = stack.standing()
    if standing is None and own_process:
        stack.end_on_sigterm()
    doing = "starting a local stack" if standing is None else "using the local stack"
    say(f"{why}: {doing} in {stack.directory}, with a simulated Bedrock; nothing is paid for")
    found = stack.up() if standing is None else standing
    client = Client(partial(connect_to, with_local(found, stack, shell)))
    if standing is None:
        return Place(client, simulated=True, stays=keep, stack=stack)
    return Place(client, simulated=True)


def end(stack: LocalStack, client: Client, say: Say, *, keep: bool = False, later: bool = False) -> None:
    """Stop a stack that was started for a call, unless somebody still needs it; `later`: without waiting for it."""
    if keep or _open_runs(client):
        why = "as you asked" if keep else "because a run is open"
        say(f'the local stack stays up, {why}: eval "$(quarry local env)" to use it, `quarry local down` to stop it')
        return
    if later:
        stack.down_later()
        return
    say("stopping the local stack")
    stack.down()


def _open_runs(client: Client) -> bool:
    open_states = frozenset({HELD, *(state for state in RunState if not state.terminal)})
    try:
        return bool(client.runs(1, wanted=Wanted(states=open_states)))
    except (QuarryError, PortError):
        return False  # it does not answer any more, so nobody can need it


def _described(variables: Mapping[str, str], *, here: bool) -> str:
    named = variables.get("QUARRY_ENV") or variables.get("QUARRY_BUCKET") or "that was given"
    if here:
        return f"environment {shown_name(named)}: a local stack, with a simulated Bedrock; nothing is paid for"
    return f"environment {shown_name(named)} in AWS: Bedrock is paid for"
