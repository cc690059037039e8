"""Quarry from Python, and the `quarry` command.

The names below are imported when they are first used: `quarry --help` needs none of them, and the SDKs behind them take
most of a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quarry_cli.client.api import Client as Client
    from quarry_cli.client.api import results_frame as results_frame
    from quarry_cli.errors import QuarryError as QuarryError
    from quarry_cli.frames import run as run

_WHERE = {
    "Client": "quarry_cli.client.api",
    "QuarryError": "quarry_cli.errors",
    "results_frame": "quarry_cli.client.api",
    "run": "quarry_cli.frames",
}
__all__ = ["Client", "QuarryError", "results_frame", "run"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
