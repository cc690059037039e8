"""Manifests that come twice, that clash, that are poison; sources that are cut, split or changed under our feet."""

from __future__ import annotations

import dataclasses
import gc
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.names import prompt_key
from quarry_core.contract.states import RunState
from tests.unit.flow.acts import enlist, healthy_dead, play, shards, step
from tests.world.world import CLAUDE, SimulatedWorld


def objects_of(world, run_id):
    return {key: body for key, body in world.objects.bodies.items() if f"/{run_id}/" in key}


def versions_of(world, run_id):
    """Every version ever written, for an overwrite with equal bytes is one too."""
    stored = world.objects._buckets[world.objects.bucket].versions
    return {key: len(versions) for key, versions in stored.items() if f"/{run_id}/" in key}


# --------------------------------------------------------------------------- the same again


@pytest.mark.promise("I3", "S4")
async def test_the_same_manifest_again_makes_no_new_job_and_leaves_the_same_bytes():
    world = SimulatedWorld()
    manifest = world.joke(rows=300, max_records_per_job=100, run_id="again")
    world.send(manifest)
    totals = await play(world, "again")
    jobs, objects, versions = len(world.jobs.all), objects_of(world, "again"), versions_of(world, "again")

    world.send(manifest)
    world.send(dict(reversed(manifest.items())))  # the order of keys says nothing
    for _ in range(3):
        await step(world)

    assert len(world.jobs.all) == jobs
    assert objects_of(world, "again") == objects
    assert versions_of(world, "again") == versions
    assert await world.totals("again") == totals
    assert healthy_dead(world) == {}


@pytest.mark.promise("I1", "I3")
async def test_the_same_message_delivered_again_is_the_same_run():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100))
    [message] = await world.queues["manifests"].receive(1, 0)
    world.queues["manifests"].deliver_again(message)
    world.clock.advance(31)

    totals = await play(world, run_id)

    assert totals.state is RunState.SUCCEEDED
    assert len(world.jobs.all) == 1
    assert [run.run_id for run in await world.ledger.done_runs("2026-01")] == [run_id]


async def test_two_messages_without_a_run_id_are_two_runs():
    world = SimulatedWorld()
    manifest = world.joke(rows=100)
    first, second = world.send(manifest), world.send(manifest)

    assert first != second
    assert (await play(world, first)).state is RunState.SUCCEEDED
    assert (await play(world, second)).state is RunState.SUCCEEDED


@pytest.mark.promise("L6", "I3")
async def test_another_manifest_under_a_used_run_id_is_dead_lettered_and_the_first_goes_on():
    world = SimulatedWorld()
    world.send(world.joke(rows=100, run_id="mine"))
    world.send(world.joke(rows=100, run_id="mine", job_name_prefix="other"))

    totals = await play(world, "mine")

    assert totals.state is RunState.SUCCEEDED
    [dead_letter] = world.queues["manifests"].dead
    assert "mine belongs to another manifest" in dead_letter.attributes["quarry_reason"]
    assert [job.name.split("-")[0] for job in world.jobs.all] == ["jokes"]


@pytest.mark.promise("S9", "L6", "L5")
async def test_poison_is_out_of_the_way_on_first_sight_and_harms_no_neighbour():
    world = SimulatedWorld()
    runs = []
    for number in range(6):
        runs.append(world.send(world.joke(rows=100, run_id=f"healthy{number}")))
        world.send("no JSON at all {")
        world.send("[1, 2]")
        world.send("[" * 100_000)
        world.queues["slices"].put("no wake-up")
        world.queues["scheduler"].put('{"v": 2, "step": "settle", "run_id": "healthy0"}')
        world.queues["collector"].put('{"v": 2, "step": "dance"}')
        world.queues["events"].put("no event")

    for run_id in runs:
        assert (await play(world, run_id)).state is RunState.SUCCEEDED

    assert {name: len(queue.dead) for name, queue in world.queues.items()} == {
        "manifests": 18,
        "slices": 6,
        "on-demand": 0,
        "scheduler": 6,
        "collector": 6,
        "events": 6,
    }
    reasons = [dead_letter.attributes["quarry_reason"] for queue in world.queues.values() for dead_letter in queue.dead]
    assert all(reasons)
    assert not any("RecursionError" in reason for reason in reasons), "judged at last, after ten tries"
    assert all(not queue.bodies for queue in world.queues.values())


