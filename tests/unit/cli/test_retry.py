"""`quarry retry`, and the versions of a dataset that every command knows thereafter."""

from __future__ import annotations

import json
import re

import pytest

from quarry_core.contract.names import part_key, report_key

ONCE = {"record_errors": {"max_attempts": 1}, "max_records_per_job": 100}


@pytest.fixture
def failed(quarry):
    """A run with errors, of a Bedrock that is healthy again."""

    async def wake(queue, wakeup):
        quarry.world.queues[queue].put(wakeup.body())
        return True

    quarry.connections["wake"] = wake
    quarry.world.bedrock.throttled_share, quarry.world.bedrock.refused_share = 0.5, 0.05
    run_id = quarry.ended(400, **ONCE)
    quarry.world.bedrock.throttled_share = quarry.world.bedrock.refused_share = 0.0
    return run_id


def as_json(quarry, *args: str, code: int = 0):
    result = quarry(*args, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def retried(quarry, run_id: str) -> str:
    made_by = as_json(quarry, "retry", run_id, "--yes")["run_id"]
    quarry.finish(made_by)
    return made_by


def test_it_says_what_would_be_asked_and_asks_whether_to(quarry, failed):
    said = quarry("retry", failed, given="n\n")
    assert said.exit_code == 1
    assert "of 400 rows of run" in said.stdout
    assert "are asked again, in at least" in said.stdout
    assert re.search(r"for about \$0\.0\d*[1-9]\d*$", said.stdout, re.MULTILINE), said.stdout
    assert "not asked: " in said.stdout
    assert "not begun" in said.stderr
    looked = as_json(quarry, "retry", failed, "--look")
    assert (looked["begun"], looked["version"], looked["way"]) == (False, 2, "jobs")
    assert len(quarry.client.runs()) == 1, "nothing was begun"

    begun = quarry("retry", failed, given="y\n")
    assert begun.exit_code == 0
    assert f"run {failed}-v2 makes version 2" in begun.stdout
    assert f"quarry watch {failed}-v2" in begun.stdout
    refused = quarry("retry", failed, "--yes")
    assert refused.exit_code == 1
    assert "is being made" in refused.stderr
    assert quarry("retry", failed, "--json").exit_code == 2


def test_a_look_at_nothing_is_no_failure_and_a_retry_of_nothing_is(quarry, failed):
    looked = as_json(quarry, "retry", failed, "--code", "MISSING", "--look")
    assert (looked["asked"], looked["errors"], looked["way"], looked["jobs"]) == (0, {}, None, 0)
    assert looked["stay"], "they have other codes"
    said = quarry("retry", failed, "--code", "MISSING", "--look")
    assert said.exit_code == 0
    sentence = f"no row of run {failed} has an error that is to be asked again"
    assert sentence in " ".join(said.stdout.split())

    for options in ((), ("--yes",)):
        refused = quarry("retry", failed, "--code", "MISSING", *options)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert sentence in " ".join(refused.stderr.split())
    assert len(quarry.client.runs()) == 1, "nothing was begun"


def test_every_command_knows_the_versions_and_takes_the_newest(quarry, failed, tmp_path):
    made_by = retried(quarry, failed)
    first, second = quarry.status(failed), quarry.status(made_by)
    assert [(each["version"], each["run_id"], each["newest"]) for each in first["versions"]] == [
        (1, failed, False),
        (2, made_by, True),
    ]
    assert second["versions"] == first["versions"]
    assert (first["version"], second["version"], second["of"]) == (1, 2, failed)
    assert f"dataset of run {failed}: version 1 is this run" in quarry("status", failed).stdout
    lines = {line["run_id"]: line for line in as_json(quarry, "runs")}
    assert (lines[made_by]["of"], lines[made_by]["version"], lines[failed]["version"]) == (failed, 2, 1)
    assert f"jokes (version 2 of {failed})" in quarry("runs").stdout

    for run, options, wanted in (
        (failed, (), made_by),
        (failed, ("--version", "2"), made_by),
        (failed, ("--version", "1"), failed),
        (made_by, (), made_by),
        (made_by, ("--version", "1"), failed),
        (failed[:5], (), made_by),
    ):
        out = tmp_path / f"{run}{''.join(options)}"
        found = as_json(quarry, "results", run, "-o", str(out), *options)
        assert (found["run_id"], found["rows"], found["faults"]) == (wanted, 400, [])
        assert found["ok"] == (second if wanted == made_by else first)["rows"]["ok"]
        verified = as_json(quarry, "verify", run, *options)
        assert (verified["run_id"], verified["found"], verified["unchecked"]) == (wanted, 0, []), verified
        assert (verified["rows"], verified["compared"]) == (400, 400)
        assert as_json(quarry, "errors", run, *options)["run_id"] == wanted
        assert quarry.client.table(run, version=int(options[1]) if options else None).num_rows == 400
    assert "version 2 of the dataset of run" in quarry("results", failed, "-o", str(tmp_path / "said")).stdout
    assert "has no version 3: the last one is 2" in quarry("verify", failed, "--version", "3").stderr


def test_verify_finds_what_is_doctored_in_a_version(quarry, failed):
    made_by = retried(quarry, failed)
    report = quarry.world.report(made_by)
    report["llm_tokens"]["output"] += 1
    quarry.world.objects.plant(report_key(made_by), json.dumps(report).encode())
    found = as_json(quarry, "verify", failed, code=1)
    assert "output tokens" in found["differences"][0]["what"]
    quarry.world.objects.delete(part_key(made_by, "00002"))
    found = as_json(quarry, "verify", failed, code=1)
    assert any("it is missing" in each["what"] for each in found["differences"])


def test_while_a_version_is_made_the_one_before_is_the_newest(quarry, failed, tmp_path):
    made_by = as_json(quarry, "retry", failed, "--yes")["run_id"]
    quarry.idle()
    assert quarry.status(made_by)["state"] == "RUNNING"
    assert as_json(quarry, "results", failed, "-o", str(tmp_path / "a"))["run_id"] == failed
    assert "by run" not in quarry("status", failed).stdout
    assert f"version 2 by {made_by} (RUNNING)" in quarry("status", failed).stdout
    assert quarry("results", made_by, "-o", str(tmp_path / "b")).exit_code == 1, "it is not whole"
    quarry.finish(made_by)
    assert as_json(quarry, "results", failed, "-o", str(tmp_path / "c"))["run_id"] == made_by


def test_erasing_takes_all_versions_and_none_alone(quarry, failed):
    made_by = retried(quarry, failed)
    alone = quarry("erase", made_by, "--yes")
    assert (alone.exit_code, "erase that one" in alone.stderr) == (1, True)
    opened = as_json(quarry, "retry", failed, "--all", "--yes")["run_id"]
    waits = quarry("erase", failed, "--yes")
    assert (waits.exit_code, "makes a version of its dataset" in waits.stderr) == (1, True)
    quarry.finish(opened)

    assert quarry("erase", failed, "--yes").exit_code == 0

    assert [key for key in quarry.world.objects.bodies if failed in key] == []
    for run_id in (failed, made_by, opened):
        assert quarry.status(run_id)["erased_at"]
        assert quarry("retry", run_id, "--yes").exit_code == 1
    assert "was erased" in quarry("retry", failed, "--yes").stderr
    assert as_json(quarry, "erase", failed, "--yes")["items"] == 0
