"""Logs, metrics, and the three addresses that tell how a service is.

Metric names are typed here and nowhere else: prefix `quarry_`, base units, timestamps instead of ages, bounded labels
only (never an ARN, a record, a key or a message id). Logs are JSON lines; no prompt text, no secrets.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import Counter, Gauge, Histogram, make_wsgi_app

BUILD_INFO = Gauge("quarry_build_info", "The running version; always 1.", ["service", "version"])

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

RUNS_ACCEPTED = Counter("quarry_runs_accepted_total", "Manifests that became runs, refused ones included.")
ROWS_ACCEPTED = Counter("quarry_rows_accepted_total", "Rows of accepted runs.")
ROWS_FINISHED = Counter("quarry_rows_finished_total", "Rows with their outcome.", ["outcome"])
SHARDS_ENLISTED = Counter("quarry_shards_enlisted_total", "Shards written and enlisted.")
TICK = Histogram(
    "quarry_tick_seconds", "One pass of admission over one pool.", buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30)
)
SLOTS_LIMIT = Gauge("quarry_slots_limit", "Jobs that may be active in a pool.", ["pool"])
SLOTS_IN_USE = Gauge("quarry_slots_in_use", "Slots that are held.", ["pool"])
SLOTS_FOREIGN = Gauge("quarry_slots_foreign", "Active jobs in a pool that are not ours.", ["pool"])
JOBS_SUBMITTED = Counter(
    "quarry_jobs_submitted_total",
    "Create calls by what came of them: created, adopted, throttled, quota, refused, unknown.",
    ["pool", "outcome"],
)
JOBS_ENDED = Counter("quarry_jobs_ended_total", "Jobs at their end, by Bedrock's status.", ["pool", "status"])
JOB_STATUS_OBSERVATIONS = Counter(
    "quarry_job_status_observations_total", "Job states learned, by who told: event, sweep.", ["source"]
)
SWEEP_CORRECTIONS = Counter(
    "quarry_sweep_corrections_total",
    "What the sweep mended: ended, adopted, stopped, slice, settle, close.",
    ["kind"],
)
SWEEP_LAST_SUCCESS = Gauge("quarry_sweep_last_success_timestamp_seconds", "When a sweep last ran to its end.")
AWS_REQUESTS = Counter("quarry_aws_requests_total", "AWS calls.", ["service", "operation", "outcome"])
AWS_REQUEST_SECONDS = Histogram(
    "quarry_aws_request_duration_seconds", "Time of AWS calls, retries included.", ["service", "operation"]
)


def observe_aws(service: str, operation: str, outcome: str, seconds: float) -> None:
    """The hook that the AWS adapters call after each request."""
    AWS_REQUESTS.labels(service, operation, outcome).inc()
    AWS_REQUEST_SECONDS.labels(service, operation).observe(seconds)


def set_up_logs(service: str, level: str) -> None:
    """JSON lines on standard output, one per decision that a person would ask about."""

    def name_service(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            name_service,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )


class Health:
    """Alive while the event loop turns; ready from the first successful poll of every queue until the drain."""

    def __init__(self, stalled_after_s: float = 60.0) -> None:
        self._stalled_after_s = stalled_after_s
        self._last_turn = time.monotonic()
        self.ready = False

    def turn(self) -> None:
        self._last_turn = time.monotonic()

    @property
    def alive(self) -> bool:
        return time.monotonic() - self._last_turn < self._stalled_after_s


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base class names it so
        """Probes and scrapes are not worth a line."""


class StatusServer:
    """/metrics, /healthz and /readyz on a thread of their own, so that a busy loop still answers."""

    def __init__(self, host: str, port: int, health: Health) -> None:
        self._health = health
        self._metrics = make_wsgi_app()
        self._server: WSGIServer = make_server(host, port, self._answer, handler_class=_Quiet)
        self.port = int(self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, name="status", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                answer: Iterable[bytes] = self._metrics(environ, start_response)
                return answer
            case "/healthz":
                good, text = self._health.alive, "alive"
            case "/readyz":
                good, text = self._health.ready and self._health.alive, "ready"
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"ask /metrics, /healthz or /readyz\n"]
        start_response("200 OK" if good else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [f"{text if good else 'not ' + text}\n".encode()]
