"""Reading the ledger, and applying a move. All reads are consistent; every write goes through `moves.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from quarry_core.contract.run import Run
from quarry_core.contract.states import Gate
from quarry_core.contract.versions import VERSIONS_MAX
from quarry_core.ledger import keys, rows
from quarry_core.ledger.rows import (
    AuditEntry,
    BegunRow,
    FailureRow,
    JobRow,
    Lane,
    LimitChange,
    Month,
    Pool,
    RefusedModel,
    Shard,
    Slice,
    Totals,
    Version,
    Waiting,
)
from quarry_core.planning.estimate import Ahead
from quarry_core.planning.history import WEEKS_MAX, History, recent
from quarry_core.ports import Item, Put, Table, Update, Write
from quarry_core.text import bounded_text

T = TypeVar("T")
PAGE_ITEMS = 500
HOLDERS_MAX = 500
TOTALS_AT_ONCE = 500
# Read back by machines, so never cut; `run.PINS_BYTES_MAX` is held when a manifest arrives.
WHOLE_ATTRIBUTES = frozenset({rows.PINNED, "text"})


@dataclass(frozen=True, slots=True)
class OpenRun:
    run_id: str
    pool: str  # empty for a run that was refused before it had one
    accepted_at: str
    sender: str = ""


@dataclass(frozen=True, slots=True)
class DoneRun:
    run_id: str
    state: str
    ended_at: str


class Ledger:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def apply(self, writes: Sequence[Write]) -> None:
        """Do one move; every text in it is bounded. Raises Stale when a premise did not hold, Throttled, Unknown."""
        await self._table.transact([_bounded(write) for write in writes])

    # ----------------------------------------------------------------- runs

    async def run(self, run_id: str) -> Run | None:
        """The run as it was accepted. Some time after its end its pins have no prompt and no inference parameters."""
        item = await self._table.get(keys.run_key(run_id))
        if item is None:
            return None
        text = await self._table.get(keys.text_key(run_id)) if item.get("text") else None
        return rows.read_run(item, text)

    async def totals(self, run_id: str) -> Totals | None:
        item = await self._table.get(keys.totals_key(run_id))
        return None if item is None else rows.read_totals(item)

    async def totals_of(self, run_ids: Sequence[str]) -> dict[str, Totals]:
        """The totals of many runs, by run; a hundred in one request. A run that is not there is left out."""
        totals: dict[str, Totals] = {}
        for start in range(0, len(run_ids), TOTALS_AT_ONCE):
            wanted = [keys.totals_key(run_id) for run_id in run_ids[start : start + TOTALS_AT_ONCE]]
            for item in (await self._table.get_many(wanted)).values():
                found = rows.read_totals(item)
                totals[found.run_id] = found
        return totals

    async def versions(self, run_id: str, most: int = VERSIONS_MAX) -> list[Version]:
        """The versions of a run's dataset after its first, the oldest first."""
        items = await self._table.query(keys.run_pk(run_id), keys.VERSION, most=most)
        return [rows.read_version(item) for item in items]

    async def text_is_gone(self, run_id: str) -> bool:
        """Whether the run had a prompt or inference parameters that the ledger does not hold any more."""
        item = await self._table.get(keys.run_key(run_id))
        return bool(item and item.get("text")) and await self._table.get(keys.text_key(run_id)) is None

    async def open_runs(self, most: int = 1_000) -> list[OpenRun]:
        items = await self._table.query(keys.OPEN, most=most)
        return [_open_run(item) for item in items]

    async def open_run(self, run_id: str) -> OpenRun | None:
        item = await self._table.get(keys.open_key(run_id))
        return None if item is None else _open_run(item)

    async def done_runs(self, month: str, most: int = 50) -> list[DoneRun]:
        """Ended runs of a month (`yyyy-mm`), the newest first."""
        items = await self._table.query(f"done#{month}", most=most, backwards=True)
        return [DoneRun(item["run_id"], item["state"], item["ended_at"]) for item in items]

    # ----------------------------------------------------------------- slices, shards, jobs

    async def slice(self, run_id: str, number: int) -> Slice | None:
        item = await self._table.get(keys.slice_key(run_id, number))
        return None if item is None else rows.read_slice(item)

    def slices(self, run_id: str) -> AsyncIterator[Slice]:
        return self._pages(keys.run_pk(run_id), "slice#", rows.read_slice)

    async def shard(self, run_id: str, shard: str) -> Shard | None:
        item = await self._table.get(keys.shard_key(run_id, shard))
        return None if item is None else rows.read_shard(item)

    def shards(self, run_id: str, prefix: str = "") -> AsyncIterator[Shard]:
        """All shards, in order of their numbers."""
        return self._pages(keys.run_pk(run_id), f"shard#{prefix}", rows.read_shard)

    async def shards_between(self, run_id: str, first: str, last: str) -> list[Shard]:
        """Enlisted shards of a stretch, both ends included, in order."""
        found: list[Shard] = []
        after = f"shard#{int(first) - 1:05d}" if int(first) else "shard#"
        while True:
            page = await self._table.query(keys.run_pk(run_id), "shard#", most=PAGE_ITEMS, after=after)
            for item in page:
                if item["shard"] > last:
                    return found
                found.append(rows.read_shard(item))
            if len(page) < PAGE_ITEMS:
                return found
            after = page[-1]["sk"]

    def jobs(self, run_id: str) -> AsyncIterator[JobRow]:
        return self._pages(keys.run_pk(run_id), "job#", rows.read_job)

    async def job(self, run_id: str, shard: str, attempt: int) -> JobRow | None:
        item = await self._table.get(keys.job_key(run_id, shard, attempt))
        return None if item is None else rows.read_job(item)

    async def waiting(self, run_id: str, most: int) -> list[Waiting]:
        """Shards that are PENDING: repeats first, then first attempts in order; at most `most` of each."""
        items = await self._table.query(keys.run_pk(run_id), "wait#1#", most=most)
        return [*await self.repeats(run_id, most), *(rows.read_waiting(item) for item in items)]

    async def repeats(self, run_id: str, most: int) -> list[Waiting]:
        """Shards that are PENDING for another attempt, in order."""
        items = await self._table.query(keys.run_pk(run_id), "wait#0#", most=most)
        return [rows.read_waiting(item) for item in items]

    async def todo(self, run_id: str, most: int = PAGE_ITEMS) -> list[Waiting]:
        """Shards that are ENDED: run, shard and attempt of each."""
        items = await self._table.query(keys.run_pk(run_id), "todo#", most=most)
        return [rows.read_waiting(item) for item in items]

    async def invoking(self, run_id: str, most: int = PAGE_ITEMS) -> list[Waiting]:
        """Shards on demand that are PENDING or INVOKING, in order."""
        items = await self._table.query(keys.run_pk(run_id), "invoke#", most=most)
        return [rows.read_waiting(item) for item in items]

    # ----------------------------------------------------------------- what fails, what is begun

    async def failure(self, run_id: str, step: str, subject: str) -> FailureRow | None:
        item = await self._table.get(keys.failure_key(run_id, step, subject))
        return None if item is None else rows.read_failure(item)

    async def begun_of(self, run_id: str, most: int) -> list[BegunRow]:
        """What is begun of a run and not finished."""
        items = await self._table.query(keys.run_pk(run_id), "begun#", most=most)
        return [rows.read_begun(item) for item in items]

    async def begun(self, run_id: str, step: str, subject: str) -> BegunRow | None:
        item = await self._table.get(keys.begun_key(run_id, step, subject))
        return None if item is None else rows.read_begun(item)

    async def canary(self, run_id: str) -> str:
        """What the run's canary came to, as JSON (`planning.canary.Judgement`); empty while it is not judged."""
        item = await self._table.get(keys.canary_key(run_id))
        return "" if item is None else str(item["text"])

    # ----------------------------------------------------------------- pools

    async def pool(self, pool: str) -> Pool | None:
        item = await self._table.get(keys.pool_key(pool))
        return None if item is None else rows.read_pool(item)

    async def pools(self, most: int = 1_000) -> list[str]:
        """The names of the pools that stand."""
        return [item["pool"] for item in await self._table.query(keys.POOLS, most=most)]

    async def lane(self, pool: str, run_id: str) -> Lane | None:
        item = await self._table.get(keys.lane_key(pool, run_id))
        return None if item is None else rows.read_lane(item)

    async def lanes(self, pool: str, most: int = 1_000) -> list[Lane]:
        items = await self._table.query(f"pool#{pool}", "lane#", most=most)
        return [rows.read_lane(item) for item in items]

    async def limit_changes(self, pool: str, most: int = 20) -> list[LimitChange]:
        """What operators have set for a pool, the newest first."""
        items = await self._table.query(f"pool#{pool}", keys.AUDIT, most=most, backwards=True)
        return [rows.read_limit_change(item) for item in items]

    async def audit_entries(self, month: str, most: int = 1_000) -> list[AuditEntry]:
        """The audit trail of a month (`yyyy-mm`), the newest first."""
        items = await self._table.query(keys.trail_pk(month), most=most, backwards=True)
        return [rows.read_audit_entry(item) for item in items]

    async def month(self, month: str) -> Month | None:
        """What the shards booked in a month (`yyyy-mm`) came to."""
        item = await self._table.get(keys.month_key(month))
        return None if item is None else rows.read_month(item)

    async def months(self, most: int = 120) -> list[Month]:
        """The newest months, the newest first."""
        return [rows.read_month(item) for item in await self._table.query(keys.MONTHS, most=most, backwards=True)]

    async def first_sender(self, origin_id: str) -> str:
        """Who sent the manifest of which a copy waits; empty if none does."""
        item = await self._table.get(keys.origin_key(origin_id))
        return "" if item is None else str(item["sender"])

    async def refused_model(self, region: str, model_id: str) -> RefusedModel | None:
        item = await self._table.get(keys.refused_model_key(region, model_id))
        return None if item is None else rows.read_refused_model(item)

    async def refused_models(self, most: int = PAGE_ITEMS) -> list[RefusedModel]:
        """All that stand, forgotten and expired ones too."""
        items = await self._table.query(keys.REFUSED_MODELS, keys.REFUSED_MODEL, most=most)
        return [rows.read_refused_model(item) for item in items]

    async def history(self, pool: str) -> History:
        """What was seen of the pool's jobs lately."""
        items = await self._table.query(f"pool#{pool}", keys.HISTORY, most=WEEKS_MAX, backwards=True)
        return recent(map(rows.read_history, items))

    async def ahead(self, pool: str, run_id: str = "") -> Ahead:
        """What a pool has to do for others than this run."""
        standing = await self.pool(pool)
        lanes = await self.lanes(pool)
        waiting = (lane.waiting for lane in lanes if lane.gate is Gate.OPEN and lane.run_id != run_id)
        return Ahead(standing.in_use if standing else 0, tuple(count for count in waiting if count > 0))

    async def held(self, holders: Iterable[str]) -> list[Shard]:
        """The shard rows that a pool's holder set names."""
        wanted = []
        for holder in sorted(holders)[:HOLDERS_MAX]:
            run_id, shard, _ = holder.split("/")
            wanted.append(keys.shard_key(run_id, shard))
        found = await self._table.get_many(wanted)
        return [rows.read_shard(found[key]) for key in wanted if key in found]

    async def _pages(self, pk: str, prefix: str, read: Callable[[Item], T]) -> AsyncIterator[T]:
        after = None
        while True:
            page = await self._table.query(pk, prefix, most=PAGE_ITEMS, after=after)
            for item in page:
                yield read(item)
            if len(page) < PAGE_ITEMS:
                return
            after = page[-1]["sk"]


def _bounded(write: Write) -> Write:
    """An item holds 400 KB, and UTF-8 no half surrogate pair: whatever a text came from, it can be written."""
    match write:
        case Put():
            return replace(write, item=_texts_bounded(write.item))
        case Update():
            return replace(write, set=_texts_bounded(write.set))
        case _:
            return write


def _texts_bounded(values: Mapping[str, Any]) -> Mapping[str, Any]:
    cut = {
        name: text
        for name, value in values.items()
        if isinstance(value, str) and name not in WHOLE_ATTRIBUTES and (text := bounded_text(value)) != value
    }
    return {**values, **cut} if cut else values


def _open_run(item: Item) -> OpenRun:
    return OpenRun(item["run_id"], item.get("pool", ""), item["accepted_at"], item.get("sender", ""))
