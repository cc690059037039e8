"""The error rows of an ended run are asked again, and its dataset has another version: whole, or not at all."""

from __future__ import annotations

import asyncio
import os

import pyarrow as pa
import pytest

from quarry_cli.client.changes import retrying
from quarry_cli.client.changes.retrying import Retry
from quarry_cli.client.connections import Connections
from quarry_cli.errors import BadSetting, NotRetried
from quarry_core.contract.names import part_key, plan_key, rows_key, success_key, version_id
from quarry_core.contract.states import RunState
from quarry_core.errors import Throttled
from quarry_core.ledger import keys
from tests.unit.flow.acts import healthy_dead, play, shards, step
from tests.unit.flow.test_cancel import answer, cancel
from tests.unit.flow.test_images import PHOTOS, plant
from tests.unit.flow.test_images import manifest as photos_of
from tests.world.faults import Crash, Faults, Kind
from tests.world.images import png
from tests.world.world import BUCKET, TITAN, SimulatedWorld

ONCE = {"record_errors": {"max_attempts": 1}}
NO_DEMAND = {"on_demand_below": 0}
STRIDE = int(os.environ.get("QUARRY_TEST_CRASH_STRIDE", "10"))


def connections(world: SimulatedWorld) -> Connections:
    async def wake(queue, wakeup):
        world.queues[queue].put(wakeup.body())
        return True

    return Connections(
        table=world.table,
        queue=lambda: world.queues["manifests"],
        objects=lambda: world.objects,
        clock=world.clock,
        bucket=BUCKET,
        region="us-east-1",
        wake=wake,
    )


async def retry(world: SimulatedWorld, run_id: str, *codes: str, every: bool = False) -> Retry:
    return await retrying.begin(connections(world), run_id, codes, every=every)


async def failing(rows: int = 1_000, transient: float = 0.3, permanent: float = 0.05, **changes: object):
    """A world whose Bedrock is healthy again, and a run that ended while it was not."""
    world = SimulatedWorld(job_quota=5)
    world.bedrock.throttled_share, world.bedrock.refused_share = transient, permanent
    run_id = world.send(world.joke(rows=rows, max_records_per_job=200) | ONCE | changes)
    await play(world, run_id)
    world.bedrock.throttled_share = world.bedrock.refused_share = 0.0
    return world, run_id


def objects_of(world: SimulatedWorld, prefix: str) -> dict[str, bytes]:
    return {key: bytes(body) for key, body in world.objects.bodies.items() if key.startswith(prefix)}


def is_the_next_version(world: SimulatedWorld, before: str, after: str, rows: int) -> None:
    """Each row once and in order; what was answered before is the same, and what has an answer has its own."""
    old, new = world.result(before), world.result(after)
    assert old.schema.equals(new.schema, check_metadata=True)
    assert new.num_rows == rows
    assert new["topic"].to_pylist() == [f"topic number {row}" for row in range(rows)]
    assert new["record_id"].equals(old["record_id"])
    for was, now in zip(old.to_pylist(), new.to_pylist(), strict=True):
        if was["status"] == "ok":
            assert now == was
        elif now["status"] == "ok":
            assert now["response"] == f"answer to: Tell me a joke about {now['topic']} in less than 50 words."
            assert now["error_code"] is now["error_message"] is None
    assert [key for key in world.objects.bodies if key.startswith("batch-input/")] == []
    assert healthy_dead(world) == {}


def asked(world: SimulatedWorld) -> int:
    """Records that Bedrock was given, by jobs and on demand."""
    return sum(job.total_records for job in world.jobs.all) + len(world.runtime.asked)


