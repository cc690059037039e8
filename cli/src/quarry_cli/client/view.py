"""A run as people and scripts see it: one structure, from which `status`, `status --json` and `watch` all speak.

Pure: what was read goes in, what is shown comes out. The ledger's rows are read one after the other, so a count may
be a moment older than its neighbour; none is ever negative.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from quarry_cli.client.waiting import processed_rows, settling_s, waits_for
from quarry_core.contract.canary import CanaryState, HoldKind
from quarry_core.contract.names import compact_prefix, results_prefix, s3_uri
from quarry_core.contract.run import Run
from quarry_core.contract.states import RunState, ShardState
from quarry_core.ledger.rows import JobRow, Lane, Pool, Shard, Totals
from quarry_core.models.prices import table
from quarry_core.planning.estimate import Estimate
from quarry_core.planning.spending import MICRO, Account, spent_dollars

# With less than this done, a rate says more about the start than about the rest.
ETA_DONE_RATIO_MIN = 0.005
JOB_MESSAGES_MAX = 20
MONTH_REMEDY = "set QUARRY_BUDGET_USD of the services higher"


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of rows. `accepted = ok + error + again + open`, always.

    `source` are in the source, `planned` in the plan (the same as accepted), `left_out` in the source but cut by the
    manifest's limits. `enlisted` are in shards that stand. `processed` of the open ones have been processed by the
    model, as Bedrock tells it, and are not settled yet.
    """

    accepted: int
    ok: int
    error: int
    open: int
    again: int
    source: int
    planned: int
    left_out: int
    enlisted: int
    processed: int


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A Bedrock job. `status` is Bedrock's word; counts are None until Bedrock tells them."""

    name: str
    arn: str
    status: str
    attempt: int
    shard: str
    message: str
    submitted_at: str
    ended_at: str
    total_records: int | None
    processed_records: int | None
    success_records: int | None
    error_records: int | None


class JobMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What Bedrock said of `jobs` jobs that ended with `status`; `example` is one of them."""

    status: str
    message: str
    jobs: int
    example: str


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """The pool's slots: `in_use` by all runs, `held` of them by this one, which is served by its `class` and `weight`."""

    pool: str
    limit: int
    in_use: int
    held: int
    admission_class: str | None = msgspec.field(name="class", default=None)
    weight: int | None = None


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """LLM tokens of the settled shards, and what they cost by the table of prices (an estimate, in US dollars).

    `dollars` is None where the model has no price in the table of `prices_as_of`.
    """

    input_tokens: int
    output_tokens: int
    dollars: float | None
    prices_as_of: str


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the dataset: the run that makes it, and that run's state. `newest`: it is what `quarry results` takes."""

    version: int
    run_id: str
    state: RunState
    newest: bool


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run is HELD, of which kind, and since when. `remedy` is what to do: a command, or of the month's budget a sentence."""

    kind: str
    reason: str
    at: str
    remedy: str


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """A run's budget in US dollars: what of it is spent by settled shards, and what those that run are likely to cost."""

    budget_usd: float
    spent_usd: float
    committed_usd: float


class CanaryView(msgspec.Struct, frozen=True, kw_only=True):
    """A run's canary: `state` is waiting, passed, exceeded or approved, by whom and when. `judgement` is None while it waits.

    `judgement` has the fields of `quarry_core.planning.canary.Judgement`.
    """

    state: str
    judgement: dict[str, Any] | None = None
    approved_at: str | None = None
    approved_by: str | None = None


