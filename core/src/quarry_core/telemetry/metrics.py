"""Every metric of the three services, with a sentence each: typed here and nowhere else.

Prefix `quarry_`, base units, timestamps instead of ages, bounded labels only: never an ARN, a record, a key or a
message id. `pool` is region and canonical base model. docs/metrics.md is generated from this file.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import cache

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

OTHER_MODEL = "other"
UNPRICED_MODELS_MAX = 20
_UNPRICED: set[str] = set()

BUILD_INFO = Gauge(
    "quarry_build_info",
    "The running version of preprocessor, scheduler or collector; always 1.",
    ["service", "version"],
)

MESSAGES_RECEIVED = Counter("quarry_messages_received_total", "Messages taken from a queue.", ["queue"])
MESSAGES_PROCESSED = Counter(
    "quarry_messages_processed_total", "Messages by verdict: done, retry, poison.", ["queue", "outcome"]
)
MESSAGES_IN_PROGRESS = Gauge("quarry_messages_in_progress", "Messages being handled now.", ["queue"])
MESSAGE_PROCESSING = Histogram(
    "quarry_message_processing_seconds",
    "Time from receive to verdict.",
    ["queue"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800),
)
MESSAGE_DELAY = Histogram(
    "quarry_message_delay_seconds",
    "Time from send to receive.",
    ["queue"],
    buckets=(0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 3600),
)
QUEUE_LAST_POLL = Gauge("quarry_queue_last_poll_timestamp_seconds", "When a queue was last polled.", ["queue"])

QUEUE_MESSAGES = Gauge(
    "quarry_queue_messages",
    "Messages of a queue: visible, in_flight, delayed as SQS counts them (about), dead on its dead-letter queue.",
    ["queue", "state"],
)

RUNS = Gauge(
    "quarry_runs",
    "Open runs by state, as the last sweep read them: ACCEPTED, PLANNING, RUNNING, CLOSING; HELD of those that are RUNNING"
    " and wait for somebody.",
    ["state"],
)
RUN_OLDEST_HELD = Gauge(
    "quarry_run_oldest_held_timestamp_seconds",
    "Since when the run held longest has been held, by what holds it (canary, budget, month), and somebody may let go on; 0: none is.",
    ["kind"],
)
SHARDS = Gauge(
    "quarry_shards",
    "Shards of open runs by state, as the last sweep read them: PENDING, ADMITTED, SUBMITTED, INVOKING, ENDED, SETTLED.",
    ["state"],
)
OLDEST_PENDING_SHARD = Gauge(
    "quarry_oldest_pending_shard_timestamp_seconds",
    "When the oldest open run that has a shard waiting for a slot was accepted; 0: nothing waits.",
)
OLDEST_ON_DEMAND_SHARD = Gauge(
    "quarry_oldest_on_demand_shard_timestamp_seconds",
    "When the oldest open run that has a shard to be asked on demand was accepted; 0: none has.",
)
SLOT_OLDEST_ADMITTED = Gauge(
    "quarry_slot_oldest_admitted_timestamp_seconds",
    "Since when the slot held longest without an active job has been held, as this process's sweeps saw it; 0:"
    " none is.",
    ["pool"],
)
ROWS_OPEN = Gauge("quarry_rows_open", "Rows of open runs without an outcome yet.", ["pool"])
ROWS_PROCESSED = Gauge(
    "quarry_rows_processed",
    "Open rows that Bedrock reports as processed; its counts may lag by a minute.",
    ["pool"],
)
ETA = Gauge(
    "quarry_eta_timestamp_seconds",
    "When the last open row is expected to be settled, at the last hour's rate; absent until rows were processed"
    " between two sweeps.",
    ["pool"],
)
ROWS_UNACCOUNTED = Gauge(
    "quarry_rows_unaccounted",
    "Rows by which the counts of open runs, or of one being closed, do not add up; must be 0.",
)

STEP_FAILURES = Counter(
    "quarry_step_failures_total",
    "Failures of a step itself, which count towards ending its run: arrive, count, slice, admit, create, track,"
    " invoke, settle, part, close.",
    ["step"],
)
RUNS_ENDED_BY_FAILURE = Counter(
    "quarry_runs_ended_by_failure_total",
    "Runs that failed because of Quarry itself: internal_error, worker_killed, part_unwritable.",
    ["code"],
)
EXHAUSTED = Counter(
    "quarry_exhausted_total",
    "Messages returned because the process had run out of something: disk, files, memory, threads, workers.",
    ["queue", "what"],
)
CONSUMER_STOPPED = Gauge(
    "quarry_consumer_stopped",
    "1 while a consumer takes no messages, or only tries again, because all that it took failed alike; else 0.",
    ["queue"],
)

NOTICES = Counter(
    "quarry_notices_total",
    "Tries to tell of an ended run, by way (event, webhook) and outcome: ok, retry, dead.",
    ["channel", "outcome"],
)
CANARIES = Counter(
    "quarry_canaries_total",
    "Canaries judged, by what came of their run: passed, held, failed.",
    ["outcome"],
)
RUNS_ACCEPTED = Counter("quarry_runs_accepted_total", "Manifests that became runs, including refused ones.")
ROWS_ACCEPTED = Counter("quarry_rows_accepted_total", "Rows of accepted runs.")
ROWS_FINISHED = Counter(
    "quarry_rows_finished_total",
    "Rows by outcome: ok, or the error code in lower case: model_error, empty_answer, corrupt_answer,"
    " invalid_output, missing,"
    " not_processed, expired, job_failed, refused, throttled, no_answer, null_input, bad_value, too_large,"
    " bad_image, image_missing, image_denied, image_too_large, below_minimum, skipped, cancelled, internal_error.",
    ["outcome"],
)
SHARDS_ENLISTED = Counter("quarry_shards_enlisted_total", "Shards written and enlisted.")
TOKENS = Counter(
    "quarry_tokens_total",
    "LLM tokens of settled shards, as Bedrock counted them: input, output. Beyond 20 models without a price: other.",
    ["model", "direction"],
)
COST = Counter(
    "quarry_cost_dollars_total",
    "Estimated cost of those tokens, by prices.json: at batch prices, or at those of what was asked on demand.",
    ["model"],
)
ON_DEMAND_COST = Counter(
    "quarry_on_demand_cost_dollars_total",
    "What of quarry_cost_dollars_total was asked on demand.",
    ["model"],
)
PRICE_UNKNOWN = Counter(
    "quarry_price_unknown_total",
    "Answers whose model has no price in that table; their cost is not included.",
    ["model"],
)
TICK = Histogram(
    "quarry_tick_seconds", "Time of one admission pass over one pool.", buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30)
)
SLOTS_LIMIT = Gauge("quarry_slots_limit", "Most jobs that may be active in a pool.", ["pool"])
SLOTS_IN_USE = Gauge("quarry_slots_in_use", "Slots in use.", ["pool"])
SLOTS_FOREIGN = Gauge("quarry_slots_foreign", "Active jobs in a pool that are not ours.", ["pool"])
BATCH_RECORDS_PENDING = Gauge(
    "quarry_bedrock_records_pending",
    "Records of all batch jobs of the account that wait at Bedrock, as CloudWatch tells; absent unless QUARRY_READ_BATCH_METRICS."
    " whose: ours, others.",
    ["pool", "whose"],
)
BATCH_TOKENS_PER_MINUTE = Gauge(
    "quarry_bedrock_tokens_per_minute",
    "LLM tokens that Bedrock processes for all batch jobs of the account, likewise. direction: input, output.",
    ["pool", "direction"],
)
JOBS_SUBMITTED = Counter(
    "quarry_jobs_submitted_total",
    "Create calls by outcome: created, adopted, throttled, quota, refused, unknown.",
    ["pool", "outcome"],
)
JOBS_ENDED = Counter(
    "quarry_jobs_ended_total",
    "Ended jobs, by Bedrock's status: Completed, PartiallyCompleted, Failed, Stopped, Expired.",
    ["pool", "status"],
)
JOB_DURATION = Histogram(
    "quarry_job_duration_seconds",
    "Time of jobs: queue, from submitted until first seen in progress; total, until ended (none of an expired job).",
    ["pool", "phase"],
    buckets=(1, 10, 60, 300, 900, 1800, 3600, 7200, 14_400, 28_800, 43_200, 86_400, 172_800, 259_200, 604_800),
)
JOB_STATUS_OBSERVATIONS = Counter(
    "quarry_job_status_observations_total", "Job states observed, by source: event, sweep.", ["source"]
)
ON_DEMAND_REQUESTS = Counter(
    "quarry_on_demand_requests_total",
    "Requests on demand by outcome: ok, aborted, or the error: throttled, quotaexceeded, refused, missing, unknown.",
    ["pool", "outcome"],
)
ON_DEMAND_ASKED_TWICE = Counter(
    "quarry_on_demand_asked_twice_total",
    "Records that may have been asked twice, since the scheduler that asked them first was lost; at most so many.",
)
RECORDS_RETRIED = Counter(
    "quarry_records_retried_total", "Records that were asked again in a later round, since they had an error."
)
SWEEP_CORRECTIONS = Counter(
    "quarry_sweep_corrections_total",
    "What the sweep fixed: ended, adopted, stopped; left: what another asked on demand; or sent"
    " again: count, slice, on_demand, settle, close.",
    ["kind"],
)
SWEEP_LAST_SUCCESS = Gauge("quarry_sweep_last_success_timestamp_seconds", "When a sweep last completed.")
AUDIT_BREACHES = Gauge(
    "quarry_audit_breaches",
    "Differences between slots, rows and Bedrock's jobs that two sweeps in a row have seen: slots_miscounted,"
    " slot_without_row, job_without_slot; must be 0.",
    ["kind"],
)
MONTH_SPENT = Gauge(
    "quarry_month_spent_dollars",
    "What the settled shards cost that were booked in this calendar month (UTC), in US dollars, by the ledger.",
)
MONTH_PROJECTED = Gauge(
    "quarry_month_projected_dollars",
    "The same with what the shards that run are likely to cost: what is held against QUARRY_BUDGET_USD.",
)
MONTH_BUDGET = Gauge(
    "quarry_month_budget_dollars",
    "What a calendar month may cost, where QUARRY_BUDGET_USD is set; absent otherwise.",
    registry=None,  # as the next one
)
BUDGET = Gauge(
    "quarry_budget_dollars",
    "What 30 days may cost, where QUARRY_BUDGET_DOLLARS is set; absent otherwise.",
    registry=None,  # a gauge without labels shows 0 from the start: this one joins when it is set
)
AWS_REQUESTS = Counter(
    "quarry_aws_requests_total",
    "AWS calls by outcome: ok, aborted, or the error: throttled, quotaexceeded, refused, missing, changed, stale,"
    " conflict, unknown. Services: dynamodb, sqs, bedrock, bedrock-runtime, events, s3, and hub (the Hugging Face Hub).",
    ["service", "operation", "outcome"],
)
AWS_REQUEST_SECONDS = Histogram(
    "quarry_aws_request_duration_seconds",
    "Time of AWS calls, retries included; for s3, until the response headers. Services: dynamodb, sqs, bedrock,"
    " bedrock-runtime, events, s3.",
    ["service", "operation"],
)


def observe_aws(service: str, operation: str, outcome: str, seconds: float) -> None:
    """The hook that the AWS adapters call after each request."""
    AWS_REQUESTS.labels(service, operation, outcome).inc()
    AWS_REQUEST_SECONDS.labels(service, operation).observe(seconds)


@cache
def show_budget() -> None:
    """From now on a scrape has the budget."""
    REGISTRY.register(BUDGET)


@cache
def show_month_budget() -> None:
    """From now on a scrape has the month's budget."""
    REGISTRY.register(MONTH_BUDGET)


