"""The ledger in figures: what a sweep has gathered, added up for the gauges. Pure.

Theory of operation. A sweep reads every open run anyway, so its figures cost one request more for each pool (the
pool's lanes) and nothing for each run, shard or job: List tells the record counts of all active jobs in one pass
(contract section 1.4), and no job is asked for by Get. What a single look cannot show is remembered from sweep to
sweep: since when a slot has stood without a job, what an ended job had processed when it was last seen, and how fast
rows became done. A fresh process knows none of it, and begins anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from quarry_core.contract.canary import HoldKind
from quarry_core.contract.states import HELD, Gate, RunState, ShardState
from quarry_core.ledger.ledger import PAGE_ITEMS, OpenRun
from quarry_core.ledger.rows import Lane, Shard, Totals, Waiting
from quarry_core.ports import Job

RATE_WINDOW_S = 3_600.0
SETTLING_WINDOW_S = 600.0  # collectors are busy by fits and starts: their pace is that of the last minutes
SWEEPS_REMEMBERED_MAX = 720  # sweeps may be requested more often than they are due


@dataclass(frozen=True, slots=True)
class Account:
    """An open run as this sweep read it."""

    run: OpenRun
    totals: Totals
    ended: tuple[Waiting, ...]  # its shards in ENDED, at most one page of the ledger
    asked: tuple[Shard, ...] = ()  # those that wait to be asked on demand, or are; likewise


@dataclass(frozen=True, slots=True)
class Ledgered:
    """What of a sweep's view the figures are made from."""

    pools: tuple[str, ...]
    accounts: tuple[Account, ...]
    lanes: tuple[Lane, ...]
    held: tuple[Shard, ...]
    active: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """How far a run was, in rows: with an outcome, or processed by a job that is not settled yet.

    `enlisted` is what it will have done when it ends: a run that fails never comes to the rest.
    """

    pool: str
    rows: int
    enlisted: int
    settled: int = 0  # of these rows, those with an outcome


@dataclass(frozen=True, slots=True)
class Step:
    """One sweep: when, in seconds since the epoch, and the rows of a pool that became done since the one before."""

    at_s: float
    rows: int
    settled: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """What the sweeps before have left; holders and runs that are gone are forgotten."""

    idle_since_s: Mapping[str, float] = field(default_factory=dict)  # by holder
    processed: Mapping[str, int] = field(default_factory=dict)  # records, by holder
    done: Mapping[str, Done] = field(default_factory=dict)  # by run
    steps: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)  # by pool, oldest first


@dataclass(frozen=True, slots=True)
class Figures:
    """The gauges' values. Timestamps in seconds since the epoch, 0 for none; `eta_s` holds pools with a rate only."""

    runs: Mapping[str, int]
    held_since_s: Mapping[str, float]  # by kind of hold
    shards: Mapping[str, int]
    oldest_pending_s: float
    oldest_on_demand_s: float
    slot_idle_since_s: Mapping[str, float]
    rows_open: Mapping[str, int]
    rows_processed: Mapping[str, int]
    eta_s: Mapping[str, float]
    rows_unaccounted: int


NO_PACES: Mapping[str, float] = {}


