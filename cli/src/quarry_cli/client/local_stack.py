"""The local stack, as far as a client may use it: found by its plug-in, for nothing that is shipped imports it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import urlsplit

from quarry_cli.errors import NotConfigured

PLUGIN_GROUP = "quarry.commands"
PLUGIN = "local"
OFFER = "LocalStack"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
# What names an environment; a region alone names none, for everybody who uses AWS has one.
NAMING = ("QUARRY_TABLE", "QUARRY_BUCKET", "QUARRY_MANIFEST_QUEUE_URL")


class LocalStack(Protocol):
    """A stack in a directory, where `quarry local` would have it."""

    @property
    def directory(self) -> Path: ...

    def standing(self) -> Mapping[str, str] | None:
        """The variables of a client, if everything is up; None if nothing is. Raises QuarryError."""
        ...

    def end_on_sigterm(self) -> None:
        """Let SIGTERM interrupt this process, so that it stops what it started."""
        ...

    def up(self) -> Mapping[str, str]:
        """Start it; the variables of a client. Raises QuarryError."""
        ...

    def down(self) -> None:
        """Stop it. Raises QuarryError."""
        ...

    def down_later(self) -> None:
        """Let a process of its own stop it, for one that is about to end."""
        ...

    def misleading(self, shell: Mapping[str, str]) -> Iterable[str]:
        """Variables that would lead a client elsewhere."""
        ...


def environment_given(variables: Mapping[str, str]) -> bool:
    """Whether somebody named an environment, be it by halves: then it is that one or an error, and never another."""
    return any(variables.get(name) for name in NAMING)


def simulated(variables: Mapping[str, str]) -> bool:
    """Whether Bedrock is one on this machine, which nobody pays for."""
    url = variables.get("AWS_ENDPOINT_URL_BEDROCK") or variables.get("AWS_ENDPOINT_URL") or ""
    return bool(url) and urlsplit(url).hostname in LOCAL_HOSTS


def local_stack(plugins: Iterable[EntryPoint] | None = None) -> LocalStack:
    """The stack of this directory (or of QUARRY_LOCAL_DIR). Raises NotConfigured if the plug-in is not installed."""
    found = entry_points(group=PLUGIN_GROUP, name=PLUGIN) if plugins is None else plugins
    for plugin in found:
        offer = getattr(import_module(plugin.module), OFFER, None)
        if offer is not None:
            return cast("LocalStack", offer())
    raise NotConfigured(
        f"no environment is given ({', '.join(NAMING)} are not set), and the local stack is not installed: take the"
        " variables from `terraform output`, or install quarry-batch-local (docs/local.md)"
    )


def with_local(
    variables: Mapping[str, str], stack: LocalStack, shell: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """A shell's variables with those of the stack, and without what would lead elsewhere."""
    away = set(stack.misleading(shell))
    return {**{name: value for name, value in shell.items() if name not in away}, **variables}
