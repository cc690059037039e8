"""Runs over chosen rows and columns, and over compressed JSONL in folders: what goes in, and what comes back."""

from __future__ import annotations

import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.states import RunState
from tests.unit.flow.acts import play
from tests.unit.flow.test_refusals import refused
from tests.world.world import SimulatedWorld

ROWS = [{"id": f"r{n}", "topic": f"topic {n}", "lang": "de" if n % 3 else "en", "n": n} for n in range(600)]


def put(world: SimulatedWorld, form: str) -> str:
    for place in range(3):
        rows = ROWS[place * 200 : place * 200 + 200]
        key = f"inputs/t/day=0{place}/part.{form}"
        if form == "parquet":
            sink = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=64)
            world.objects.plant(key, sink.getvalue())
        elif form == "csv":
            lines = ["id,topic,lang,n", *(",".join(map(str, row.values())) for row in rows)]
            world.objects.plant(key, "\n".join(lines).encode())
        else:
            lines = [json.dumps(row) + "\n" for row in rows]
            packed = pa.compress("".join(lines[:50]).encode(), codec="zstd", asbytes=True)
            packed += pa.compress("".join(lines[50:]).encode(), codec="zstd", asbytes=True)
            world.objects.plant(f"{key}.zst", packed)
    return "s3://world/inputs/t/"


@pytest.mark.promise("S3")
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
async def test_the_rows_that_are_taken_come_back_and_no_others(form):
    world = SimulatedWorld()
    manifest = world.joke(
        s3_uri=put(world, form),
        where="lang = 'de' and n >= 10 and day <> '01'",
        columns=["id", "topic", "day"],
        id_column="id",
    )

    run_id = world.send(manifest)
    totals = await play(world, run_id)

    expected = [row for row in ROWS if row["lang"] == "de" and row["n"] >= 10 and not 200 <= row["n"] < 400]
    assert (totals.state, totals.ok, totals.error) == (RunState.SUCCEEDED, len(expected), 0)
    result = world.result(run_id)
    assert result["id"].to_pylist() == [row["id"] for row in expected]
    assert result["day"].to_pylist() == [f"0{row['n'] // 200}" for row in expected]
    assert result.schema.names[:4] == ["id", "topic", "day", "response"]


@pytest.mark.promise("S3")
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
async def test_a_sample_is_a_run_of_its_own(form):
    world = SimulatedWorld()
    run_id = world.send(world.joke(s3_uri=put(world, form), sample={"rows": 150, "seed": 3}))

    totals = await play(world, run_id)

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 150)
    numbers = [int(number) for number in world.result(run_id)["n"].to_pylist()]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 150


async def test_mixed_json_comes_back_as_it_was_written_and_is_asked_as_text():
    world = SimulatedWorld()
    values = ['"plain"', '[{"type": "text"}]', '"say \\"hi\\""', "7", "null"]
    lines = [f'{{"id": {n}, "topic": {values[n % 5]}}}\n' for n in range(200)]
    world.objects.plant("inputs/chats.jsonl.gz", gzip.compress("".join(lines).encode()))

    run_id = world.send(world.joke(s3_uri="s3://world/inputs/chats.jsonl.gz"))
    totals = await play(world, run_id)

    assert (totals.state, totals.ok, totals.error) == (RunState.SUCCEEDED_WITH_ERRORS, 160, 40)
    result = world.result(run_id)
    assert result["topic"].to_pylist() == [None if n % 5 == 4 else values[n % 5] for n in range(200)]
    assert set(result.filter(pa.compute.equal(result["status"], "error"))["error_code"].to_pylist()) == {"NULL_INPUT"}


async def test_ids_that_are_not_unique_and_conditions_that_take_nothing_cost_nothing():
    world = SimulatedWorld()
    uri = put(world, "csv")
    assert "has the id 'de' in the column 'lang', which inputs/t/day=00/part.csv: data row 2 has too" in await refused(
        world, world.joke(s3_uri=uri, id_column="lang")
    )
    assert "where: none of 600 rows is taken; write it wider" in await refused(
        world, world.joke(s3_uri=uri, where="n > 1000")
    )
    assert "columns: the records need 'topic': add what is missing" in await refused(
        world, world.joke(s3_uri=uri, columns=["id"])
    )
    assert len(world.jobs.all) == 0
