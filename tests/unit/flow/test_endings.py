"""However a job ends: what was paid for is kept, and every row has a result or an error that says why."""

from __future__ import annotations

import pyarrow as pa
import pytest

from quarry_core.contract.names import parse_job_name
from quarry_core.contract.states import RunState
from tests.unit.flow.acts import errors_of, healthy_dead, jobs_per_attempt, play
from tests.world.world import CLAUDE, SimulatedWorld

ROWS = 400


def attempts(world, shard):
    names = [parse_job_name(job.name, "test") for job in world.jobs.all]
    return [name.attempt for name in names if name is not None and name.shard == shard]


def holds_every_row_once(world, run_id, rows=ROWS):
    result = world.result(run_id)
    assert result["topic"].to_pylist() == [f"topic number {row}" for row in range(rows)]
    assert len(set(result["record_id"].to_pylist())) == rows
    for row in result.to_pylist():
        assert (row["status"] == "ok") == (row["response"] is not None) == (row["error_code"] is None)
        if row["status"] == "ok":
            assert row["topic"] in row["response"]
        else:
            assert row["error_message"]


@pytest.mark.promise("S10", "S3")
async def test_a_job_that_fails_without_output_is_repeated_as_often_as_allowed_and_then_reported():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=ROWS, max_records_per_job=200))

    def end(job):
        if "-00000-" in job.name:
            world.bedrock.end(job, "Failed", message="Internal error", output=False)
        else:
            world.bedrock.end(job)

    totals = await play(world, run_id, end)

    bad = next(shard for shard in world.report(run_id)["shards"] if shard["shard"] == "00000")["rows"]
    assert totals.state is RunState.SUCCEEDED_WITH_ERRORS
    assert attempts(world, "00000") == [1, 2, 3]
    assert set(jobs_per_attempt(world).values()) == {1}
    assert totals.repeats == world.settings.repeats_max == 2
    assert errors_of(world, run_id) == {"JOB_FAILED": bad}
    messages = {each for each in world.result(run_id)["error_message"].to_pylist() if each}
    assert all("Internal error" in message for message in messages)
    holds_every_row_once(world, run_id)
    assert healthy_dead(world) == {}


async def test_a_job_that_fails_once_is_repeated_after_its_pause_and_nothing_is_reported_of_it():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100))
    failing = iter(["Failed"])

    def end(job):
        status = next(failing, "Completed")
        world.bedrock.end(job, status, message="Internal error", output=status == "Completed")

    totals = await play(world, run_id, end)

    assert (totals.state, totals.repeats, totals.error) == (RunState.SUCCEEDED, 1, 0)
    assert attempts(world, "00000") == [1, 2]
    first, second = world.jobs.all
    assert second.submitted_at is not None
    assert first.ended_at is not None
    assert (second.submitted_at - first.ended_at).total_seconds() >= world.settings.repeat_pause_s(1)


@pytest.mark.promise("S10", "S3")
@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("PartiallyCompleted", "NOT_PROCESSED"),
        ("Stopped", "NOT_PROCESSED"),
        ("Expired", "EXPIRED"),
        ("Failed", "JOB_FAILED"),
        ("Completed", "MISSING"),
    ],
)
async def test_what_a_job_has_answered_is_kept_whatever_its_end_and_the_rest_is_reported(status, code):
    world = SimulatedWorld()
    world.bedrock.missing_share = 0.4
    once = {"max_attempts": 1}
    run_id = world.send(world.joke(rows=ROWS, max_records_per_job=200, record_errors=once))

    totals = await play(world, run_id, lambda job: world.bedrock.end(job, status, message="the reason why"))

    assert totals.state is RunState.SUCCEEDED_WITH_ERRORS
    assert 0 < totals.error < ROWS
    assert errors_of(world, run_id) == {code: totals.error}
    assert totals.repeats == 0, "what was told about was paid for: it is not asked again"
    assert all("the reason why" in each for each in world.result(run_id)["error_message"].to_pylist() if each)
    assert {shard["status"] for shard in world.report(run_id)["shards"]} == {status}
    holds_every_row_once(world, run_id)


