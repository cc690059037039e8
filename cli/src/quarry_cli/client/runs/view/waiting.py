"""What a run waits for, and how long the waiting may take. Pure.

Every open run waits for somebody: a preprocessor, a slot, Bedrock, a collector. Who looks at it is told whom, and how
much there is to do, since that is what decides whether anything is to be done about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from quarry_core.contract.canary import HoldKind
from quarry_core.contract.states import Gate, JobStatus, RunState, ShardState
from quarry_core.ledger.rows import JobRow, Lane, Pool, Totals


def waits_for(
    totals: Totals, shards: Mapping[ShardState, int], lane: Lane | None, pool: Pool | None, paused: int
) -> list[str]:
    """A line for each of those that the run waits for now, in the order of the steps; none for one that has ended.

    Args:
        paused: of the shards in PENDING, those that wait for another attempt.
    """
    if totals.state.terminal:
        return []
    if totals.state in (RunState.ACCEPTED, RunState.PLANNING):
        return ["a preprocessor, to count and plan the rows"]
    if totals.state is RunState.CLOSING:
        return ["a collector, to write the last parts and the report"]
    reported = []
    if not totals.fault and totals.enlisted < totals.accepted:
        reported.append(f"a preprocessor: {totals.accepted - totals.enlisted:,} rows to be written")
    paused = min(paused, shards[ShardState.PENDING])
    if paused:
        reported.append(f"the end of a pause: {_shards(paused)} before another attempt")
    # Of a run that waits for its canary no other shard has begun.
    begun = totals.shards_enlisted > shards[ShardState.PENDING]
    reported += _pending(shards[ShardState.PENDING] - paused, lane, pool, canary_begun=begun, held_for=totals.held_kind)
    if admitted := shards[ShardState.ADMITTED]:
        reported.append(f"a scheduler: {_shards(admitted)} to become jobs")
    if submitted := shards[ShardState.SUBMITTED]:
        reported.append(f"Bedrock: {submitted:,} {'job' if submitted == 1 else 'jobs'}")
    if asked := shards[ShardState.INVOKING]:
        reported.append(f"Bedrock: {_shards(asked)} being asked on demand")
    if ended := shards[ShardState.ENDED]:
        reported.append(f"a collector: {_shards(ended)} to be settled")
    if totals.whole:
        reported.append("a collector, to close the run")
    return reported


_HELD_FOR: Mapping[str, str] = {
    HoldKind.BUDGET: "a larger budget, or jobs that cost less",
    HoldKind.MONTH: "the month's budget: a larger one, the next month, or jobs that cost less",
}


def _pending(waiting: int, lane: Lane | None, pool: Pool | None, *, canary_begun: bool, held_for: str) -> list[str]:
    if waiting <= 0:
        return []
    if lane is not None and lane.gate is Gate.PAUSED:
        return [f"whoever paused it: {_shards(waiting)} held back"]
    if lane is not None and lane.gate is Gate.HELD:
        return [f"{_HELD_FOR.get(held_for, 'whoever approves it')}: {_shards(waiting)} held back"]
    if lane is not None and lane.gate is Gate.CANARY and canary_begun:
        return [f"the canary's answers: {_shards(waiting)} held back"]
    if lane is not None and lane.gate is Gate.REFUSED:
        return [f"a scheduler: {_shards(waiting)} to be ended, because the run stops here"]
    if pool is None or pool.free:
        return [f"a scheduler: {_shards(waiting)} to be admitted"]
    return [f"a slot: {_shards(waiting)}; all {pool.admit_limit:,} of {pool.pool} are in use"]


def _shards(count: int) -> str:
    return f"{count:,} {'shard' if count == 1 else 'shards'}"


def processed_rows(ended_shards: int, ended: Iterable[JobRow], running: Iterable[JobRow]) -> int:
    """Rows that Bedrock has processed and nobody has settled.

    Args:
        ended_shards: shards in ENDED, all of them.
        ended: the jobs of those that were read, a page at most; the others count as these do on average.
        running: the jobs of shards that hold a slot.
    """
    known = [job.processed_records or 0 for job in ended]
    beyond = round(sum(known) / len(known) * max(0, ended_shards - len(known))) if known else 0
    return sum(known) + beyond + sum(job.processed_records or 0 for job in running)


def settling_s(ended: Iterable[JobRow], now: datetime) -> float:
    """About how long the collectors need for what has ended: as long as the oldest of it has waited.

    By Little's law: where things are taken in their order, those that wait go at the pace at which those before them
    went. An expired job's end is not told (contract section 1.3).
    """
    ends = [datetime.fromisoformat(job.ended_at) for job in ended if job.ended_at and job.status != JobStatus.EXPIRED]
    return max(0.0, (now - min(ends)).total_seconds()) if ends else 0.0
