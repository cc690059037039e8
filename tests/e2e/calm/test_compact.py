"""A result is compacted on real processes and S3, fetched in its new form, and is the source of the next run."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.user import CLAUDE

ROWS = 600


@pytest.mark.promise("S3", "S4")
def test_a_run_is_compacted_fetched_verified_and_read_by_the_next_run(calm, tmp_path):
    manifest = {"job_name_prefix": "compact", "model_id": CLAUDE, "prompt": "Tell me a joke about {topic}"}
    source = calm.topics("inputs/compact.csv", ROWS)
    first = calm.send({**manifest, "s3_uri": source, "max_records_per_job": 100})
    assert calm.ended(first)["state"] == "SUCCEEDED"
    before = {key: calm.get(key) for key in calm.part_keys(first)}
    result = calm.result(first)

    merged = json.loads(calm.quarry("compact", first, "--json").stdout)

    assert (merged["before"], merged["parts"], merged["rows"]) == (6, 1, ROWS)
    assert {key: calm.get(key) for key in calm.part_keys(first)} == before
    brought = json.loads(calm.quarry("results", first, "-o", str(tmp_path / "out"), "--json").stdout)
    assert (brought["parts"], brought["rows"], brought["faults"]) == (1, ROWS, [])
    (part,) = (tmp_path / "out").iterdir()
    assert pq.read_table(part).equals(result)
    verified = json.loads(calm.quarry("verify", first, "--json").stdout)
    assert (verified["found"], verified["compact_parts"], verified["compared"]) == (0, 1, ROWS)
    assert json.loads(calm.quarry("compact", first, "--json").stdout)["already"] is True

    second = calm.send({**manifest, "s3_uri": merged["uri"], "prompt": "Rate {response}", "result_prefix": "second_"})
    totals = calm.ended(second)

    assert totals["state"] == "SUCCEEDED", totals
    assert pa.table(calm.result(second).select(result.column_names).columns, result.column_names).equals(
        pa.table(result.columns, result.column_names)
    )
