"""`quarry retry`: the error rows of an ended run are asked again, and the results become the next version of its dataset.

Theory of operation. First all is looked at that decides whether it can be: the run and the versions of its dataset, its shards,
its plan, its prompt, and in the parts of the newest version which rows it would ask. Then one transaction accepts the retry as a
run of its own, with its number among the versions; of two that are asked for at once, one is. From there on the services
bring it to its end like any run, whatever fails. Nothing of a version that stands is ever changed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import msgspec

from quarry_cli.client.aside import aside
from quarry_cli.client.caller import audit, caller
from quarry_cli.client.connections import Connections
from quarry_cli.client.results.parts import batches_of, open_part
from quarry_cli.client.runs.search import find_run, no_such_run
from quarry_cli.errors import BadSetting, NotRetried
from quarry_core.contract.manifest_identity import canonical_json
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import part_key, plan_key, results_prefix, version_id
from quarry_core.contract.record_errors import RecordRetries
from quarry_core.contract.run import Pins, Run
from quarry_core.contract.versions import VERSIONS_MAX, RetryOf
from quarry_core.errors import Missing, PortError, Stale
from quarry_core.ledger import moves
from quarry_core.ledger.moves.runs import TEXT_DAYS
from quarry_core.ledger.rows import Shard, Totals
from quarry_core.models import limits_of
from quarry_core.models.prices import on_demand_price_of, price_of
from quarry_core.planning.rounds import Way, way_of
from quarry_core.ports import ObjectRef, Objects

TRIES_MAX = 5
PARTS_AT_ONCE = 4
OPEN_RUNS_MAX = 1_000  # as many as a sweep looks after
ROWS_AT_ONCE = 65_536
ID_TRIES = (False, True)
CODE_CHARS_MAX = 64


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """A retry, as it would be or as it was begun.

    Attributes:
        run_id: of the run that asks the rows again; its results are version `version` of the dataset of run `of`.
        base: the run whose results it starts from: the newest version.
        rows: of the dataset; `asked` of them are asked again, by their error code in `errors`; `stay` by code have an error
            and are not.
        way: `jobs`; or `on_demand`, for there are too few for a job; None where nothing would be asked.
        jobs: at least so many.
        dollars: about what it would cost, if the answers are as long as those there are; None where that is not known.
        begun: False: it was only looked at. `woken`: the services were told; else their timers come to it.
    """

    run_id: str
    of: str
    version: int
    base: str
    rows: int
    asked: int
    errors: dict[str, int]
    stay: dict[str, int]
    way: Way | None
    jobs: int
    dollars: float | None
    begun: bool = False
    woken: bool = False


async def look(connections: Connections, text: str, codes: Sequence[str] = (), *, every: bool = False) -> Retry:
    """What a retry would ask, which may be nothing. Only reads. Raises as `begin`."""
    return (await _planned(connections, text, codes, every=every)).retry


async def begin(connections: Connections, text: str, codes: Sequence[str] = (), *, every: bool = False) -> Retry:
    """Ask the error rows of an ended run again.

    Args:
        text: a run, or a version of its dataset, or the beginning of its id.
        codes: the error codes whose rows are asked again; by default those that another attempt may answer.
        every: all rows with an error are asked again.

    Raises:
        NoSuchRun, SeveralRuns.
        BadSetting: `codes` and `every` together, or a code that no row could have.
        NotRetried: it cannot be, and why; nothing was begun.
    """
    who: str | None = None
    for _ in range(TRIES_MAX):
        planned = await _planned(connections, text, codes, every=every)
        if not planned.retry.asked:
            raise NotRetried(nothing_asked(planned.retry))
        who = await caller(connections) if who is None else who
        at = connections.clock.now().isoformat()
        days = planned.first.text_days or TEXT_DAYS
        try:
            what = f"{planned.retry.asked} rows again, as version {planned.retry.version}"
            kept = audit(connections, "retry", who, at, run_id=planned.retry.of, what=what)
            begun = moves.begin_version(planned.first, planned.accepted(at), moves.By(at, who), days)
            await connections.ledger.apply([*begun, *kept])
        except Stale:
            continue  # another retry has begun, or the run is being erased: the next look says which
        woken = await _wake(connections, planned.retry.run_id)
        return msgspec.structs.replace(planned.retry, begun=True, woken=woken)
    raise NotRetried(f"run {text} changes faster than a retry can be begun; try again")


@dataclass(frozen=True, slots=True)
class _Planned:
    retry: Retry
    first: Totals
    pins: Pins

    def accepted(self, at: str) -> Run:
        assert self.pins.retry is not None
        asked = canonical_json(self.pins.retry.model_dump(mode="json"))
        digest = hashlib.sha256(asked.encode()).hexdigest()
        return Run(run_id=self.retry.run_id, manifest_hash=digest, accepted_at=at, pins=self.pins)


async def _planned(connections: Connections, text: str, codes: Sequence[str], *, every: bool) -> _Planned:
    _check(codes, every=every)
    ledger = connections.ledger
    found = await find_run(connections, text)
    named = await ledger.run(found)
    if named is None:
        raise await no_such_run(connections, found)
    first, totals = await ledger.run(named.counted_as), await ledger.totals(named.counted_as)
    if first is None or totals is None:
        raise await no_such_run(connections, named.counted_as)
    await _check_ended(connections, totals)
    base_id = totals.newest or totals.run_id
    base, base_totals = await ledger.run(base_id), await ledger.totals(base_id)
    if base is None or base_totals is None:
        raise await no_such_run(connections, base_id)
    if base.pins is None or first.pins is None:
        raise NotRetried(f"run {totals.run_id} was refused before anything was read: submit its manifest again")
    shards = [shard async for shard in ledger.shards(base_id) if not shard.retries]
    _check_whole(first.pins, base_totals, shards)
    if await ledger.text_is_gone(base_id):
        raise NotRetried(
            f"the prompt of run {base_id} has left the ledger, QUARRY_PROMPT_TEXT_DAYS after its end: {_by_hand(base_id)}"
        )
    if len(await ledger.open_runs(most=OPEN_RUNS_MAX)) >= OPEN_RUNS_MAX:
        raise NotRetried(f"{OPEN_RUNS_MAX:,} runs are open, and a retry would be one more: wait until some have ended")
    number = (totals.last_version or 1) + 1
    if number > VERSIONS_MAX:
        raise NotRetried(f"the dataset of run {totals.run_id} has {VERSIONS_MAX} versions: {_by_hand(base_id)}")
    of = RetryOf(root=totals.run_id, base=base_id, version=number, codes=tuple(codes), every=every)
    asked, stay = await aside(partial(_counted, connections.objects(), of, base.pins.result_prefix, shards))
    retries = first.pins.record_retries
    pins = base.pins.model_copy(
        update={
            "retry": of,
            # What is carried over counts as its first round.
            "record_retries": RecordRetries(codes=retries.codes, max_attempts=retries.max_attempts + 1),
        }
    )
    way = _way(pins, asked.total())
    retry = Retry(
        run_id=await _free_id(connections, totals.run_id, number),
        of=totals.run_id,
        version=number,
        base=base_id,
        rows=base_totals.accepted,
        asked=asked.total(),
        errors=dict(sorted(asked.items())),
        stay=dict(sorted(stay.items())),
        way=way,
        jobs=_jobs(pins, asked.total()) if way == "jobs" else 0,
        dollars=_dollars(pins, totals, asked.total(), way),
    )
    return _Planned(retry, totals, pins)


def _check(codes: Sequence[str], *, every: bool) -> None:
    if codes and every:
        raise BadSetting("codes: all rows with an error are asked again already: give either codes, or all")
    for code in codes:
        if not code.isascii() or not code.replace("_", "").isupper() or len(code) > CODE_CHARS_MAX:
            raise BadSetting(f"{code!r} is no error code: they are like MODEL_ERROR (docs/results.md lists them)")


async def _check_ended(connections: Connections, totals: Totals) -> None:
    run_id = totals.run_id
    if totals.erasing_at:
        raise NotRetried(f"run {run_id} was erased at {totals.erasing_at}: nothing is left to be asked again")
    if not totals.state.terminal:
        raise NotRetried(f"run {run_id} is {totals.state}: its errors can be asked again when it has ended")
    versions = await connections.ledger.versions(run_id)
    if versions:
        last = versions[-1]
        making = await connections.ledger.totals(last.made_by)
        if making is not None and not making.state.terminal:
            raise NotRetried(
                f"version {last.number} of run {run_id} is being made, by run {last.made_by} ({making.state}): wait for"
                f" it (quarry watch {last.made_by}), or cancel it"
            )


def _check_whole(pins: Pins, base: Totals, shards: Sequence[Shard]) -> None:
    """Every row of the run is in its results, and its shards are known."""
    run_id = base.run_id
    if pins.dry_run:
        raise NotRetried(f"run {run_id} is a dry run: nothing of it was asked")
    if not base.plan:
        raise NotRetried(f"run {run_id} ended before it was planned: submit its manifest again")
    if base.fault or base.enlisted != base.accepted:
        why = base.fault or base.message
        raise NotRetried(f"run {run_id} ended before all of its rows were read or joined ({why}): submit it again")
    if sum(shard.rows for shard in shards) != base.accepted:
        raise NotRetried(f"the ledger has forgotten the shards of run {run_id} (after 180 days): {_by_hand(run_id)}")


def _by_hand(run_id: str) -> str:
    return f"name its results as the source of another run (s3_uri results/{run_id}/part-*.parquet, where status = 'error')"


def _counted(objects: Objects, of: RetryOf, prefix: str, shards: Sequence[Shard]) -> tuple[Counter[str], Counter[str]]:
    """Rows by error code: those that are asked again, and those that are not. Blocking; reads a few parts at once."""
    asked, stay = Counter[str](), Counter[str]()
    with_errors = [shard.shard for shard in shards if shard.ok < shard.rows]
    try:
        objects.head(ObjectRef(plan_key(of.root)))
        _check_parts(objects, of, shards)
        with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
            for again, left in pool.map(partial(_count_part, objects, of, prefix), with_errors):
                asked.update(again)
                stay.update(left)
    except Missing as error:
        raise NotRetried(
            f"what run {of.base} is retried from does not lie in the bucket any more ({error}): submit it again"
        ) from error
    return asked, stay


def _check_parts(objects: Objects, of: RetryOf, shards: Sequence[Shard]) -> None:
    """Raises Missing: also parts without any error are carried over."""
    standing = {info.key for info in objects.list(results_prefix(of.base))}
    gone = [key for shard in shards if (key := part_key(of.base, shard.shard)) not in standing]
    if gone:
        raise Missing(f"{gone[0]}{f' and {len(gone) - 1} more' if len(gone) > 1 else ''}")


def _count_part(objects: Objects, of: RetryOf, prefix: str, shard: str) -> tuple[Counter[str], Counter[str]]:
    asked, stay = Counter[str](), Counter[str]()
    names = [prefix + name for name in ("error_code", "error_message")]
    with closing(objects.random_access(ObjectRef(part_key(of.base, shard)))) as body, open_part(body) as part:
        for batch in batches_of(part, ROWS_AT_ONCE, names):
            found = zip(*(batch.column(batch.schema.get_field_index(name)).to_pylist() for name in names), strict=True)
            for code, message in found:
                if code is not None:
                    (asked if of.chooses(code, message) else stay)[code] += 1
    return asked, stay


def nothing_asked(found: Retry) -> str:
    """Why a retry cannot be begun that asks nothing."""
    left = ", ".join(f"{count:,} {code}" for code, count in found.stay.items())
    more = f"; {left} would stay (--all asks them too)" if left else ""
    return f"no row of run {found.of} has an error that is to be asked again{more}"


def _way(pins: Pins, asked: int) -> Way | None:
    """None for nothing. Raises NotRetried: there is no way to ask so few."""
    if not asked:
        return None
    limits = limits_of(pins.model)
    way = way_of(asked, limits.records_min, pins.on_demand_below)
    if way is None:
        raise NotRetried(
            f"{asked:,} rows would be asked again, the model's smallest job has {limits.records_min:,} records, and"
            " the run asks nothing on demand (on_demand_below is 0)"
        )
    return way


def _jobs(pins: Pins, records: int) -> int:
    limits = limits_of(pins.model)
    most = min(limits.records_max, pins.max_records_per_job or limits.records_max)
    return max(1, min(-(-records // most), records // limits.records_min))


def _dollars(pins: Pins, first: Totals, records: int, way: Way | None) -> float | None:
    """By the LLM tokens of the answers that the first run got."""
    price = price_of(pins.model) if way == "jobs" else on_demand_price_of(pins.model)
    if price is None or not first.ok or first.input_tokens is None or first.output_tokens is None:
        return None
    return price.dollars(
        round(first.input_tokens / first.ok * records), round(first.output_tokens / first.ok * records)
    )


async def _free_id(connections: Connections, run_id: str, number: int) -> str:
    """An id that no run has; a run of somebody else's may have the readable one."""
    for taken in ID_TRIES:
        name = version_id(run_id, number, taken=taken)
        if await connections.ledger.run(name) is None:
            return name
    raise NotRetried(f"no id is free for version {number} of run {run_id}")


async def _wake(connections: Connections, run_id: str) -> bool:
    """The retry is accepted: no failure here undoes that, and the sweep finds it."""
    if connections.wake is None:
        return False
    try:
        return await connections.wake("slices", Wakeup(step="count", run_id=run_id))
    except PortError:
        return False
