"""Parquet files as other writers leave them, from the queue to the parts: read right, or refused before anything is paid."""

from __future__ import annotations

import datetime as dt
import io

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.states import RunState
from tests.unit.flow.acts import play
from tests.world.world import CLAUDE, SimulatedWorld

ROWS = 300
TEXT = pa.array([f"row {n}" for n in range(ROWS)])


def send(world, body, prompt="Say: {text}", **fields):
    world.objects.plant("data/d.parquet", body)
    manifest = {
        "job_name_prefix": "p",
        "model_id": CLAUDE,
        "s3_uri": "s3://world/data/d.parquet",
        "prompt": prompt,
        "run_id": "p",
        **fields,
    }
    world.send(manifest)


def written(table, **options) -> bytes:
    body = io.BytesIO()
    pq.write_table(table, body, **options)
    return body.getvalue()


async def ran(table, prompt="Say: {text}", *, quota=3, **options):
    world = SimulatedWorld(quota=quota)
    send(world, written(table, **options), prompt)
    return world, await play(world, "p")


async def refused(body, prompt="Say: {text}") -> str:
    world = SimulatedWorld()
    send(world, body, prompt)
    totals = await play(world, "p")
    assert totals.state is RunState.FAILED
    assert world.jobs.all == []
    return totals.message or totals.fault


def results(world) -> pa.Table:
    keys = sorted(key for key in world.objects.bodies if key.startswith("results/p/part-"))
    return pa.concat_tables(
        [pq.read_table(io.BytesIO(world.objects.bodies[key])) for key in keys], promote_options="permissive"
    )


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    ("bad", "kind", "code", "expected"),
    [
        (float("nan"), pa.float64(), "NULL_INPUT", "is NaN"),
        (float("inf"), pa.float32(), "NULL_INPUT", "is infinite"),
        (None, pa.float64(), "NULL_INPUT", "is null"),
    ],
    ids=["NaN", "infinity", "null"],
)
async def test_one_value_that_is_none_costs_one_row_of_a_thousand(bad, kind, code, expected):
    values = [float(n) for n in range(1_000)]
    values[567] = bad
    table = pa.table({"text": [f"row {n}" for n in range(1_000)], "x": pa.array(values, kind)})
    world, totals = await ran(table, "{text} {x}", quota=10)
    assert (totals.state, totals.ok, totals.error) == (RunState.SUCCEEDED_WITH_ERRORS, 999, 1)
    found = results(world)
    place = found["status"].to_pylist().index("error")
    assert (place, found["error_code"][place].as_py()) == (567, code)
    assert expected in found["error_message"][place].as_py()


async def test_categories_of_other_values_in_each_row_group_are_planned_and_run():
    groups = [pa.array([f"g{group} {n}" for n in range(100)]).dictionary_encode() for group in range(3)]
    table = pa.table(
        {"text": TEXT, "city": pa.chunked_array([g.cast(pa.dictionary(pa.int8(), pa.string())) for g in groups])}
    )
    world, totals = await ran(table, "{text} {city}", row_group_size=100)
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, ROWS)
    assert results(world)["city"].cast(pa.string()).to_pylist() == table["city"].cast(pa.string()).to_pylist()


async def test_int96_is_read_in_microseconds_and_far_dates_are_right():
    far = [dt.datetime(9999, 12, 31, 23, 59, 59), dt.datetime(1, 1, 1), dt.datetime(1600, 5, 6)]  # noqa: DTZ001 - without a zone
    table = pa.table({"text": TEXT, "ts": pa.array(far * 100, pa.timestamp("us"))})
    world, totals = await ran(table, "{text} {ts}", use_deprecated_int96_timestamps=True)
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, ROWS)
    assert results(world)["ts"] == table["ts"]
    [first, *_] = [body for key, body in sorted(world.objects.bodies.items()) if key.startswith("batch-input/")] or [
        b""
    ]
    assert first == b"" or b"9999-12-31T23:59:59.000000" in first


async def test_int96_finer_than_microseconds_is_refused_with_the_cast():
    table = pa.table({"text": TEXT, "ts": pa.array([1_000] * 299 + [1_001], pa.timestamp("ns"))})
    said = await refused(written(table, use_deprecated_int96_timestamps=True, row_group_size=100))
    assert "column 'ts' has INT96 timestamps finer than microseconds: cast it" in said
    assert "row group 2" in said


@pytest.mark.parametrize("statistics", [True, False])
async def test_a_damaged_page_is_refused_while_counting_and_named(statistics):
    table = pa.table({"id": range(ROWS), "text": [f"row {n} {'x' * (n % 90)}" for n in range(ROWS)]})
    body = bytearray(written(table, compression="zstd", use_dictionary=False, write_statistics=statistics))
    chunk = pq.read_metadata(io.BytesIO(bytes(body))).row_group(0).column(1)
    begin = chunk.data_page_offset + 60
    body[begin : begin + 200] = bytes(200)
    assert "row group 0, column 'text', cannot be decoded" in await refused(bytes(body))


async def test_what_arrow_cannot_read_of_a_sound_file_is_refused_by_name_with_a_cast(tmp_path):
    # DuckDB writes as many values below a null ARRAY as below one that is there.
    path = tmp_path / "x.parquet"
    arrays = "case when i % 2 = 0 then null else [i, i]::integer[2] end"
    with duckdb.connect() as connection:
        connection.execute(f"copy (select 'row ' || i \"text\", {arrays} v from range({ROWS}) t(i)) to '{path}'")

    said = await refused(path.read_bytes())

    assert "row group 0, column 'v', cannot be decoded" in said
    assert said.endswith("cast the column or leave it out")


async def test_a_file_that_is_cut_short_or_lies_about_its_rows_is_refused():
    body = written(pa.table({"text": TEXT}))
    assert "is cut short" in await refused(body[: len(body) // 2])
    assert "is not a readable Parquet file" in await refused(b"text\n" * 300)


async def test_a_struct_with_two_fields_of_one_name_is_refused_by_its_true_reason():
    twice = pa.StructArray.from_arrays([TEXT, TEXT], ["a", "a"])
    table = pa.table({"text": TEXT, "v": twice})
    assert "the column 'v' is of type" in (said := await refused(written(table), "{v}"))
    assert "two fields of one name, 'a': rename one of them" in said


async def test_a_column_that_nobody_needs_may_have_any_type():
    twice = pa.StructArray.from_arrays([TEXT, TEXT], ["a", "a"])
    _, totals = await ran(pa.table({"text": TEXT, "v": twice, "b": pa.array([b"\xff"] * ROWS)}))
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, ROWS)


async def test_more_columns_than_can_be_open_at_once_are_refused():
    table = pa.table({"text": TEXT, **{f"c{n}": pa.array([n] * ROWS, pa.int16()) for n in range(2_000)}})
    assert "has 2001 columns" in await refused(written(table, compression="none"))


@pytest.mark.parametrize(("group", "copied"), [(3_000, True), (100, False)])
async def test_rows_are_copied_where_many_shards_share_a_row_group(group, copied):
    table = pa.table(
        {"text": [f"row {n}" for n in range(3_000)], "n": range(3_000), "when": [dt.date(2026, 1, 1)] * 3_000}
    )
    world = SimulatedWorld(quota=3)
    send(world, written(table, row_group_size=group), max_records_per_job=100)
    assert (await play(world, "p")).state is RunState.SUCCEEDED
    found = results(world)
    assert found.select(table.column_names).equals(table)
    opened = [key for key in world.objects.bodies if key.startswith("rows/p/") and key.endswith(".parquet")]
    assert bool(opened) == copied
