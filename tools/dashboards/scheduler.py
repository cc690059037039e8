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
OLDEST_HELD = chosen("quarry_run_oldest_held_timestamp_seconds")
OLDEST_ON_DEMAND = chosen("quarry_oldest_on_demand_shard_timestamp_seconds")
ON_DEMAND_QUEUE = chosen("quarry_queue_messages", 'queue="on-demand"')
LAST_SWEEP = chosen("quarry_sweep_last_success_timestamp_seconds")
SCHEDULERS = chosen("up", 'job="quarry-scheduler"')
BY_SWEEP = chosen("quarry:jobs_ended_by_sweep:increase6h")
ENDED = chosen("quarry:jobs_ended:increase6h")


def _durations(title: str, description: str, phase: str) -> Panel:
    of, matchers = "quarry_job_duration_seconds", [POOL, f'phase="{phase}"']
    return Lines(
        title=title,
        description=f"{description} The quantiles come from buckets, so they are rough.",
        queries=[
            (mean(of, matchers=matchers), "mean"),
            (quantile(0.5, of, matchers=matchers), "median"),
            (quantile(0.95, of, matchers=matchers), "95th percentile"),
        ],
        unit="s",
        width=8,
    )


NOW = Row(
    "Now",
    [
        Figure(
            title="Responding schedulers",
            description="Of those that Prometheus knows. Each of them may admit; two are for availability.",
            queries=[(f"sum({SCHEDULERS})", "")],
            unit="short",
            width=4,
            alert="QuarryTargetDown",
        ),
        Figure(
            title="Since the last sweep",
            description="A sweep recovers lost events, wake-ups and replies. Its period is QUARRY_SWEEP_EVERY_S.",
            queries=[(f"time() - max({LAST_SWEEP} > 0)", "")],
            unit="s",
            width=5,
            steps=[(300, AMBER), (900, RED)],
            decimals=0,
            alert="QuarrySweepStale",
        ),
        Figure(
            title="Oldest run waiting for a slot",
            description="Time since it was accepted; 0 when no shard waits.",
            queries=[(or_nothing(f"time() - max({OLDEST_RUN} > 0)"), "")],
            unit="s",
            width=5,
            steps=[(12 * 3_600, AMBER), (24 * 3_600, RED)],
            decimals=0,
            alert="QuarryOldestShardTooOld",
        ),
        Figure(
            title="Longest idle slot",
            description="Held without an active job, over all chosen pools; 0 if there is none.",
            queries=[(or_nothing(f"time() - min({IDLE_SLOT} > 0)"), "")],
            unit="s",
            width=5,
            steps=[(600, AMBER), (1_800, RED)],
            decimals=0,
            alert="QuarrySlotStuck",
        ),
        Figure(
            title="Ends that the sweep had to find",
            description="Share of the jobs that ended in the last six hours. Near 100 %: Bedrock's events do not arrive.",
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
            title="Duration of a tick",
            description="One admission pass over one pool: it gives free slots to waiting shards and creates their jobs.",
            queries=[
                (quantile(0.5, "quarry_tick_seconds"), "median"),
                (quantile(0.95, "quarry_tick_seconds"), "95th percentile"),
            ],
            unit="s",
            width=8,
        ),
        Lines(
            title="Ticks, in ${window:text}",
            description="None while shards wait means that no scheduler is working.",
            queries=[(grown("quarry_tick_seconds_count"), "ticks")],
            unit="short",
            width=8,
            alert="QuarrySchedulerStalled",
        ),
        Lines(
            title="Create calls by outcome, in ${window:text}",
            description="created and adopted are jobs; throttled and quota wait for another tick; refused points to a role, "
            "model access or a bucket; unknown is looked up with List before anything else is done.",
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
            description="Against the limit of each pool, as counted at admission.",
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
            description="Active jobs in these pools that Quarry did not create. They use the same quota.",
            queries=[(f"{ledger(of_pool('quarry_slots_foreign'), 'pool')}", "{{pool}}")],
            unit="short",
            width=8,
            decimals=0,
        ),
        Lines(
            title="Longest idle slot, by pool",
            description="How long a slot has been held without an active job. Seconds while a job is being created or its "
            "end is being noticed; it must not last.",
            queries=[
                (
                    f"time() - min by (cluster, namespace, env, pool) ({IDLE_SLOT} > 0) or 0 * max by (cluster, namespace, env, pool) ({IDLE_SLOT})",
                    "{{pool}}",
                )
            ],
            unit="s",
            width=8,
            alert="QuarrySlotStuck",
        ),
        Lines(
            title="Records pending at Bedrock, by pool",
            description="Of all batch jobs of the account, ours and others', as CloudWatch tells some minutes late. Only with "
            "QUARRY_READ_BATCH_METRICS.",
            queries=[
                (
                    or_nothing(ledger(of_pool("quarry_bedrock_records_pending"), "pool", "whose"), "whose"),
                    "{{pool}} {{whose}}",
                )
            ],
            unit="short",
            width=12,
            stacked=True,
        ),
        Lines(
            title="Tokens per minute at Bedrock, by pool",
            description="LLM tokens that Bedrock processes for all batch jobs of the account, likewise.",
            queries=[
                (
                    or_nothing(ledger(of_pool("quarry_bedrock_tokens_per_minute"), "pool", "direction"), "direction"),
                    "{{pool}} {{direction}}",
                )
            ],
            unit="short",
            width=12,
        ),
    ],
)