# --------------------------------------------------------------------------- cut and split


@pytest.mark.parametrize(
    ("limit", "planned"), [({"max_num_jobs": 2, "max_records_per_job": 150}, 300), ({"max_records_total": 250}, 250)]
)
async def test_rows_that_a_limit_cuts_off_are_reported_in_the_report(limit, planned):
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=1_000, **limit))

    totals = await play(world, run_id)

    assert (totals.state, totals.accepted, totals.ok) == (RunState.SUCCEEDED, planned, planned)
    rows = world.report(run_id)["rows"]
    assert (rows["source"], rows["planned"], rows["left_out"]) == (1_000, planned, 1_000 - planned)
    assert world.result(run_id)["topic"].to_pylist() == [f"topic number {row}" for row in range(planned)]
    assert len(world.jobs.all) <= limit.get("max_num_jobs", 99)


@pytest.mark.promise("S3")
async def test_a_shard_that_passes_the_byte_limit_is_split_in_halves_with_the_next_odd_number():
    topics = ["x" * (200 if 300 <= row < 600 else 10) for row in range(900)]
    world = SimulatedWorld(shard_bytes_max=90_000)
    uri = world.parquet(pa.table({"topic": topics, "id": range(900)}))
    manifest = {
        "s3_uri": uri,
        "job_name_prefix": "halves",
        "model_id": CLAUDE,
        "prompt_id": "joke_about_topic",
        "max_records_per_job": 300,
    }
    run_id = await enlist(world, manifest)

    standing = await shards(world, run_id)
    assert [(shard.shard, shard.first_row, shard.rows, shard.half) for shard in standing] == [
        ("00000", 0, 300, False),
        ("00002", 300, 150, True),
        ("00003", 450, 150, True),
        ("00004", 600, 300, False),
    ]
    totals = await play(world, run_id)
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 900)
    assert world.result(run_id)["id"].to_pylist() == list(range(900))
    assert world.result(run_id)["topic"].to_pylist() == topics
    assert len(world.jobs.all) == 4


async def test_a_half_that_is_still_too_large_ends_the_run_in_words():
    world = SimulatedWorld(job_quota=1, shard_bytes_max=20_000)
    uri = world.parquet(pa.table({"topic": ["x" * 500] * 300}))
    run_id = world.send(world.joke(rows=1) | {"s3_uri": uri, "max_records_per_job": 300})

    totals = await play(world, run_id)

    assert totals.state is RunState.FAILED
    assert "20000 bytes" in totals.message
    assert "max_records_per_job" in totals.message
    assert world.jobs.all == []


async def test_a_csv_shard_that_is_too_large_leaves_no_file_half_written():
    world = SimulatedWorld(shard_bytes_max=40_000)
    run_id = await enlist(world, world.joke(rows=200, max_num_jobs=1))

    assert [shard.half for shard in await shards(world, run_id)] == [True, True]
    gc.collect()  # a Parquet writer that was left open would complain here


# --------------------------------------------------------------------------- a source that changes


@pytest.fixture
def unversioned(monkeypatch):
    """A world whose source lies in a bucket without versions, so that only the ETag is pinned."""
    world = SimulatedWorld(job_quota=1)
    head = world.objects.head
    monkeypatch.setattr(world.objects, "head", lambda ref: dataclasses.replace(head(ref), version_id=None))
    return world