@pytest.mark.promise("S3", "S4", "S10")
async def test_the_errors_of_an_ended_run_are_asked_again_and_its_answers_are_not_paid_twice():
    world, run_id = await failing()
    before, first = objects_of(world, f"results/{run_id}/"), await world.totals(run_id)
    transient = sum(
        row["error_message"].startswith("429") for row in world.result(run_id).to_pylist() if row["error_message"]
    )
    assert 100 < transient < first.error
    paid = asked(world)

    done = await retry(world, run_id)
    totals = await play(world, done.run_id)

    assert (done.run_id, done.version, done.base, done.of) == (f"{run_id}-v2", 2, run_id, run_id)
    assert done.errors == {"MODEL_ERROR": transient}
    assert done.stay == {"MODEL_ERROR": first.error - transient}
    assert asked(world) == paid + transient == 1_000 + totals.retried
    assert min(job.total_records for job in world.jobs.all) >= 100
    assert (totals.state, totals.accepted, totals.ok) == (RunState.SUCCEEDED_WITH_ERRORS, 1_000, first.ok + transient)
    is_the_next_version(world, run_id, done.run_id, 1_000)
    assert objects_of(world, f"results/{run_id}/") == before, "the first version is as it was"
    report = world.report(done.run_id)
    assert report["dataset"] == {"run_id": run_id, "version": 2, "carried_from": run_id}
    assert report["records"] == {"rounds": 2, "first": 0, "retried": transient, "paid": transient}
    assert report["rows"]["accepted"] == report["rows"]["ok"] + report["rows"]["error"] == 1_000
    answers = world.report(run_id)["llm_tokens"]["output"] / first.ok
    assert report["llm_tokens"]["output"] == pytest.approx(answers * transient, rel=0.2), (
        "the cost is the retry's alone"
    )
    assert (await world.totals(run_id)).newest == done.run_id
    assert success_key(done.run_id) in world.objects.bodies


async def test_which_errors_go_again_can_be_said():
    world, run_id = await failing()
    first = await world.totals(run_id)
    with pytest.raises(NotRetried, match=r"no row of run .* 3\d\d MODEL_ERROR would stay"):
        await retry(world, run_id, "MISSING")
    with pytest.raises(BadSetting, match="no error code"):
        await retry(world, run_id, "missing")
    with pytest.raises(BadSetting, match="either codes, or all"):
        await retry(world, run_id, "MISSING", every=True)

    done = await retry(world, run_id, "MODEL_ERROR")
    totals = await play(world, done.run_id)

    assert done.asked == first.error
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 1_000)
    is_the_next_version(world, run_id, done.run_id, 1_000)
    with pytest.raises(NotRetried, match=r"no row of run"):
        await retry(world, run_id, every=True)


@pytest.mark.promise("S3")
async def test_one_retry_after_another_goes_on_from_the_newest_version():
    world, run_id = await failing()
    world.bedrock.throttled_share = 0.5
    second = await retry(world, run_id)
    between = await play(world, second.run_id)
    assert between.errors["MODEL_ERROR"] > 100
    world.bedrock.throttled_share = 0.0
    paid = asked(world)

    third = await retry(world, second.run_id)
    totals = await play(world, third.run_id)

    assert (third.version, third.base, third.of, third.run_id) == (3, second.run_id, run_id, f"{run_id}-v3")
    assert asked(world) == paid + third.asked
    assert totals.ok == between.ok + third.asked
    is_the_next_version(world, second.run_id, third.run_id, 1_000)
    is_the_next_version(world, run_id, third.run_id, 1_000)
    assert (await world.totals(run_id)).newest == third.run_id


async def test_records_of_a_retry_go_again_in_rounds_as_those_of_the_run_did():
    world, run_id = await failing(
        record_errors={"retry": ["MODEL_ERROR"], "max_attempts": 3}, transient=1.0, permanent=0.0
    )
    world.bedrock.throttled_share = 0.5
    done = await retry(world, run_id)
    totals = await play(world, done.run_id)
    assert (done.asked, totals.round) == (1_000, 4)
    assert totals.retried > 1_400
    is_the_next_version(world, run_id, done.run_id, 1_000)


