"""Spans: the steps of a shard as a trace has them, and the ids that every service computes alike. Pure.

Theory of operation. A shard waits for hours between its steps, and a wake-up, a sweep or another replica may take the
next one. So nothing of a trace travels in messages or stands in the ledger: its id, and that of its root span, are
computed from the run and the shard, and whoever does a step finds the same trace. The root, `shard`, is sent last, by
the collector whose move settled the shard; until then the other spans wait for a parent that is known by its id.

A span says what a log line may say: never a prompt, an answer, a secret, or an ARN, for an ARN holds the account.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

About = dict[str, str | int]
ERROR = "error.type"  # OpenTelemetry's name; a span that says it has failed
ROOT = "shard"


def trace_id(run_id: str, shard: str) -> int:
    """128 bits: the first 16 bytes of SHA-256 over `<run_id>/<shard>`."""
    return int.from_bytes(_digest(run_id, shard)[:16], "big")


def root_span_id(run_id: str, shard: str) -> int:
    """64 bits: the 8 bytes that follow those of the trace id."""
    return int.from_bytes(_digest(run_id, shard)[16:24], "big")


def _digest(run_id: str, shard: str) -> bytes:
    return hashlib.sha256(f"{run_id}/{shard}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Span:
    """A step of a shard that has ended; `about` are its attributes. One called ROOT is the whole of the shard."""

    name: str
    run_id: str
    shard: str
    began: datetime
    ended: datetime
    about: Mapping[str, str | int]


class Traces:
    """Where spans go. This one keeps none."""

    @contextlib.contextmanager
    def span(self, name: str, run_id: str, shard: str, **about: str | int) -> Iterator[About]:  # noqa: ARG002 kept by none
        """Time what is done inside; it may say more about itself, and an exception is its ERROR."""
        yield dict(about)

    def add(self, span: Span) -> None:
        """Take a span whose times are known already."""


NO_TRACES = Traces()
