"""What runs have cost, from the ledger: by run, model, prefix, tag or month; and of one run by shard.

Theory of operation. When a shard is settled, its cost is written to its row, and added to its run and to its month in the same
transaction: so a sum over runs, over months, or over the shards of a run is the same money, each shard once. What a run cost
counts for all of it, whenever its shards were settled: a run belongs to the time in which it ended, or to now while it is open.
Months are exact: theirs are the shards that were booked in them.

Only reads, within bounds: at most `RUNS_MAX` runs, and of one run at most `SHARDS_MAX` shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from quarry_cli.client.connections import Connections
from quarry_cli.client.history.audit_trail import months_between, read_since
from quarry_cli.client.runs.search import find_run, no_such_run
from quarry_cli.errors import BadSetting
from quarry_core.contract.run import Run
from quarry_core.contract.states import HELD, ShardState
from quarry_core.ledger import keys, rows
from quarry_core.ledger.rows import Month, Shard, Totals
from quarry_core.models import canonical_model
from quarry_core.models.prices import on_demand_price_of, price_of
from quarry_core.planning.spending import MICRO, spent_dollars
from quarry_core.ports import Item, Key

DAYS = 30
RUNS_MAX = 20_000
SHARDS_MAX = 50_000
MONTHS_MAX = 120
GROUPS = ("run", "model", "prefix", "month")
TAG = "tag="
NOTHING = "(none)"
_RUNS_AT_ONCE = 250  # two items each


class CostLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a group came to, in US dollars by the prices of the days on which its shards were settled.

    `dollars` is `batch_dollars` and `on_demand_dollars` together; None where nothing of it has a price. LLM tokens and `runs` are None
    where the group is a month, which counts neither. `state` is that of a run or a shard, `prefix` a run's `job_name_prefix`; both are
    empty of any other group.
    """

    name: str
    dollars: float | None
    batch_dollars: float | None
    on_demand_dollars: float | None
    runs: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    state: str = ""
    prefix: str = ""


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What `quarry cost` prints, the dearest first; months and shards in their order.

    Attributes:
        by: run, model, prefix, month, shard, or tag=KEY.
        since: ISO 8601 in UTC; None of one run.
        lines: the groups.
        total: of all of them.
        unpriced: runs whose model has no price: their tokens count, and no dollars.
        cut: there were more runs, or shards, than are looked at.
    """

    by: str
    since: str | None
    lines: list[CostLine]
    total: CostLine
    unpriced: int = 0
    cut: bool = False


@dataclass(slots=True)
class _Sum:
    name: str
    micros: int = 0
    on_demand: int = 0
    priced: bool = False
    runs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    state: str = ""
    prefix: str = ""

    def line(self, *, counted: bool = True) -> CostLine:
        batch = self.micros - self.on_demand
        dollars = [each / MICRO if self.priced else None for each in (self.micros, batch, self.on_demand)]
        return CostLine(
            name=self.name,
            dollars=dollars[0],
            batch_dollars=dollars[1],
            on_demand_dollars=dollars[2],
            runs=self.runs if counted else None,
            input_tokens=self.input_tokens if counted else None,
            output_tokens=self.output_tokens if counted else None,
            state=self.state,
            prefix=self.prefix,
        )


async def cost_of_runs(connections: Connections, by: str, since: str | None) -> Costs:
    """What the runs have cost that are open or have ended since then.

    Args:
        by: one of GROUPS, or `tag=KEY`.
        since: as for `read_since`; by default 30 days ago, and of months all.

    Raises:
        BadSetting.
    """
    if by not in GROUPS and not (by.startswith(TAG) and by != TAG):
        raise BadSetting(f"by: {by!r} is not one of {', '.join(GROUPS)} or tag=KEY")
    now = connections.clock.now()
    asked = None if since is None else read_since(since, now)
    if asked is not None and asked > now:
        raise BadSetting(f"since: {asked.isoformat()} is still to come")
    if by == "month":
        return _by_month(await connections.ledger.months(MONTHS_MAX), asked)
    begin = asked or now - timedelta(days=DAYS)
    run_ids, cut = await _run_ids(connections, begin, now)
    sums: dict[str, _Sum] = {}
    total, unpriced = _Sum("total"), 0
    for run, totals in await _read(connections, run_ids):
        group = _group(run, totals, by)
        known = sums.setdefault(group.name, group)
        for each in (known, total):
            unknown = _add(each, run, totals)
        unpriced += unknown
    lines = sorted((each.line() for each in sums.values()), key=lambda line: (-(line.dollars or 0.0), line.name))
    return Costs(by=by, since=begin.isoformat(), lines=lines, total=total.line(), unpriced=unpriced, cut=cut)


async def cost_of_run(connections: Connections, text: str) -> Costs:
    """What each shard of a run has cost, in their order. Raises NoSuchRun, SeveralRuns."""
    run_id = await find_run(connections, text)
    run, totals = await connections.ledger.run(run_id), await connections.ledger.totals(run_id)
    if run is None or totals is None:
        raise await no_such_run(connections, run_id)
    total = _Sum("total")
    unpriced = _add(total, run, totals)
    lines: list[CostLine] = []
    cut = False
    async for shard in connections.ledger.shards(run_id):
        if len(lines) == SHARDS_MAX:
            cut = True
            break
        lines.append(_of_shard(shard))
    return Costs(by="shard", since=None, lines=lines, total=total.line(), unpriced=unpriced, cut=cut)


def _of_shard(shard: Shard) -> CostLine:
    known = shard.spent_micros is not None
    micros = shard.spent_micros or 0
    on_demand = micros if shard.on_demand else 0
    found = _Sum(shard.shard, micros, on_demand, known, state=shard.state.value)
    if shard.state is ShardState.SETTLED and not known:
        found.state = f"{shard.state.value} before costs were counted"
    return found.line(counted=False)


def _add(into: _Sum, run: Run, totals: Totals) -> bool:
    """Add a run. Whether nobody knows what its tokens cost."""
    model = run.pins.model if run.pins else ""
    into.runs += 1
    into.input_tokens += totals.input_tokens or 0
    into.output_tokens += totals.output_tokens or 0
    if price_of(model) is None:
        return bool(totals.input_tokens or totals.output_tokens)
    into.priced = True
    if totals.spent_micros is not None:
        into.micros += totals.spent_micros
        into.on_demand += totals.on_demand_micros
        return False
    # Of an earlier release, which kept the tokens alone.
    into.micros += round((spent_dollars(model, totals.spent) or 0.0) * MICRO)
    dear = on_demand_price_of(model)
    assert dear is not None
    into.on_demand += round(dear.dollars(totals.spent.dear_input, totals.spent.dear_output) * MICRO)
    return False


def _group(run: Run, totals: Totals, by: str) -> _Sum:
    if by == "run":
        prefix = run.pins.job_name_prefix if run.pins else ""
        return _Sum(run.run_id, state=HELD if totals.held else totals.state.value, prefix=prefix)
    if run.pins is None:
        return _Sum(NOTHING)
    if by == "model":
        return _Sum(canonical_model(run.pins.model))
    if by == "prefix":
        return _Sum(run.pins.job_name_prefix)
    return _Sum(run.pins.tags.get(by.removeprefix(TAG), NOTHING))


def _by_month(months: Sequence[Month], since: datetime | None) -> Costs:
    first = "" if since is None else f"{since:%Y-%m}"
    total = _Sum("total", priced=True)
    lines = []
    for month in months:
        if month.month < first:
            continue
        lines.append(_Sum(month.month, month.spent_micros, month.on_demand_micros, priced=True).line(counted=False))
        total.micros += month.spent_micros
        total.on_demand += month.on_demand_micros
    since_text = None if since is None else since.isoformat()
    return Costs(by="month", since=since_text, lines=lines, total=total.line(counted=False))


async def _run_ids(connections: Connections, begin: datetime, now: datetime) -> tuple[list[str], bool]:
    """Runs that are open, or have ended since; and whether there are more."""
    ledger = connections.ledger
    found = dict.fromkeys(run.run_id for run in await ledger.open_runs())
    for month in months_between(begin, now):
        ended = await ledger.done_runs(month, most=RUNS_MAX)
        for run in ended:
            if datetime.fromisoformat(run.ended_at) >= begin:
                found.setdefault(run.run_id)
        if len(ended) == RUNS_MAX or len(found) > RUNS_MAX:
            return list(found)[:RUNS_MAX], True
    return list(found), False


async def _read(connections: Connections, run_ids: Sequence[str]) -> Iterable[tuple[Run, Totals]]:
    found: list[tuple[Run, Totals]] = []
    for some in _in_batches(run_ids):
        asked = [key for run_id in some for key in (keys.totals_key(run_id), keys.run_key(run_id))]
        items: dict[Key, Item] = dict(await connections.table.get_many(asked))
        for run_id in some:
            kept, totals = items.get(keys.run_key(run_id)), items.get(keys.totals_key(run_id))
            if kept is not None and totals is not None:
                found.append((rows.read_run(kept), rows.read_totals(totals)))
    return found


def _in_batches(run_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(run_ids), _RUNS_AT_ONCE):
        yield run_ids[begin : begin + _RUNS_AT_ONCE]
