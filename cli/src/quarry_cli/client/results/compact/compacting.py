"""`quarry compact`: the parts of an ended run's results, merged into few large ones beside them.

Theory of operation. What is published never changes, so the parts of the shards stay, and the merged ones are written under a
prefix of their own, `results/compact_parts/<run>/`. First comes the plan, which says what is merged into what; the first one
that stands is followed by everybody. Each merged part is made on this machine, proven there to hold the rows of its parts, value by
value, and then published once, under a name that follows from the plan. When all of them stand and have as many rows as the run,
`_SUCCESS` is written for whoever reads the bucket, and last of all the ledger names them, from which on every command takes them.

So whatever is interrupted goes on when the command is called again, two at once do no harm, and until the last write readers
have the parts of the shards. A run that is being erased meanwhile is looked for before each part is published.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event

import msgspec

from quarry_cli.client.aside import aside
from quarry_cli.client.caller import audit, caller
from quarry_cli.client.connections import Connections
from quarry_cli.client.results.compact.grouping import AIM_MIB, AIM_MIB_MAX, AIM_MIB_MIN, MIB, groups_of
from quarry_cli.client.results.compact.merged import COPY_BYTES, merge
from quarry_cli.client.results.readable import readable
from quarry_cli.client.results.result_parts import compact_parts_of, parts_of
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.client.session import Session
from quarry_cli.errors import BadSetting, NoResults, NotCompacted
from quarry_core.contract.names import (
    compact_part_key,
    compact_plan_key,
    compact_prefix,
    compact_success_key,
    s3_uri,
)
from quarry_core.errors import Conflict, Missing, Stale
from quarry_core.ledger import moves
from quarry_core.ports import ObjectInfo, ObjectRef, Objects, Upload
from quarry_core.tabular.parquet.part_errors import PartError

TRIES_MAX = 5

Tell = Callable[[int, int], None]


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """What `quarry compact --json` prints.

    Attributes:
        run_id: whose results they are, and `version` of the dataset of run `of`.
        uri: where the merged parts are; None if nothing had to be merged.
        before: parts of the shards; `parts`: merged ones, or as many as before.
        size_bytes: of all merged parts; `rows` in them. Both are None where this call wrote and looked at nothing.
        already: they stood before, and the ledger named them.
    """

    run_id: str
    of: str
    version: int
    uri: str | None
    before: int
    parts: int
    rows: int | None
    size_bytes: int | None
    already: bool


class Source(msgspec.Struct, frozen=True, array_like=True):
    """A part of a shard as it was listed."""

    key: str
    etag: str
    size_bytes: int


class CompactPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is merged into what: the `n`-th group is the `n`-th merged part. `aim_mib` is what it was asked for."""

    run_id: str
    aim_mib: int
    groups: list[list[Source]]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    def identity(self, number: int) -> dict[str, str]:
        """What is in the metadata of a merged part."""
        return {"kind": "compact-part", "run": self.run_id, "number": str(number), "plan": self.sha256}


def compact_run(
    session: Session, run_id: str, aim_mib: int | None, *, version: int | None = None, tell: Tell | None = None
) -> Compacted:
    """Merge the parts of an ended run that is found. Blocking. Raises as `compact` does, and NoSuchRun, NotEnded, NoResults."""
    check_aim(aim_mib)
    view, objects = readable(session, run_id, version=version)
    return session.do(lambda connections: compact(connections, objects, view, aim_mib, tell))


def check_aim(aim_mib: int | None) -> None:
    """Raises BadSetting."""
    if aim_mib is not None and not AIM_MIB_MIN <= aim_mib <= AIM_MIB_MAX:
        raise BadSetting(f"part_mib is {aim_mib}: it must be {AIM_MIB_MIN} to {AIM_MIB_MAX}")


