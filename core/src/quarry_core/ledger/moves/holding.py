"""The moves of what holds a run back: its canary is judged, its budget is not enough, and somebody lets it go on.

Theory of operation. A run that waits for its canary, or is held, stays RUNNING: what Bedrock has goes on to its end, and
slices are written. What holds it back is its lane's gate, which every admission repeats; the totals say why, and from them
the gate follows (`Totals.gate`). So a pause, a canary and a hold may overlap, and each ends by itself.
"""

from __future__ import annotations

from dataclasses import replace

from quarry_core.contract.canary import CanaryState, HoldKind
from quarry_core.contract.states import Gate, RunState
from quarry_core.ledger.keys import canary_key, lane_key, totals_key
from quarry_core.ledger.moves.control import By
from quarry_core.ledger.moves.premise import as_read, equal, equal_or_absent
from quarry_core.ledger.rows import Lane, Totals
from quarry_core.ports import Cond, Put, Update, Write

HELD = ("held_at", "held_kind", "held_reason")


def judge_canary(totals: Totals, lane: Lane | None, text: str, *, reason: str, at: str) -> list[Write]:
    """A canary is judged: the run goes on, or is held with a reason. RUNNING stays.

    Args:
        totals, lane: as read.
        text: the judgement as JSON, which is kept.
        reason: what exceeded which limit; empty if nothing did.
        at: now, ISO 8601 in UTC.
    """
    held = {"held_at": at, "held_kind": HoldKind.CANARY, "held_reason": reason} if reason else {}
    canary = CanaryState.EXCEEDED if reason else CanaryState.PASSED
    after = replace(totals, canary=canary, held_at=at if reason else "")
    return [
        Update(
            totals_key(totals.run_id),
            when=(*_judged_now(totals), as_read("paused_at", totals.paused_at)),
            set={"canary": canary, **held},
            add={"version": 1},
        ),
        Put(canary_key(totals.run_id), {"run_id": totals.run_id, "text": text}),
        *_gate(lane, after),
    ]


def fail_canary(totals: Totals, pool: str, text: str, *, reason: str, code: str, step: str) -> list[Write]:
    """A canary is judged, and its manifest wants the run to fail: it breaks. RUNNING stays until what is paid is settled."""
    return [
        Update(
            totals_key(totals.run_id),
            when=_judged_now(totals),
            set={"canary": CanaryState.EXCEEDED, "fault": reason, "fault_code": code, "fault_step": step},
            remove=("paused_at", "paused_by"),  # it is not waited for that somebody resumes it
            add={"version": 1},
        ),
        Put(canary_key(totals.run_id), {"run_id": totals.run_id, "text": text}),
        Update(
            lane_key(pool, totals.run_id),
            when=(Cond("gate", "exists"),),
            set={"gate": Gate.REFUSED, "message": reason, "broken": True},
            add={"version": 1},
        ),
    ]


def _judged_now(totals: Totals) -> tuple[Cond, ...]:
    assert totals.canary == CanaryState.WAITING
    return (
        equal("state", RunState.RUNNING),
        equal("canary", CanaryState.WAITING),
        Cond("fault", "absent"),
        Cond("cancelled_at", "absent"),
    )


def approve(totals: Totals, lane: Lane | None, by: By) -> list[Write]:
    """A run that its canary holds goes on, as somebody wants it."""
    assert totals.held_kind == HoldKind.CANARY
    after = replace(totals, canary=CanaryState.APPROVED, held_at="", held_kind="", held_reason="")
    return [
        Update(
            totals_key(totals.run_id),
            when=(
                equal("state", RunState.RUNNING),
                equal("held_kind", totals.held_kind),
                equal("held_at", totals.held_at),
                as_read("paused_at", totals.paused_at),
                Cond("fault", "absent"),
                Cond("cancelled_at", "absent"),
            ),
            set={"canary": CanaryState.APPROVED, "approved_at": by.at, "approved_by": by.who},
            remove=HELD,
            add={"version": 1},
        ),
        *_gate(lane, after),
    ]


def hold(totals: Totals, lane: Lane | None, *, kind: HoldKind, reason: str, at: str) -> list[Write]:
    """Nothing more of a run is admitted, until what it is held for is over. RUNNING stays."""
    assert not totals.held_at
    held = {"held_at": at, "held_kind": kind, "held_reason": reason}
    return [
        Update(
            totals_key(totals.run_id),
            when=(
                equal("state", RunState.RUNNING),
                Cond("held_at", "absent"),
                Cond("fault", "absent"),
                Cond("cancelled_at", "absent"),
                as_read("canary", totals.canary),
                as_read("paused_at", totals.paused_at),
                equal_or_absent("budget_micros", totals.budget_micros),
            ),
            set=held,
            add={"version": 1},
        ),
        *_gate(lane, replace(totals, held_at=at)),
    ]


def say_held(totals: Totals, kind: HoldKind, reason: str) -> list[Write]:
    """A held run stays held, and says for what and why as it is now."""
    premise = (equal("state", RunState.RUNNING), equal("held_at", totals.held_at), equal("held_kind", totals.held_kind))
    return [
        Update(
            totals_key(totals.run_id), when=premise, set={"held_kind": kind, "held_reason": reason}, add={"version": 1}
        )
    ]


def release_held(totals: Totals, lane: Lane | None) -> list[Write]:
    """What a run is held for is over, and it goes on by itself."""
    after = replace(totals, held_at="", held_kind="", held_reason="")
    return [
        Update(
            totals_key(totals.run_id),
            when=(
                equal("state", RunState.RUNNING),
                equal("held_at", totals.held_at),
                equal("held_kind", totals.held_kind),
                as_read("canary", totals.canary),
                as_read("paused_at", totals.paused_at),
            ),
            remove=HELD,
            add={"version": 1},
        ),
        *_gate(lane, after),
    ]


def set_budget(totals: Totals, lane: Lane | None, budget_micros: int | None) -> list[Write]:
    """A run's budget is another, or none.

    The lane's stride tag moves by one, so that an admission which was decided by the budget before meets another premise.

    Args:
        budget_micros: millionths of a dollar; None: there is none any more.
    """
    premise = (equal("state", totals.state), equal_or_absent("budget_micros", totals.budget_micros))
    if budget_micros is None:
        moved = Update(totals_key(totals.run_id), when=premise, remove=("budget_micros",), add={"version": 1})
    else:
        moved = Update(
            totals_key(totals.run_id), when=premise, set={"budget_micros": budget_micros}, add={"version": 1}
        )
    if lane is None:
        return [moved]
    key = lane_key(lane.pool, lane.run_id)
    return [moved, Update(key, when=(equal("tag", lane.tag),), set={"tag": lane.tag + 1}, add={"version": 1})]


def _gate(lane: Lane | None, after: Totals) -> list[Write]:
    """Nothing where Bedrock refuses all that waits in it: that is nobody's to open."""
    if lane is None or lane.gate is Gate.REFUSED:
        return []
    key = lane_key(lane.pool, lane.run_id)
    return [Update(key, when=(equal("gate", lane.gate),), set={"gate": after.gate}, add={"version": 1})]
