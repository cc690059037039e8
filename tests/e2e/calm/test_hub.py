"""Datasets of the Hugging Face Hub on real processes, from a simulated Hub that the real client reads."""

from __future__ import annotations

import json

import pytest

from quarry_core.contract.manifest_identity import run_id_of
from tests.e2e.calm.conftest import MINE, PRIVATE, SIMPLE_COT, TWO, two_configs, written
from tests.e2e.user import CLAUDE
from tests.world.manifests import OF_OLD


@pytest.fixture(autouse=True)
def no_faults(calm):
    yield
    calm.stack.set_hub_faults(throttled_first={}, location_uses=0, cut_first=0)


def manifest(**fields):
    return {"job_name_prefix": "hub", "model_id": CLAUDE, "prompt": "{source}"} | fields


@pytest.mark.promise("S3")
@pytest.mark.parametrize(("text", "rows"), [(OF_OLD[0], len(SIMPLE_COT)), (OF_OLD[1], 100)])
def test_the_manifests_of_old_run_letter_for_letter(calm, text, rows):
    run_id = run_id_of(json.loads(text), calm.send(text))
    totals = calm.ended(run_id)
    assert totals["state"] == "SUCCEEDED", totals
    result = calm.result(run_id)
    assert result.select(["source", "rationale", "target"]).to_pylist() == SIMPLE_COT[:rows]
    assert set(result["status"].to_pylist()) == {"ok"}
    assert calm.report(run_id)["rows"]["source"] == len(SIMPLE_COT)
    assert len(calm.jobs(run_id)) == 1


@pytest.mark.promise("S3")
def test_two_configs_of_three_files_are_whole_though_a_commit_lands_and_the_hub_has_its_moods(calm, tmp_path):
    before = calm.stack.hub_stats()
    commit = before["datasets"]["o/two"]["main"]
    calm.stack.set_hub_faults(
        throttled_first={"info": 1, "resolve": 1, "storage": 1}, throttled_s=1, location_uses=1, cut_first=1
    )
    later = written(tmp_path / "later", two_configs(TWO["en"][:5], TWO["fr"][:5]))
    landing = {"dataset": "o/two", "folder": str(later), "kind": "storage", "after": 2}
    calm.stack.land_on_hub(**landing)

    runs = {config: calm.send(manifest(dataset_id="o/two", config=config, revision=commit)) for config in TWO}

    for config, run_id in runs.items():
        totals = calm.ended(run_id, within_s=90)
        assert totals["state"] == "SUCCEEDED", totals
        assert calm.result(run_id).select(["source", "id"]).to_pylist() == TWO[config]
    after = calm.stack.hub_stats()
    assert after["datasets"]["o/two"]["main"] != commit, "it landed"
    assert after["refused"].get("429", 0) > before["refused"].get("429", 0)
    assert after["refused"].get("403", 0) > before["refused"].get("403", 0), "addresses have run out"
    assert after["tokens_leaked"] == 0
    calm.stack.land_on_hub(dataset="o/two", folder=str(written(tmp_path / "again", two_configs(TWO["en"], TWO["fr"]))))


def test_a_file_takes_the_fewest_requests(calm):
    about = "o/private/train.parquet"
    before = calm.stack.hub_stats()["files"].get(about, {})
    run_id = calm.send(manifest(dataset_id="o/private"))
    totals = calm.ended(run_id)
    assert totals["state"] == "SUCCEEDED", totals
    assert calm.result(run_id).select(["source", "id"]).to_pylist() == PRIVATE
    after = calm.stack.hub_stats()
    counted = {kind: count - before.get(kind, 0) for kind, count in after["files"][about].items()}
    # One place; one end; and the rows: tried out, sampled for bytes and for tokens, written.
    assert counted["resolve"] == 1
    assert counted["storage"] <= 1 + 4


def test_a_dataset_that_the_token_may_not_read_is_refused_and_no_token_is_anywhere(calm):
    run_id = calm.send(manifest(dataset_id="o/gated"))
    totals = calm.ended(run_id)
    assert totals["state"] == "FAILED"
    assert "o/gated is gated: ask for access at" in totals["message"]
    for name in ("preprocessor", "scheduler", "collector"):
        assert MINE not in calm.stack.log_path(name).read_text()
    objects = calm.s3.list_objects_v2(Bucket=calm.bucket, Prefix=f"plans/{run_id}")["Contents"]
    assert all(MINE.encode() not in calm.get(each["Key"]) for each in objects)


def test_whoever_submits_is_told_the_nearest_split_and_a_slice_is_the_rows_it_names(calm, tmp_path):
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(manifest(dataset_id="w601sxs/simpleCoT", split="trian")))
    refused = calm.quarry("submit", str(file), exit_code=None)
    assert refused.returncode != 0
    assert "split: w601sxs/simpleCoT has no split trian; did you mean train? It has: train" in refused.stderr
    file.write_text(
        json.dumps(manifest(dataset_id="w601sxs/simpleCoT", split="train[:20%]+train[-100:]", run_id="slices"))
    )
    calm.quarry("submit", str(file))
    assert calm.ended("slices")["state"] == "SUCCEEDED"
    expected = SIMPLE_COT[: len(SIMPLE_COT) // 5] + SIMPLE_COT[-100:]
    assert calm.result("slices")["source"].to_pylist() == [row["source"] for row in expected]
