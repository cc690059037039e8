"""What settling a shard asks of S3: few requests, however many rows it has."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any, TypeVar

import pyarrow as pa
import pytest

from quarry_core.aws.s3.reading import RandomReader, Source
from quarry_core.contract.states import RunState
from quarry_core.ports import ObjectRef
from quarry_core.service.process import World
from tests.world.faults import Faults
from tests.world.objects import FakeObjects
from tests.world.offload import InlineOffload
from tests.world.world import CLAUDE, SimulatedWorld

T = TypeVar("T")
ROWS = 400
PER_SHARD = 100
TOPICS = [f"topic {row} " + hex(row**700) for row in range(ROWS)]  # more than the footer's read takes along
MANIFEST = {"job_name_prefix": "t", "model_id": CLAUDE, "prompt": "{topic}", "max_records_per_job": PER_SHARD}
REQUESTS_MAX = 8


class Asked(Faults):
    """Notes each request to S3 with what it is about."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, str]] = []

    def before(self, name: str, args: tuple[Any, ...] = ()) -> int:
        service, _, request = name.partition(".")
        if service == "objects" and request != "random_access":  # which asks as it reads
            self.requests.append((request, str(args[0])))
        return super().before(name, args)


class Client:
    """What the reader of ranges asks of boto3's client."""

    def __init__(self, objects: FakeObjects) -> None:
        self._objects = objects

    def get_object(self, *, Bucket: str, Key: str, Range: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803 boto3's
        begin, _, last = Range.removeprefix("bytes=").partition("-")
        info = self._objects._find(ObjectRef(Key, Bucket))
        start, end = int(begin or 0), int(last) + 1 if last else len(info.body)
        body = self._objects.read(ObjectRef(Key, Bucket), start, end - start)
        span = f"bytes {start}-{end - 1}/{len(info.body)}"
        return {"Body": io.BytesIO(body), "ContentLength": len(body), "ETag": f'"{info.etag}"', "ContentRange": span}


def as_s3_reads(objects: FakeObjects, ref: ObjectRef) -> RandomReader:
    """The product's own reader of ranges."""
    version = objects._find(ref)
    pinned = ObjectRef(ref.key, ref.bucket or objects.bucket, version.etag, size_bytes=len(version.body))
    return RandomReader(Source.of(Client(objects), pinned, lambda _: None))


async def settled(monkeypatch: pytest.MonkeyPatch, form: str) -> dict[str, list[str]]:
    """What the collector asked S3 for, by shard, from the message to the acknowledgement."""
    asked = Asked()
    world = SimulatedWorld()
    world.start({"collector": asked})
    if form == "csv":
        uri = world.csv(ROWS)
    else:
        uri = world.parquet(pa.table({"topic": TOPICS}), row_group_size=PER_SHARD, compression="none")
    run_id = world.send(MANIFEST | {"s3_uri": uri})
    await world.idle()
    monkeypatch.setattr(FakeObjects, "random_access", as_s3_reads)

    assert (await world.run(run_id)).state is RunState.SUCCEEDED

    by_shard: dict[str, list[str]] = {}
    since: list[str] = []
    for request, key in asked.requests:
        if key.startswith(("plans/", "results/" + run_id + "/_")) or request == "list":
            continue  # of the run, once for all its shards
        since.append(f"{request} {key.partition('/')[0]}")
        if request == "delete":  # the last of each; closing deletes once more
            by_shard.setdefault(key, since)
            since = []
    return by_shard


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("csv", ["stream batch-output", "stream rows", "commit results", "delete batch-input"]),
        ("parquet", ["stream batch-output", "read inputs", "read inputs", "commit results", "delete batch-input"]),
    ],
)
async def test_a_shard_that_is_settled_costs_a_handful_of_requests(monkeypatch, form, expected):
    by_shard = await settled(monkeypatch, form)

    assert len(by_shard) > 1
    for asked in by_shard.values():
        assert asked == expected
        assert len(asked) <= REQUESTS_MAX


class DeletesFirst(InlineOffload):
    """As if threads that write were slow, and those that delete were not."""

    async def run(self, work: Callable[[], T]) -> T:
        if getattr(getattr(work, "func", None), "__name__", "") != "delete":
            for _ in range(10):
                await asyncio.sleep(0)
        return await super().run(work)


class SlowWriters(SimulatedWorld):
    def process_world(self, faults: Faults | None = None, **others: Any) -> World:
        return super().process_world(faults, offload=DeletesFirst(), **others)


async def test_an_input_is_deleted_while_the_part_is_written():
    asked = Asked()
    world = SlowWriters()
    world.start({"collector": asked})
    run_id = world.send(MANIFEST | {"s3_uri": world.csv(PER_SHARD)})

    assert (await world.run(run_id)).state is RunState.SUCCEEDED

    requests = [f"{request} {key.partition('/')[0]}" for request, key in asked.requests]
    assert requests.index("stream batch-output") < requests.index("delete batch-input")
    assert requests.index("delete batch-input") < requests.index("commit results")


async def test_where_the_copy_of_its_rows_is_missing_a_shard_is_joined_to_the_source():
    world = SimulatedWorld()
    table = pa.table({"topic": TOPICS})
    run_id = world.send(MANIFEST | {"s3_uri": world.parquet(table, row_group_size=ROWS)})
    await world.idle()
    copies = [key for key in world.objects.bodies if key.startswith(f"rows/{run_id}/")]
    assert copies, "shards that share a row group have copies of their rows"

    world.objects.delete(copies[0])

    assert (await world.run(run_id)).state is RunState.SUCCEEDED
    assert world.result(run_id).column("topic").to_pylist() == TOPICS