JOBS = Row(
    "Jobs",
    [
        Lines(
            title="Jobs ended, in ${window:text}",
            description="By Bedrock's status. Anything but Completed is repeated or ends rows with an error.",
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
            "How long jobs wait at Bedrock, by Bedrock's own times.",
            "queue",
        ),
        _durations(
            "From submitted to ended",
            "The total time of jobs, by Bedrock's own times; expired jobs have none.",
            "total",
        ),
    ],
)

ON_DEMAND = Row(
    "On demand",
    [
        Lines(
            title="Requests on demand by outcome, in ${window:text}",
            description="ok is an answer. throttled and unknown are asked again; refused is Bedrock's no to a record, or to all of "
            "them. aborted was cut off by a scheduler that stopped.",
            queries=[
                (
                    or_nothing(grown("quarry_on_demand_requests_total", "outcome", matchers=[POOL]), "outcome"),
                    "{{outcome}}",
                )
            ],
            colours={
                "ok": GREEN,
                "none": GREEN,
                "throttled": AMBER,
                "quotaexceeded": YELLOW,
                "refused": RED,
                "unknown": PURPLE,
                "aborted": BLUE,
            },
            unit="short",
            width=8,
            stacked=True,
            alert="QuarryOnDemandThrottled",
        ),
        Lines(
            title="Oldest run asked on demand",
            description="Time since it was accepted; 0 if none is. 10,000 rows take an hour and more at the configured rates; "
            "without an answer for ten minutes, something is wrong.",
            queries=[
                (
                    f"time() - max by (cluster, namespace, env) ({OLDEST_ON_DEMAND} > 0) or 0 * max by (cluster, namespace, env) ({OLDEST_ON_DEMAND})",
                    "{{env}}",
                )
            ],
            unit="s",
            width=8,
            alert="QuarryOnDemandStalled",
        ),
        Lines(
            title="Messages on demand, by state",
            description="One message for a shard: in_flight while it is asked, visible while it waits for a scheduler, dead on the "
            "dead-letter queue.",
            queries=[(ledger(ON_DEMAND_QUEUE, "state"), "{{state}}")],
            colours={"visible": AMBER, "in_flight": GREEN, "delayed": BLUE, "dead": RED},
            unit="short",
            width=8,
            decimals=0,
            alert="QuarryDeadLetterQueueNotEmpty",
        ),
        Lines(
            title="Cost on demand by model, in ${window:text}",
            description="Dollars, as shards are settled; part of the cost on the overview. By batch it would be half, except in the "
            "tier flex.",
            queries=[
                (or_nothing(grown("quarry_on_demand_cost_dollars_total", "model"), "model"), "{{model}}"),
            ],
            unit="currencyUSD",
            width=16,
            stacked=True,
        ),
        Lines(
            title="Records asked twice at most, in ${window:text}",
            description="A scheduler was lost while it asked: what it had asked since its last checkpoint was asked again.",
            queries=[(or_nothing(f"sum({grown('quarry_on_demand_asked_twice_total')})"), "records")],
            unit="short",
            width=8,
            decimals=0,
        ),
    ],
)

