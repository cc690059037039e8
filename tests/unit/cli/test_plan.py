"""`quarry plan` says what a manifest would be, and leaves no trace; a dry run says the same through the queue."""

from __future__ import annotations

import asyncio
import copy
import gzip
import io
import json

import pyarrow as pa
import pytest
from rich.console import Console

from quarry_cli.client.submission.overlay import Overlay
from quarry_cli.errors import NoResults, NotPlanned, NotSubmitted
from quarry_cli.screen.plans import plan_table
from quarry_core.errors import Conflict, Missing, Refused
from quarry_core.planning.estimate import Estimate
from quarry_core.ports import ObjectRef
from tests.world.objects import FakeObjects
from tests.world.world import BUCKET, TITAN


@pytest.fixture
def planner(quarry, monkeypatch):
    """The command in an environment whose region it knows, with three slots."""
    quarry.connections |= {"region": "us-east-1"}
    monkeypatch.setenv("QUARRY_JOB_QUOTA", "3")
    return quarry


def planned(quarry, manifest):
    result = quarry("plan", "-", "--json", given=json.dumps(manifest))
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def run(quarry, manifest):
    run_id = quarry.world.send(manifest)
    asyncio.run(quarry.world.run(run_id))
    return run_id


def fake_aws(quarry):
    """Everything that stands in AWS."""
    world = quarry.world
    return (
        dict(world.objects.standing),
        copy.deepcopy(world.table.items),
        {name: queue.bodies for name, queue in world.queues.items()},
        list(world.jobs.all),
        list(world.bus.events),
    )


