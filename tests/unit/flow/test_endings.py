"""However a job ends: what was paid for is kept, and every row has a result or an error that says why."""

from __future__ import annotations

import pyarrow as pa
import pytest

from quarry_core.contract.names import parse_job_name
from quarry_core.contract.states import RunState
from tests.unit.flow.acts import errors_of, healthy_dead, jobs_per_attempt, play
from tests.world.house import CLAUDE, House

ROWS = 400


def attempts(house, shard):
    names = [parse_job_name(job.name, "test") for job in house.jobs.all]
    return [name.attempt for name in names if name is not None and name.shard == shard]


def holds_every_row_once(house, run_id, rows=ROWS):
    result = house.result(run_id)
    assert result["topic"].to_pylist() == [f"topic number {row}" for row in range(rows)]
    assert len(set(result["record_id"].to_pylist())) == rows
    for row in result.to_pylist():
        assert (row["status"] == "ok") == (row["response"] is not None) == (row["error_code"] is None)
        if row["status"] == "ok":
            assert row["topic"] in row["response"]
        else:
            assert row["error_message"]


@pytest.mark.promise("S10", "S3")
async def test_a_job_that_fails_without_output_is_repeated_as_often_as_allowed_and_then_told():
    house = House()
    run_id = house.send(house.joke(rows=ROWS, max_records_per_job=200))

    def end(job):
        if "-00000-" in job.name:
            house.bedrock.end(job, "Failed", message="Internal error", output=False)
        else:
            house.bedrock.end(job)

    totals = await play(house, run_id, end)

    bad = next(shard for shard in house.report(run_id)["shards"] if shard["shard"] == "00000")["rows"]
    assert totals.state is RunState.SUCCEEDED_WITH_ERRORS
    assert attempts(house, "00000") == [1, 2, 3]
    assert set(jobs_per_attempt(house).values()) == {1}
    assert totals.repeats == house.settings.repeats_max == 2
    assert errors_of(house, run_id) == {"JOB_FAILED": bad}
    messages = {each for each in house.result(run_id)["error_message"].to_pylist() if each}
    assert all("Internal error" in message for message in messages)
    holds_every_row_once(house, run_id)
    assert healthy_dead(house) == {}


async def test_a_job_that_fails_once_is_repeated_after_its_pause_and_nothing_is_told_of_it():
    house = House()
    run_id = house.send(house.joke(rows=100))
    failing = iter(["Failed"])

    def end(job):
        status = next(failing, "Completed")
        house.bedrock.end(job, status, message="Internal error", output=status == "Completed")

    totals = await play(house, run_id, end)

    assert (totals.state, totals.repeats, totals.error) == (RunState.SUCCEEDED, 1, 0)
    assert attempts(house, "00000") == [1, 2]
    first, second = house.jobs.all
    assert second.submitted_at is not None
    assert first.ended_at is not None
    assert (second.submitted_at - first.ended_at).total_seconds() >= house.settings.repeat_pause_s(1)


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
async def test_what_a_job_has_answered_is_kept_whatever_its_end_and_the_rest_is_told(status, code):
    house = House()
    house.bedrock.missing_share = 0.4
    run_id = house.send(house.joke(rows=ROWS, max_records_per_job=200))

    totals = await play(house, run_id, lambda job: house.bedrock.end(job, status, message="the reason why"))

    assert totals.state is RunState.SUCCEEDED_WITH_ERRORS
    assert 0 < totals.error < ROWS
    assert errors_of(house, run_id) == {code: totals.error}
    assert totals.repeats == 0, "what was told about was paid for: it is not asked again"
    assert all("the reason why" in each for each in house.result(run_id)["error_message"].to_pylist() if each)
    assert {shard["status"] for shard in house.report(run_id)["shards"]} == {status}
    holds_every_row_once(house, run_id)


@pytest.mark.promise("S10")
@pytest.mark.parametrize(
    ("status", "code", "repeats"),
    [("Expired", "EXPIRED", 2), ("Failed", "JOB_FAILED", 2), ("Stopped", "NOT_PROCESSED", 0)],
)
async def test_a_run_of_which_nothing_comes_out_fails_with_bedrocks_words(status, code, repeats):
    house = House()
    run_id = house.send(house.joke(rows=100))

    totals = await play(
        house, run_id, lambda job: house.bedrock.end(job, status, message="the reason why", output=False)
    )

    assert (totals.state, totals.repeats) == (RunState.FAILED, repeats)
    assert "the reason why" in totals.message
    assert code in totals.message
    assert errors_of(house, run_id) == {code: 100}


@pytest.mark.promise("H1")
async def test_a_completed_job_of_nothing_but_errors_is_no_success():
    house = House()
    house.bedrock.error_share = 1.0
    run_id = house.send(house.joke(rows=200))

    totals = await play(house, run_id)

    assert (totals.state, totals.ok, totals.error) == (RunState.FAILED, 0, 200)
    assert "bad request" in totals.message
    assert house.report(run_id)["state"] == "FAILED"
    assert f"results/{run_id}/_SUCCESS" not in house.objects.bodies


@pytest.mark.promise("S9", "S3")
async def test_records_with_an_error_become_error_rows_with_code_and_message_beside_the_answers():
    house = House()
    house.bedrock.error_share = 0.1
    run_id = house.send(house.joke(rows=ROWS))

    totals = await play(house, run_id)

    assert totals.state is RunState.SUCCEEDED_WITH_ERRORS
    assert 0 < totals.error < ROWS
    assert errors_of(house, run_id) == {"MODEL_ERROR": totals.error}
    told = {row["error_message"] for row in house.result(run_id).to_pylist() if row["status"] != "ok"}
    assert all("400" in message and "bad request" in message for message in told)
    assert house.report(run_id)["errors"]["MODEL_ERROR"]["rows"] == totals.error
    holds_every_row_once(house, run_id)


@pytest.mark.promise("S9")
async def test_a_null_where_the_prompt_needs_a_value_becomes_an_error_row_and_is_never_sent():
    house = House(job_quota=1)  # one shard, well above the smallest job
    topics = [None if row % 10 == 3 else f"topic number {row}" for row in range(300)]
    uri = house.parquet(pa.table({"topic": pa.array(topics, pa.string()), "id": range(300)}))
    run_id = house.send({"s3_uri": uri, "job_name_prefix": "n", "model_id": CLAUDE, "prompt_id": "joke_about_topic"})

    totals = await play(house, run_id)

    assert (totals.state, totals.ok, totals.error) == (RunState.SUCCEEDED_WITH_ERRORS, 270, 30)
    result = house.result(run_id)
    assert result["topic"].to_pylist() == topics
    assert result["id"].to_pylist() == list(range(300))
    assert errors_of(house, run_id) == {"NULL_INPUT": 30}
    codes = result["error_code"].to_pylist()
    assert [row for row, code in enumerate(codes) if code] == [row for row, topic in enumerate(topics) if topic is None]
    assert "topic" in next(message for message in result["error_message"].to_pylist() if message)
    assert [job.total_records for job in house.jobs.all] == [270]


@pytest.mark.promise("S9")
async def test_one_null_among_three_hundred_rows_costs_its_neighbours_nothing():
    house = House(job_quota=3)
    topics = [None if row == 150 else f"topic number {row}" for row in range(300)]
    run_id = house.send(house.joke(rows=1) | {"s3_uri": house.parquet(pa.table({"topic": topics}))})

    totals = await play(house, run_id)

    assert errors_of(house, run_id) == {"NULL_INPUT": 1}
    assert totals.ok == 299
