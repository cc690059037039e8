"""Whether a call may be paid for without a word more: its estimate against what somebody said it may cost. Pure.

What is compared is the dearest that the estimate holds possible, the way the run would go: an answer may be as long as
`max_tokens` allows until the model has answered here, so a call is refused rather than that it surprises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quarry_core.models.money import dollars_apart

if TYPE_CHECKING:
    from quarry_core.planning.costs import Costs, Way

# What a call from Python may cost, in US dollars, unless it says otherwise.
MAX_COST_USD = 10.0


def usual_way(costs: Costs) -> Way | None:
    """The way the run would be asked; None where nobody can say what it costs."""
    return next((way for way in costs.ways if way.usual), None)


def beyond(costs: Costs, most_usd: float, *, remedy: str) -> str:
    """Why a call costs too much, or perhaps does; empty if it does not.

    Args:
        most_usd: what it may cost, in US dollars.
        remedy: what to do, the end of a sentence.
    """
    way = usual_way(costs)
    if way is None:
        why = costs.notes[-1] if costs.notes else "its tokens are not known"
        return f"nobody can say what it would cost ({why}): {remedy}"
    if way.dollars.high <= most_usd:
        return ""
    bound = " if every answer is as long as max_tokens allows" if costs.output_from == "max_tokens" else ""
    high, most = dollars_apart(way.dollars.high, most_usd)
    return f"it may cost up to {high}{bound}, and {most} is the most that it may: {remedy}"
