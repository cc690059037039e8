"""What a picture on the page is made of: bars and back-off. Pure.

Widths are attributes of SVG, in thousandths: the page's policy allows no inline style.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quarry_cli.client.runs.view.shown import RunView
from quarry_core.contract.states import ShardState

WIDTH = 1_000
NARROWEST = 4  # what there is, is seen
POLL_S = 2
POLL_S_MAX = 60


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a bar: `kind` is a class of the stylesheet."""

    kind: str
    title: str
    count: int
    x: int
    width: int


def bar(parts: Iterable[tuple[str, str, int]], whole: int) -> list[Piece]:
    """Stretches beside each other, each as long as its share of the whole, and none of those that are empty."""
    pieces, x = [], 0
    for kind, title, count in parts:
        if count <= 0 or whole <= 0:
            continue
        width = min(max(NARROWEST, round(WIDTH * count / whole)), WIDTH - x)
        if width > 0:
            pieces.append(Piece(kind, title, count, x, width))
            x += width
    return pieces


def rows_bar(view: RunView) -> list[Piece]:
    rows = view.rows
    parts = [
        ("ok", "with an answer", rows.ok),
        ("error", "with an error", rows.error),
        ("processed", "processed, to be settled", rows.processed),
        ("again", "to be asked again", rows.again),
    ]
    return bar(parts, rows.accepted)


def shards_bar(view: RunView) -> list[Piece]:
    order = [
        ShardState.SETTLED,
        ShardState.ENDED,
        ShardState.SUBMITTED,
        ShardState.INVOKING,
        ShardState.ADMITTED,
        ShardState.PENDING,
    ]
    parts = [(f"s-{state.value.lower()}", state.value.capitalize(), view.shards.get(state.value, 0)) for state in order]
    return bar(parts, sum(view.shards.values()))


def fingerprint(view: RunView) -> str:
    """What a run looks like, but for times that go on by themselves."""
    jobs = [(job.name, job.status, job.processed_records) for job in view.jobs]
    seen = (view.state, view.rows, sorted(view.shards.items()), jobs, view.paused_at, view.cancelled_at, view.slots)
    return fingerprint_of(seen)


def fingerprint_of(seen: object) -> str:
    return hashlib.sha256(repr(seen).encode("utf-8", "replace")).hexdigest()[:16]


def next_poll_s(before_s: int, *, changed: bool) -> int:
    """How long to wait before the next look: less while something moves."""
    return POLL_S if changed else min(POLL_S_MAX, max(POLL_S, 2 * before_s))


def seen_jobs(view: RunView, most: int) -> Sequence[object]:
    """The jobs that run first, then the latest."""
    running = [job for job in view.jobs if not job.ended_at]
    ended = sorted((job for job in view.jobs if job.ended_at), key=lambda job: job.ended_at, reverse=True)
    return [*running, *ended][:most]