MANIFESTS = {
    "short jobs": {"max_records_per_job": 100},
    "a last wave that is not full": {"max_records_per_job": 350},
    "limited": {"max_records_total": 700, "max_records_per_job": 300, "max_num_jobs": 2},
    "the model's own maximum": {},
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_what_is_planned_here_is_what_the_services_then_do(planner, name):
    manifest = planner.world.joke(rows=1234, **MANIFESTS[name])

    plan = planned(planner, manifest)
    report = planner.world.report(run(planner, manifest))

    assert (plan["shards"], plan["rows_planned"]) == (len(report["shards"]), report["rows"]["planned"])
    assert plan["shard_rows_max"] == max(shard["rows"] for shard in report["shards"])
    assert plan["waves"] == -(-len(report["shards"]) // 3)
    assert sum(each["rows"] for each in plan["rows_left_out"]) == report["rows"]["left_out"]
    assert report["estimate"] == {key: value for key, value in plan.items() if key != "unchecked"}


def test_planning_leaves_nothing_behind(planner, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    table = pa.table({"topic": [f"t {row}" if row % 7 else None for row in range(500)]})
    manifest = planner.world.joke() | {"s3_uri": planner.world.parquet(table)}
    before = fake_aws(planner)

    assert planned(planner, manifest)["rows_unsent"] == 72

    assert fake_aws(planner) == before
    assert list(tmp_path.iterdir()) == []


def test_after_one_run_tokens_cost_and_time_are_known(planner):
    manifest = planner.world.joke(rows=600, max_records_per_job=100)
    before = planned(planner, manifest)
    run_id = run(planner, manifest)
    after = planned(planner, manifest)

    totals = asyncio.run(planner.world.totals(run_id))
    assert (before["duration"], before["output_from"]) == (None, "max_tokens")
    assert after["input_tokens"] == pytest.approx(totals.input_tokens, rel=0.001)
    assert (after["output_tokens"], after["output_from"]) == (totals.output_tokens, "history")
    assert after["duration"]["seconds"] > 0
    assert after["notes"] == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model_id": "anthropic.claud"}, "model_id: "),
        ({"s3_uri": f"s3://{BUCKET}/inputs/nothing.csv"}, "s3_uri: "),
        ({"prompt_id": "nothing"}, "prompt_id: no prompt 'nothing'"),
        ({"prompt_id": None, "prompt": "{nope}"}, "the dataset has no column 'nope'"),
        ({"max_records_total": 50, "on_demand_below": 0}, "max_records_total leaves 50 rows"),
        ({"max_records_per_job": 5}, "max_records_per_job is 5"),
    ],
)
def test_what_would_be_refused_is_refused_in_the_same_words_with_the_same_exit_code(planner, changes, sentence):
    manifest = planner.world.joke() | changes

    result = planner("plan", "-", given=json.dumps(manifest))
    run_id = planner.world.send(manifest)
    asyncio.run(planner.world.idle())

    message = asyncio.run(planner.world.totals(run_id)).message
    assert result.exit_code == 2
    assert result.stderr == f"quarry: {message}\n"
    assert sentence in message
    assert result.stdout == ""


def test_a_row_that_cannot_be_parsed_is_found_though_nothing_looked_at_it_when_it_would_be_submitted(planner):
    body = b"topic\n" + b"a topic that is not short at all\n" * 60_000 + b'"open\n'
    planner.world.objects.plant("inputs/bad.csv", body)
    manifest = planner.world.joke() | {"s3_uri": f"s3://{BUCKET}/inputs/bad.csv"}

    with pytest.raises(NotSubmitted, match=r"data row 60001 .* opens a quote that is never closed"):
        planner.client.plan(manifest)


@pytest.mark.parametrize("given", ["", "[1]", "{", '"text"', "\x07"])
def test_what_is_no_manifest_is_refused_as_by_submit(planner, given):
    plan, submit = planner("plan", "-", given=given), planner("submit", "-", given=given)
    assert (plan.exit_code, plan.stderr) == (submit.exit_code, submit.stderr) == (2, submit.stderr)


def test_a_source_that_may_not_be_read_from_here_is_no_refusal_of_the_manifest(planner):
    planner.world.objects.owners["elsewhere"] = "210987654321"
    planner.world.objects.plant("in.csv", b"topic\n" + b"a\n" * 200, "elsewhere")
    manifest = planner.world.joke() | {"s3_uri": "s3://elsewhere/in.csv", "input_bucket_owner": "123456789012"}

    result = planner("plan", "-", given=json.dumps(manifest))

    assert result.exit_code == 5
    assert "s3_uri: s3://elsewhere/in.csv cannot be read" in result.stderr
    with pytest.raises(NotPlanned):
        planner.client.plan(manifest)


def test_the_slots_are_the_pools_own_or_the_variables_or_said_to_be_assumed(quarry, monkeypatch):
    quarry.connections |= {"region": "us-east-1"}
    manifest = quarry.world.joke(rows=1000, max_records_per_job=100)
    monkeypatch.delenv("QUARRY_JOB_QUOTA", raising=False)

    assumed = planned(quarry, manifest)
    assert assumed["slots"] == 20
    assert assumed["notes"][0].startswith("the slots are assumed to be 20: set QUARRY_JOB_QUOTA here")
    monkeypatch.setenv("QUARRY_JOB_QUOTA", "5")
    assert planned(quarry, manifest)["slots"] == 5
    run(quarry, manifest)
    assert planned(quarry, manifest)["slots"] == 3


def test_the_services_defaults_count_here_too(planner, monkeypatch):
    monkeypatch.setenv("MAX_RECORDS_PER_JOB", "100")
    monkeypatch.setenv("MAX_TOTAL_RECORDS", "450")
    plan = planned(planner, planner.world.joke(rows=1000))
    assert (plan["rows_planned"], plan["shard_rows_max"] <= 113) == (450, True)

    monkeypatch.setenv("MAX_TOTAL_RECORDS", "many")
    result = planner("plan", "-", given=json.dumps(planner.world.joke()))
    assert (result.exit_code, result.stderr[:38]) == (2, "quarry: MAX_TOTAL_RECORDS is 'many': I")


def test_shards_that_wait_already_are_ahead(planner):
    world = planner.world
    manifest = world.joke(rows=600, max_records_per_job=100)
    run(planner, manifest)
    alone = planned(planner, manifest)
    world.send(manifest | {"s3_uri": world.csv(2_000, "inputs/other.csv")})
    asyncio.run(world.idle())

    beside = planned(planner, manifest)

    assert (alone["ahead_shards"], beside["ahead_shards"]) == (0, 20)
    assert beside["duration"]["seconds"] == alone["duration"]["seconds"]
    assert beside["duration"]["behind_s"] > 1.5 * alone["duration"]["seconds"]


def test_an_embedding_is_planned_without_a_prompt_and_has_no_output_tokens(planner):
    uri = planner.world.csv(200, columns=("input_text", "note"))
    plan = planned(planner, {"s3_uri": uri, "job_name_prefix": "emb", "model_id": TITAN, "prompt_id": None})
    assert (plan["output_tokens"], plan["output_from"], plan["tokens"]["tokenizer"]) == (0, "none", "o200k")


def test_a_plan_with_everything_in_it_fits_eighty_columns(planner):
    rows = {"topic": [f"topic {row}" if row % 9 else None for row in range(2_000)]}
    manifest = planner.world.joke() | {"s3_uri": planner.world.parquet(pa.table(rows)), "max_records_total": 1_500}
    run(planner, manifest)
    estimate = Estimate.model_validate(planned(planner, manifest) | {"notes": ["a note of many words " * 12]})
    out = io.StringIO()

    Console(file=out, width=80).print(plan_table(estimate))

    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines[:7]] == ["rows", "left", "not", "shards", "input", "tokens", "cost"]
    assert max(map(len, lines)) <= 80
    assert out.getvalue().count("many") == 12


