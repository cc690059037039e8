"""The adapters' connection to the session's AWS, with the emulator's credentials and nothing of the developer's."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from quarry_core.aws.client import Aws
from quarry_core.ports import Clock

MISLEADING_PREFIXES = ("AWS_", "BOTO_")


@asynccontextmanager
async def reach(
    aws: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock | None = None, endpoints: Mapping[str, str] | None = None
) -> AsyncIterator[Aws]:
    """`aws` is the session's AWS as `tests/conftest.py` gives it."""
    for name in list(os.environ):
        if name.startswith(MISLEADING_PREFIXES):
            monkeypatch.delenv(name)
    for name, value in aws.variables().items():
        monkeypatch.setenv(name, value)
    async with Aws(clock, endpoint_urls=endpoints) as reached:
        yield reached