def rows_as_parquet(topics):
    body = io.BytesIO()
    pq.write_table(pa.table({"topic": topics}), body)
    return body.getvalue()


def manifest_of(world, form, topics):
    key = f"inputs/source.{form}"
    body = rows_as_parquet(topics) if form == "parquet" else "\n".join(["topic", *topics, ""]).encode()
    world.objects.plant(key, body)
    return {
        "s3_uri": f"s3://world/{key}",
        "job_name_prefix": "source",
        "model_id": CLAUDE,
        "prompt_id": "joke_about_topic",
        "max_records_per_job": 100,
    }


OLD, NEW = [f"old {row}" for row in range(200)], [f"new {row}" for row in range(200)]


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_a_source_replaced_before_it_was_counted_refuses_the_run(unversioned, form):
    world = unversioned
    run_id = world.send(manifest_of(world, form, OLD))
    await world.consumers[0].run_once()
    manifest_of(world, form, NEW)

    totals = await world.run(run_id)

    assert totals.state is RunState.FAILED
    assert f"s3://world/inputs/source.{form} was changed after it was accepted" in totals.message
    assert world.jobs.all == []
    assert healthy_dead(world) == {}


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.promise("L2", "S3")
async def test_a_source_replaced_while_it_is_written_ends_the_run_and_keeps_what_was_paid_for(unversioned, form):
    world = unversioned
    run_id = world.send(manifest_of(world, form, OLD))
    preprocessor = world.consumers[:2]
    while not await shards(world, run_id):
        for consumer in preprocessor:
            await consumer.run_once()
        if [item async for item in world.ledger.slices(run_id)]:
            break
    slices = world.queues["slices"]
    assert len(slices.bodies) == 2, "one message for each slice waits"
    [first] = await slices.receive(1, 0)
    assert first.body
    await preprocessor[1].run_once()  # the other slice is written of the old source
    assert len(await shards(world, run_id)) == 1
    manifest_of(world, form, NEW)
    world.clock.advance(60)

    totals = await play(world, run_id)

    assert totals.state is RunState.FAILED
    assert f"source.{form}" in totals.message
    assert totals.ok + totals.error == totals.accepted == 200
    assert healthy_dead(world) == {}


async def test_a_parquet_source_replaced_before_its_part_was_written_is_reported_and_the_answers_are_kept(unversioned):
    world = unversioned
    run_id = await enlist(world, manifest_of(world, "parquet", OLD))
    manifest_of(world, "parquet", NEW)

    totals = await play(world, run_id)

    assert totals.state is RunState.FAILED
    assert "source.parquet can no longer be joined" in totals.message
    assert f"outcomes/{run_id}/" in totals.message
    assert len([key for key in world.objects.bodies if key.startswith(f"outcomes/{run_id}/")]) == 2


async def test_a_replaced_csv_source_is_not_missed_once_its_rows_are_copied(unversioned):
    world = unversioned
    run_id = await enlist(world, manifest_of(world, "csv", OLD))
    manifest_of(world, "csv", NEW)

    assert (await play(world, run_id)).state is RunState.SUCCEEDED
    assert world.result(run_id)["topic"].to_pylist() == OLD


async def test_in_a_versioned_bucket_a_replaced_source_is_read_as_it_was_accepted():
    world = SimulatedWorld()
    run_id = world.send(manifest_of(world, "parquet", OLD))
    await world.consumers[0].run_once()
    manifest_of(world, "parquet", NEW)

    assert (await play(world, run_id)).state is RunState.SUCCEEDED
    assert world.result(run_id)["topic"].to_pylist() == OLD


async def test_a_prompt_that_changes_after_acceptance_changes_nothing():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100))
    await world.consumers[0].run_once()
    world.objects.plant(prompt_key("joke_about_topic"), b"template: Something else about {topic}.\n")

    await play(world, run_id)

    assert "Tell me a joke about" in world.result(run_id)["response"][0].as_py()
