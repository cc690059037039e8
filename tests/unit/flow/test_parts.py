"""What cannot come back is refused before anything is paid for; what would come back otherwise is never published."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.results import our_names
from quarry_core.contract.states import RunState
from quarry_core.tabular.parquet import part_file
from tests.world.world import CLAUDE, SimulatedWorld

ROWS = 120
LEVELS = pa.array(["low", "medium", "high", "huge"])


def source(**columns):
    return pa.table({"text": [f"row {row}" for row in range(ROWS)], **columns})


def ordered():
    codes = pa.array([(2, 0, None)[row % 3] for row in range(ROWS)], pa.int8())
    return source(level=pa.DictionaryArray.from_arrays(codes, LEVELS, ordered=True))


def send(world, table, **changes):
    uri = world.parquet(table, row_group_size=50)
    return world.send({"s3_uri": uri, "job_name_prefix": "t", "model_id": CLAUDE, "prompt": "{text}"} | changes)


def lose_dictionaries(monkeypatch):
    """A writer's bug by which categories lose their order and those that no row has."""
    writer = pq.ParquetWriter
    monkeypatch.setattr(
        part_file.pq, "ParquetWriter", lambda *given, **options: writer(*given, **{**options, "use_dictionary": False})
    )


async def test_a_source_that_would_come_back_otherwise_is_refused_before_a_job_is_made(monkeypatch):
    lose_dictionaries(monkeypatch)
    world = SimulatedWorld()

    run_id = send(world, ordered())
    totals = await world.run(run_id)

    assert totals.state is RunState.FAILED
    assert "column 'level' is of a type that a result cannot hold, dictionary<values=string" in totals.message
    assert "cast it" in totals.message
    assert world.jobs.all == []


@pytest.mark.promise("S3")
async def test_a_part_that_differs_from_its_source_ends_the_run_with_the_columns_name(monkeypatch):
    world = SimulatedWorld()
    run_id = send(world, ordered())
    await world.idle()
    lose_dictionaries(monkeypatch)

    totals = await world.run(run_id)

    assert totals.state is RunState.FAILED
    assert "column 'level': values of type dictionary" in totals.message
    assert f"outcomes/{run_id}/" in totals.message
    assert not [key for key in world.objects.bodies if key.startswith(f"results/{run_id}/part-")]
    assert [key for key in world.objects.bodies if key.startswith(f"outcomes/{run_id}/")]


async def test_categories_keep_order_and_levels_in_every_part_of_a_run():
    world = SimulatedWorld()
    big = pa.concat_tables([ordered()] * 3)

    run_id = send(world, big, max_records_per_job=100)
    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED
    parts = [body for key, body in world.objects.bodies.items() if key.startswith(f"results/{run_id}/part-")]
    assert len(parts) > 1
    for part in parts:
        level = pq.read_table(io.BytesIO(part)).column("level")
        assert level.type == big.schema.field("level").type
        assert all(chunk.dictionary.equals(LEVELS) for chunk in level.chunks)
    assert world.result(run_id).column("level").to_pylist() == big.column("level").to_pylist()


@pytest.mark.parametrize("name", ["status", "Status", "RESPONSE"])
async def test_a_column_of_ours_in_any_case_is_refused_and_kept_with_a_prefix(name):
    world = SimulatedWorld()
    table = source(**{name: ["mine"] * ROWS})

    refused = await world.run(send(world, table, run_id="refused"))
    kept = await world.run(send(world, table, run_id="kept", result_prefix="quarry_"))

    assert refused.state is RunState.FAILED
    assert f"'{name}'" in refused.message
    assert "set result_prefix to 'quarry_' in the manifest" in refused.message
    assert kept.state is RunState.SUCCEEDED
    result = world.result("kept")
    assert result.column_names == ["text", name, *our_names("response", "quarry_")]
    assert set(result.column(name).to_pylist()) == {"mine"}
    assert set(result.column("quarry_status").to_pylist()) == {"ok"}


@pytest.mark.parametrize("prefix", ["1x", "a-b", "x" * 33, "", " ", 'a"b'])
async def test_a_prefix_that_needs_quoting_anywhere_is_refused(prefix):
    world = SimulatedWorld()

    totals = await world.run(send(world, source(), result_prefix=prefix))

    assert totals.state is RunState.FAILED
    assert totals.message.startswith("result_prefix: ")
