"""Runs the command in this process, with standard output and standard error kept apart."""

from __future__ import annotations

import inspect
from typing import Any

from typer.testing import CliRunner

# Before click 8.2, which a notebook may not have yet, the runner mixes the streams by default.
_APART: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}


def runner() -> CliRunner:
    return CliRunner(**_APART)
