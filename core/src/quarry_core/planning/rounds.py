"""What a round of a run is: its retry shards, and of which shards' records each is made. Pure.

The collector plans it; whoever explains what became of a record reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

Way = Literal["jobs", "on_demand"]


def way_of(records: int, records_min: int, on_demand_below: int) -> Way | None:
    """How so many records are asked again; None: they are not, for there are too few of them.

    Args:
        records: of the round.
        records_min: of the model's smallest job.
        on_demand_below: the run asks fewer on demand; 0: it asks none so.
    """
    if records < max(records_min, on_demand_below):
        return "on_demand" if 0 < records < on_demand_below else None
    return "jobs"


class Piece(BaseModel):
    """A stretch of whole lines of one shard's copy: `records` of them, `bytes` long from `start_byte` on."""

    model_config = ConfigDict(frozen=True)

    shard: str
    attempt: int
    start_byte: int
    bytes: int
    records: int


class RetryShard(BaseModel):
    model_config = ConfigDict(frozen=True)

    shard: str
    records: int
    bytes: int
    on_demand: bool = False
    pieces: tuple[Piece, ...]


class RoundPlan(BaseModel):
    """What `plans/<run>/round-<n>.json` holds."""

    model_config = ConfigDict(frozen=True)

    round: int
    records: int
    shards: tuple[RetryShard, ...]


def lineage(shard: str, plans: Sequence[RoundPlan]) -> list[list[str]]:
    """The retry shards that may hold records of a shard, round by round."""
    sources, found = {shard}, list[list[str]]()
    for plan in plans:
        here = [each.shard for each in plan.shards if any(piece.shard in sources for piece in each.pieces)]
        found.append(here)
        sources = set(here)
    return found