@pytest.mark.parametrize("source", ["csv", "parquet", "folder", "embedding"])
async def test_of_any_source(source):
    world = SimulatedWorld(job_quota=5)
    world.bedrock.throttled_share = 0.4
    topics = [f"topic number {row}" for row in range(600)]
    changes: dict[str, object] = {"record_errors": {"max_attempts": 1}, "max_records_per_job": 150}
    if source == "parquet":
        table = pa.table(
            {"topic": topics, "kind": pa.array(topics).dictionary_encode(), "n": pa.array(range(600), pa.int16())}
        )
        changes["s3_uri"] = world.parquet(table, row_group_size=70)
    elif source == "folder":
        for number in range(3):
            lines = "\n".join(["topic", *topics[200 * number : 200 * (number + 1)]])
            world.objects.plant(f"inputs/many/{number}.csv", lines.encode())
        changes["s3_uri"] = f"s3://{BUCKET}/inputs/many/"
    elif source == "embedding":
        changes |= {"s3_uri": world.csv(600, "inputs/texts.csv", ("input_text",)), "model_id": TITAN, "prompt_id": None}
    run_id = world.send({name: value for name, value in (world.joke(rows=600) | changes).items() if value is not None})
    first = await play(world, run_id)
    assert 100 < first.error < 400, first.message
    world.bedrock.throttled_share = 0.0

    done = await retry(world, run_id)
    totals = await play(world, done.run_id)

    assert (totals.state, totals.ok, totals.retried) == (RunState.SUCCEEDED, 600, first.error)
    old, new = world.result(run_id), world.result(done.run_id)
    assert old.schema.equals(new.schema, check_metadata=True)
    assert new.num_rows == 600
    sources = [name for name in ("topic", "kind", "n", "input_text", "record_id") if name in new.column_names]
    assert new.select(sources).equals(old.select(sources))


async def test_of_split_shards_and_names_with_a_prefix():
    world = SimulatedWorld(shard_bytes_max=90_000)
    world.bedrock.throttled_share = 0.4
    topics = ["x" * (200 if 300 <= row < 600 else 10) for row in range(900)]
    table = pa.table({"topic": topics, "status": ["mine"] * 900, "n": range(900)})
    source = {
        "s3_uri": world.parquet(table),
        "result_prefix": "q_",
        "max_records_per_job": 300,
        "columns": ["n", "topic", "status"],
    }
    run_id = world.send(world.joke(rows=1) | source | ONCE | NO_DEMAND)
    first = await play(world, run_id)
    assert [shard.shard for shard in await shards(world, run_id) if shard.half] == ["00002", "00003"]
    world.bedrock.throttled_share = 0.0

    done = await retry(world, run_id)
    totals = await play(world, done.run_id)

    assert (totals.state, totals.ok, totals.retried) == (RunState.SUCCEEDED, 900, first.error)
    result = world.result(done.run_id)
    assert result["n"].to_pylist() == list(range(900))
    assert set(result["status"].to_pylist()) == {"mine"}
    assert set(result["q_status"].to_pylist()) == {"ok"}
    assert all(f" {topics[row['n']]} " in row["q_response"] for row in result.to_pylist())


async def test_structured_answers_that_did_not_fit_are_asked_again():
    world = SimulatedWorld()
    world.answering = "no json"

    def answering(body, _):
        del body
        return {
            "role": "assistant",
            "content": [{"type": "text", "text": world.answering}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 5, "output_tokens": 3},
        }

    world.bedrock.answerer = answering
    schema = {
        "output_schema": {
            "type": "object",
            "properties": {"joke": {"type": "string"}, "kind": {"type": "string", "enum": ["pun", "riddle"]}},
            "required": ["joke", "kind"],
            "additionalProperties": False,
        },
        "output_mode": "instruction",
    }
    run_id = world.send(world.joke(rows=150, **ONCE, **schema))
    first = await play(world, run_id)
    assert first.errors == {"INVALID_OUTPUT": 150}
    assert first.state is RunState.FAILED
    world.answering = '{"joke": "ha", "kind": "pun"}'

    done = await retry(world, run_id)
    totals = await play(world, done.run_id)

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 150)
    result = world.result(done.run_id)
    assert (result["joke"].to_pylist(), result["kind"].to_pylist()) == (["ha"] * 150, ["pun"] * 150)
    assert result["response"].null_count == 150