@pytest.mark.promise("S10")
@pytest.mark.parametrize(
    ("status", "code", "repeats"),
    [("Expired", "EXPIRED", 2), ("Failed", "JOB_FAILED", 2), ("Stopped", "NOT_PROCESSED", 0)],
)
async def test_a_run_of_which_nothing_comes_out_fails_with_bedrocks_words(status, code, repeats):
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=100))

    totals = await play(
        world, run_id, lambda job: world.bedrock.end(job, status, message="the reason why", output=False)
    )

    assert (totals.state, totals.repeats) == (RunState.FAILED, repeats)
    assert "the reason why" in totals.message
    assert code in totals.message
    assert errors_of(world, run_id) == {code: 100}


@pytest.mark.promise("H1")
async def test_a_completed_job_of_nothing_but_errors_is_no_success():
    world = SimulatedWorld()
    world.bedrock.error_share = 1.0
    run_id = world.send(world.joke(rows=200))

    totals = await play(world, run_id)

    assert (totals.state, totals.ok, totals.error) == (RunState.FAILED, 0, 200)
    assert "bad request" in totals.message
    assert world.report(run_id)["state"] == "FAILED"
    assert f"results/{run_id}/_SUCCESS" not in world.objects.bodies


@pytest.mark.promise("S9", "S3")
async def test_records_with_an_error_become_error_rows_with_code_and_message_beside_the_answers():
    world = SimulatedWorld()
    world.bedrock.error_share = 0.1
    run_id = world.send(world.joke(rows=ROWS))

    totals = await play(world, run_id)

    assert totals.state is RunState.SUCCEEDED_WITH_ERRORS
    assert 0 < totals.error < ROWS
    assert errors_of(world, run_id) == {"MODEL_ERROR": totals.error}
    reported = {row["error_message"] for row in world.result(run_id).to_pylist() if row["status"] != "ok"}
    assert all("400" in message and "bad request" in message for message in reported)
    assert world.report(run_id)["errors"]["MODEL_ERROR"]["rows"] == totals.error
    holds_every_row_once(world, run_id)


@pytest.mark.promise("S9")
async def test_a_null_where_the_prompt_needs_a_value_becomes_an_error_row_and_is_never_sent():
    world = SimulatedWorld(job_quota=1)  # one shard, well above the smallest job
    topics = [None if row % 10 == 3 else f"topic number {row}" for row in range(300)]
    uri = world.parquet(pa.table({"topic": pa.array(topics, pa.string()), "id": range(300)}))
    run_id = world.send({"s3_uri": uri, "job_name_prefix": "n", "model_id": CLAUDE, "prompt_id": "joke_about_topic"})

    totals = await play(world, run_id)

    assert (totals.state, totals.ok, totals.error) == (RunState.SUCCEEDED_WITH_ERRORS, 270, 30)
    result = world.result(run_id)
    assert result["topic"].to_pylist() == topics
    assert result["id"].to_pylist() == list(range(300))
    assert errors_of(world, run_id) == {"NULL_INPUT": 30}
    codes = result["error_code"].to_pylist()
    assert [row for row, code in enumerate(codes) if code] == [row for row, topic in enumerate(topics) if topic is None]
    assert "topic" in next(message for message in result["error_message"].to_pylist() if message)
    assert [job.total_records for job in world.jobs.all] == [270]


@pytest.mark.promise("S9")
async def test_one_null_among_three_hundred_rows_costs_its_neighbours_nothing():
    world = SimulatedWorld(job_quota=3)
    topics = [None if row == 150 else f"topic number {row}" for row in range(300)]
    run_id = world.send(world.joke(rows=1) | {"s3_uri": world.parquet(pa.table({"topic": topics}))})

    totals = await play(world, run_id)

    assert errors_of(world, run_id) == {"NULL_INPUT": 1}
    assert totals.ok == 299
