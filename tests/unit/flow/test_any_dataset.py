"""Datasets as their owners have them, from the manifest to the result: rows in = rows out, in the order that is said."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import fastparquet
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.states import RunState
from tests.unit.flow.acts import play
from tests.unit.flow.test_refusals import refused
from tests.world.world import SimulatedWorld

pytestmark = pytest.mark.slow
FILES = 120
ROWS_PER_FILE = 3
PROMPT = {"prompt_id": None, "prompt": "Rate {topic}, seen {seen} times"}


def by_pyarrow(columns: dict[str, list], folder: Path) -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.table(columns), body, compression="zstd")
    return body.getvalue()


def by_polars(columns: dict[str, list], folder: Path) -> bytes:
    body = io.BytesIO()
    pl.DataFrame(columns).write_parquet(body)
    return body.getvalue()


def by_fastparquet(columns: dict[str, list], folder: Path) -> bytes:
    path = folder / "one.parquet"
    fastparquet.write(str(path), pd.DataFrame(columns))
    return path.read_bytes()


WRITERS: tuple[Callable[[dict[str, list], Path], bytes], ...] = (by_pyarrow, by_polars, by_fastparquet)


def rows_of(file: int) -> dict[str, list]:
    """The second half of the files has one column more, and numbers that need 64 bits."""
    numbers = range(file * ROWS_PER_FILE, (file + 1) * ROWS_PER_FILE)
    wide = file >= FILES // 2
    seen = [number + (2**40 if wide else 0) for number in numbers]
    columns = {"topic": [f"topic {number}" for number in numbers], "seen": seen}
    return columns | {"note": [f"note {number}" for number in numbers]} if wide else columns


def plant_folder(world: SimulatedWorld, folder: Path) -> None:
    for file in range(FILES):
        columns: dict = rows_of(file)
        if "note" not in columns:
            columns["seen"] = pd.array(columns["seen"], "int32") if file % 3 == 2 else columns["seen"]
        body = WRITERS[file % 3](columns, folder)
        if file < FILES // 2 and file % 3 == 0:
            table = pq.read_table(io.BytesIO(body))
            narrow = io.BytesIO()
            pq.write_table(table.set_column(1, "seen", table["seen"].cast(pa.int32())), narrow)
            body = narrow.getvalue()
        world.objects.plant(f"inputs/lake/part-{file:05d}.parquet", body)
    for marker in ("_SUCCESS", "", "_$folder$", "_metadata/x.parquet", ".part-00000.parquet.crc"):
        world.objects.plant(f"inputs/lake/{marker}", b"" if "x" not in marker and "crc" not in marker else b"crc")


@pytest.mark.promise("S3")
async def test_parquet_files_of_three_writers_come_back_row_for_row(tmp_path):
    world = SimulatedWorld()
    plant_folder(world, tmp_path)
    run_id = world.send(world.joke(s3_uri="s3://world/inputs/lake/", **PROMPT))

    totals = await play(world, run_id)

    assert (totals.state, totals.ok, totals.error) == (RunState.SUCCEEDED, FILES * ROWS_PER_FILE, 0)
    result = world.result(run_id)
    assert result.schema.field("seen").type == pa.int64()
    expected = [rows_of(file) for file in range(FILES)]
    for column in ("topic", "seen", "note"):
        wanted = [value for rows in expected for value in rows.get(column, [None] * ROWS_PER_FILE)]
        assert result[column].to_pylist() == wanted
    report = json.dumps(world.report(run_id))
    assert "note" in report
    assert f"{FILES // 2}" in report.replace(",", "")


async def test_a_zero_byte_part_among_them_is_refused_by_name(tmp_path):
    world = SimulatedWorld()
    for file in range(5):
        world.objects.plant(f"inputs/lake/part-{file:05d}.parquet", by_pyarrow(rows_of(file), tmp_path))
    world.objects.plant("inputs/lake/part-00005.parquet", b"")
    message = await refused(world, world.joke(s3_uri="s3://world/inputs/lake/", **PROMPT))
    assert "part-00005.parquet" in message
    assert "0 bytes" in message


@pytest.mark.promise("S3")
async def test_a_glob_of_two_member_gzip_csv_comes_back_row_for_row():
    world = SimulatedWorld()
    number = 0
    expected = []
    for file in range(20):
        lines = [f"{row},topic {row},{row % 7}" for row in range(number, number + 30)]
        expected += [f"topic {row}" for row in range(number, number + 30)]
        number += 30
        members = ["\n".join(["id,topic,seen", *lines[:11], ""]), "\n".join([*lines[11:], ""])]
        world.objects.plant(f"inputs/z/{file:03d}.csv.gz", b"".join(gzip.compress(each.encode()) for each in members))
        world.objects.plant(f"inputs/z/{file:03d}.txt", b"not asked for")
    run_id = world.send(world.joke(s3_uri="s3://world/inputs/z/*.csv.gz", id_column="id", **PROMPT))

    totals = await play(world, run_id)

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 600)
    assert world.result(run_id)["topic"].to_pylist() == expected
    assert world.result(run_id)["id"].to_pylist() == [str(row) for row in range(600)]


@pytest.mark.promise("S3")
async def test_a_hive_folder_of_zstd_jsonl_comes_back_row_for_row():
    world = SimulatedWorld()
    expected = []
    for lang in ("de", "en"):
        for zip_code in ("01", "02"):
            rows = [
                {"topic": f"{lang} {zip_code} {row}", "seen": row, "tags": [lang] if row % 2 else "none"}
                for row in range(60)
            ]
            lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
            # Two frames, as a tool that appends leaves them.
            body = b"".join(pa.compress(part, codec="zstd", asbytes=True) for part in (lines[:500], lines[500:]))
            world.objects.plant(f"inputs/h/lang={lang}/zip={zip_code}/000.jsonl.zst", body)
            expected += [(row["topic"], lang, zip_code) for row in rows]
    run_id = world.send(world.joke(s3_uri="s3://world/inputs/h/", **PROMPT))

    totals = await play(world, run_id)

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 240)
    result = world.result(run_id)
    found = list(zip(*(result[name].to_pylist() for name in ("topic", "lang", "zip")), strict=True))
    assert found == expected
    assert result["tags"].to_pylist()[:2] == ['"none"', '["de"]']


async def test_a_choice_of_rows_and_columns_comes_back_as_chosen(tmp_path):
    world = SimulatedWorld()
    plant_folder(world, tmp_path)
    # Of the rows with a note, those after the first ten.
    least = 2**40 + FILES // 2 * ROWS_PER_FILE + 10
    manifest = world.joke(
        s3_uri="s3://world/inputs/lake/",
        columns=["topic", "seen"],
        where=f"note is not null and seen >= {least}",
        sample={"rows": 100, "seed": 7},
        **PROMPT,
    )
    run_ids = [world.send(manifest | {"run_id": f"again-{number}"}) for number in range(2)]
    results = []
    for run_id in run_ids:
        totals = await play(world, run_id)
        assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 100)
        results.append(world.result(run_id))
    assert results[0]["seen"].to_pylist() == results[1]["seen"].to_pylist()
    seen = results[0]["seen"].to_pylist()
    assert seen == sorted(set(seen))
    assert min(seen) >= least
    assert results[0].schema.names[:3] == ["topic", "seen", "response"]