async def test_images_that_were_missing_are_looked_for_again():
    world = SimulatedWorld()
    plant(world)
    photos = [f"s3://{PHOTOS}/plain" if row % 10 else f"s3://{PHOTOS}/late-{row % 20}" for row in range(200)]
    run_id = world.send(photos_of(world, pa.table({"photo": photos}), **ONCE))
    first = await play(world, run_id)
    assert first.errors == {"IMAGE_MISSING": 20}
    world.objects.plant("late-0", png(), PHOTOS)

    done = await retry(world, run_id)
    totals = await play(world, done.run_id)

    assert (done.asked, done.errors) == (20, {"IMAGE_MISSING": 20})
    assert (totals.ok, totals.retried, totals.errors) == (190, 10, {"IMAGE_MISSING": 10})
    said = world.result(done.run_id).to_pylist()
    assert [row["photo"] for row in said] == photos
    assert {row["photo"] for row in said if row["status"] == "error"} == {f"s3://{PHOTOS}/late-10"}


async def test_of_a_run_that_was_asked_on_demand_and_of_rows_that_its_prompt_skips():
    world = SimulatedWorld(on_demand_attempts_max=1)
    topics = [None if row % 8 == 0 else f"topic number {row}" for row in range(40)]
    world.runtime.fate = lambda request, number: Throttled("no room") if number % 4 == 0 else None
    prompt = {"template": "{topic}", "nulls": {"topic": "skip"}}
    source = {"s3_uri": world.parquet(pa.table({"topic": topics})), "prompt_id": None, "prompt": prompt}
    run_id = world.send(
        {name: value for name, value in (world.joke(rows=1) | source | ONCE).items() if value is not None}
    )
    first = await play(world, run_id)
    assert (first.state, first.errors["SKIPPED"]) == (RunState.SUCCEEDED_WITH_ERRORS, 5)
    world.runtime.fate, tried = (lambda request, number: None), len(world.runtime.asked)

    done = await retry(world, run_id, every=True)
    totals = await play(world, done.run_id)

    assert (done.errors, done.stay, done.way) == ({"THROTTLED": first.errors["THROTTLED"]}, {"SKIPPED": 5}, "on_demand")
    assert len(world.runtime.asked) == tried + done.asked
    assert (totals.state, totals.ok, totals.errors) == (RunState.SUCCEEDED, 35, {"SKIPPED": 5})
    result = world.result(done.run_id)
    assert result["topic"].to_pylist() == topics
    assert [row for row, status in enumerate(result["status"].to_pylist()) if status == "skipped"] == [0, 8, 16, 24, 32]


# --------------------------------------------------------------------------- when it cannot be


async def test_a_run_that_is_open_is_not_retried():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=300))
    await world.idle()
    with pytest.raises(NotRetried, match="is RUNNING: its errors can be asked again when it has ended"):
        await retry(world, run_id)


async def test_of_two_retries_one_wins_and_the_other_is_told_so():
    world, run_id = await failing()
    found = await asyncio.gather(*(retry(world, run_id) for _ in range(4)), return_exceptions=True)
    won = [each for each in found if isinstance(each, Retry)]
    assert len(won) == 1
    assert all("version 2 of run" in str(each) and "is being made" in str(each) for each in found if each is not won[0])
    with pytest.raises(NotRetried, match=f"by run {run_id}-v2"):
        await retry(world, f"{run_id}-v2")
    await play(world, won[0].run_id)
    with pytest.raises(NotRetried, match=r"no row of run .* would stay"):
        await retry(world, run_id)


