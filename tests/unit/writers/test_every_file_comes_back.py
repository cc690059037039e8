"""Files of five writers go through the real services, and five readers see in the part what they see in the file."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest

from quarry_core.results import our_names
from quarry_core.states import RunState
from tests.unit.writers.files import ROWS, all_files
from tests.unit.writers.readers import READERS, CannotRead
from tests.world.house import BUCKET, CLAUDE, House

FILES = all_files()
REFUSED = {
    "polars-int128": "'a': whole numbers of 128 bits",
    "polars-nested_int128": "'a': whole numbers of 128 bits",
    "polars-uint128": "'a': whole numbers of 128 bits",
}
# What a reader sees otherwise, and why it is no loss: docs/results.md says each of these.
OTHERWISE = {
    ("duckdb-json", "polars"): "without an Arrow schema polars takes JSON for bytes",
    ("duckdb-nested_json", "polars"): "without an Arrow schema polars takes JSON for bytes",
    ("fastparquet-objects", "polars"): "without an Arrow schema polars takes JSON for bytes",
    ("duckdb-nulls", "polars"): "without an Arrow schema polars takes what is only null for whole numbers",
    ("pyarrow-dates", "polars"): "date64 is a date in the file, and polars believes the Arrow schema instead",
    ("pandas-categories_of_numbers", "fastparquet"): "categories of numbers are known to pandas' metadata alone",
    ("fastparquet-categories", "fastparquet"): "fastparquet's categories are known to fastparquet alone",
    ("fastparquet-ordered", "fastparquet"): "fastparquet's categories are known to fastparquet alone",
    ("fastparquet-categories_of_numbers", "fastparquet"): "fastparquet's categories are known to fastparquet alone",
    ("fastparquet-groups", "fastparquet"): "fastparquet's categories are known to fastparquet alone",
}


async def through(body: bytes) -> tuple[House, str]:
    house = House()
    house.objects.plant("inputs/x.parquet", body)
    manifest = {"s3_uri": f"s3://{BUCKET}/inputs/x.parquet", "job_name_prefix": "t", "model_id": CLAUDE}
    run_id = house.send({**manifest, "prompt": "{text}"})
    await house.run(run_id)
    return house, run_id


def test_there_are_at_least_sixty_files_of_five_writers():
    assert len(FILES) >= 60
    assert {name.partition("-")[0] for name in FILES} == {"duckdb", "polars", "pandas", "fastparquet", "pyarrow"}


@pytest.mark.promise("S3")
@pytest.mark.parametrize("name", FILES)
async def test_a_file_comes_back_as_each_reader_sees_it_or_is_refused_by_name(name):
    body = FILES[name]()

    house, run_id = await through(body)

    totals = await house.totals(run_id)
    if name in REFUSED:
        assert totals.state is RunState.FAILED
        assert REFUSED[name] in totals.message
        assert not house.jobs.all
        return
    assert totals.state is RunState.SUCCEEDED, totals.message
    (part,) = [there for key, there in house.objects.bodies.items() if key.startswith(f"results/{run_id}/part-")]
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