def figures(
    view: Ledgered, memory: Memory, now_s: float, paces: Mapping[str, float] = NO_PACES
) -> tuple[Figures, Memory]:
    """Add up one sweep's view, and say what the next sweep is to remember.

    Args:
        paces: rows per second by pool, for pools that show none of their own yet.
    """
    processed = _processed(view, memory)
    ahead = _ahead(view, processed)
    done = {
        account.run.run_id: Done(
            account.run.pool,
            account.totals.accepted - account.totals.open + ahead[account.run.run_id],
            account.totals.enlisted,
            account.totals.accepted - account.totals.open,
        )
        for account in view.accounts
    }
    steps = {pool: _steps(pool, done, memory, now_s) for pool in view.pools}
    idle_since_s = _idle_since_s(view, memory, now_s)
    rows_open = {pool: sum(account.totals.open for account in _of(view, pool)) for pool in view.pools}
    rows_processed = {pool: sum(ahead[account.run.run_id] for account in _of(view, pool)) for pool in view.pools}
    found = Figures(
        runs=_runs(view),
        held_since_s=_held_since_s(view),
        shards=_shards(view),
        oldest_pending_s=_oldest_pending_s(view),
        oldest_on_demand_s=_oldest_s(
            account
            for account in view.accounts
            if any(not account.totals.waits(shard.shard) for shard in account.asked)
        ),
        slot_idle_since_s={
            pool: min((idle_since_s[shard.holder] for shard in _idle(view) if shard.pool == pool), default=0.0)
            for pool in view.pools
        },
        rows_open=rows_open,
        rows_processed=rows_processed,
        eta_s={
            pool: now_s + left_s
            for pool in view.pools
            if (left_s := _left_s(rows_open[pool], rows_processed[pool], steps[pool], now_s, paces.get(pool, 0.0)))
            is not None
        },
        rows_unaccounted=sum(_unaccounted(account.totals) for account in view.accounts),
    )
    return found, Memory(idle_since_s, processed, done, steps)


def _of(view: Ledgered, pool: str) -> Iterable[Account]:
    return (account for account in view.accounts if account.run.pool == pool)


def _runs(view: Ledgered) -> dict[str, int]:
    states = [HELD if account.totals.held else str(account.totals.state) for account in view.accounts]
    return {state: states.count(state) for state in (*(str(each) for each in RunState if not each.terminal), HELD)}


def _held_since_s(view: Ledgered) -> dict[str, float]:
    held = [account.totals for account in view.accounts if account.totals.held]
    return {
        kind: min(
            (datetime.fromisoformat(each.held_at).timestamp() for each in held if each.held_kind == kind), default=0.0
        )
        for kind in HoldKind
    }


def _shards(view: Ledgered) -> dict[str, int]:
    held = [shard.state for shard in view.held]
    asked = [shard.state for account in view.accounts for shard in account.asked]
    return {
        ShardState.PENDING: sum(lane.waiting for lane in view.lanes) + asked.count(ShardState.PENDING),
        ShardState.ADMITTED: held.count(ShardState.ADMITTED),
        ShardState.SUBMITTED: held.count(ShardState.SUBMITTED),
        ShardState.INVOKING: asked.count(ShardState.INVOKING),
        ShardState.ENDED: sum(_ended(account, view) for account in view.accounts),
        ShardState.SETTLED: sum(account.totals.shards_settled for account in view.accounts),
    }


def _ended(account: Account, view: Ledgered) -> int:
    """Shards of a run in ENDED: by their markers, of which one page was read, or else by what the others leave."""
    if len(account.ended) < PAGE_ITEMS:
        return len(account.ended)
    run_id, totals = account.run.run_id, account.totals
    waiting = sum(lane.waiting for lane in view.lanes if lane.run_id == run_id)
    held = sum(shard.state.holds_a_slot for shard in view.held if shard.run_id == run_id)
    return max(len(account.ended), totals.shards_enlisted - totals.shards_settled - waiting - held - len(account.asked))


def _oldest_pending_s(view: Ledgered) -> float:
    """Of the runs that wait for a slot: a paused or held one waits for somebody, and others for their canary's answers."""
    begun = {shard.run_id for shard in view.held}
    begun |= {each.run.run_id for each in view.accounts if each.ended or each.totals.shards_settled}
    waiting = {
        lane.run_id
        for lane in view.lanes
        if lane.waiting > 0
        and lane.gate not in (Gate.PAUSED, Gate.HELD)
        and not (lane.gate is Gate.CANARY and lane.run_id in begun)
    }
    return _oldest_s(account for account in view.accounts if account.run.run_id in waiting)


