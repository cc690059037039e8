"""The main job, on real processes: a manifest dropped on the queue becomes one joined dataset, in order, complete."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.manifest_identity import run_id_of
from quarry_local.bedrock.families import titan
from tests.e2e.calm.conftest import BEDROCK_QUOTA, QUOTA
from tests.e2e.user import CLAUDE


def topic(row: int) -> str:
    """No two alike; some with what CSV must quote."""
    return f'topic {row}, "quoted"\nand on a second line' if row % 7 == 0 else f"topic {row}: Käse 🧀"


def its_answer(prompt: str) -> str:
    """What every answer of the simulated Claude to this prompt, and only to it, ends with."""
    return f"[{hashlib.sha256(prompt.encode()).hexdigest()[:16]}]"


@pytest.mark.promise("S3", "H1")
def test_the_joke_manifest_sent_by_boto3_gives_every_row_its_own_answer_in_order(calm):
    rows = [(topic(row), str(row)) for row in range(1_500)]
    uri = calm.csv("inputs/jokes.csv", ["topic", "number"], rows)
    manifest = {
        "s3_uri": uri,
        "job_name_prefix": "test-joke-job1",
        "model_id": "anthropic.claude-3-haiku-20240307-v1:0",
        "prompt_id": "joke_about_topic",
    }

    run_id = calm.send(manifest)
    totals = calm.ended(run_id)

    assert totals["state"] == "SUCCEEDED", totals
    result = calm.result(run_id)
    assert result.column_names[:3] == ["topic", "number", "response"]
    assert list(zip(result["topic"].to_pylist(), result["number"].to_pylist(), strict=True)) == rows
    prompts = [f"Tell me a joke about {each} in less than 50 words." for each, _ in rows]
    answers = result["response"].to_pylist()
    wrong = [row for row, prompt in enumerate(prompts) if not answers[row].endswith(its_answer(prompt))]
    assert wrong == []
    assert set(result["status"].to_pylist()) == {"ok"}
    assert len(set(result["record_id"].to_pylist())) == len(rows)
    assert all(job["name"].startswith("test-joke-job1-") for job in calm.jobs(run_id))
    counts = calm.report(run_id)["rows"]
    assert (counts["source"], counts["accepted"], counts["ok"], counts["error"]) == (1_500, 1_500, 1_500, 0)
    assert calm.get(f"results/{run_id}/_SUCCESS") == b""


@pytest.mark.promise("S3")
def test_the_embedding_manifest_gives_every_row_the_unit_vector_of_its_own_text(calm):
    texts = [f"text number {row}, {'long ' * (row % 11)}" for row in range(400)]
    manifest = {
        "s3_uri": calm.csv("inputs/texts.csv", ["id", "input_text"], ((str(n), t) for n, t in enumerate(texts))),
        "job_name_prefix": "test-embeddings-job1",
        "model_id": "amazon.titan-embed-text-v2:0",
        "prompt_id": None,
    }

    run_id = calm.send(manifest)
    totals = calm.ended(run_id)

    assert totals["state"] == "SUCCEEDED", totals
    result = calm.result(run_id)
    assert result["input_text"].to_pylist() == texts
    vectors = np.array(result["embedding"].to_pylist())
    assert vectors.shape == (400, 1_024)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    answer = titan.answering()
    expected = [json.loads(answer(json.dumps({"inputText": text}).encode()).body)["embedding"] for text in texts]
    np.testing.assert_allclose(vectors, np.array(expected), atol=1e-6)


def test_a_manifest_sent_by_the_aws_command_runs(calm, tmp_path):
    aws = shutil.which("aws")
    if aws is None:
        pytest.skip("there is no `aws` program on PATH")
    manifest = {
        "s3_uri": calm.topics("inputs/by-command.csv", 100),
        "job_name_prefix": "by-command",
        "model_id": CLAUDE,
        "prompt_id": "joke_about_topic",
    }
    body = tmp_path / "manifest.json"
    body.write_text(json.dumps(manifest))
    # Version 1 of the command asks AWS_ENDPOINT_URL for every service but SQS.
    command = [aws, "--endpoint-url", calm.env["AWS_ENDPOINT_URL"], "sqs", "send-message", "--output", "json"]

    sent = subprocess.run(
        [*command, "--queue-url", calm.env["QUARRY_MANIFEST_QUEUE_URL"], "--message-body", f"file://{body}"],
        env={**os.environ, **calm.env, "AWS_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert sent.returncode == 0, sent.stderr
    totals = calm.ended(run_id_of(manifest, json.loads(sent.stdout)["MessageId"]))
    assert (totals["state"], totals["ok"]) == ("SUCCEEDED", 100)


@pytest.mark.promise("S1", "L4")
def test_twelve_shards_at_a_quota_of_three_are_twelve_jobs_and_never_more_than_three_at_once(calm):
    before = calm.stack.simulator_stats()
    manifest = {
        "s3_uri": calm.topics("inputs/twelve.csv", 1_200),
        "job_name_prefix": "twelve",
        "model_id": CLAUDE,
        "prompt_id": "joke_about_topic",
        "max_records_per_job": 100,
    }

    run_id = calm.send(manifest)
    totals = calm.ended(run_id)

    assert (totals["state"], totals["ok"]) == ("SUCCEEDED", 1_200)
    after = calm.stack.simulator_stats()
    pool = after["pools"][CLAUDE]
    # Bedrock itself would have taken more: the three are Quarry's own doing.
    assert (pool["peak_active"], pool["quota"], pool["refused"]) == (QUOTA, BEDROCK_QUOTA, 0)
    assert after["creates"]["total"] - before["creates"]["total"] == 12
    assert after["creates"]["by_token"] == before["creates"]["by_token"]
    assert len({job["name"] for job in calm.jobs(run_id)}) == 12
    assert len(calm.part_keys(run_id)) == 12


@pytest.mark.promise("S3")
def test_a_parquet_source_comes_back_with_its_schema_and_values_unchanged(calm):
    rows = 750
    start = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    source = pa.table(
        {
            "id": pa.array([None if row % 5 == 4 else 2**62 + row for row in range(rows)], pa.int64()),
            "amount": pa.array([Decimal(row * 7_919).scaleb(-6) for row in range(rows)], pa.decimal128(18, 6)),
            "at": pa.array(
                [start + timedelta(minutes=row) for row in range(rows)], pa.timestamp("us", "Europe/Berlin")
            ),
            "tags": pa.array(
                [None if row % 9 == 8 else [f"t{row}"] * (row % 3) for row in range(rows)], pa.list_(pa.string())
            ),
            "name": [f"name {row} ö" for row in range(rows)],
            "nothing": pa.nulls(rows),
        }
    )
    body = io.BytesIO()
    pq.write_table(source, body, row_group_size=170)
    manifest = {
        "s3_uri": calm.put("inputs/types.parquet", body.getvalue()),
        "job_name_prefix": "types",
        "model_id": CLAUDE,
        "prompt": "What is {name} worth at {amount} on {at}?",
        "max_records_per_job": 130,
    }

    run_id = calm.send(manifest)
    totals = calm.ended(run_id)

    assert totals["state"] == "SUCCEEDED", totals
    keys = calm.part_keys(run_id)
    lengths = [pq.read_metadata(io.BytesIO(calm.get(key))).num_rows for key in keys]
    assert len(keys) > 2
    ends = np.cumsum(lengths)[:-1]
    assert all(end % 170 for end in ends), "the shards' ends were to fall inside row groups"
    columns = calm.result(run_id).select(source.column_names)
    assert columns.schema.equals(pq.read_schema(io.BytesIO(body.getvalue())))
    assert columns.equals(source)
