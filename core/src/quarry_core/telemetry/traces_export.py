"""Spans to OpenTelemetry: the only module that imports it, and only `traces` imports this one, where they are wanted.

Owns the provider and its sender's thread. The sender holds a bounded number of spans and drops what is over: a collector
of traces that is away costs spans, never time of a run's.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context

from quarry_core import __version__
from quarry_core.errors import Stale
from quarry_core.ports import Clock
from quarry_core.telemetry.spans import ERROR, ROOT, About, Span, Traces, root_span_id, trace_id

log = structlog.get_logger()
CLOSE_MAX_S = 3.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class ExportedTraces(Traces):
    """Sends spans by OTLP over HTTP, as the standard OTEL_* variables say. Of the event loop's thread alone.

    Whether a trace is kept is decided by its id alone, so that all services keep the same ones.
    """

    def __init__(
        self, service: str, env: str, clock: Clock, share: float, processor: SpanProcessor | None = None
    ) -> None:
        self._clock = clock
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(share),
            resource=Resource.create({"service.name": service, "deployment.environment.name": env}),
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        self._lines = _Lines(logging.WARNING)
        logging.getLogger("opentelemetry").addHandler(self._lines)
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("quarry", __version__)

    @contextlib.contextmanager
    def span(self, name: str, run_id: str, shard: str, **about: str | int) -> Iterator[About]:
        reported: About = dict(about)
        began = self._clock.now()
        try:
            yield reported
        except Stale:
            reported["outcome"] = "stale"  # another was faster, as is usual
            raise
        except BaseException as error:
            reported[ERROR] = type(error).__name__  # its text may say more than a span may
            raise
        finally:
            self.add(Span(name, run_id, shard, began, self._clock.now(), reported))

    def add(self, span: Span) -> None:
        try:
            self._send(span)
        except Exception:  # spans are for people: a bug in one must not keep a step from its end
            log.exception("span_failed", span=span.name)

    def _send(self, span: Span) -> None:
        trace, root = trace_id(span.run_id, span.shard), root_span_id(span.run_id, span.shard)
        if span.name == ROOT:
            self._ids.root, context = (trace, root), Context()
        else:
            parent = SpanContext(trace, root, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            self._ids.root, context = None, set_span_in_context(NonRecordingSpan(parent), Context())
        kept = self._tracer.start_span(
            span.name,
            context,
            attributes={"run_id": span.run_id, "shard": span.shard, **span.about},
            start_time=_nanoseconds(span.began),
        )
        if ERROR in span.about:
            kept.set_status(Status(StatusCode.ERROR, str(span.about[ERROR])))
        kept.end(_nanoseconds(span.ended))

    def close(self) -> None:
        """Send what is waiting, for CLOSE_MAX_S at most: what a process has to end must not wait for its traces."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces-close", daemon=True)
        ending.start()
        ending.join(CLOSE_MAX_S)
        if ending.is_alive():
            log.warning("traces_not_sent", why=f"not sent within {CLOSE_MAX_S:g} s")
        else:
            logging.getLogger("opentelemetry").removeHandler(self._lines)


class _Ids(RandomIdGenerator):
    """Random, as usual; while a root span is begun, as computed."""

    root: tuple[int, int] | None = None

    def generate_trace_id(self) -> int:
        return self.root[0] if self.root else super().generate_trace_id()

    def generate_span_id(self) -> int:
        return self.root[1] if self.root else super().generate_span_id()


class _Lines(logging.Handler):
    """What OpenTelemetry has to say (that spans cannot be sent), as a line of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log.warning("traces_not_sent", why=record.getMessage()[:300])


def _nanoseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND * 1000
