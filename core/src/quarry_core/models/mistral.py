"""Mistral's models, by Converse, which puts the instruction marks of the older ones around the messages."""

from __future__ import annotations

from quarry_core.models.by_converse import ByConverse


class Mistral(ByConverse):
    """The adapter."""

    name: str = "mistral"
    version: str = "1"
    text_only: tuple[str, ...] = (
        "mistral.mistral-7b",
        "mistral.mixtral",
        "mistral.mistral-large-24",
        "mistral.mistral-small-24",
        "mistral.devstral",
    )
