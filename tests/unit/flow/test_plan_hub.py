"""`quarry plan` of a dataset of the Hugging Face Hub, and of chosen rows."""

from __future__ import annotations

import asyncio
import io
import json

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.sources.hub.objects import HubObjects
from quarry_core.sources.reading import SourceObjects
from tests.unit.cli.conftest import Command
from tests.unit.local.simulated_hub import simulated_hub
from tests.world.world import CLAUDE, SimulatedWorld


def parquet(rows):
    body = io.BytesIO()
    pq.write_table(pa.table({"source": [f"question {row}?" for row in range(rows)]}), body)
    return body.getvalue()


@pytest.fixture
def quarry():
    return Command()


@pytest.fixture
def hub(tmp_path):
    with simulated_hub(tmp_path, {"o/questions": {"data/train.parquet": parquet(420)}}, lfs_bytes_min=1) as served:
        objects = HubObjects(served.url, "", pause=lambda _: None)
        yield objects
        objects.close()
        huggingface_hub.close_session()


def test_a_dataset_of_the_hub_is_planned_as_the_services_then_run_it(quarry, hub, monkeypatch):
    monkeypatch.setenv("QUARRY_JOB_QUOTA", "3")
    quarry.world = SimulatedWorld(hub=hub)
    quarry.connections |= {"region": "us-east-1", "objects": lambda: SourceObjects(quarry.world.objects, hub)}
    manifest = {
        "job_name_prefix": "hub",
        "model_id": CLAUDE,
        "prompt": "{source}",
        "dataset_id": "o/questions",
        "split": "train[:80%]",
        "max_records_per_job": 120,
    }
    read = []

    plan = quarry.client.plan(manifest, tell=lambda done, _: read.append(done)).as_json()
    run_id = quarry.world.send(manifest)
    asyncio.run(quarry.world.run(run_id))

    report = quarry.world.report(run_id)
    assert plan["rows_source"] == plan["rows_planned"] == 336
    assert plan["shards"] == len(report["shards"]) == 3
    assert report["estimate"]["input_tokens"] == plan["input_tokens"]
    assert read[-1] > 0


def test_chosen_rows_are_planned_and_the_others_are_not(quarry, monkeypatch):
    monkeypatch.setenv("QUARRY_JOB_QUOTA", "3")
    quarry.connections |= {"region": "us-east-1"}
    rows = pa.table({"topic": [f"topic {row}" for row in range(900)], "lang": ["en", "fr", "de"] * 300})
    manifest = quarry.world.joke() | {"s3_uri": quarry.world.parquet(rows), "where": "lang = 'en'"}

    result = quarry("plan", "-", "--json", given=json.dumps(manifest))
    run_id = quarry.world.send(manifest)
    asyncio.run(quarry.world.run(run_id))

    plan, report = json.loads(result.stdout), quarry.world.report(run_id)
    assert (plan["rows_planned"], plan["shards"]) == (report["rows"]["planned"], len(report["shards"])) == (300, 3)
    assert report["estimate"]["tokens"] == plan["tokens"]