class Compact(msgspec.Struct, frozen=True, kw_only=True):
    """A run's results once more, in `parts` larger parts at `uri`; since `at`, by the ARN `by`, None where it is not known."""

    uri: str
    parts: int
    at: str
    by: str | None


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """What `quarry status --json` prints. Times are ISO 8601 in UTC; `eta_s` is None while nothing can be said.

    `round` is the pass over records that the run is in, `retried` how many were asked again so far; both are 1 and 0 while
    nothing was. `errors` counts the error rows of settled shards by code. `spent` is None until a shard is settled. `elapsed_s` runs
    from the run's acceptance to its end, or until now; `rows_per_minute` is None until a row is done. `result_prefix` goes
    before the names of our columns in the parts. `code` and `step` say why a run is FAILED, beside the sentence `error`.
    `estimate` is what was expected when the run was planned (`quarry plan --json` has the same fields); None where nothing
    was, or it cannot be read. Of a `dry_run` it is all there is. `cancelled_at` and `paused_at` are None where the run is
    neither; `cancelled_by` and `paused_by` are ARNs, None where it is not known who it was. `held` is None where it is not HELD:
    a held run is RUNNING, and admits nothing more. `canary` and `budget` are None where it has none. Likewise `erased_at`, from
    which on only numbers are left of the run. Its results are `version` of the dataset of run `of`, itself unless it is a retry;
    `versions` are all that there are, and empty while there is only one. `job_messages` has each sentence of Bedrock's about one of
    `jobs` once, the commonest first. `compact` is None unless its results were compacted. `eta_low_s` and `eta_high_s` are
    between which `eta_s` lies by what the model's jobs have taken so far; None where nothing is known of them.
    """

    run_id: str
    state: RunState
    error: str | None
    code: str | None
    step: str | None
    rows: Rows
    round: int
    retried: int
    shards: dict[str, int]
    errors: dict[str, int]
    spent: Spent | None
    jobs: list[JobView]
    slots: Slots | None
    waits_for: list[str]
    elapsed_s: int
    rows_per_minute: float | None
    eta_s: int | None
    results_uri: str | None
    result_prefix: str
    model_id: str | None
    source_uri: str | None
    accepted_at: str
    ended_at: str | None
    dry_run: bool
    estimate: dict[str, Any] | None
    cancelled_at: str | None = None
    cancelled_by: str | None = None
    paused_at: str | None = None
    paused_by: str | None = None
    held: Hold | None = None
    canary: CanaryView | None = None
    budget: Money | None = None
    erased_at: str | None = None
    erased_by: str | None = None
    of: str = ""
    version: int = 1
    versions: list[VersionView] = []
    job_messages: list[JobMessage] = []
    compact: Compact | None = None
    eta_low_s: int | None = None
    eta_high_s: int | None = None


def count_shards(
    totals: Totals, lane: Lane | None, held: Iterable[Shard], asked: Iterable[Shard] = ()
) -> dict[ShardState, int]:
    """Shards by state, from counters and the few rows that hold a slot, at the same cost for 20 shards or 20,000.

    Every shard that is enlisted is settled, waits in its lane, holds a slot, has ended and waits for the collector; or it
    is one of `asked`, which are asked on demand or wait for that.
    """
    counts = dict.fromkeys(ShardState, 0)
    counts[ShardState.SETTLED] = totals.shards_settled
    counts[ShardState.PENDING] = lane.waiting if lane else 0
    for shard in held:
        if shard.state.holds_a_slot:
            counts[shard.state] += 1
    for shard in asked:
        if shard.state in (ShardState.PENDING, ShardState.INVOKING):
            counts[shard.state] += 1
    counts[ShardState.ENDED] = max(0, totals.shards_enlisted - sum(counts.values()))
    return counts