# --------------------------------------------------------------------------- dry runs


def test_the_command_shows_a_dry_run_as_a_plan(planner):
    manifest = planner.world.joke(rows=1000, max_records_per_job=100, dry_run=True)
    plan = planned(planner, {key: value for key, value in manifest.items() if key != "dry_run"})
    run_id = run(planner, manifest)

    view = planner.status(run_id)
    shown = planner("status", run_id).stdout
    watched = planner("watch", run_id)

    assert view["dry_run"] is True
    assert view["estimate"] == {key: value for key, value in plan.items() if key != "unchecked"}
    assert (view["rows"]["planned"], view["rows"]["left_out"], view["rows"]["accepted"]) == (1000, 0, 0)
    assert "10 in 4 waves over 3 slots" in shown
    assert "a dry run: nothing was sent" in shown
    assert watched.exit_code == 0
    assert "SUCCEEDED: a dry run: nothing was sent" in watched.stdout
    assert "SUCCEEDED (dry run)" in planner("runs").stdout
    assert [each["dry_run"] for each in json.loads(planner("runs", "--json").stdout)] == [True]
    assert "shards: 10 in 4 waves over 3 slots" in watched.stdout


def test_a_dry_run_has_no_results_and_says_where_its_plan_is(planner):
    run_id = run(planner, planner.world.joke(rows=300, dry_run=True))
    with pytest.raises(NoResults, match=rf"is a dry run, .*: quarry status {run_id} shows its plan"):
        planner.client.table(run_id)


def test_a_run_that_waits_shows_the_end_that_was_planned(planner):
    world = planner.world
    manifest = world.joke(rows=600, max_records_per_job=100)
    run(planner, manifest)
    run_id = world.send(manifest | {"job_name_prefix": "again"})
    asyncio.run(world.idle())

    view = planner.status(run_id)

    assert view["eta_s"] == view["estimate"]["duration"]["behind_s"] > 0
    assert "planned: 6 in 2 waves over 3 slots; about" in planner("status", run_id).stdout


def test_a_status_does_not_fail_where_the_estimate_cannot_be_read(planner):
    run_id = run(planner, planner.world.joke(rows=300))
    planner.world.objects.delete(f"plans/{run_id}/estimate.json")
    assert planner.status(run_id)["estimate"] is None


# --------------------------------------------------------------------------- the overlay


@pytest.fixture
def overlay(tmp_path):
    below = FakeObjects(BUCKET)
    below.plant("inputs/a.csv", b"0123456789")
    read = []
    made = Overlay(below, BUCKET, tmp_path, "r1", read.append)
    made.read_sizes = read
    return made


