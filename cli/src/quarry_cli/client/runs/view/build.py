"""Puts a view together: each of its figures by the module of its subject."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from quarry_cli.client.runs.view import counts, holds, money, places, times
from quarry_cli.client.runs.view.jobs import job_messages, job_view, parted
from quarry_cli.client.runs.view.shown import RunView, VersionView
from quarry_cli.client.runs.view.waiting import processed_rows, settling_s, waits_for
from quarry_core.contract.run import Run
from quarry_core.contract.states import ShardState
from quarry_core.ledger.rows import JobRow, Lane, Pool, Totals
from quarry_core.planning.estimate import Estimate


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
    shards = {state: shards.get(state, 0) for state in ShardState}
    jobs = sorted(jobs, key=lambda job: (job.shard, job.attempt))
    over, running = parted(jobs, current, ended)
    processed = min(totals.open, processed_rows(shards[ShardState.ENDED], over, running))
    pins = run.pins
    model = pins.model if pins else ""
    dry_run = pins is not None and pins.dry_run
    settling = settling_s(over, now) if shards[ShardState.ENDED] else 0.0
    eta_s = times.eta_s(totals, estimate, processed, settling, now)
    eta_low_s, eta_high_s = times.eta_range_s(eta_s, estimate)
    return RunView(
        run_id=run.run_id,
        state=totals.state,
        error=totals.message or totals.fault or None,
        code=totals.code or totals.fault_code or None,
        step=totals.step or totals.fault_step or None,
        rows=counts.rows(totals, processed, estimate if dry_run else None),
        round=totals.round,
        retried=totals.retried,
        shards=counts.by_state(shards),
        errors=counts.errors(totals),
        spent=money.spent_by(totals, model),
        jobs=[job_view(job) for job in jobs],
        slots=counts.slots(pool, run.run_id, lane),
        waits_for=waits_for(totals, shards, lane, pool, paused),
        elapsed_s=times.elapsed_s(run, totals, now),
        rows_per_minute=times.rows_per_minute(totals, processed, now),
        eta_s=eta_s,
        eta_low_s=eta_low_s,
        eta_high_s=eta_high_s,
        results_uri=places.results_uri(totals, bucket, dry_run=dry_run),
        result_prefix=pins.result_prefix if pins else "",
        model_id=pins.model_id if pins else None,
        source_uri=pins.source.uri if pins else None,
        accepted_at=run.accepted_at,
        ended_at=totals.ended_at or None,
        dry_run=dry_run,
        estimate=None if estimate is None else estimate.model_dump(mode="json"),
        cancelled_at=totals.cancelled_at or None,
        cancelled_by=totals.cancelled_by or None,
        paused_at=totals.paused_at or None,
        paused_by=totals.paused_by or None,
        held=holds.hold(totals),
        canary=holds.canary(totals, judgement),
        budget=money.budget(totals, model, lane),
        erased_at=totals.erased_at or totals.erasing_at or None,
        erased_by=totals.erased_by or None,
        of=run.counted_as,
        version=run.version,
        versions=list(versions),
        job_messages=job_messages(jobs),
        compact=places.compact(totals, bucket),
    )