async def compact(
    connections: Connections, objects: Objects, view: RunView, aim_mib: int | None = None, tell: Tell | None = None
) -> Compacted:
    """Merge the parts of an ended run's results, and let readers take them.

    Args:
        objects: the bucket.
        view: of the run whose results are meant, which may be read.
        aim_mib: about how large merged parts are to be; None takes what was begun with, or the default.
        tell: called with the number of merged parts that stand, and of all.

    Raises:
        BadSetting, NoResults.
        NotCompacted: it cannot be, and why; readers have what they had.
        PortError: as `Objects` and `Table` do; call it again.
    """
    check_aim(aim_mib)
    parts = await aside(partial(parts_of, objects, view.run_id))
    if not parts:
        raise NoResults(f"run {view.run_id} has no result parts")
    if view.compact is not None:
        return await _already(objects, view, len(parts), aim_mib)
    plan = await aside(partial(_agreed, objects, view, parts, aim_mib))
    if plan is None:
        return _done(view, None, before=len(parts), parts=len(parts))
    stop, rows, size_bytes = Event(), 0, 0
    try:
        for number, group in enumerate(plan.groups):
            if tell is not None:
                tell(number, len(plan.groups))
            info = await _part(connections, objects, plan, number, group, stop)
            rows += int(info.metadata["rows"])
            size_bytes += info.size_bytes
    finally:
        stop.set()  # an interrupt does not wait for gigabytes
    if rows != view.rows.enlisted:
        raise NotCompacted(
            f"the parts of run {view.run_id} hold {rows:,} rows, but should hold {view.rows.enlisted:,}: quarry verify"
            f" {view.run_id} says where the difference is"
        )
    await _check_stays(connections, view.run_id)
    metadata = {"kind": "compact-success", "run": view.run_id, "plan": plan.sha256}
    await aside(partial(_put, objects, compact_success_key(view.run_id), b"", metadata))
    await _publish(connections, view.run_id, len(parts), len(plan.groups))
    uri = s3_uri(connections.bucket, compact_prefix(view.run_id))
    return _done(view, uri, before=len(parts), parts=len(plan.groups), rows=rows, size_bytes=size_bytes)


def _done(
    view: RunView,
    uri: str | None,
    *,
    before: int,
    parts: int,
    rows: int | None = None,
    size_bytes: int | None = None,
    already: bool = False,
) -> Compacted:
    return Compacted(
        run_id=view.run_id,
        of=view.of,
        version=view.version,
        uri=uri,
        before=before,
        parts=parts,
        rows=rows,
        size_bytes=size_bytes,
        already=already,
    )


async def _already(objects: Objects, view: RunView, before: int, aim_mib: int | None) -> Compacted:
    assert view.compact is not None
    found = await aside(partial(compact_parts_of, objects, view))
    if not found:
        raise NotCompacted(
            f"the ledger says that run {view.run_id} was compacted into {view.compact.parts:,} parts at {view.compact.at},"
            f" and not as many stand at {view.compact.uri}: somebody has deleted some. Every command takes the parts of the"
            " shards meanwhile"
        )
    standing = await aside(partial(_standing_plan, objects, view.run_id))
    if standing is not None:
        _check_same_aim(view, standing, aim_mib)
    return _done(
        view,
        view.compact.uri,
        before=before,
        parts=view.compact.parts,
        size_bytes=sum(each.size_bytes for each in found),
        already=True,
    )


# --------------------------------------------------------------------------- the plan


def _agreed(objects: Objects, view: RunView, parts: Sequence[ObjectInfo], aim_mib: int | None) -> CompactPlan | None:
    """The plan that everybody follows; None if there is nothing to merge. Blocking."""
    plan = _standing_plan(objects, view.run_id)
    if plan is None:
        aim = AIM_MIB if aim_mib is None else aim_mib
        groups = groups_of([part.size_bytes for part in parts], aim * MIB)
        if len(groups) == len(parts):
            return None
        sources = [Source(part.key, part.etag, part.size_bytes) for part in parts]
        plan = CompactPlan(run_id=view.run_id, aim_mib=aim, groups=[sources[each.start : each.stop] for each in groups])
        metadata = {"kind": "compact-plan", "run": view.run_id}
        if not _put(objects, compact_plan_key(view.run_id), msgspec.json.encode(plan), metadata):
            plan = _standing_plan(objects, view.run_id)
            assert plan is not None
    _check_same_aim(view, plan, aim_mib)
    planned = [(each.key, each.etag) for group in plan.groups for each in group]
    if planned != [(part.key, part.etag) for part in parts] or plan.run_id != view.run_id:
        raise NotCompacted(
            f"{compact_plan_key(view.run_id)} names other parts than stand under {view.results_uri}: quarry verify"
            f" {view.run_id} says what is wrong with them"
        )
    return plan


def _standing_plan(objects: Objects, run_id: str) -> CompactPlan | None:
    key = compact_plan_key(run_id)
    try:
        return msgspec.json.decode(objects.read(ObjectRef(key)), type=CompactPlan)
    except Missing:
        return None
    except msgspec.DecodeError as error:
        raise NotCompacted(f"{key} is no plan ({error}): somebody else wrote it; delete it, and call again") from error


