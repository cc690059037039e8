"""Traces: one for each shard, across the three services. Off unless wanted; then OpenTelemetry is imported, not before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec

import structlog

from quarry_core.ports import Clock
from quarry_core.settings import Settings
from quarry_core.telemetry.spans import NO_TRACES, Traces

log = structlog.get_logger()


def wanted(settings: Settings) -> bool:
    """Whether there are to be traces. Raises ValueError where they are asked for and the extra is not installed."""
    if not settings.traces and (settings.traces is False or not settings.otlp_endpoint):
        return False
    with contextlib.suppress(ModuleNotFoundError):  # of a package above it
        if find_spec("opentelemetry.exporter.otlp.proto.http"):
            return True
    if settings.traces:
        raise ValueError(
            "QUARRY_TRACES is set, and OpenTelemetry is not installed: build the image with TRACES=1, or run "
            "pip install './core[traces]'  in the checkout (docs/traces.md)"
        )
    return False  # an address that is set for all programs of a cluster is not asked of this one


@contextlib.contextmanager
def open_traces(service: str, settings: Settings, clock: Clock) -> Iterator[Traces]:
    """Traces as the settings want them; at the end what was not sent yet is sent, in bounded time."""
    if not wanted(settings):
        yield NO_TRACES
        return
    from quarry_core.telemetry.traces_export import ExportedTraces  # noqa: PLC0415 only where it is installed and wanted

    traces = ExportedTraces(f"quarry-{service}", settings.env, clock, settings.traces_share)
    log.info("traces", share=settings.traces_share)
    try:
        yield traces
    finally:
        traces.close()
