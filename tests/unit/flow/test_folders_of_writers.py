"""Folders as writers leave them go through the real services: rows in = rows out, in the order that is said.

DuckDB, polars and pyarrow write their own folders here. Spark's, Athena's and Snowflake's are made of the names that they
give; what is in the files is the same.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.states import RunState
from tests.unit.flow.acts import play
from tests.unit.flow.test_refusals import refused
from tests.world.world import SimulatedWorld

pytestmark = pytest.mark.promise("S3")
UUID = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
SPARK = f"part-{{:05d}}-{UUID}-c000"


def plant_folder(world: SimulatedWorld, folder: Path, prefix: str) -> None:
    """What a writer has left on a disk, as an upload brings it into the bucket."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            world.objects.plant(f"{prefix}{file.relative_to(folder).as_posix()}", file.read_bytes())


def parquet(table: pa.Table) -> bytes:
    body = io.BytesIO()
    pq.write_table(table, body)
    return body.getvalue()


async def through(world: SimulatedWorld, uri: object, **changes: object) -> pa.Table:
    """The result of a run over a source, which has no error."""
    run_id = world.send(world.joke(s3_uri=uri, **changes))
    totals = await play(world, run_id)
    assert (totals.state, totals.error) == (RunState.SUCCEEDED, 0), totals.message
    return world.result(run_id)


def rows_of(table: pa.Table, *columns: str) -> list[tuple]:
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))


# --------------------------------------------------------------------------- Parquet


@pytest.mark.slow
async def test_a_thousand_parquet_files_of_three_writers_whose_schema_grew():
    """A column comes midway, a type is widened, markers stand between; and a part of 0 bytes refuses it all."""
    world = SimulatedWorld()
    expected = []
    for number in range(1_000):
        row = {"id": number, "topic": f"topic {number}"} | ({"lang": f"l{number % 7}"} if number >= 500 else {})
        kind = pa.int32() if number < 300 else pa.int64()
        if number % 3 == 0:
            body = parquet(
                pa.table({name: pa.array([value], kind if name == "id" else None) for name, value in row.items()})
            )
        else:
            frame = pl.DataFrame({name: [value] for name, value in row.items()})
            frame = frame.cast({"id": pl.Int32 if number < 300 else pl.Int64})
            sink = io.BytesIO()
            if number % 3 == 1:
                frame.write_parquet(sink)
            else:
                frame.to_pandas().to_parquet(sink, index=False)
            body = sink.getvalue()
        world.objects.plant(f"inputs/t/{SPARK.format(number)}.snappy.parquet", body)
        expected.append((number, f"topic {number}", row.get("lang")))
    for marker in ("inputs/t/", "inputs/t/_SUCCESS", "inputs/t/x_$folder$"):
        world.objects.plant(marker, b"")

    result = await through(world, "s3://world/inputs/t/")

    assert rows_of(result, "id", "topic", "lang") == expected
    assert result.schema.field("id").type == pa.int64()

    broken = f"inputs/t/{SPARK.format(500)}-copy.snappy.parquet"
    world.objects.plant(broken, b"")
    assert f"s3://world/{broken} is empty (0 bytes)" in await refused(world, world.joke(s3_uri="s3://world/inputs/t"))


async def test_duckdbs_partitioned_folder(tmp_path):
    world = SimulatedWorld()
    duckdb.sql(
        f"copy (select i id, 'topic ' || i topic, case when i % 3 = 0 then null else '0' || i % 3 end zip, 'a/b c' place"
        f" from range(120) t(i)) to '{tmp_path}/t' (format parquet, partition_by (zip, place))"
    )
    plant_folder(world, tmp_path / "t", "inputs/t/")

    result = await through(world, "s3://world/inputs/t/")

    assert result["place"].to_pylist() == ["a/b c"] * 120
    assert result.schema.field("zip").type == pa.string()
    found = sorted(rows_of(result, "id", "topic", "zip"))
    assert found == [(i, f"topic {i}", f"0{i % 3}" if i % 3 else None) for i in range(120)]