def _oldest_s(accounts: Iterable[Account]) -> float:
    return min((datetime.fromisoformat(each.run.accepted_at).timestamp() for each in accounts), default=0.0)


def _idle(view: Ledgered) -> list[Shard]:
    """Held slots without a job that is active: not created yet, or ended and not noticed."""
    active = {job.arn for job in view.active}
    return [shard for shard in view.held if shard.state is ShardState.ADMITTED or shard.arn not in active]


def _idle_since_s(view: Ledgered, memory: Memory, now_s: float) -> dict[str, float]:
    return {shard.holder: memory.idle_since_s.get(shard.holder, now_s) for shard in _idle(view)}


def _processed(view: Ledgered, memory: Memory) -> dict[str, int]:
    """Records that Bedrock has processed, by holder: of active jobs as told now, of ended ones as last told."""
    reported = {job.arn: job.processed_records or 0 for job in view.active}
    found = {
        shard.holder: reported[shard.arn]
        for shard in view.held
        if shard.state is ShardState.SUBMITTED and shard.arn in reported
    }
    for account in view.accounts:
        for shard in account.ended:
            if shard.holder in memory.processed:
                found.setdefault(shard.holder, memory.processed[shard.holder])
    return found


def _ahead(view: Ledgered, processed: Mapping[str, int]) -> dict[str, int]:
    """By run: of its open rows, those that are processed. Never more than are open, for the two are read apart.

    Of more ended shards than a page, those beyond it count as those on it do on average.
    """
    records: Counter[str] = Counter()
    for holder, count in processed.items():
        records[holder.partition("/")[0]] += count
    for account in view.accounts:
        if beyond := _ended(account, view) - len(account.ended):
            known = [processed[shard.holder] for shard in account.ended if shard.holder in processed]
            records[account.run.run_id] += round(sum(known) / len(known) * beyond) if known else 0
    return {account.run.run_id: min(account.totals.open, records[account.run.run_id]) for account in view.accounts}


def _steps(pool: str, done: Mapping[str, Done], memory: Memory, now_s: float) -> tuple[Step, ...]:
    """The pool's steps within the window, and this one: what its runs did, and those that have ended since."""
    rows = settled = 0
    for run_id, before in memory.done.items():
        if before.pool == pool:
            after = done.get(run_id, Done(pool, before.enlisted, before.enlisted, before.enlisted))
            rows += max(0, after.rows - before.rows)
            settled += max(0, after.settled - before.settled)
    kept = [step for step in memory.steps.get(pool, ()) if step.at_s >= now_s - RATE_WINDOW_S]
    return (*kept[1 - SWEEPS_REMEMBERED_MAX :], Step(now_s, rows, settled))


def _rows_per_s(steps: tuple[Step, ...]) -> float:
    """The first step only says since when: what it counts became done before it."""
    seconds = steps[-1].at_s - steps[0].at_s
    return sum(step.rows for step in steps[1:]) / seconds if seconds > 0 else 0.0


def _left_s(rows_open: int, processed: int, steps: tuple[Step, ...], now_s: float, pace: float = 0.0) -> float | None:
    """Seconds until the last open row is settled; None where there is none, or no pace to go by."""
    settling_s = _settling_s(processed, steps, now_s)
    rate = _rows_per_s(steps) or pace
    if not rows_open or (rate <= 0 and (rows_open > processed or not settling_s)):
        return None
    return max((rows_open - processed) / rate if rate > 0 else 0.0, settling_s)


def _settling_s(rows: int, steps: tuple[Step, ...], now_s: float) -> float:
    """How long the collectors need for rows that are processed, at their pace of late; 0 where they show none."""
    late = [step for step in steps if step.at_s >= now_s - SETTLING_WINDOW_S]
    settled = sum(step.settled for step in late[1:])
    return rows * (late[-1].at_s - late[0].at_s) / settled if settled else 0.0


def _unaccounted(totals: Totals) -> int:
    return abs(totals.accepted - totals.ok - totals.error - totals.again - totals.open)
