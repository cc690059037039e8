"""Changing a run's share of its pool: admission class and weight. No state moves."""

from __future__ import annotations

from quarry_core.contract.states import RunState
from quarry_core.ledger.keys import lane_key, totals_key
from quarry_core.ledger.moves.premise import as_read, equal
from quarry_core.ledger.rows import Lane, Pool, Totals
from quarry_core.ports import Update, Write


def set_share(lane: Lane, pool: Pool | None, admission_class: str, weight: int) -> list[Write]:
    """Set class and weight of a lane. Its stride tag follows, so that the change works from the next admission on.

    In its class, what is left until the lane's next turn shrinks or grows with its weight. In another class it enters
    at that class's virtual time, as a new lane does. The tag always changes, so that an admission which was decided
    on the lane as it was meets another premise.

    Args:
        pool: as read; virtual times are no premise, since a turn more or less is all that depends on them.
    """
    times = pool.virtual_time if pool else {}
    now = times.get(admission_class, 0)
    tag = now if admission_class != lane.admission_class else now + max(0, lane.tag - now) * lane.weight // weight
    return [
        Update(
            lane_key(lane.pool, lane.run_id),
            when=(
                equal("class", lane.admission_class),
                equal("weight", lane.weight),
                equal("tag", lane.tag),
            ),
            set={"class": admission_class, "weight": weight, "tag": tag + (tag == lane.tag)},
            add={"version": 1},
        )
    ]


def set_share_early(totals: Totals, admission_class: str, weight: int) -> list[Write]:
    """Set class and weight of a run that has no lane yet: it opens with them."""
    assert totals.state in (RunState.ACCEPTED, RunState.PLANNING)
    return [
        Update(
            totals_key(totals.run_id),
            when=(
                equal("state", totals.state),
                as_read("lane_class", totals.lane_class),
                as_read("lane_weight", totals.lane_weight),
            ),
            set={"lane_class": admission_class, "lane_weight": weight},
            add={"version": 1},
        )
    ]
