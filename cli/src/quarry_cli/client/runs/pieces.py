"""Shards and jobs of a run, page by page: a query or two each, for 20 shards as for 20,000."""

from __future__ import annotations

import msgspec

from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.view.jobs import job_view
from quarry_cli.client.runs.view.shown import JobView
from quarry_core.contract.names import SHARD_MAX, shard_id
from quarry_core.ledger import keys, rows
from quarry_core.ledger.rows import Shard

# Planned shards have even numbers, the second half of a split one the next odd one: 500 planned shards a page.
PAGE_NUMBERS = 1_000
PAGE_JOBS = 100


class ShardCell(msgspec.Struct, frozen=True, kw_only=True):
    """A shard in a grid. `round` above 1 is a retry shard."""

    shard: str
    state: str
    rows: int
    ok: int
    error: int
    attempt: int
    round: int
    on_demand: bool
    message: str
    first_row: int


class ShardsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The shards whose numbers are `page * PAGE_NUMBERS` and following; `pages` there are."""

    shards: list[ShardCell]
    page: int
    pages: int


class JobsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some jobs, in order of shard and attempt; the next begin behind `after`, None where there are none."""

    jobs: list[JobView]
    after: str | None


def page_of(shard: str) -> int:
    """On which page a shard is."""
    return int(shard) // PAGE_NUMBERS


async def read_shards(connections: Connections, run_id: str, page: int) -> ShardsPage:
    """A page of shards; one beyond the last is the last."""
    last = await connections.table.query(keys.run_pk(run_id), "shard#", most=1, backwards=True)
    if not last:
        return ShardsPage(shards=[], page=0, pages=0)
    pages = page_of(last[0]["shard"]) + 1
    page = max(0, min(page, pages - 1))
    first = page * PAGE_NUMBERS
    found = await connections.ledger.shards_between(
        run_id, shard_id(first), shard_id(min(first + PAGE_NUMBERS - 1, SHARD_MAX))
    )
    return ShardsPage(shards=[_cell(shard) for shard in found], page=page, pages=pages)


async def read_shard(connections: Connections, run_id: str, shard: str) -> tuple[ShardCell, list[JobView]] | None:
    """A shard and its jobs; None if it does not stand."""
    found = await connections.ledger.shard(run_id, shard)
    if found is None:
        return None
    jobs = await connections.table.query(keys.run_pk(run_id), f"job#{shard}#", most=PAGE_JOBS)
    return _cell(found), [job_view(rows.read_job(item)) for item in jobs]


async def read_jobs(connections: Connections, run_id: str, after: str = "") -> JobsPage:
    """A page of jobs.

    Args:
        after: what a page before gave as its `after`; empty for the first.
    """
    begin = f"job#{after}" if after else None
    found = await connections.table.query(keys.run_pk(run_id), "job#", most=PAGE_JOBS, after=begin)
    full = len(found) == PAGE_JOBS
    return JobsPage(
        jobs=[job_view(rows.read_job(item)) for item in found],
        after=str(found[-1]["sk"]).removeprefix("job#") if full else None,
    )


def _cell(shard: Shard) -> ShardCell:
    return ShardCell(
        shard=shard.shard,
        state=shard.state.value,
        rows=shard.rows,
        ok=shard.ok,
        error=shard.error,
        attempt=shard.attempt,
        round=shard.round,
        on_demand=shard.on_demand,
        message=shard.message,
        first_row=shard.first_row,
    )
