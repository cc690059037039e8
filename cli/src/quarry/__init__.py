"""Quarry from Python, by the name of the command: `import quarry`. All of it is `quarry_cli`'s, imported when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import quarry_cli

if TYPE_CHECKING:
    from quarry_cli import Client as Client
    from quarry_cli import QuarryError as QuarryError
    from quarry_cli import results_frame as results_frame
    from quarry_cli import run as run

__all__ = ["Client", "QuarryError", "results_frame", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(quarry_cli, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
