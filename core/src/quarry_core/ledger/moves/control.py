"""The moves by which people control a run: cancel, pause, resume.

Each is one transaction on the run's totals and its lane. Admission repeats the lane's gate as its premise, and asking on
demand the totals: so nothing is admitted, or begun to be asked, once one of these is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from quarry_core.contract.states import Gate, RunState
from quarry_core.ledger.keys import lane_key, totals_key
from quarry_core.ledger.moves.premise import as_read, equal
from quarry_core.ledger.rows import Lane, Totals, cancelled_sentence
from quarry_core.ports import Cond, Update, Write

PAUSED = ("paused_at", "paused_by")


@dataclass(frozen=True, slots=True)
class By:
    """When something was asked for, ISO 8601 in UTC, and by whom: an ARN; empty where that could not be known."""

    at: str
    who: str = ""


def cancel(totals: Totals, pool: str, by: By) -> list[Write]:
    """ACCEPTED | PLANNING -> CLOSING; from then on a run stays where it is, and is cancelled all the same.

    Before it is planned nothing is owed but a report.
    RUNNING stays: its lane is refused and stays so, until what is with Bedrock has ended and every row has its outcome.
    CLOSING stays: every row has its outcome, and no further round begins. Its end must not be decided yet.
    """
    assert not totals.cancelled_at
    assert not totals.end_state
    cancelled = {"cancelled_at": by.at, "cancelled_by": by.who}
    run = totals_key(totals.run_id)
    not_yet = Cond("cancelled_at", "absent")
    match totals.state:
        case RunState.ACCEPTED | RunState.PLANNING:
            closing = {"state": RunState.CLOSING, "closing_at": by.at}
            return [
                Update(
                    run,
                    when=(equal("state", totals.state), not_yet),
                    set=cancelled | closing,
                    remove=PAUSED,
                    add={"version": 1},
                )
            ]
        case RunState.RUNNING:
            return [
                Update(
                    run,
                    when=(equal("state", RunState.RUNNING), not_yet),
                    set=cancelled,
                    remove=PAUSED,
                    add={"version": 1},
                ),
                Update(
                    lane_key(pool, totals.run_id),
                    # Whatever its gate.
                    when=(Cond("gate", "exists"),),
                    set={
                        "gate": Gate.REFUSED,
                        "message": cancelled_sentence(by.at, by.who),
                        "broken": True,
                        "cancelled": True,
                    },
                    add={"version": 1},
                ),
            ]
        case _:
            assert totals.state is RunState.CLOSING
            premise = (equal("state", RunState.CLOSING), not_yet, Cond("end_state", "absent"))
            return [Update(run, when=premise, set=cancelled, add={"version": 1})]


def pause(totals: Totals, lane: Lane | None, by: By) -> list[Write]:
    """Nothing more of the run is admitted or begun to be asked, until it is resumed. What runs goes on to its end.

    Args:
        lane: the run's, as read; None before it is planned, and the lane is then made with its gate closed.
    """
    assert not totals.paused_at
    premise = (equal("state", totals.state), Cond("paused_at", "absent"), Cond("cancelled_at", "absent"))
    paused = {"paused_at": by.at, "paused_by": by.who}
    return [
        Update(totals_key(totals.run_id), when=premise, set=paused, add={"version": 1}),
        *_gate(lane, replace(totals, paused_at=by.at)),
    ]


def resume(totals: Totals, lane: Lane | None) -> list[Write]:
    """A paused run goes on. Its lane enters the order at the pool's virtual time: nothing is saved up behind a gate."""
    assert totals.paused_at
    premise = (
        equal("state", totals.state),
        equal("paused_at", totals.paused_at),
        as_read("held_at", totals.held_at),
        as_read("canary", totals.canary),
    )
    return [
        Update(totals_key(totals.run_id), when=premise, remove=PAUSED, add={"version": 1}),
        *_gate(lane, replace(totals, paused_at="")),
    ]


def _gate(lane: Lane | None, after: Totals) -> list[Write]:
    """Nothing where there is no lane yet, or Bedrock refuses all that waits in it: that is nobody's to open."""
    if lane is None or lane.gate is Gate.REFUSED:
        return []
    key = lane_key(lane.pool, lane.run_id)
    return [Update(key, when=(equal("gate", lane.gate),), set={"gate": after.gate}, add={"version": 1})]