async def test_too_few_for_a_job_go_on_demand_or_are_refused_as_the_manifest_says():
    world, run_id = await failing(transient=0.03)
    done = await retry(world, run_id)
    assert (done.way, done.asked < 100) == ("on_demand", True)
    jobs = len(world.jobs.all)
    totals = await play(world, done.run_id)
    assert (len(world.jobs.all), len(world.runtime.asked)) == (jobs, done.asked)
    assert totals.retried == done.asked
    is_the_next_version(world, run_id, done.run_id, 1_000)

    world, run_id = await failing(transient=0.03, **NO_DEMAND)
    with pytest.raises(NotRetried, match="smallest job has 100 records, and the run asks nothing on demand"):
        await retry(world, run_id)
    assert (await world.totals(run_id)).last_version == 0


async def test_what_is_needed_and_gone_is_named_before_anything_begins():
    world, run_id = await failing()
    for key in (plan_key(run_id), part_key(run_id, "00002")):
        body = world.objects.bodies[key]
        stored = world.objects._buckets[BUCKET].versions[key][-1]
        world.objects.delete(key)
        with pytest.raises(NotRetried, match="does not lie in the bucket any more"):
            await retry(world, run_id)
        world.objects.plant(key, bytes(body), metadata=dict(stored.metadata))
    world.table.items.pop(keys.text_key(run_id))
    with pytest.raises(NotRetried, match=r"the prompt of run .* has left the ledger"):
        await retry(world, run_id)
    assert (await world.totals(run_id)).last_version == 0


async def test_parts_without_an_error_are_needed_too():
    world = SimulatedWorld(job_quota=5)
    run_id = world.send(world.joke(rows=400, max_records_per_job=100) | ONCE)

    def end(job):
        world.bedrock.throttled_share = 1.0 if "-00004-" in job.name else 0.0
        world.bedrock.end(job)

    await play(world, run_id, end)
    world.objects.delete(part_key(run_id, "00000"))
    world.objects.delete(part_key(run_id, "00002"))
    with pytest.raises(NotRetried, match=r"part-00000.parquet and 1 more\): submit it again"):
        await retry(world, run_id)


async def test_a_copy_of_rows_that_is_gone_ends_the_retry_before_anything_is_paid():
    world, run_id = await failing()
    world.objects.delete(rows_key(run_id, "00004"))
    jobs = len(world.jobs.all)
    done = await retry(world, run_id)
    totals = await play(world, done.run_id)
    assert (totals.state, totals.code, len(world.jobs.all)) == (RunState.FAILED, "SOURCE_BROKEN", jobs)
    assert (await world.totals(run_id)).newest == "", "the dataset is as it was"
    again = await retry(world, run_id)
    assert (again.version, again.base, again.asked) == (3, run_id, done.asked), "it begins from what stands"


async def test_an_id_that_somebody_else_has_chosen_is_not_taken():
    world, run_id = await failing()
    other = world.send(world.joke(rows=150, run_id=f"{run_id}-v2"))
    await play(world, other)
    done = await retry(world, run_id)
    assert done.run_id == version_id(run_id, 2, taken=True) != other
    assert (await play(world, done.run_id)).state is RunState.SUCCEEDED_WITH_ERRORS
    is_the_next_version(world, run_id, done.run_id, 1_000)


# --------------------------------------------------------------------------- what happens meanwhile


@pytest.mark.promise("S3", "S10")
async def test_rows_of_a_cancelled_run_are_asked_also_those_that_were_never_rendered():
    world = SimulatedWorld(job_quota=2)
    run_id = world.send(world.joke(rows=1_000, max_records_per_job=100))
    for _ in range(3):
        for consumer in world.consumers[:2]:
            await consumer.run_once()
    await cancel(world, run_id)
    first = await play(world, run_id)
    assert (first.state, first.errors["CANCELLED"] > 500) == (RunState.CANCELLED, True)
    paid = asked(world)

    done = await retry(world, run_id)
    totals = await play(world, done.run_id)

    assert asked(world) == paid + first.error
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 1_000)
    is_the_next_version(world, run_id, done.run_id, 1_000)


