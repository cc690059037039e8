"""Unit tests say nothing on standard output: what the services log is not what they promise."""

from __future__ import annotations

import pytest
import structlog

from quarry_core.telemetry.logs import set_up_logs


@pytest.fixture(autouse=True)
def _silent_logs():
    # Rendered as the services do: structlog's own way draws each traceback, which took seconds where much fails.
    set_up_logs("test", "DEBUG")
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
    yield
    structlog.reset_defaults()