HELD = Row(
    "Runs that are held, and canaries",
    [
        Lines(
            title="Open runs, by state",
            description="HELD waits for somebody: its canary exceeded a limit, or its budget pays for no further job.",
            queries=[(ledger(chosen("quarry_runs"), "state"), "{{state}}")],
            colours={"ACCEPTED": YELLOW, "PLANNING": PURPLE, "RUNNING": BLUE, "CLOSING": GREEN, "HELD": AMBER},
            unit="short",
            width=8,
            stacked=True,
            decimals=0,
        ),
        Lines(
            title="Run held longest, by what holds it",
            description="Time since it is held; 0 if none is. Half an hour is told: nobody notices a run that costs nothing.",
            queries=[
                (
                    (
                        f"time() - max by (cluster, namespace, env, kind) ({OLDEST_HELD} > 0)"
                        f" or 0 * max by (cluster, namespace, env, kind) ({OLDEST_HELD})"
                    ),
                    "{{kind}}",
                )
            ],
            unit="s",
            width=8,
            alert="QuarryRunHeld",
        ),
        Lines(
            title="Canaries judged, in ${window:text}",
            description="By what came of their run: it went on, it was held, or it failed because its manifest says so.",
            queries=[(or_nothing(grown("quarry_canaries_total", "outcome"), "outcome"), "{{outcome}}")],
            colours={"passed": GREEN, "none": GREEN, "held": AMBER, "failed": RED},
            unit="short",
            width=8,
            stacked=True,
            decimals=0,
            alert="QuarryRunHeld",
        ),
    ],
)

SWEEP = Row(
    "Events and the sweep",
    [
        Lines(
            title="Job states observed, in ${window:text}",
            description="By source. The sweep sees some before their event arrives; it must not see all.",
            queries=[(grown("quarry_job_status_observations_total", "source"), "{{source}}")],
            colours={"event": GREEN, "sweep": AMBER},
            unit="short",
            width=8,
            stacked=True,
            alert="QuarryJobEventsMissing",
        ),
        Lines(
            title="What the sweep fixed, in ${window:text}",
            description="ended: an end that no event had reported; adopted: a job whose Create had no reply; stopped: "
            "a job that is not wanted; left: a shard whose asker on demand was lost; slice, on_demand, settle, close: a lost wake-up.",
            queries=[(or_nothing(grown("quarry_sweep_corrections_total", "kind"), "kind"), "{{kind}}")],
            colours={"none": GREEN, "ended": AMBER, "adopted": BLUE, "stopped": PURPLE},
            unit="short",
            width=8,
            stacked=True,
        ),
        Lines(
            title="Longest without a sweep",
            description="Within ${window:text}, at most a little more than QUARRY_SWEEP_EVERY_S; a rising line is "
            "a sweep that does not complete.",
            queries=[(longest(f"time() - max by (cluster, namespace, env) ({LAST_SWEEP} > 0)"), "{{env}}")],
            unit="s",
            width=4,
            alert="QuarrySweepStale",
        ),
        Lines(
            title="Sweeps, in ${window:text}",
            description="Completed sweeps, as far as scrapes see them: at most one counts between two scrapes.",
            queries=[(f"sum(changes({LAST_SWEEP}[${{window}}s]))", "sweeps")],
            unit="short",
            width=4,
            alert="QuarrySweepStale",
        ),
        Lines(
            title="Oldest run waiting for a slot",
            description="Time since it was accepted. It grows while more work arrives than the slots can take.",
            queries=[
                (
                    f"time() - max by (cluster, namespace, env) ({OLDEST_RUN} > 0) or 0 * max by (cluster, namespace, env) ({OLDEST_RUN})",
                    "{{env}}",
                )
            ],
            unit="s",
            width=6,
            alert="QuarryOldestShardTooOld",
        ),
        Lines(
            title="New runs and shards, in ${window:text}",
            description="What the preprocessor accepted and enlisted.",
            queries=[
                (grown("quarry_runs_accepted_total"), "runs accepted"),
                (grown("quarry_shards_enlisted_total"), "shards enlisted"),
            ],
            unit="short",
            width=6,
        ),
        Lines(
            title="New rows, in ${window:text}",
            description="Rows of accepted runs. They are counted when a run's plan is complete.",
            queries=[(grown("quarry_rows_accepted_total"), "rows accepted")],
            unit="short",
            width=6,
        ),
        Lines(
            title="What does not fit together",
            description="Differences between slots, rows and Bedrock's jobs that two sweeps in a row have seen. There must be none; "
            "audit_breach in the log names each.",
            queries=[(f"max by (kind) ({chosen('quarry_audit_breaches')})", "{{kind}}")],
            unit="short",
            width=6,
            decimals=0,
            steps=[(1, RED)],
            alert="QuarryAuditBreach",
        ),
    ],
)


def build() -> Dashboard:
    description = "Runs that are held, admission, jobs and their slots, what is asked on demand, and what keeps the ledger up to date: events and the sweep."
    return board("scheduler", "scheduler", description, [NOW, HELD, ADMISSION, JOBS, ON_DEMAND, SWEEP])
