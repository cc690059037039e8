"""A slice: a worker's batch of shards."""

from __future__ import annotations

from dataclasses import dataclass

from quarry_core.ports import Item


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of whole shards that one worker writes."""

    run_id: str
    number: int
    state: str  # OPEN or DONE
    version: int
    first_shard: int
    shards: int


def read_slice(item: Item) -> Slice:
    return Slice(**{name: item[name] for name in Slice.__slots__})
