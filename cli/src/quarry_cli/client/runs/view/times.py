"""How long a run has taken, how fast it goes, and when it is expected to end. Pure; all times in seconds."""

from __future__ import annotations

from datetime import datetime

from quarry_core.contract.canary import CanaryState
from quarry_core.contract.run import Run
from quarry_core.contract.states import RunState
from quarry_core.ledger.rows import Totals
from quarry_core.planning.estimate import Estimate

# With less than this done, a rate says more about the start than about the rest.
ETA_DONE_RATIO_MIN = 0.005


def elapsed_s(run: Run, totals: Totals, now: datetime) -> int:
    """From the run's acceptance to its end, or until now."""
    return max(0, round((_moment(totals.ended_at, now) - datetime.fromisoformat(run.accepted_at)).total_seconds()))


def rows_per_minute(totals: Totals, processed: int, now: datetime) -> float | None:
    """Rows done a minute since the plan stood, waiting for slots included."""
    done = totals.ok + totals.error + processed
    if not done or not totals.started_at:
        return None
    elapsed = (_moment(totals.ended_at, now) - datetime.fromisoformat(totals.started_at)).total_seconds()
    return round(done * 60 / elapsed, 1) if elapsed > 0 else None


def eta_s(totals: Totals, estimate: Estimate | None, processed: int, settling_s: float, now: datetime) -> int | None:
    """Seconds until the last row is settled: by the rate so far, or while that says nothing, by the plan; else None.

    Args:
        settling_s: how long the collectors need for what has ended.
    """
    by_rate = _by_rate_s(totals, processed, settling_s, now)
    return _by_plan_s(totals, estimate, now) if by_rate is None else by_rate


def eta_range_s(eta: int | None, estimate: Estimate | None) -> tuple[int | None, int | None]:
    """Between which an expected end lies: what the plan was uncertain by, less what has evened out with the jobs that are left.

    What jobs are off their line adds up by the root of their number, so of a share of the run its root is left.
    """
    duration = estimate.duration if estimate is not None else None
    if eta is None or duration is None or duration.seconds <= 0:
        return None, None
    left = min(1.0, eta / duration.seconds)
    earlier, later = ((duration.seconds - duration.low_s) * left**0.5, (duration.high_s - duration.seconds) * left**0.5)
    return max(0, round(eta - max(0.0, earlier))), round(eta + max(0.0, later))


def _by_rate_s(totals: Totals, processed: int, settling_s: float, now: datetime) -> int | None:
    """If the rest goes at the rate so far; None while too little is done to tell.

    The rate counts from the acceptance of the run, so time spent waiting for a slot is in it. Settling goes on beside
    Bedrock's work: whichever takes longer counts.
    """
    if totals.state is not RunState.RUNNING or not totals.accepted or not totals.started_at or totals.paused_at:
        return None
    if totals.held or totals.canary == CanaryState.WAITING:
        return None  # its canary says nothing of how fast many jobs go
    done = totals.ok + totals.error + processed
    elapsed = (now - datetime.fromisoformat(totals.started_at)).total_seconds()
    if elapsed <= 0 or done / totals.accepted < ETA_DONE_RATIO_MIN or (done >= totals.accepted and not settling_s):
        return None
    return max(1, round(max((totals.accepted - done) * elapsed / done, settling_s)))


def _by_plan_s(totals: Totals, estimate: Estimate | None, now: datetime) -> int | None:
    """Until a run has come far enough to tell by itself: what is left of the time for which it was planned."""
    if estimate is None or estimate.duration is None or totals.state is not RunState.RUNNING or not totals.started_at:
        return None
    if totals.paused_at or totals.cancelled_at or totals.held:
        return None
    if not totals.accepted or totals.ok + totals.error >= totals.accepted:
        return None
    elapsed = (now - datetime.fromisoformat(totals.started_at)).total_seconds()
    left = round(estimate.duration.behind_s - elapsed)
    return left if left > 0 else None


def _moment(text: str, now: datetime) -> datetime:
    return datetime.fromisoformat(text) if text else now