def run_view(
    run: Run,
    totals: Totals,
    shards: Mapping[ShardState, int],
    jobs: Iterable[JobRow],
    pool: Pool | None,
    bucket: str,
    *,
    now: datetime,
    current: Collection[tuple[str, int]] = (),
    ended: Collection[tuple[str, int]] = (),
    lane: Lane | None = None,
    paused: int = 0,
    estimate: Estimate | None = None,
    versions: Sequence[VersionView] = (),
    judgement: str = "",
) -> RunView:
    """Put together what was read.

    Args:
        shards: counts by state.
        jobs: those to be shown.
        current: (shard, attempt) of the jobs whose shard is not settled: the progress of these is still to be counted.
        ended: of these, those in ENDED, at most a page of them.
        lane: the run's lane, where it has one.
        paused: shards that wait for another attempt.
        estimate: what was expected when the run was planned.
        judgement: of the run's canary, as JSON; empty where there is none yet.
        now: for the estimate of what is left.
        versions: of the dataset, if there are several.
    """
    jobs = sorted(jobs, key=lambda job: (job.shard, job.attempt))
    over = [job for job in jobs if (job.shard, job.attempt) in ended]
    running = [job for job in jobs if (job.shard, job.attempt) in current and (job.shard, job.attempt) not in ended]
    processed = min(totals.open, processed_rows(shards.get(ShardState.ENDED, 0), over, running))
    dry_run = run.pins is not None and run.pins.dry_run
    planned = estimate.rows_planned if dry_run and estimate else totals.accepted
    eta_s = _eta_s(totals, processed, settling_s(over, now) if shards.get(ShardState.ENDED) else 0.0, now)
    eta_s = _expected_s(totals, estimate, now) if eta_s is None else eta_s
    eta_low_s, eta_high_s = _eta_range(eta_s, estimate)
    return RunView(
        run_id=run.run_id,
        state=totals.state,
        error=totals.message or totals.fault or None,
        code=totals.code or totals.fault_code or None,
        step=totals.step or totals.fault_step or None,
        rows=Rows(
            accepted=totals.accepted,
            ok=totals.ok,
            error=totals.error,
            open=totals.open,
            again=totals.again,
            source=totals.rows_source,
            planned=planned,
            left_out=max(0, totals.rows_source - planned),
            enlisted=totals.enlisted,
            processed=processed,
        ),
        round=totals.round,
        retried=totals.retried,
        shards={
            state.value: shards.get(state, 0)
            for state in ShardState
            if state is not ShardState.INVOKING or shards.get(state)
        },
        errors=dict(sorted(totals.errors.items(), key=lambda each: (-each[1], each[0]))),
        spent=spent_by(totals, run.pins.model if run.pins else ""),
        jobs=[job_view(job) for job in jobs],
        elapsed_s=max(
            0, round((_moment(totals.ended_at, now) - datetime.fromisoformat(run.accepted_at)).total_seconds())
        ),
        rows_per_minute=_rows_per_minute(totals, processed, now),
        slots=_slots(pool, run.run_id, lane),
        waits_for=waits_for(totals, {state: shards.get(state, 0) for state in ShardState}, lane, pool, paused),
        eta_s=eta_s,
        eta_low_s=eta_low_s,
        eta_high_s=eta_high_s,
        results_uri=_results_uri(totals, bucket, dry_run=dry_run),
        result_prefix=run.pins.result_prefix if run.pins else "",
        model_id=run.pins.model_id if run.pins else None,
        source_uri=run.pins.source.uri if run.pins else None,
        accepted_at=run.accepted_at,
        ended_at=totals.ended_at or None,
        dry_run=dry_run,
        estimate=None if estimate is None else estimate.model_dump(mode="json"),
        cancelled_at=totals.cancelled_at or None,
        cancelled_by=totals.cancelled_by or None,
        paused_at=totals.paused_at or None,
        paused_by=totals.paused_by or None,
        held=hold_of(totals),
        canary=_canary(totals, judgement),
        budget=_budget(totals, run.pins.model if run.pins else "", lane),
        erased_at=totals.erased_at or totals.erasing_at or None,
        erased_by=totals.erased_by or None,
        of=run.counted_as,
        version=run.version,
        versions=list(versions),
        job_messages=_job_messages(jobs),
        compact=_compact(totals, bucket),
    )


def hold_of(totals: Totals) -> Hold | None:
    """Why a run is held; None if it is not."""
    if not totals.held:
        return None
    remedy = f"quarry approve {totals.run_id}"
    if totals.held_kind == HoldKind.BUDGET:
        remedy = f"quarry set {totals.run_id} budget_usd=DOLLARS"
    if totals.held_kind == HoldKind.MONTH:
        remedy = MONTH_REMEDY
    return Hold(kind=totals.held_kind, reason=totals.held_reason, at=totals.held_at, remedy=remedy)


def _canary(totals: Totals, judgement: str) -> CanaryView | None:
    if not totals.canary:
        return None
    return CanaryView(
        state=totals.canary,
        judgement=json.loads(judgement) if judgement else None,
        approved_at=totals.approved_at or None,
        approved_by=totals.approved_by or None,
    )


def _budget(totals: Totals, model_id: str, lane: Lane | None) -> Money | None:
    if totals.budget_micros is None:
        return None
    spent = spent_dollars(model_id, totals.spent) or 0.0
    booked = lane.booked_micros if lane else totals.unbooked_micros
    account = Account.of(totals.budget_micros, round(spent * MICRO), booked, totals.unbooked_micros)
    return Money(
        budget_usd=totals.budget_micros / MICRO,
        spent_usd=spent,
        committed_usd=account.committed / MICRO,
    )


def spent_by(totals: Totals, model_id: str) -> Spent | None:
    """LLM tokens and dollars of a run's settled shards; None until one is settled."""
    if totals.input_tokens is None or totals.output_tokens is None:
        return None
    return Spent(
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        dollars=spent_dollars(model_id, totals.spent),
        prices_as_of=table().as_of,
    )


def _job_messages(jobs: Iterable[JobRow]) -> list[JobMessage]:
    said: dict[tuple[str, str], list[str]] = {}
    for job in jobs:
        if job.message:
            said.setdefault((job.status, job.message), []).append(job.name)
    commonest = sorted(said.items(), key=lambda each: (-len(each[1]), each[0]))
    return [
        JobMessage(status=status, message=message, jobs=len(names), example=names[0])
        for (status, message), names in commonest[:JOB_MESSAGES_MAX]
    ]


