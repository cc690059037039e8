"""The scheduler: admission, jobs and their slots, and what keeps the ledger true: events and the sweep."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from tools.dashboards.panels import (
    AMBER,
    BLUE,
    GREEN,
    PURPLE,
    RED,
    YELLOW,
    Figure,
    Lines,
    Panel,
    Row,
    board,
    chosen,
    grown,
    ledger,
    longest,
    mean,
    of_pool,
    or_nothing,
    quantile,
)

POOL = 'pool=~"$pool"'
IDLE_SLOT = of_pool("quarry_slot_oldest_admitted_timestamp_seconds")
OLDEST_RUN = chosen("quarry_oldest_pending_shard_timestamp_seconds")
LAST_SWEEP = chosen("quarry_sweep_last_success_timestamp_seconds")
SCHEDULERS = chosen("up", 'job="quarry-scheduler"')
BY_SWEEP = chosen("quarry:jobs_ended_by_sweep:increase6h")
ENDED = chosen("quarry:jobs_ended:increase6h")


def _durations(title: str, says: str, phase: str) -> Panel:
    of, matchers = "quarry_job_duration_seconds", [POOL, f'phase="{phase}"']
    return Lines(
        title=title,
        says=f"{says} The shares are read from buckets, so they are rough.",
        queries=[
            (mean(of, matchers=matchers), "mean"),
            (quantile(0.5, of, matchers=matchers), "half are faster than"),
            (quantile(0.95, of, matchers=matchers), "95 % are faster than"),
        ],
        unit="s",
        width=8,
    )


NOW = Row(
    "Now",
    [
        Figure(
            title="Schedulers that answer",
            says="Of those that Prometheus knows. Every one of them may admit; two are for availability.",
            queries=[(f"sum({SCHEDULERS})", "")],
            unit="short",
            width=4,
            alert="QuarryTargetDown",
        ),
        Figure(
            title="Since the last sweep",
            says="A sweep makes up for lost events, wake-ups and replies. Its period is QUARRY_SWEEP_EVERY_S.",
            queries=[(f"time() - max({LAST_SWEEP} > 0)", "")],
            unit="s",
            width=5,
            steps=[(300, AMBER), (900, RED)],
            decimals=0,
            alert="QuarrySweepStale",
        ),
        Figure(
            title="Oldest run that waits for a slot",
            says="Time since it was accepted; 0 when no shard waits.",
            queries=[(or_nothing(f"time() - max({OLDEST_RUN} > 0)"), "")],
            unit="s",
            width=5,
            steps=[(12 * 3_600, AMBER), (24 * 3_600, RED)],
            decimals=0,
            alert="QuarryOldestShardTooOld",
        ),
        Figure(
            title="Longest idle slot",
            says="Held without an active job, of all chosen pools; 0 when there is none.",
            queries=[(or_nothing(f"time() - min({IDLE_SLOT} > 0)"), "")],
            unit="s",
            width=5,
            steps=[(600, AMBER), (1_800, RED)],
            decimals=0,
            alert="QuarrySlotStuck",
        ),
        Figure(
            title="Ends that the sweep had to find",
            says="Share of the jobs that ended in the last six hours. Near 100 %: Bedrock's events do not arrive.",
            queries=[(or_nothing(f"sum({BY_SWEEP}) / (sum({ENDED}) > 0)"), "")],
            unit="percentunit",
            width=5,
            steps=[(0.5, AMBER), (0.75, RED)],
            decimals=0,
            alert="QuarryJobEventsMissing",
        ),
    ],
)

ADMISSION = Row(
    "Admission",
    [
        Lines(
            title="Time of a tick",
            says="One pass of admission over one pool: it gives free slots to waiting shards and creates their jobs.",
            queries=[
                (quantile(0.5, "quarry_tick_seconds"), "half are faster than"),
                (quantile(0.95, "quarry_tick_seconds"), "95 % are faster than"),
            ],
            unit="s",
            width=8,
        ),
        Lines(
            title="Ticks, in ${window:text}",
            says="None while shards wait means that no scheduler works.",
            queries=[(grown("quarry_tick_seconds_count"), "ticks")],
            unit="short",
            width=8,
            alert="QuarrySchedulerStalled",
        ),
        Lines(
            title="Create calls by outcome, in ${window:text}",
            says="created and adopted are jobs; throttled and quota wait for another tick; refused tells of a role, a "
            "model's access or a bucket; unknown is looked up in List before anything else is done.",
            queries=[(grown("quarry_jobs_submitted_total", "outcome", matchers=[POOL]), "{{outcome}}")],
            colours={
                "created": GREEN,
                "adopted": BLUE,
                "throttled": AMBER,
                "quota": YELLOW,
                "refused": RED,
                "unknown": PURPLE,
            },
            unit="short",
            width=8,
            stacked=True,
            alert="QuarrySubmissionThrottled",
        ),
        Lines(
            title="Slots held, by pool",
            says="Against the limit of each pool, as admission counts.",
            queries=[
                (ledger(of_pool("quarry_slots_in_use"), "pool"), "{{pool}}"),
                (f"max({of_pool('quarry_slots_limit')})", "highest limit"),
            ],
            unit="short",
            width=8,
            decimals=0,
            dashed="highest limit",
        ),
        Lines(
            title="Jobs of others, by pool",
            says="Active jobs in our pools that Quarry did not create. They take from the same quota.",
            queries=[(f"{ledger(of_pool('quarry_slots_foreign'), 'pool')}", "{{pool}}")],
            unit="short",
            width=8,
            decimals=0,
        ),
        Lines(
            title="Longest idle slot, by pool",
            says="How long a slot has been held without an active job. Seconds while a job is being created or its end is "
            "being learned; it must not stay.",
            queries=[
                (
                    f"time() - min by (env, pool) ({IDLE_SLOT} > 0) or 0 * max by (env, pool) ({IDLE_SLOT})",
                    "{{pool}}",
                )
            ],
            unit="s",
            width=8,
            alert="QuarrySlotStuck",
        ),
    ],
)

JOBS = Row(
    "Jobs",
    [
        Lines(
            title="Jobs ended, in ${window:text}",
            says="By Bedrock's status. Anything but Completed is repeated or ends rows with an error.",
            queries=[(grown("quarry_jobs_ended_total", "status", matchers=[POOL]), "{{status}}")],
            colours={
                "Completed": GREEN,
                "PartiallyCompleted": YELLOW,
                "Expired": PURPLE,
                "Failed": RED,
                "Stopped": BLUE,
            },
            unit="short",
            width=8,
            stacked=True,
        ),
        _durations(
            "From submitted to in progress",
            "How long jobs wait for their turn at Bedrock, by Bedrock's own times.",
            "queue",
        ),
        _durations(
            "From submitted to ended",
            "The whole time of jobs, by Bedrock's own times; none of an expired job.",
            "total",
        ),
    ],
)

SWEEP = Row(
    "Events and the sweep",
    [
        Lines(
            title="Job states learned, in ${window:text}",
            says="By who told. The sweep learns some before their event has come; it must not learn all.",
            queries=[(grown("quarry_job_status_observations_total", "source"), "{{source}}")],
            colours={"event": GREEN, "sweep": AMBER},
            unit="short",
            width=8,
            stacked=True,
            alert="QuarryJobEventsMissing",
        ),
        Lines(
            title="What the sweep fixed, in ${window:text}",
            says="ended: an end that no event had told; adopted: a job whose Create had no reply; stopped: a job that "
            "nobody wants; slice, settle, close: a wake-up that was lost.",
            queries=[(or_nothing(grown("quarry_sweep_corrections_total", "kind"), "kind"), "{{kind}}")],
            colours={"none": GREEN, "ended": AMBER, "adopted": BLUE, "stopped": PURPLE},
            unit="short",
            width=8,
            stacked=True,
        ),
        Lines(
            title="Longest without a sweep",
            says="Within ${window:text}, at most a little more than QUARRY_SWEEP_EVERY_S; a line that climbs is a sweep that "
            "does not come to its end.",
            queries=[(longest(f"time() - max by (env) ({LAST_SWEEP} > 0)"), "{{env}}")],
            unit="s",
            width=4,
            alert="QuarrySweepStale",
        ),
        Lines(
            title="Sweeps, in ${window:text}",
            says="Sweeps that came to their end, as far as scrapes see them: one between two scrapes counts, not more.",
            queries=[(f"sum(changes({LAST_SWEEP}[${{window}}s]))", "sweeps")],
            unit="short",
            width=4,
            alert="QuarrySweepStale",
        ),
        Lines(
            title="Oldest run that waits for a slot",
            says="Time since it was accepted. It grows while more work comes in than the slots can take.",
            queries=[(f"time() - max by (env) ({OLDEST_RUN} > 0) or 0 * max by (env) ({OLDEST_RUN})", "{{env}}")],
            unit="s",
            width=8,
            alert="QuarryOldestShardTooOld",
        ),
        Lines(
            title="Runs and shards that came in, in ${window:text}",
            says="What the preprocessor accepted and enlisted.",
            queries=[
                (grown("quarry_runs_accepted_total"), "runs accepted"),
                (grown("quarry_shards_enlisted_total"), "shards enlisted"),
            ],
            unit="short",
            width=8,
        ),
        Lines(
            title="Rows that came in, in ${window:text}",
            says="Rows of accepted runs. They are counted when a run's plan stands.",
            queries=[(grown("quarry_rows_accepted_total"), "rows accepted")],
            unit="short",
            width=8,
        ),
    ],
)


def build() -> Dashboard:
    says = "Admission, jobs and their slots, and what keeps the ledger true: events and the sweep."
    return board("scheduler", "scheduler", says, [NOW, ADMISSION, JOBS, SWEEP])
