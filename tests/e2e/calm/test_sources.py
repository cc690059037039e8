"""Sources of several files, on real processes and the embedded AWS."""

from __future__ import annotations

import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.user import CLAUDE

PER_FILE = 60


def manifest(uri: object, **changes: object) -> dict:
    return {"s3_uri": uri, "job_name_prefix": "many", "model_id": CLAUDE, "prompt": "Say {topic}"} | changes


def topics(name: str) -> list[str]:
    return [f"{name} {row}" for row in range(PER_FILE)]


def parquet(name: str) -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.table({"topic": topics(name)}), body)
    return body.getvalue()


@pytest.mark.promise("S3")
def test_a_hive_folder_comes_back_with_its_columns_and_its_result_is_the_next_source(calm):
    for day in ("01", "02"):
        for part in ("0", "1"):
            calm.put(f"inputs/lake/t/day={day}/part-{part}.parquet", parquet(f"{day}.{part}"))
    calm.put("inputs/lake/t/_SUCCESS", b"")

    first = calm.send(manifest(f"s3://{calm.bucket}/inputs/lake/t", result_prefix="first_"))
    totals = calm.ended(first)

    assert totals["state"] == "SUCCEEDED", totals
    result = calm.result(first)
    assert result["topic"].to_pylist() == [topic for name in ("01.0", "01.1", "02.0", "02.1") for topic in topics(name)]
    assert result["day"].to_pylist() == ["01"] * 2 * PER_FILE + ["02"] * 2 * PER_FILE

    second = calm.send(manifest(f"s3://{calm.bucket}/results/{first}/", prompt="Rate {first_response}"))
    totals = calm.ended(second)

    assert totals["state"] == "SUCCEEDED", totals
    assert calm.result(second).select(result.column_names).equals(result)


@pytest.mark.promise("S3")
def test_a_pattern_and_an_object_are_one_source_in_the_order_of_the_list(calm):
    last = calm.put("inputs/z.jsonl.gz", _packed("z"))
    for name in ("b", "a"):
        calm.put(f"inputs/logs/2026/{name}.jsonl.gz", _packed(name))

    run_id = calm.send(manifest([last, f"s3://{calm.bucket}/inputs/logs/**/[ab].jsonl.gz"]))
    totals = calm.ended(run_id)

    assert totals["state"] == "SUCCEEDED", totals
    assert calm.result(run_id)["topic"].to_pylist() == [topic for name in "zab" for topic in topics(name)]


def test_a_folder_that_is_a_table_is_refused_by_the_services(calm):
    calm.put("inputs/delta/part-0.parquet", parquet("x"))
    calm.put("inputs/delta/_delta_log/00000000000000000000.json", b"{}")

    totals = calm.ended(calm.send(manifest(f"s3://{calm.bucket}/inputs/delta/")))

    assert totals["state"] == "FAILED"
    assert "is a Delta table" in totals["message"]


def _packed(name: str) -> bytes:
    lines = [json.dumps({"topic": topic}) + "\n" for topic in topics(name)]
    return b"".join(gzip.compress("".join(half).encode()) for half in (lines[:20], lines[20:]))
