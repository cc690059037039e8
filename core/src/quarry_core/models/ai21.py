"""AI21's Jamba, by Converse."""

from __future__ import annotations

from quarry_core.models.by_converse import ByConverse


class Jamba(ByConverse):
    """The adapter."""

    name: str = "jamba"
    version: str = "1"
    text_only: tuple[str, ...] = ("ai21.",)
