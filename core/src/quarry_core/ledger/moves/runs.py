"""The moves of a run and of its slices."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from quarry_core.contract.canary import CanaryState
from quarry_core.contract.run import Run
from quarry_core.contract.share import CLASS_DEFAULT, WEIGHT_DEFAULT
from quarry_core.contract.states import Gate, RunState
from quarry_core.ledger.keys import done_key, lane_key, open_key, run_key, slice_key, text_key, totals_key
from quarry_core.ledger.moves.audit import audited
from quarry_core.ledger.moves.control import PAUSED
from quarry_core.ledger.moves.premise import as_read, equal
from quarry_core.ledger.rows import AuditEntry, Totals, has_text, run_item, text_item
from quarry_core.planning.spending import MICRO
from quarry_core.ports import Cond, Delete, Put, Update, Write

TEXT_DAYS = 30


def accept(run: Run, text_days: int = TEXT_DAYS) -> list[Write]:
    """(none) -> ACCEPTED.

    Args:
        text_days: days that the run's prompt and inference parameters stay after its end.
    """
    text = [Put(text_key(run.run_id), text_item(run))] if has_text(run) else []
    zero = dict.fromkeys(
        (
            "accepted",
            "open",
            "ok",
            "error",
            "again",
            "enlisted",
            "shards_enlisted",
            "shards_settled",
            "repeats",
            "rows_source",
            "spent_micros",
        ),
        0,
    )
    totals = {
        "run_id": run.run_id,
        "state": RunState.ACCEPTED,
        "version": 1,
        "round": 1,
        "started_at": run.accepted_at,
        "text_days": text_days if text else 0,
        **zero,
    }
    if run.pins is not None and run.pins.budget_usd is not None and run.pins.retry is None:
        totals["budget_micros"] = round(run.pins.budget_usd * MICRO)
    pool = {"pool": run.pins.pool} if run.pins else {}
    sender = {"sender": run.sender} if run.sender else {}
    return [
        Put(run_key(run.run_id), run_item(run)),
        *text,
        Put(totals_key(run.run_id), totals),
        Put(open_key(run.run_id), {"run_id": run.run_id, "accepted_at": run.accepted_at, **pool, **sender}),
        *_sent(run),
    ]


def _sent(run: Run) -> list[Write]:
    """Who sent it goes into the audit trail, where SQS has told."""
    if not run.sender:
        return []
    what = f"refused: {run.refusal}" if run.refusal else (f"model {run.pins.model_id}" if run.pins else "")
    return audited(AuditEntry(run.accepted_at, "submit", run.sender, run.run_id, what=what), run.run_id)


def begin_planning(totals: Totals) -> list[Write]:
    """ACCEPTED -> PLANNING."""
    return [
        Update(
            totals_key(totals.run_id),
            when=(equal("state", RunState.ACCEPTED),),
            set={"state": RunState.PLANNING},
            add={"version": 1},
        )
    ]


def refuse_run(totals: Totals, message: str, ended_at: str, *, code: str, step: str) -> list[Write]:
    """ACCEPTED | PLANNING -> FAILED: nothing was submitted, nothing is owed."""
    assert totals.state in (RunState.ACCEPTED, RunState.PLANNING)
    return [
        Update(
            totals_key(totals.run_id),
            when=(equal("state", totals.state),),
            set={"state": RunState.FAILED, "message": message, "code": code, "step": step, "ended_at": ended_at},
            add={"version": 1},
        ),
        *_end_of_run(totals, RunState.FAILED, ended_at),
    ]


def begin_running(
    totals: Totals,
    pool: str,
    tag: int,
    rows: int,
    rows_source: int,
    plan: str,
    *,
    record_millitokens: int = 0,
    admission_class: str = CLASS_DEFAULT,
    weight: int = WEIGHT_DEFAULT,
    canary: bool = False,
    record_nanodollars: int = 0,
) -> list[Write]:
    """PLANNING -> RUNNING: the plan is complete (the slices too), its rows are accepted, its lane opens.

    Of a run that was paused before, the lane is made with its gate closed.

    Args:
        tag: the lane's first stride tag: the pool's virtual time in its class, so that no credit is saved by coming late.
        rows: rows of the plan.
        rows_source: rows of the source, of which the plan may leave some out.
        plan: SHA-256 of the plan's bytes.
        record_millitokens: what the plan estimates of a record's LLM input tokens, in thousandths.
        admission_class: of the lane; likewise `weight`. They follow from `totals`, which must still say the same.
        canary: its first shard is asked alone, before the others.
        record_nanodollars: what the plan estimates a record to cost, in billionths of a dollar.
    """
    waiting = CanaryState.WAITING if canary else ""
    return [
        Update(
            totals_key(totals.run_id),
            when=(
                equal("state", RunState.PLANNING),
                as_read("lane_class", totals.lane_class),
                as_read("lane_weight", totals.lane_weight),
                as_read("paused_at", totals.paused_at),
            ),
            set={
                "state": RunState.RUNNING,
                "accepted": rows,
                "open": rows,
                "rows_source": rows_source,
                "plan": plan,
            }
            | ({"record_millitokens": record_millitokens} if record_millitokens else {})
            | ({"canary": waiting} if canary else {})
            | ({"record_nanodollars": record_nanodollars} if record_nanodollars else {}),
            add={"version": 1},
        ),
        Put(
            lane_key(pool, totals.run_id),
            {
                "pool": pool,
                "run_id": totals.run_id,
                "class": admission_class,
                "weight": weight,
                "tag": tag,
                "gate": replace(totals, canary=waiting).gate,
                "waiting": 0,
                "version": 1,
            },
        ),
    ]


def break_run(totals: Totals, pool: str, fault: str, *, code: str, step: str) -> list[Write]:
    """A running run cannot be brought to its end: no further row is enlisted, its lane is refused.

    The state stays RUNNING until what is already paid for has been settled.
    """
    return [
        Update(
            totals_key(totals.run_id),
            when=(equal("state", RunState.RUNNING), Cond("fault", "absent")),
            set={"fault": fault, "fault_code": code, "fault_step": step},
            remove=PAUSED,  # it is not waited for that somebody resumes it
            add={"version": 1},
        ),
        Update(
            lane_key(pool, totals.run_id),
            # Whatever its gate: Bedrock may have refused the lane before, and the rest of the rows must be told all the same.
            when=(Cond("gate", "exists"),),
            set={"gate": Gate.REFUSED, "message": fault, "broken": True},
            add={"version": 1},
        ),
    ]


def begin_closing(totals: Totals, closing_at: str) -> list[Write]:
    """RUNNING -> CLOSING: every enlisted row has its outcome. `closing_at` is the run's end in report and ledger."""
    assert totals.whole
    return [
        Update(
            totals_key(totals.run_id),
            when=(equal("state", RunState.RUNNING), equal("open", totals.open), equal("enlisted", totals.enlisted)),
            set={"state": RunState.CLOSING, "closing_at": closing_at},
            add={"version": 1},
        )
    ]


