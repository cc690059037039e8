"""The three services: their queues, their calls to AWS, their processes."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from tools.dashboards.panels import (
    AMBER,
    BLUE,
    JOBS,
    RED,
    Bars,
    Figure,
    Lines,
    Panel,
    Row,
    board,
    chosen,
    grown,
    ledger,
    longest,
    or_nothing,
    quantile,
)

POLLED = chosen("quarry_queue_last_poll_timestamp_seconds")
UP = chosen("up", JOBS)
AWS_TIME = "quarry_aws_request_duration_seconds"
NO_POLL = 'operation!="receive_message"'


def _messages(state: str, title: str, description: str, *, dead: bool = False) -> Panel:
    return Lines(
        title=title,
        description=description,
        queries=[(ledger(chosen("quarry_queue_messages", f'state="{state}"'), "queue"), "{{queue}}")],
        unit="short",
        width=6,
        decimals=0,
        steps=[(1, RED)] if dead else (),
        alert="QuarryDeadLetterQueueNotEmpty" if dead else None,
    )


def _quantiles(title: str, description: str, histogram: str, label: str) -> Panel:
    shares = ((0.5, "half"), (0.95, "95 %"))
    return Lines(
        title=title,
        description=description,
        queries=[(quantile(share, histogram, label), f"{{{{{label}}}}}, {name}") for share, name in shares],
        unit="s",
        width=12,
    )


QUEUES = Row(
    "Queues",
    [
        _messages("visible", "Waiting messages", "Visible messages of a queue, approximate, as SQS counts them."),
        _messages("in_flight", "Messages in flight", "Received and not yet deleted, approximate, as SQS counts them."),
        _messages("delayed", "Messages delayed", "Sent with a delay that has not passed, approximate."),
        _messages(
            "dead",
            "Dead-letter messages",
            ("Messages of a queue's dead-letter queue. Normally there are none."),
            dead=True,
        ),
        _quantiles(
            "From send to receive",
            "How long messages wait: median and 95th percentile. A retried message counts from its first send.",
            "quarry_message_delay_seconds",
            "queue",
        ),
        _quantiles(
            "From receive to verdict",
            "How long a message is processed: median and 95th percentile.",
            "quarry_message_processing_seconds",
            "queue",
        ),
        Lines(
            title="Verdicts, in ${window:text}",
            description=(
                "done is deleted; retry is delivered again later; poison goes to the dead-letter queue with its reason."
            ),
            queries=[(grown("quarry_messages_processed_total", "queue", "outcome"), "{{queue}}, {{outcome}}")],
            unit="short",
            width=9,
            stacked=True,
            alert="QuarryDeadLetterQueueNotEmpty",
        ),
        Lines(
            title="Messages received, in ${window:text}",
            description=(
                "Received from a queue, redeliveries included. Far more than verdicts: processes die while they"
                " hold messages."
            ),
            queries=[(grown("quarry_messages_received_total", "queue"), "{{queue}}")],
            unit="short",
            width=5,
            stacked=True,
        ),
        Lines(
            title="Messages being handled",
            description="By all replicas together.",
            queries=[(f"sum by (queue) ({chosen('quarry_messages_in_progress')})", "{{queue}}")],
            unit="short",
            width=5,
            decimals=0,
        ),
        Lines(
            title="Longest without a poll",
            description="Within ${window:text}, for the replica that polled last. A busy consumer does not poll; one "
            "that does not poll for minutes is stuck or cannot reach SQS.",
            queries=[(longest(f"time() - max by (cluster, namespace, env, queue) ({POLLED})"), "{{queue}}")],
            unit="s",
            width=5,
        ),
    ],
)

AWS = Row(
    "Calls to AWS",
    [
        Lines(
            title="Calls per second, by service",
            description="All calls of the three services, however they end.",
            queries=[(f"sum by (service) (rate({chosen('quarry_aws_requests_total')}[${{window}}s]))", "{{service}}")],
            unit="reqps",
            width=8,
            stacked=True,
        ),
        Lines(
            title="Calls that were not ok, in ${window:text}",
            description="By outcome. missing, changed, stale and conflict are expected answers; throttled, "
            "quotaexceeded and unknown are retried; for refused, check roles, access and settings.",
            queries=[
                (
                    or_nothing(
                        grown("quarry_aws_requests_total", "operation", "outcome", matchers=['outcome!="ok"']),
                        "outcome",
                    ),
                    "{{operation}} {{outcome}}",
                )
            ],
            unit="short",
            width=8,
            stacked=True,
            alert="QuarrySubmissionThrottled",
        ),
        Lines(
            title="Duration of calls, 95th percentile, by service",
            description="Retries included, long polls excluded; for S3, until the response headers.",
            queries=[(quantile(0.95, AWS_TIME, "service", matchers=[NO_POLL]), "{{service}}")],
            unit="s",
            width=8,
        ),
        Bars(
            title="Most frequent calls, in ${window:text}",
            description="The ten most frequent operations.",
            queries=[
                (f"topk(10, {grown('quarry_aws_requests_total', 'service', 'operation')})", "{{service}} {{operation}}")
            ],
            unit="short",
            width=12,
            decimals=0,
        ),
        Bars(
            title="Slowest calls, 95th percentile, in ${window:text}",
            description="The ten slowest operations, long polls excluded.",
            queries=[
                (
                    f"topk(10, {quantile(0.95, AWS_TIME, 'service', 'operation', matchers=[NO_POLL])})",
                    "{{service}} {{operation}}",
                )
            ],
            unit="s",
            width=12,
        ),
    ],
)

FAILURES = Row(
    "Failures of Quarry itself",
    [
        Lines(
            title="Failed steps, in ${window:text}",
            description="Steps that failed in Quarry itself, not in AWS. Repeated identical failures end the run.",
            queries=[(or_nothing(grown("quarry_step_failures_total", "step"), "step"), "{{step}}")],
            unit="short",
            width=6,
            stacked=True,
            decimals=0,
        ),
        Lines(
            title="Runs ended by failure, in ${window:text}",
            description="Runs that FAILED because of Quarry itself, by code: internal_error, worker_killed, part_unwritable.",
            queries=[(or_nothing(grown("quarry_runs_ended_by_failure_total", "code"), "code"), "{{code}}")],
            unit="short",
            width=6,
            stacked=True,
            decimals=0,
        ),
        Lines(
            title="Messages returned for lack of resources, in ${window:text}",
            description="The process had run out of disk, files, memory, threads or workers; its messages go to another one.",
            queries=[(or_nothing(grown("quarry_exhausted_total", "what"), "what"), "{{what}}")],
            unit="short",
            width=6,
            stacked=True,
            decimals=0,
        ),
        Lines(
            title="Consumers that have stopped, by queue",
            description="1 while a service takes no messages of a queue, or only tries again, because the last ones all failed alike. "
            "A bad release looks like this; its messages are still there.",
            queries=[(or_nothing(f"max by (queue) ({chosen('quarry_consumer_stopped')})", "queue"), "{{queue}}")],
            unit="short",
            width=6,
            decimals=0,
            steps=[(1, RED)],
            alert="QuarryConsumerStopped",
        ),
    ],
)

PROCESSES = Row(
    "Processes",
    [
        Figure(
            title="Responding processes",
            description="By service. A service that has scaled to zero has none, which is normal.",
            queries=[(f"sum by (job) ({UP})", "{{job}}")],
            unit="short",
            width=8,
            names=True,
            base=BLUE,
            alert="QuarryTargetDown",
        ),
        Figure(
            title="Running versions",
            description="Processes by service and version. Two versions of one service mean a rollout in progress.",
            queries=[
                (f"count by (service, version) ({chosen('quarry_build_info')})", "{{service}} {{version}}"),
            ],
            unit="short",
            width=8,
            names=True,
            base=BLUE,
        ),
        Figure(
            title="Starts in ${window:text}",
            description="Processes that started in this time. If a rollout does not explain them, something kills processes.",
            queries=[
                (
                    f"sum by (job) (time() - {chosen('process_start_time_seconds', JOBS)} < bool ${{window}})",
                    "{{job}}",
                )
            ],
            unit="short",
            width=8,
            names=True,
            steps=[(3, AMBER)],
        ),
        Lines(
            title="Memory",
            description="Resident memory of each process. The chart's and the task definitions' limits are above it.",
            queries=[(chosen("process_resident_memory_bytes", JOBS), "{{job}} {{instance}}")],
            unit="bytes",
            width=8,
        ),
        Lines(
            title="CPU",
            description="Cores that each process uses.",
            queries=[
                (f"rate({chosen('process_cpu_seconds_total', JOBS)}[${{window}}s])", "{{job}} {{instance}}"),
            ],
            unit="none",
            width=8,
        ),
        Lines(
            title="Open files",
            description="File descriptors of each process. A line that only rises is a leak.",
            queries=[(chosen("process_open_fds", JOBS), "{{job}} {{instance}}")],
            unit="short",
            width=8,
            decimals=0,
        ),
    ],
)


def build() -> Dashboard:
    description = "The three services: their queues, their calls to AWS, their processes."
    return board("services", "services and AWS", description, [QUEUES, AWS, FAILURES, PROCESSES])
