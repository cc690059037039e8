"""What a check says: ok, failed with a fix, or that it could not look. Values only."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec

Statement = Mapping[str, Any]


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """The very thing to add.

    Attributes:
        kind: `statements` of an IAM policy, a `command` line, or a `setting` of Quarry or of a manifest.
        where: which policy, or whose setting; empty for a command.
        value: a list of statements, or a line of text.
    """

    kind: Literal["statements", "command", "setting"]
    where: str = ""
    value: Any


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong: `message` says what, `remedy` what to do about it."""

    message: str
    remedy: str
    fix: Fix | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A check's result. `message` is what was found, or why nothing could be; faults are there when it failed."""

    check: str
    outcome: Outcome
    message: str
    faults: list[Fault] = []


class NotKnown(Exception):
    """A check cannot tell: what it needs could not be read, or is not there at all and another check says so."""


def statements(where: str, *added: Statement) -> Fix:
    return Fix(kind="statements", where=where, value=list(added))


def command(*words: str) -> Fix:
    """A command of AWS's command line, quoted for a shell."""
    return Fix(kind="command", value=shlex.join(["aws", *words]))


def setting(variable: str, value: object, where: str = "the services' environment") -> Fix:
    return Fix(kind="setting", where=where, value=f"{variable}={value}")