def decide_end(totals: Totals, state: RunState, message: str, *, code: str, step: str) -> list[Write]:
    """A closing run's end is decided, once: report, marker, event and state then say the same, whoever writes them."""
    assert totals.state is RunState.CLOSING
    return [
        Update(
            totals_key(totals.run_id),
            # Cancelled in between, it has another end.
            when=(
                equal("state", RunState.CLOSING),
                Cond("end_state", "absent"),
                as_read("cancelled_at", totals.cancelled_at),
            ),
            set={"end_state": state, "end_message": message, "end_code": code, "end_step": step},
            add={"version": 1},
        )
    ]


def close_run(totals: Totals, pool: str, ended_at: str, *, note: str = "") -> list[Write]:
    """CLOSING -> terminal, as it was decided. Rows that were never sent are told as errors: nothing stays open.

    Args:
        note: what went wrong after it was decided, for an end that has no message of its own.
    """
    assert totals.state is RunState.CLOSING
    assert totals.end_state
    state = RunState(totals.end_state)
    return [
        Update(
            totals_key(totals.run_id),
            when=(
                equal("state", RunState.CLOSING),
                equal("open", totals.open),
                equal("again", totals.again),
                equal("end_state", totals.end_state),
            ),
            set={
                "state": state,
                "message": totals.end_message or note,
                "code": totals.end_code,
                "step": totals.end_step,
                "ended_at": ended_at,
                "open": 0,
                "again": 0,
                "error": totals.error + totals.open + totals.again,
            },
            add={"version": 1},
        ),
        # One that was cancelled before it was planned has no lane.
        *([Delete(lane_key(pool, totals.run_id))] if totals.plan else []),
        *_end_of_run(totals, state, ended_at),
    ]


def _end_of_run(totals: Totals, state: RunState, ended_at: str) -> list[Write]:
    run_id = totals.run_id
    return [
        Delete(open_key(run_id)),
        Put(done_key(ended_at, run_id), {"run_id": run_id, "state": state, "ended_at": ended_at}),
        *_let_text_go(totals, ended_at),
    ]


def _let_text_go(totals: Totals, ended_at: str) -> list[Write]:
    """The prompt goes some time after the end; `run` and `totals` stay, as the memory that the id was used."""
    if not totals.text_days:
        return []
    gone_at = datetime.fromisoformat(ended_at) + timedelta(days=totals.text_days)
    return [
        Update(
            text_key(totals.run_id),
            when=(Cond("expires_at", "absent"),),
            set={"expires_at": int(gone_at.timestamp())},
        )
    ]


def open_slice(run_id: str, number: int, first_shard: int, shards: int) -> list[Write]:
    return [
        Put(
            slice_key(run_id, number),
            {
                "run_id": run_id,
                "number": number,
                "state": "OPEN",
                "version": 1,
                "first_shard": first_shard,
                "shards": shards,
            },
        )
    ]


def finish_slice(run_id: str, number: int, expires_at: int) -> list[Write]:
    return [
        Update(
            slice_key(run_id, number),
            when=(equal("state", "OPEN"),),
            set={"state": "DONE", "expires_at": expires_at},
            add={"version": 1},
        )
    ]
