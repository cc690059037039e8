"""A job of a shard's attempt."""

from __future__ import annotations

from dataclasses import dataclass

from quarry_core.ports import Item


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job, for people: no decision reads it."""

    run_id: str
    shard: str
    attempt: int
    name: str
    arn: str
    status: str
    rank: int = 0
    message: str = ""
    submitted_at: str = ""
    ended_at: str = ""
    total_records: int | None = None
    processed_records: int | None = None
    success_records: int | None = None
    error_records: int | None = None


def read_job(item: Item) -> JobRow:
    return JobRow(**{name: item[name] for name in JobRow.__slots__ if name in item})
