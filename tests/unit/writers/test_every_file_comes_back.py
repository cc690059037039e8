"""Files of five writers go through the real services, and five readers see in the part what they see in the file."""

from __future__ import annotations

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.results import our_names
from quarry_core.contract.states import RunState
from quarry_core.tabular.parquet.merging import merge_parts
from tests.unit.writers.files import ROWS, all_files
from tests.unit.writers.readers import READERS, CannotRead
from tests.world.world import BUCKET, CLAUDE, SimulatedWorld

FILES = all_files()
pytestmark = pytest.mark.slow
REFUSED = {
    "polars-int128": "'a': whole numbers of 128 bits",
    "polars-nested_int128": "'a': whole numbers of 128 bits",
    # fastparquet writes no null there but the smallest number of nanoseconds.
    "fastparquet-int96_with_nulls": "'a' has INT96 timestamps finer than microseconds",
    "polars-uint128": "'a': whole numbers of 128 bits",
}
# What a reader sees otherwise, and why it is no loss: docs/results.md says each of these.
OTHERWISE = {
    ("duckdb-json", "polars"): "without an Arrow schema polars takes JSON for bytes",
    ("duckdb-nested_json", "polars"): "without an Arrow schema polars takes JSON for bytes",
    ("fastparquet-objects", "polars"): "without an Arrow schema polars takes JSON for bytes",
    ("duckdb-nulls", "polars"): "without an Arrow schema polars takes what is only null for whole numbers",
    ("pyarrow-dates", "polars"): "date64 is a date in the file, and polars believes the Arrow schema instead",
    ("pyarrow-int96", "pyarrow"): "int96 comes back in microseconds, which pyarrow takes for nanoseconds by default",
    ("pyarrow-int96", "pandas"): "as pyarrow",
    ("pyarrow-int96", "fastparquet"): "as pyarrow",
    ("fastparquet-int96", "polars"): "as pyarrow-int96",
    ("fastparquet-int96", "fastparquet"): "as pyarrow-int96",
    ("fastparquet-int96", "pyarrow"): "as pyarrow-int96",
    ("fastparquet-int96", "pandas"): "as pyarrow-int96",
    ("pandas-categories_of_numbers", "fastparquet"): "categories of numbers are known to pandas' metadata alone",
    ("fastparquet-categories", "fastparquet"): "fastparquet's categories are known to fastparquet alone",
    ("fastparquet-ordered", "fastparquet"): "fastparquet's categories are known to fastparquet alone",
    ("fastparquet-categories_of_numbers", "fastparquet"): "fastparquet's categories are known to fastparquet alone",
    ("fastparquet-groups", "fastparquet"): "fastparquet's categories are known to fastparquet alone",
}


async def through(body: bytes, **changes: object) -> tuple[SimulatedWorld, str]:
    world = SimulatedWorld()
    world.objects.plant("inputs/x.parquet", body)
    manifest = {"s3_uri": f"s3://{BUCKET}/inputs/x.parquet", "job_name_prefix": "t", "model_id": CLAUDE}
    run_id = world.send({**manifest, "prompt": "{text}", **changes})
    await world.run(run_id)
    return world, run_id


def test_there_are_at_least_sixty_files_of_five_writers():
    assert len(FILES) >= 60
    assert {name.partition("-")[0] for name in FILES} == {"duckdb", "polars", "pandas", "fastparquet", "pyarrow"}


MANY_PARTS = (
    "pyarrow-new_categories_in_every_group",
    "pandas-ordered_in_groups",
    "polars-categories",
    "pyarrow-ordered",
)


@pytest.mark.parametrize("name", MANY_PARTS)
async def test_categories_of_a_run_of_several_parts_are_those_of_the_source(name):
    source = pq.read_table(io.BytesIO(FILES[name]()))
    body = io.BytesIO()
    with pq.ParquetWriter(body, source.schema) as writer:
        for _ in range(3):
            for batch in source.to_batches():
                writer.write_batch(batch)
    world, run_id = await through(body.getvalue(), max_records_per_job=100)

    keys = sorted(key for key in world.objects.bodies if key.startswith(f"results/{run_id}/part-"))
    parts = [world.objects.bodies[key] for key in keys]
    assert len(parts) > 1
    there = pa.concat_tables([pq.read_table(io.BytesIO(part)) for part in parts]).select(source.column_names)
    wanted = pa.concat_tables([source] * 3)
    assert there.schema == wanted.schema
    for column in source.column_names:
        assert there.column(column).to_pylist() == wanted.column(column).to_pylist()
    for part in parts:
        for read in (READERS["pandas"], READERS["polars"], READERS["duckdb"]):
            read(part, source.column_names)
    whole = pd.concat([pd.read_parquet(io.BytesIO(part)) for part in parts], ignore_index=True)
    if pa.types.is_dictionary(source.schema.field("a").type) and source.schema.field("a").type.ordered:
        assert whole["a"].dtype == pd.read_parquet(body)["a"].dtype


@pytest.mark.promise("S3")
@pytest.mark.parametrize("name", FILES)
async def test_a_file_comes_back_as_each_reader_sees_it_or_is_refused_by_name(name, tmp_path):
    body = FILES[name]()

    world, run_id = await through(body)

    totals = await world.totals(run_id)
    if name in REFUSED:
        assert totals.state is RunState.FAILED
        assert REFUSED[name] in totals.message
        assert not world.jobs.all
        return
    assert totals.state is RunState.SUCCEEDED, totals.message
    (part,) = [there for key, there in world.objects.bodies.items() if key.startswith(f"results/{run_id}/part-")]
    columns = pq.ParquetFile(io.BytesIO(body)).schema_arrow.names
    assert pq.ParquetFile(io.BytesIO(part)).schema_arrow.names == [*columns, *our_names("response")]
    for reader, read in READERS.items():
        try:
            seen = read(body, columns)
        except CannotRead:
            continue  # what cannot be read in the file need not be in the part
        if (name, reader) in OTHERWISE:
            assert read(part, columns) != seen, f"{reader} sees {name} as it is: OTHERWISE says otherwise"
            assert len(pq.ParquetFile(io.BytesIO(part)).read(columns=["response"])) == ROWS
        else:
            assert read(part, columns) == seen, f"{reader} sees {name} otherwise"
    (tmp_path / "part.parquet").write_bytes(part)
    merged = io.BytesIO()
    assert merge_parts([tmp_path / "part.parquet"], merged) == ROWS
    assert _seen(merged.getvalue(), columns) == _seen(part, columns)
    assert merge_parts([tmp_path / "part.parquet"] * 3, io.BytesIO()) == 3 * ROWS


def _seen(body: bytes, columns: list[str]) -> dict[str, object]:
    seen = {}
    for reader, read in READERS.items():
        try:
            seen[reader] = read(body, columns)
        except CannotRead:
            seen[reader] = "cannot be read"
    return seen