@pytest.mark.promise("S3", "S10")
@pytest.mark.parametrize("turns", [1, 2, 4, 30])
async def test_a_retry_that_is_cancelled_keeps_what_was_answered_and_never_asks_it_again(turns):
    world, run_id = await failing()
    first = await world.totals(run_id)
    done = await retry(world, run_id)
    for _ in range(turns):
        await world.turn()
    for job in world.bedrock.active[:1]:
        world.bedrock.end(job)
    jobs = len(world.jobs.all)
    await cancel(world, done.run_id)

    totals = await play(world, done.run_id, answer(world))

    assert totals.state is RunState.CANCELLED
    assert len(world.jobs.all) == jobs
    assert not totals.accepted or first.ok <= totals.ok < first.ok + done.asked
    assert (totals.ok > first.ok) is (turns == 30)
    assert success_key(done.run_id) not in world.objects.bodies
    if totals.accepted:
        is_the_next_version(world, run_id, done.run_id, 1_000)
    world.bedrock.missing_share, paid = 0.0, asked(world)
    again = await retry(world, run_id)
    assert again.asked == first.ok + done.asked - max(first.ok, totals.ok)
    last = await play(world, again.run_id)
    assert again.base == (done.run_id if totals.accepted else run_id)
    assert asked(world) - paid == again.asked
    assert last.ok == first.ok + done.asked
    is_the_next_version(world, run_id, again.run_id, 1_000)


def crashes(calls: int) -> list[tuple[int, Kind]]:
    """Where a worker dies: at each tenth of its calls, before it or after it; which ones changes from service to service."""
    return [(number, "crash_after" if number // STRIDE % 2 else "crash_before") for number in range(1, calls, STRIDE)]


@pytest.mark.promise("S3", "S4", "L3")
@pytest.mark.parametrize("service", ["preprocessor", "scheduler", "collector"])
async def test_a_crash_at_any_call_of_a_service_loses_and_doubles_nothing(service):
    calls = await dies_at(service, 0, "crash_before")
    assert calls > 40
    points = crashes(calls)
    reached = [number for number, kind in points if await dies_at(service, number, kind)]
    print(f"{service}: {len(reached)} of {len(points)} crash points reached and survived, of {calls} calls")
    assert len(reached) >= len(points) - 2


async def dies_at(service: str, number: int, kind: Kind) -> int:
    """One retry, in which a service dies at a call; the number of its calls, 0 if it did not come to that one."""
    world, run_id = await failing(rows=400, transient=0.6, permanent=0.0, max_records_per_job=100, **NO_DEMAND)
    first = await world.totals(run_id)
    before, paid = objects_of(world, f"results/{run_id}/"), asked(world)
    faults = Faults({number: kind} if number else {})
    world.start({service: faults})
    done = await retry(world, run_id)
    for _ in range(60):
        try:
            await step(world)
        except Crash:
            world.start()
        assert objects_of(world, f"results/{run_id}/") == before
        newest = (await world.totals(run_id)).newest
        assert not newest or success_key(newest) in world.objects.bodies, "a version is named once it is whole"
        if (await world.totals(done.run_id)).state.terminal:
            break
    totals = await world.totals(done.run_id)
    assert totals.state is RunState.SUCCEEDED, (service, number, kind, totals)
    assert (await world.totals(run_id)).newest == done.run_id
    is_the_next_version(world, run_id, done.run_id, 400)
    assert asked(world) == paid + first.error, (service, number, kind)
    return len(faults.calls) if not number or faults.crashed else 0