def test_what_is_written_is_read_from_the_folder_and_all_else_from_below(overlay):
    assert overlay.put_once("plans/r1/count.json", b"abcdef", {"run": "r1"}) is True
    upload = overlay.create("rows/r1/00000.parquet", {"run": "r1"})
    upload.write(b"xy")
    upload.write(memoryview(b"z"))
    with pytest.raises(Missing):
        overlay.head(ObjectRef("rows/r1/00000.parquet"))
    assert upload.commit() is True

    assert overlay.read(ObjectRef("plans/r1/count.json"), 1, 3) == b"bcd"
    assert overlay.head(ObjectRef("rows/r1/00000.parquet", BUCKET)).size_bytes == 3
    assert [info.key for info in overlay.list("plans/r1/")] == ["plans/r1/count.json"]
    with overlay.stream(ObjectRef("plans/r1/count.json"), 4) as body:
        assert body.read() == b"ef"
    with overlay.random_access(ObjectRef("inputs/a.csv")) as body:
        body.seek(-2, 2)
        assert body.read() == b"89"
    with overlay.stream(ObjectRef("inputs/a.csv"), 5) as body:
        buffer = bytearray(3)
        assert (body.readinto(buffer), bytes(buffer)) == (3, b"567")
    assert sum(overlay.read_sizes) == 2 + 3
    assert overlay.head(ObjectRef("inputs/a.csv")).size_bytes == 10


def test_an_object_is_written_once_as_in_s3(overlay):
    overlay.put_once("plans/r1/a", b"1", {"plan": "p"})
    assert overlay.put_once("plans/r1/a", b"1", {"plan": "p"}) is False
    with pytest.raises(Conflict):
        overlay.put_once("plans/r1/a", b"2", {"plan": "q"})
    overlay.delete("plans/r1/a")
    with pytest.raises(Missing):
        overlay.read(ObjectRef("plans/r1/a"))
    given_up = overlay.create("plans/r1/b", {})
    given_up.abort()
    given_up.abort()
    with pytest.raises(Missing):
        overlay.head(ObjectRef("plans/r1/b"))


def test_names_of_the_plan_are_never_asked_for_in_s3(tmp_path):
    class Forbidding(FakeObjects):
        def read(self, ref, start_byte=0, length_bytes=None):
            raise Refused("AccessDenied: not you", "AccessDenied")

    overlay = Overlay(Forbidding(BUCKET), BUCKET, tmp_path, "r1")
    with pytest.raises(Missing):
        overlay.read(ObjectRef("plans/r1/counts/00000.json"))
    with pytest.raises(Missing):
        overlay.read(ObjectRef("plans/r1.json"))
    with pytest.raises(Refused):
        overlay.read(ObjectRef("plans/r2/counts/00000.json"))


# --------------------------------------------------------------------------- other sources


def test_a_folder_of_compressed_lines_is_planned_as_the_services_then_run_it(planner):
    for number in range(5):
        lines = "".join(json.dumps({"topic": f"topic {number} {row}"}) + "\n" for row in range(120))
        planner.world.objects.plant(f"inputs/f/day={number}/a.jsonl.gz", gzip.compress(lines.encode()))
    manifest = planner.world.joke(max_records_per_job=200) | {"s3_uri": f"s3://{BUCKET}/inputs/f/"}

    plan = planned(planner, manifest)
    report = planner.world.report(run(planner, manifest))

    assert (plan["rows_planned"], plan["shards"]) == (600, len(report["shards"]))
    assert report["estimate"]["input_tokens"] == plan["input_tokens"]


def test_ready_requests_of_a_model_that_only_converses_are_planned_too(planner):
    lines = [
        {
            "custom_id": f"r {row}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "m", "messages": [{"role": "user", "content": f"Question {row}?"}], "max_tokens": 20},
        }
        for row in range(150)
    ]
    planner.world.objects.plant("inputs/r.jsonl", "\n".join(map(json.dumps, lines)).encode())
    manifest = {
        "job_name_prefix": "ready",
        "model_id": "amazon.nova-lite-v1:0",
        "s3_uri": f"s3://{BUCKET}/inputs/r.jsonl",
        "request_format": "openai",
    }

    plan = planned(planner, manifest)
    report = planner.world.report(run(planner, manifest))

    assert (plan["output_tokens"], plan["output_from"]) == (150 * 20, "max_tokens")
    assert plan["tokens"]["tokenizer"] == "o200k"
    assert (plan["shards"], report["state"]) == (1, "SUCCEEDED")
