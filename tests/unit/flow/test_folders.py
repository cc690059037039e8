"""Sources of several files, from the manifest to the result: every row once, in the order that is said."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.states import RunState
from tests.unit.flow.acts import enlist, play
from tests.unit.flow.test_refusals import refused
from tests.world.world import SimulatedWorld


def put_csv(world: SimulatedWorld, key: str, topics: list[str], bucket: str = "") -> None:
    world.objects.plant(key, "\n".join(["topic", *topics, ""]).encode(), bucket)


def put_parquet(world: SimulatedWorld, key: str, topics: list[str], bucket: str = "") -> None:
    body = io.BytesIO()
    pq.write_table(pa.table({"topic": topics}), body)
    world.objects.plant(key, body.getvalue(), bucket)


def topics(name: str, rows: int = 40) -> list[str]:
    return [f"{name} {row}" for row in range(rows)]


PUT = {"csv": put_csv, "parquet": put_parquet}


@pytest.mark.promise("S3")
@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_a_folder_comes_back_row_for_row_in_the_order_of_its_keys(form):
    world = SimulatedWorld()
    for name in ("10", "9", "sub/1", "B"):
        PUT[form](world, f"inputs/f/{name}.{form}", topics(name))
    world.objects.plant("inputs/f/_SUCCESS", b"")
    world.objects.plant("inputs/f/", b"")
    run_id = world.send(world.joke(s3_uri="s3://world/inputs/f/"))

    totals = await play(world, run_id)

    assert (totals.state, totals.ok, totals.error) == (RunState.SUCCEEDED, 160, 0)
    expected = [topic for name in ("10", "9", "B", "sub/1") for topic in topics(name)]
    assert world.result(run_id)["topic"].to_pylist() == expected


@pytest.mark.promise("S3")
@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_a_list_comes_back_in_its_own_order_from_all_of_its_buckets(form):
    world = SimulatedWorld()
    PUT[form](world, f"inputs/b.{form}", topics("b"))
    PUT[form](world, f"inputs/f/2.{form}", topics("2"))
    PUT[form](world, f"inputs/f/1.{form}", topics("1"))
    PUT[form](world, f"deep/a.{form}", topics("a"), "another-bucket")
    uris = [f"s3://world/inputs/b.{form}", f"s3://another-bucket/*/a.{form}", "s3://world/inputs/f"]
    run_id = world.send(world.joke(s3_uri=uris))

    totals = await play(world, run_id)

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 160)
    expected = [topic for name in ("b", "a", "1", "2") for topic in topics(name)]
    assert world.result(run_id)["topic"].to_pylist() == expected


async def test_a_dialect_is_that_of_all_files():
    world = SimulatedWorld()
    for name in ("1", "2"):
        lines = ["id;topic", *(f"{row};{topic}" for row, topic in enumerate(topics(name, 60)))]
        world.objects.plant(f"inputs/f/{name}.txt", "\n".join(lines).encode())
    manifest = world.joke(s3_uri="s3://world/inputs/f/", format="csv", csv={"delimiter": ";"})

    run_id = world.send(manifest)
    totals = await play(world, run_id)

    assert totals.ok == 120
    assert world.result(run_id).schema.names[:2] == ["id", "topic"]


@pytest.mark.promise("S3")
@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_a_file_that_is_added_later_is_no_part_of_the_run(form):
    world = SimulatedWorld()
    PUT[form](world, f"inputs/f/2.{form}", topics("2", 100))
    run_id = world.send(world.joke(s3_uri="s3://world/inputs/f/"))
    await world.consumers[0].run_once()
    PUT[form](world, f"inputs/f/1.{form}", topics("1", 100))

    totals = await play(world, run_id)

    assert totals.ok == 100
    assert world.result(run_id)["topic"].to_pylist() == topics("2", 100)


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("how", ["changed", "deleted"])
async def test_a_file_that_changes_before_it_is_counted_refuses_the_run_by_name(form, how):
    world = SimulatedWorld()
    for name in ("1", "2"):
        PUT[form](world, f"inputs/f/{name}.{form}", topics(name, 100))
    run_id = world.send(world.joke(s3_uri="s3://world/inputs/f/"))
    await world.consumers[0].run_once()
    if how == "changed":
        PUT[form](world, f"inputs/f/2.{form}", topics("other", 100))
    else:
        world.objects.delete(f"inputs/f/2.{form}")
    await world.idle()

    totals = await world.totals(run_id)

    assert totals.state is RunState.FAILED
    assert f"s3_uri: s3://world/inputs/f/ was {how} after it was accepted" in totals.message
    assert f"inputs/f/2.{form}" in totals.message


async def test_an_encrypted_file_among_others_is_named():
    world = SimulatedWorld()
    put_parquet(world, "inputs/f/1.parquet", topics("1", 100))
    world.objects.plant("inputs/f/2.parquet", b"PARE" + bytes(100) + b"PARE")

    reported = await refused(world, world.joke(s3_uri="s3://world/inputs/f/"))

    assert reported == "inputs/f/2.parquet is encrypted, and Quarry has no keys; write it unencrypted"


async def test_a_file_of_another_format_than_its_name_is_named():
    world = SimulatedWorld()
    put_csv(world, "inputs/f/1.csv", topics("1", 100))
    world.objects.plant("inputs/f/2.csv", b"PAR1" + bytes(100))

    assert "inputs/f/2.csv is Parquet data" in await refused(world, world.joke(s3_uri="s3://world/inputs/f/"))


@pytest.mark.promise("S3")
async def test_the_results_of_an_earlier_run_are_the_source_of_the_next():
    world = SimulatedWorld()
    first = world.send(world.joke(rows=250, max_records_per_job=100, result_prefix="first_"))
    await play(world, first)
    manifest = world.joke(s3_uri=f"s3://world/results/{first}/", prompt_id=None, prompt="Rate: {first_response}")

    second = world.send(manifest)
    totals = await play(world, second)

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 250)
    before, after = world.result(first), world.result(second)
    assert after.select(before.schema.names).equals(before)


async def test_a_folder_of_many_small_files_is_one_run():
    world = SimulatedWorld()
    for number in range(300):
        put_csv(world, f"inputs/f/{number:03d}.csv", [f"t {number}"])
    run_id = await enlist(world, world.joke(s3_uri="s3://world/inputs/f/"))

    totals = await play(world, run_id)

    assert totals.ok == 300
    assert world.result(run_id)["topic"].to_pylist() == [f"t {number}" for number in range(300)]
