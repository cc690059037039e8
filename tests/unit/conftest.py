"""Unit tests say nothing on standard output: what the services log is not what they promise."""

from __future__ import annotations

import pytest
import structlog


@pytest.fixture(autouse=True)
def _silent_logs():
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
    yield
    structlog.reset_defaults()
