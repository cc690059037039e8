"""What the moves of a shard write to the item of a month: what is booked, and what it really came to.

Theory of operation. A shard is booked in the transaction that admits it, and its cost takes the place of what was booked in the
one that settles it. Where an admission comes to nothing, what was booked is returned in the transaction that lets the shard wait
again. All are additions to the item of the month in which it was booked, and its row names that month: so each
shard counts once in one month, whoever dies in between, and no sum is ever read to be written again. What is held against the
budget, `projected_micros`, is one attribute, so the admission's own premise is that there is room.
"""

from __future__ import annotations

from quarry_core.ledger.keys import month_key
from quarry_core.ledger.moves.premise import equal_or_absent
from quarry_core.ledger.rows import Month, Shard
from quarry_core.planning.spending import Booking, Cost
from quarry_core.ports import Cond, Put, Update, Write

STANDS = Cond("month", "exists")


def open_month(month: str) -> list[Write]:
    """Make the item of a month (`yyyy-mm`, UTC) to which moves add."""
    zero = dict.fromkeys(
        ("spent_micros", "on_demand_micros", "booked_micros", "unbooked_micros", "projected_micros"), 0
    )
    return [Put(month_key(month), {"month": month, **zero})]


def tell_budget(month: Month, budget_micros: int | None) -> list[Write]:
    """Write down the budget that is gone by, for people."""
    premise = (STANDS, equal_or_absent("budget_micros", month.budget_micros))
    if budget_micros is None:
        return [Update(month_key(month.month), when=premise, remove=("budget_micros",))]
    return [Update(month_key(month.month), when=premise, set={"budget_micros": budget_micros})]


def booked_in(shard: Shard, booking: Booking) -> list[Write]:
    """What a booking adds to its month. What an earlier one, which came to nothing, has booked of the shard counts no more."""
    if not booking.likely or not booking.month:
        return []
    moved = bool(shard.month) and shard.month != booking.month
    more = booking.likely - (0 if moved or not shard.month else shard.booked_micros)
    # Not what was read but what stands then: whatever others have booked meanwhile.
    room = () if booking.most is None else (Cond("projected_micros", "lt", booking.most - more + 1),)
    writes: list[Write] = [
        Update(
            month_key(booking.month),
            when=(STANDS, *room),
            add={"booked_micros": more, "projected_micros": more},
        )
    ]
    if moved:
        less = -shard.booked_micros
        writes.append(
            Update(month_key(shard.month), when=(STANDS,), add={"booked_micros": less, "projected_micros": less})
        )
    return writes


def returned_to(shard: Shard) -> list[Write]:
    """What its month gets again of a shard that was booked, and waits again for its admission."""
    if not shard.booked_micros or not shard.month:
        return []
    less = -shard.booked_micros
    return [
        Update(month_key(shard.month), when=(STANDS,), add={"booked_micros": less, "projected_micros": less}),
    ]


def settled_in(shard: Shard, cost: Cost | None) -> list[Write]:
    """What a settled shard adds to the month in which it was booked."""
    booked = shard.booked_micros if shard.month else 0
    if cost is None or not (cost.micros or booked):
        return []
    sums = {
        "spent_micros": cost.micros,
        "on_demand_micros": cost.micros if shard.on_demand else 0,
        "unbooked_micros": booked,
        "projected_micros": cost.micros - booked,
    }
    added = {name: number for name, number in sums.items() if number}
    return [Update(month_key(shard.month or cost.month), when=(STANDS,), add=added)]
