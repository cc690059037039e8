"""A list of all runs, page by page, and what each has cost: for who looks at thousands of them.

Only reads, within bounds: the index of runs is read to `RUNS_INDEXED_MAX`, and of a filtered list at most
`RUNS_LOOKED_AT_MAX` runs a page, from where the page before ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.search import RunLine, Wanted, line_of
from quarry_cli.client.runs.view.money import spent_by
from quarry_cli.client.runs.view.shown import Spent
from quarry_core.contract.states import RunState
from quarry_core.ledger import keys, rows
from quarry_core.ports import Item, Key

PAGE_RUNS = 50
RUNS_INDEXED_MAX = 5_000
RUNS_LOOKED_AT_MAX = 1_000
MONTHS_MAX = 13
_RUNS_AT_ONCE = 250  # two items each


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a list, with what its settled shards have cost; None where none is settled."""

    run: RunLine
    spent: Spent | None


class IndexedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the index. `state` is None for an open one, whose state moves."""

    run_id: str
    state: str | None = None


class RunsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some runs. `after` is where the next page begins, counted in runs of the index; None where there is none.

    `looked_at` is True where the page ended because so many runs were looked at, not because it was full.
    """

    runs: list[Listed]
    after: int | None
    looked_at: bool = False


async def index_of(connections: Connections) -> list[IndexedRun]:
    """Open runs, the newest first, then those that ended, the newest first: of the last `MONTHS_MAX` months."""
    ledger = connections.ledger
    opened = sorted(await ledger.open_runs(), key=lambda run: run.accepted_at, reverse=True)
    found = {run.run_id: IndexedRun(run_id=run.run_id) for run in opened}
    for month in _months(connections.clock.now()):
        left = RUNS_INDEXED_MAX - len(found)
        if left <= 0:
            break
        for done in await ledger.done_runs(month, most=left):
            found.setdefault(done.run_id, IndexedRun(run_id=done.run_id, state=done.state))
    return list(found.values())


async def read_page(
    connections: Connections, index: Sequence[IndexedRun], wanted: Wanted, first: int = 0, most: int = PAGE_RUNS
) -> RunsPage:
    """The next `most` runs of an index that are wanted, from `first` on."""
    found: list[Listed] = []
    place, end = first, min(len(index), first + RUNS_LOOKED_AT_MAX)
    now = connections.clock.now()
    step = most if wanted.all else _RUNS_AT_ONCE
    while place < end:
        some = index[place : min(place + step, end)]
        read = await _read(connections, [each.run_id for each in some if _may_fit(each, wanted)], now)
        for each in some:
            place += 1
            listed = read.get(each.run_id)
            if listed is not None and wanted.fits(listed.run):
                found.append(listed)
            if len(found) == most:
                return RunsPage(runs=found, after=place if place < len(index) else None)
    return RunsPage(runs=found, after=place if place < len(index) else None, looked_at=place < len(index))


def _may_fit(run: IndexedRun, wanted: Wanted) -> bool:
    return run.state is None or not wanted.states or RunState(run.state) in wanted.states


async def _read(connections: Connections, run_ids: Sequence[str], now: datetime) -> dict[str, Listed]:
    asked = [key for run_id in run_ids for key in (keys.totals_key(run_id), keys.run_key(run_id))]
    found: dict[Key, Item] = {}
    for begin in range(0, len(asked), 2 * _RUNS_AT_ONCE):
        found |= await connections.table.get_many(asked[begin : begin + 2 * _RUNS_AT_ONCE])
    listed = {}
    for run_id in run_ids:
        item, kept = found.get(keys.totals_key(run_id)), found.get(keys.run_key(run_id))
        if item is not None and kept is not None:
            run, totals = rows.read_run(kept), rows.read_totals(item)
            spent = spent_by(totals, run.pins.model if run.pins else "")
            listed[run_id] = Listed(run=line_of(run, totals, now), spent=spent)
    return listed


def _months(now: datetime) -> Iterator[str]:
    year, month = now.year, now.month
    for _ in range(MONTHS_MAX):
        yield f"{year:04d}-{month:02d}"
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
