"""`quarry erase`: nothing of a run is left but a tombstone, which says that its id was used.

Theory of operation. The ledger first notes that the run is being erased, so that nobody reads it any more; then all
versions of all its objects go, delete markers too, a thousand at a time; then its items in the ledger; last of all run
and totals lose what they say and keep numbers, times and the manifest's hash, so that the same manifest is not paid again.
Whatever is interrupted goes on from where it is: what is gone is not found again. May be called any number of times, also
for a run that was erased before: what somebody late may have written since then goes too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice

import msgspec

from quarry_cli.client.aside import aside
from quarry_cli.client.caller import audit, caller
from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.search import no_such_run
from quarry_cli.errors import NotConfigured, NotEnded
from quarry_core.contract.names import compact_prefix, plan_key
from quarry_core.errors import Stale
from quarry_core.ledger import keys, moves
from quarry_core.ledger.rows import Totals
from quarry_core.ports import ERASED_AT_ONCE_MAX, Key, ObjectVersion, Versions

# Of every kind of object that a run has; each is a folder of the run's own.
FOLDERS = ("batch-input", "batch-output", "on-demand", "rows", "plans", "outcomes", "again", "results")
ITEMS_AT_ONCE = 100
STALE_MAX = 20
KEPT = ("run", "totals")

Tell = Callable[[int], None]


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased just now.

    Attributes:
        versions: of objects, delete markers included; `size_bytes` of them together.
        items: of the ledger.
        at: when it was done, ISO 8601 in UTC; `by`: whoever asked for it first, an ARN, empty where it is not known.
    """

    run_id: str
    versions: int
    size_bytes: int
    items: int
    at: str
    by: str


async def erase(connections: Connections, run_id: str, tell: Tell | None = None) -> Erased:
    """Erase an ended run, with all versions of its dataset. `run_id` is whole: no beginning of an id will do.

    Args:
        tell: called with the number of versions that are erased, as it grows.

    Raises:
        NoSuchRun.
        NotEnded: it, or a retry of it, has not ended; or it is a version of another's dataset.
        PortError: what AWS refused; what is erased stays so, and the rest goes the next time.
    """
    if connections.versions is None:
        raise NotConfigured("nothing can be erased through this connection")
    totals = await connections.ledger.totals(run_id)
    if totals is None:
        raise await no_such_run(connections, run_id)
    if not totals.state.terminal:
        raise NotEnded(f"run {run_id} is {totals.state}: cancel it first (quarry cancel {run_id}), then erase it")
    run = await connections.ledger.run(run_id)
    if run is not None and run.counted_as != run_id:
        raise NotEnded(
            f"run {run_id} is version {run.version} of the dataset of run {run.counted_as}: erase that one, with all of"
            " its versions"
        )
    # The later versions first: who erases again after a crash finds them by what is left of the first.
    retries = [each.made_by for each in reversed(await connections.ledger.versions(run_id))]
    for made_by in retries:
        making = await connections.ledger.totals(made_by)
        if making is not None and not making.state.terminal:
            raise NotEnded(f"run {made_by} makes a version of its dataset ({making.state}): cancel it first")
    totals = await _begun(connections, totals)
    done = [await _erase(connections, made_by, tell) for made_by in retries]
    done.append(await _erase(connections, run_id, tell))
    return Erased(
        run_id=run_id,
        versions=sum(each.versions for each in done),
        size_bytes=sum(each.size_bytes for each in done),
        items=sum(each.items for each in done),
        at=done[-1].at,
        by=totals.erased_by,
    )


async def _erase(connections: Connections, run_id: str, tell: Tell | None) -> Erased:
    """One run, which makes one version."""
    assert connections.versions is not None
    totals = await connections.ledger.totals(run_id)
    if totals is None:
        raise await no_such_run(connections, run_id)
    totals = await _begun(connections, totals)
    versions, size_bytes = await _objects(connections.versions(), run_id, tell)
    items = await _items(connections, run_id)
    at = await _end(connections, totals)
    return Erased(run_id=run_id, versions=versions, size_bytes=size_bytes, items=items, at=at, by=totals.erased_by)


async def _begun(connections: Connections, totals: Totals) -> Totals:
    if not totals.erasing_at:
        by = moves.By(connections.clock.now().isoformat(), await caller(connections))
        try:
            kept = audit(connections, "erase", by.who, by.at, run_id=totals.run_id)
            await connections.ledger.apply([*moves.begin_erasing(totals, by), *kept])
        except Stale as error:
            now = await connections.ledger.totals(totals.run_id)
            if now is None or not now.erasing_at:
                raise NotEnded(f"run {totals.run_id} has just been changed, by a retry most likely") from error
    return await connections.ledger.totals(totals.run_id) or totals


async def _objects(versions: Versions, run_id: str, tell: Tell | None) -> tuple[int, int]:
    """All versions under the run's folders, and their bytes."""
    count = size_bytes = 0
    for prefix in (*(f"{folder}/{run_id}/" for folder in FOLDERS), plan_key(run_id), compact_prefix(run_id)):
        left = True
        while left:  # until a whole listing shows nothing
            left, found = False, versions.under(prefix)
            while some := await aside(partial(_some, found)):
                left = True
                await aside(partial(versions.erase, some))
                count += len(some)
                size_bytes += sum(each.size_bytes for each in some)
                if tell is not None:
                    tell(count)
    return count, size_bytes


def _some(found: Iterator[ObjectVersion]) -> list[ObjectVersion]:
    return list(islice(found, ERASED_AT_ONCE_MAX))


async def _items(connections: Connections, run_id: str) -> int:
    """All items of the run but the two that become its tombstone."""
    pk, count, stale = keys.run_pk(run_id), 0, 0
    while True:
        found = await connections.table.query(pk, most=ITEMS_AT_ONCE + len(KEPT))
        erased = [(pk, str(item["sk"])) for item in found if item["sk"] not in KEPT][:ITEMS_AT_ONCE]
        if not erased:
            return count
        try:
            await connections.ledger.apply(moves.erase_items(erased))
        except Stale:
            stale += 1  # some have just expired, or another erases them
            if stale > STALE_MAX:
                raise
            count += await _one_by_one(connections, erased)
            continue
        count += len(erased)


async def _one_by_one(connections: Connections, erased: Iterable[Key]) -> int:
    count = 0
    for key in erased:
        try:
            await connections.ledger.apply(moves.erase_items([key]))
        except Stale:
            continue
        count += 1
    return count


async def _end(connections: Connections, totals: Totals) -> str:
    run = await connections.ledger.run(totals.run_id)
    at = totals.erased_at or connections.clock.now().isoformat()
    if run is not None and not totals.erased_at:
        try:
            await connections.ledger.apply(moves.end_erasing(totals, run.manifest_hash, at))
        except Stale:
            now = await connections.ledger.totals(totals.run_id)
            if now is None or not now.erased_at:
                raise
            at = now.erased_at
    return at
