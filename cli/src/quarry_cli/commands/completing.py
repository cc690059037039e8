"""What a shell offers when somebody presses Tab: run ids, profiles, models. Never an error, and never a long wait."""

from __future__ import annotations

import os
import threading
from typing import Any

import typer

from quarry_cli import profiles
from quarry_cli.client.api import Client
from quarry_cli.client.connections import connect_to

WAIT_S_MAX = 3.0
RUNS_MAX = 50


def run_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest runs whose ids begin so, each with its name and state."""
    found: list[tuple[str, str]] = []

    def look() -> None:
        try:
            for run in _client(ctx).runs(RUNS_MAX):
                name = "".join(each for each in run.name or "" if each.isprintable())
                found.append((run.run_id, f"{name} {run.state}"))
        except Exception:
            return  # a shell that completes has no place for a sentence

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(WAIT_S_MAX)
    return [each for each in list(found) if each[0].startswith(incomplete)]


def _client(ctx: typer.Context) -> Client:
    if ctx.obj is not None:
        return Client(ctx.obj)
    env = ctx.params.get("env") or os.environ.get(profiles.PROFILE_VARIABLE)
    if env and env != profiles.LOCAL:
        return Client(env=str(env))
    if env == profiles.LOCAL:
        from quarry_cli.client.local_stack import local_stack, with_local  # noqa: PLC0415 beside its only user

        stack = local_stack()
        variables = with_local(stack.standing() or {}, stack)
        return Client(lambda: connect_to(variables))
    return Client()


def environments(incomplete: str) -> list[str]:
    """The profiles, and the local stack."""
    try:
        known = sorted(profiles.read_profiles(profiles.config_path()))
    except Exception:
        known = []
    return [name for name in [*known, profiles.LOCAL] if name.startswith(incomplete)]


def models(incomplete: str) -> list[tuple[str, str]]:
    """The short names, each with its model."""
    from quarry_core.models.aliases import alias_table  # noqa: PLC0415 beside its only user

    known: dict[str, Any] = dict(alias_table().aliases)
    return [(alias, known[alias].model) for alias in known if alias.startswith(incomplete)]