def _check_same_aim(view: RunView, plan: CompactPlan, aim_mib: int | None) -> None:
    if aim_mib not in (None, plan.aim_mib):
        raise NotCompacted(
            f"run {view.run_id} is compacted into parts of about {plan.aim_mib} MiB, which stays so: leave out the size, or"
            f" give {plan.aim_mib}"
        )


# --------------------------------------------------------------------------- a merged part


async def _part(
    connections: Connections, objects: Objects, plan: CompactPlan, number: int, group: Sequence[Source], stop: Event
) -> ObjectInfo:
    """The merged part as it stands, made if it did not."""
    standing = await aside(partial(_standing_part, objects, plan, number))
    if standing is not None:
        return standing
    made = await aside(partial(_made, objects, plan, number, group, stop))
    try:
        await _check_stays(connections, plan.run_id)
        await aside(partial(_commit, made, compact_part_key(plan.run_id, number)))
    finally:
        await aside(made.abort)
    standing = await aside(partial(_standing_part, objects, plan, number))
    if standing is None:
        raise NotCompacted(f"{compact_part_key(plan.run_id, number)} was deleted as soon as it was written")
    return standing


def _standing_part(objects: Objects, plan: CompactPlan, number: int) -> ObjectInfo | None:
    """Raises NotCompacted: something else stands there."""
    key = compact_part_key(plan.run_id, number)
    try:
        info = objects.head(ObjectRef(key))
    except Missing:
        return None
    if not plan.identity(number).items() <= dict(info.metadata).items() or "rows" not in info.metadata:
        raise NotCompacted(f"{key} is another object than Quarry would write there: delete it, and call again")
    return info


def _made(objects: Objects, plan: CompactPlan, number: int, group: Sequence[Source], stop: Event) -> Upload:
    """A merged part that only has to be published. Blocking."""
    sources = [ObjectInfo(each.key, each.size_bytes, each.etag) for each in group]
    with tempfile.TemporaryFile(prefix="quarry-merged-") as file:
        try:
            rows = merge(objects, sources, file, None, stop)
        except PartError as error:
            raise NotCompacted(
                f"the parts from {sources[0].key} on cannot be merged with this pyarrow ({error}); they stay as they are"
            ) from error
        upload = objects.create(compact_part_key(plan.run_id, number), {**plan.identity(number), "rows": str(rows)})
        with contextlib.ExitStack() as stack:
            stack.callback(upload.abort)
            file.seek(0)
            while piece := file.read(COPY_BYTES):
                upload.write(piece)
            stack.pop_all()  # it is whole: whoever gets it commits or aborts
            return upload


def _commit(upload: Upload, key: str) -> None:
    try:
        upload.commit()
    except Conflict as error:
        raise NotCompacted(
            f"{key} is another object than Quarry would write there: delete it, and call again"
        ) from error


def _put(objects: Objects, key: str, body: bytes, metadata: dict[str, str]) -> bool:
    try:
        return objects.put_once(key, body, metadata)
    except Conflict as error:
        raise NotCompacted(
            f"{key} is another object than Quarry would write there: delete it, and call again"
        ) from error


# --------------------------------------------------------------------------- the ledger


async def _check_stays(connections: Connections, run_id: str) -> None:
    totals = await connections.ledger.totals(run_id)
    if totals is None or totals.erasing_at:
        raise NotCompacted(
            f"run {run_id} is being erased: erase it once more when that has ended, for parts of it were written"
        )


async def _publish(connections: Connections, run_id: str, before: int, parts: int) -> None:
    """From here on every command takes the merged parts."""
    who = await caller(connections)
    for _ in range(TRIES_MAX):
        await _check_stays(connections, run_id)
        totals = await connections.ledger.totals(run_id)
        assert totals is not None
        if totals.compact_at:
            return  # another call came first, with the same parts
        by = moves.By(connections.clock.now().isoformat(), who)
        kept = audit(connections, "compact", who, by.at, run_id=run_id, what=f"{before} parts into {parts}")
        try:
            await connections.ledger.apply([*moves.publish_compact(totals, by, parts), *kept])
        except Stale:
            continue
        return
    raise NotCompacted(f"run {run_id} changes faster than its parts can be named; call again")