def set_all(gauge: Gauge, values: Mapping[str, float]) -> None:
    """Set a gauge of one label to these values and no others: what is gone does not stay at its last value."""
    keep_only(gauge, values)
    for label, value in values.items():
        gauge.labels(label).set(value)


def replace_all(gauge: Gauge, values: Mapping[tuple[str, str], float]) -> None:
    """The same for a gauge of two labels."""
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)


def keep_pools(pools: Container[str]) -> None:
    """Take what was counted of all other pools out: a model that was made up, or is not used any more, leaves nothing."""
    for metric in (JOBS_SUBMITTED, JOBS_ENDED, JOB_DURATION, ON_DEMAND_REQUESTS):
        gone = {
            tuple(value for label, value in sample.labels.items() if label != "le")
            for family in metric.collect()
            for sample in family.samples
            if sample.labels["pool"] not in pools
        }
        for labels in gone:
            metric.remove(*labels)


def model_label(model: str, *, priced: bool) -> str:
    """A model's name as a label: anybody may name a model, so of those without a price only the first few have theirs.

    Ask only for models that have answered: one that Bedrock does not know never does.
    """
    if priced or model in _UNPRICED:
        return model
    if len(_UNPRICED) < UNPRICED_MODELS_MAX:
        _UNPRICED.add(model)
        return model
    return OTHER_MODEL


def keep_only(gauge: Gauge, labels: Container[str]) -> None:
    """Take what is not of these labels out of a gauge of one label."""
    for metric in gauge.collect():
        for sample in metric.samples:
            [label] = sample.labels.values()
            if label not in labels:
                gauge.remove(label)