def _moment(text: str, now: datetime) -> datetime:
    return datetime.fromisoformat(text) if text else now


def _rows_per_minute(totals: Totals, processed: int, now: datetime) -> float | None:
    """Rows done a minute since the plan stood, waiting for slots included."""
    done = totals.ok + totals.error + processed
    if not done or not totals.started_at:
        return None
    elapsed_s = (_moment(totals.ended_at, now) - datetime.fromisoformat(totals.started_at)).total_seconds()
    return round(done * 60 / elapsed_s, 1) if elapsed_s > 0 else None


def job_view(job: JobRow) -> JobView:
    """A job as it is shown."""
    return JobView(
        name=job.name,
        arn=job.arn,
        status=job.status,
        attempt=job.attempt,
        shard=job.shard,
        message=job.message,
        submitted_at=job.submitted_at,
        ended_at=job.ended_at,
        total_records=job.total_records,
        processed_records=job.processed_records,
        success_records=job.success_records,
        error_records=job.error_records,
    )


def _slots(pool: Pool | None, run_id: str, lane: Lane | None) -> Slots | None:
    if pool is None:
        return None
    held = sum(holder.startswith(f"{run_id}/") for holder in pool.holders)
    return Slots(
        pool=pool.pool,
        limit=pool.admit_limit,
        in_use=pool.in_use,
        held=held,
        admission_class=lane.admission_class if lane else None,
        weight=lane.weight if lane else None,
    )


def _results_uri(totals: Totals, bucket: str, *, dry_run: bool) -> str | None:
    """None where there are no results and never will be."""
    if totals.erasing_at:
        return None
    if dry_run or (totals.state in (RunState.FAILED, RunState.CANCELLED) and totals.shards_settled == 0):
        return None
    return s3_uri(bucket, results_prefix(totals.run_id))


def _compact(totals: Totals, bucket: str) -> Compact | None:
    if not totals.compact_at or totals.erasing_at:
        return None
    return Compact(
        uri=s3_uri(bucket, compact_prefix(totals.run_id)),
        parts=totals.compact_parts,
        at=totals.compact_at,
        by=totals.compact_by or None,
    )


def _eta_s(totals: Totals, processed: int, settling_s: float, now: datetime) -> int | None:
    """Seconds until the last row is settled, if the rest goes at the rate so far; None while too little is done to tell.

    The rate counts from the acceptance of the run, so time spent waiting for a slot is in it. Settling goes on beside
    Bedrock's work: whichever takes longer counts.
    """
    if totals.state is not RunState.RUNNING or not totals.accepted or not totals.started_at or totals.paused_at:
        return None
    if totals.held or totals.canary == CanaryState.WAITING:
        return None  # its canary says nothing of how fast many jobs go
    done = totals.ok + totals.error + processed
    elapsed_s = (now - datetime.fromisoformat(totals.started_at)).total_seconds()
    if elapsed_s <= 0 or done / totals.accepted < ETA_DONE_RATIO_MIN or (done >= totals.accepted and not settling_s):
        return None
    return max(1, round(max((totals.accepted - done) * elapsed_s / done, settling_s)))


def _expected_s(totals: Totals, estimate: Estimate | None, now: datetime) -> int | None:
    """Until a run has come far enough to tell by itself: what is left of the time for which it was planned."""
    if estimate is None or estimate.duration is None or totals.state is not RunState.RUNNING or not totals.started_at:
        return None
    if totals.paused_at or totals.cancelled_at or totals.held:
        return None
    if not totals.accepted or totals.ok + totals.error >= totals.accepted:
        return None
    elapsed_s = (now - datetime.fromisoformat(totals.started_at)).total_seconds()
    left_s = round(estimate.duration.behind_s - elapsed_s)
    return left_s if left_s > 0 else None


def _eta_range(eta_s: int | None, estimate: Estimate | None) -> tuple[int | None, int | None]:
    """Between which an expected end lies: what the plan was uncertain by, less what has evened out with the jobs that are left.

    What jobs are off their line adds up by the root of their number, so of a share of the run its root is left.
    """
    duration = estimate.duration if estimate is not None else None
    if eta_s is None or duration is None or duration.seconds <= 0:
        return None, None
    left = min(1.0, eta_s / duration.seconds)
    earlier, later = ((duration.seconds - duration.low_s) * left**0.5, (duration.high_s - duration.seconds) * left**0.5)
    return max(0, round(eta_s - max(0.0, earlier))), round(eta_s + max(0.0, later))