async def test_polars_partitioned_folder(tmp_path):
    world = SimulatedWorld()
    frame = pl.DataFrame(
        {"id": range(120), "topic": [f"topic {i}" for i in range(120)], "year": [2023 + i % 2 for i in range(120)]}
    )
    frame.write_parquet(tmp_path / "t", partition_by="year", mkdir=True)
    plant_folder(world, tmp_path / "t", "inputs/t/")

    result = await through(world, "s3://world/inputs/t/year=*/*.parquet", partition_types={"year": "int"})

    assert sorted(rows_of(result, "id", "year")) == [(i, 2023 + i % 2) for i in range(120)]


async def test_an_athena_folder_of_parquet_without_endings_and_its_list():
    world = SimulatedWorld()
    names = [f"20261130_101500_0000{number}_abcde_{UUID}" for number in range(3)]
    for number, name in enumerate(names):
        topics = [f"topic {number}.{row}" for row in range(40)]
        world.objects.plant(f"inputs/out/{name}", parquet(pa.table({"topic": topics})))
    world.objects.plant("inputs/out/stale", parquet(pa.table({"topic": ["of another query"]})))
    lines = "".join(f"s3://world/inputs/out/{name}\n" for name in names)
    world.objects.plant(f"inputs/results/{UUID}-manifest.csv", lines.encode())

    result = await through(world, f"s3://world/inputs/results/{UUID}-manifest.csv")

    assert result["topic"].to_pylist() == [f"topic {number}.{row}" for number in range(3) for row in range(40)]
    assert (await through(world, "s3://world/inputs/out/")).num_rows == 121


# --------------------------------------------------------------------------- text


async def test_a_pattern_over_gzip_files_of_two_members():
    """What many programs write that append: a decoder that stops after the first member loses the rest and says nothing."""
    world = SimulatedWorld()
    expected = []
    for number in range(4):
        topics = [f"topic {number}.{row}" for row in range(60)]
        head = "\n".join(["topic", *topics[:30], ""]).encode()
        tail = "\n".join([*topics[30:], ""]).encode()
        world.objects.plant(f"inputs/t/data_0_{number}_0.csv.gz", gzip.compress(head) + gzip.compress(tail))
        expected += topics

    result = await through(world, "s3://world/inputs/t/data_*_0.csv.gz")

    assert result["topic"].to_pylist() == expected


async def test_a_hive_folder_of_zstd_json_lines():
    world = SimulatedWorld()
    expected = []
    for year in (2023, 2024):
        for zip_code in ("01", "__HIVE_DEFAULT_PARTITION__"):
            rows = [{"topic": f"{year} {zip_code} {row}", "n": row, "tags": ["a"] * (row % 3)} for row in range(30)]
            body = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
            frames = pa.compress(body[:100], "zstd", asbytes=True) + pa.compress(body[100:], "zstd", asbytes=True)
            world.objects.plant(f"inputs/t/year={year}/zip={zip_code}/part-0.json.zst", frames)
            zip_value = None if zip_code.startswith("__") else zip_code
            expected += [(row["topic"], row["n"], year, zip_value) for row in rows]

    result = await through(world, "s3://world/inputs/t/", partition_types={"year": "int"})

    assert rows_of(result, "topic", "n", "year", "zip") == expected


async def test_a_folder_of_sparks_csv_parts():
    world = SimulatedWorld()
    for number in range(3):
        body = "topic,note\n" + "".join(f'topic {number}.{row},"say \\"x\\""\n' for row in range(40))
        world.objects.plant(f"inputs/t/{SPARK.format(number)}.csv", body.encode())
        world.objects.plant(f"inputs/t/.{SPARK.format(number)}.csv.crc", b"crc")
    world.objects.plant("inputs/t/_SUCCESS", b"")
    world.objects.plant("inputs/t/._SUCCESS.crc", b"crc")

    result = await through(world, "s3://world/inputs/t", csv={"escape": "backslash"})

    assert result["topic"].to_pylist() == [f"topic {number}.{row}" for number in range(3) for row in range(40)]
    assert set(result["note"].to_pylist()) == {'say "x"'}
