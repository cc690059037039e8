"""Which lane is admitted from next: stride scheduling, as pure functions.

Theory of operation. The highest class first; inside a class the smallest stride tag; a lane that was admitted from
moves on by STRIDE / weight. A lane that was away enters at the pool's virtual time, so that no credit is saved behind
a gate. The arithmetic is that of `moves.admit`, which writes it down with the slot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from quarry_core.contract.share import CLASSES
from quarry_core.contract.states import Gate
from quarry_core.ledger.moves import STRIDE
from quarry_core.ledger.rows import Lane, Pool, Shard


def next_lane(pool: Pool, lanes: Iterable[Lane]) -> Lane | None:
    """The lane whose turn it is, or None when no lane that may be admitted from has a shard waiting."""
    ready = [lane for lane in lanes if lane.gate in (Gate.OPEN, Gate.CANARY) and lane.waiting > 0]
    if not ready:
        return None
    return min(
        ready,
        key=lambda lane: (
            CLASSES.index(lane.admission_class),
            max(lane.tag, pool.virtual_time[lane.admission_class]),
            lane.run_id,
        ),
    )


def after_admission(pool: Pool, lane: Lane, shard: Shard, booked_more: int = 0) -> tuple[Pool, Lane]:
    """Pool and lane as `moves.admit` has just left them, so that the next admission needs no new read."""
    tag = max(lane.tag, pool.virtual_time[lane.admission_class])
    return (
        replace(
            pool,
            in_use=pool.in_use + 1,
            holders=pool.holders | {shard.holder},
            virtual_time={**pool.virtual_time, lane.admission_class: tag},
        ),
        replace(
            lane,
            tag=tag + STRIDE // lane.weight,
            waiting=lane.waiting - 1,
            booked_micros=lane.booked + booked_more if booked_more else lane.booked_micros,
        ),
    )


def learn_limit(in_use: int) -> int:
    """What a refusal for quota teaches: what we had running besides the refused one, and never less than one."""
    return max(1, in_use - 1)
