"""What a month's shards came to."""

from __future__ import annotations

from dataclasses import dataclass

from quarry_core.ports import Item


@dataclass(frozen=True, slots=True)
class Month:
    """What all shards came to that were booked in a month (`yyyy-mm`, UTC), in millionths of a dollar.

    Attributes:
        spent_micros: of settled shards; `on_demand_micros` of these at the prices on demand.
        booked_micros: likely cost of all shards that were booked; `unbooked_micros` of these for the settled ones.
        projected_micros: spent + booked - unbooked, always: what an admission adds to, on a premise.
        budget_micros: the budget that a scheduler went by last; for people, no decision reads it.
    """

    month: str
    spent_micros: int = 0
    on_demand_micros: int = 0
    booked_micros: int = 0
    unbooked_micros: int = 0
    projected_micros: int = 0
    budget_micros: int | None = None


def read_month(item: Item) -> Month:
    return Month(**{name: item[name] for name in Month.__slots__ if name in item})
