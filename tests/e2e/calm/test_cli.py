"""The command `quarry`, against a stack: from a manifest in a file to the results in a directory."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.manifest_schema import manifest_schema
from tests.e2e.user import CLAUDE


@pytest.fixture
def manifest_file(calm, tmp_path):
    """Writes a manifest over a fresh source of 240 rows; changes win."""

    def write(name: str, **changes):
        manifest = {
            "s3_uri": calm.topics(f"inputs/{name}.csv", 240),
            "job_name_prefix": "cli",
            "model_id": CLAUDE,
            "prompt_id": "joke_about_topic",
            "max_records_per_job": 120,
            "run_id": name,
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(manifest | changes))
        return str(path)

    return write


def test_a_manifest_in_a_file_is_submitted_followed_listed_and_its_results_brought(calm, manifest_file, tmp_path):
    sent = calm.quarry("submit", manifest_file("cliwhole"), "--wait", "--every", "0.5", "--timeout", "60", plainly=True)
    assert sent.stdout.split() == ["cliwhole"]

    shown = calm.quarry("status", "cliwhole").stdout
    assert "cliwhole" in shown
    assert "SUCCEEDED" in shown
    assert calm.status("cliwhole")["rows"]["ok"] == 240

    assert "cliwhole" in calm.quarry("runs").stdout
    listed = json.loads(calm.quarry("runs", "--json").stdout)
    assert [run["state"] for run in listed if run["run_id"] == "cliwhole"] == ["SUCCEEDED"]

    out = tmp_path / "out"
    brought = calm.quarry("results", "cliwhole", "-o", str(out), plainly=True).stdout
    assert "240" in brought
    parts = pa.concat_tables([pq.read_table(path) for path in sorted(out.glob("part-*.parquet"))])
    assert parts.equals(calm.result("cliwhole"))
    assert parts["topic"].to_pylist() == [f"topic number {row}" for row in range(240)]


def test_schema_prints_the_manifests_own(calm):
    assert json.loads(calm.quarry("schema").stdout) == manifest_schema()


def test_a_manifest_that_would_be_refused_is_not_sent(calm, manifest_file):
    refused = calm.quarry("submit", manifest_file("clibad", prompt_ids="joke"), exit_code=2)

    assert "did you mean prompt_id" in refused.stderr
    assert calm.totals("clibad") == {}


def test_submit_wait_tells_a_failed_run_by_its_exit_code(calm, manifest_file):
    few = calm.topics("inputs/clifew.csv", 5)

    manifest = manifest_file("clifails", s3_uri=few, on_demand_below=0)
    refused = calm.quarry("submit", manifest, exit_code=2)
    failed = calm.quarry("submit", manifest, "--no-check", "--wait", "--every", "0.5", exit_code=1)

    assert "add rows until it has" in refused.stderr

    assert "add rows until it has" in failed.stdout + failed.stderr
    assert "add rows until it has" in " ".join(calm.quarry("status", "clifails").stdout.split())


def test_status_of_a_run_that_does_not_exist_is_an_error(calm):
    assert "nosuchrun" in calm.quarry("status", "nosuchrun", "--json", exit_code=1).stderr


def test_a_manifest_is_planned_here_and_by_a_dry_run_and_both_say_what_then_happens(calm, manifest_file):
    plan = json.loads(calm.quarry("plan", manifest_file("cliplan", run_id=None), "--json").stdout)
    assert (plan["rows_planned"], plan["shards"]) == (240, 2)
    assert plan["input_tokens"] > 0

    dry = manifest_file("clidry", dry_run=True)
    calm.quarry("submit", dry, "--wait", "--every", "0.5", "--timeout", "60")
    view = calm.status("clidry")
    assert (view["state"], view["dry_run"], view["jobs"]) == ("SUCCEEDED", True, [])
    assert view["estimate"]["shards"] == 2
    assert "a dry run: nothing was sent" in calm.quarry("status", "clidry").stdout

    calm.quarry("submit", manifest_file("cliwet"), "--wait", "--every", "0.5", "--timeout", "60")
    wet = calm.status("cliwet")
    assert (wet["rows"]["ok"], wet["shards"]["SETTLED"]) == (240, plan["shards"])
    after = json.loads(calm.quarry("plan", manifest_file("cliafter", run_id=None), "--json").stdout)
    assert after["factor_records"] >= 240
    assert after["duration"]["jobs"] >= 2


def test_what_cannot_be_planned_is_refused_as_by_submit(calm, manifest_file):
    wrong = manifest_file("cliwrong", prompt_id=None, prompt="{nothing}")
    plan = calm.quarry("plan", wrong, exit_code=2)
    submit = calm.quarry("submit", wrong, exit_code=2)
    assert (plan.returncode, plan.stderr) == (submit.returncode, submit.stderr)
