"""`why`: what is known of one record, and nothing of it is obeyed by a terminal."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from quarry_core.contract.names import plan_key

SMALL = {"max_records_per_job": 100}


def known(quarry, run_id: str, record: str) -> dict:
    result = quarry("why", run_id, record, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_record_by_its_id_and_by_its_row_with_request_raw_answer_and_result(quarry):
    run_id = quarry.ended(300, **SMALL)

    found = known(quarry, run_id, "150")

    assert (found["record_id"], found["row"], found["shard"], found["row_in_shard"]) == (
        "00002000050",
        150,
        "00002",
        50,
    )
    assert (found["status"], found["shard_state"]) == ("ok", "SETTLED")
    assert "topic number 150" in found["answer"]
    assert "topic number 150" in json.loads(found["request"])["messages"][0]["content"][0]["text"]
    assert found["request_from"] == "output"
    (attempt,) = found["attempts"]
    assert (attempt["attempt"], attempt["status"]) == (1, "Completed")
    assert attempt["job"].startswith(f"jokes-{run_id}-00002-1-")
    assert json.loads(attempt["lines"][0])["recordId"] == "00002000050"
    assert found["notes"] == []
    assert known(quarry, run_id[:6], "00002000050") == found
    assert "topic number 150" in quarry("why", run_id, "150").stdout


def test_every_attempt_is_told_and_what_was_asked_is_made_again_where_no_output_tells_it(quarry):
    run_id = quarry.world.send(quarry.world.joke(100, record_errors={"max_attempts": 1}))
    quarry.idle()
    (job,) = quarry.world.bedrock.active
    quarry.world.bedrock.end(job, "Failed", message="Internal error", output=False)
    quarry.world.bedrock.missing_share = 1.0
    quarry.finish(run_id)

    found = known(quarry, run_id, "7")

    assert [attempt["status"] for attempt in found["attempts"]] == ["Failed", "Completed", "Completed"]
    assert found["attempts"][0]["message"] == "Internal error"
    assert (found["status"], found["error_code"]) == ("error", "MISSING")
    assert found["request_from"] == "source"
    assert "topic number 7" in found["request"]
    assert found["notes"] == ["no output has a line for it"]


def test_a_row_that_was_never_sent_says_why(quarry):
    topics = [None if row == 3 else f"topic {row}" for row in range(200)]
    run_id = quarry.ended(200, s3_uri=quarry.world.parquet(pa.table({"topic": topics})))

    found = known(quarry, run_id, "3")

    assert (found["status"], found["error_code"]) == ("error", "NULL_INPUT")
    assert any("it was never sent: NULL_INPUT" in note for note in found["notes"])


def test_a_record_that_was_asked_on_demand(quarry):
    run_id = quarry.ended(40, on_demand_below=100)

    found = known(quarry, run_id, "39")

    assert found["on_demand"]
    assert "topic number 39" in found["answer"]
    assert "topic number 39" in found["attempts"][0]["lines"][0]


def test_a_run_that_goes_on_has_no_result_yet(quarry):
    run_id = quarry.world.send(quarry.world.joke(300, **SMALL))
    quarry.idle()

    found = known(quarry, run_id, "299")

    assert (found["status"], found["shard_state"]) == ("", "SUBMITTED")
    assert "its part of the result does not stand (yet)" in found["notes"]
    assert "topic number 299" in found["request"]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("300", "has 300 rows, counted from 0"),
        ("00009000000", "has no row 0, or there is no such shard"),
        ("00000000100", "has no row 100"),
        ("first", "neither a record id"),
        ("-1", "No such option"),
    ],
)
def test_what_there_is_not_is_said(quarry, record, why):
    run_id = quarry.ended(300, **SMALL)
    result = quarry("why", run_id, record)
    assert result.exit_code in (1, 2)
    assert why in result.stderr


def test_without_a_plan_only_the_id_finds_a_record(quarry):
    run_id = quarry.ended(300, **SMALL)
    quarry.world.objects.delete(plan_key(run_id))

    assert "give the record id" in quarry("why", run_id, "5").stderr
    found = known(quarry, run_id, "00000000005")
    assert (found["row"], found["status"]) == (None, "ok")


def test_no_text_of_others_reaches_the_terminal_raw(quarry):
    evil = "\x1b[2J\x9b31m\u202e"
    quarry.world.bedrock.answerer = lambda body, _: {
        "role": "assistant",
        "content": [{"type": "text", "text": f"{evil} [bold]no markup[/bold]"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    topics = [f"{evil} {row}" for row in range(100)]
    run_id = quarry.ended(100, s3_uri=quarry.world.parquet(pa.table({"topic": topics})))

    for options in ((), ("--json",)):
        shown = quarry("why", run_id, "5", *options).stdout
        assert "[bold]no markup[/bold]" in shown
        assert not [char for char in evil if char in "\x1b\x9b\u202e" and char in shown]


def test_a_record_is_followed_into_the_rounds_and_the_retries_that_asked_it_again(quarry):
    quarry.world.bedrock.throttled_share = 0.6
    asked = {"record_errors": {"max_attempts": 3}, "max_records_per_job": 200, "on_demand_below": 0}
    run_id = quarry.ended(1_000, **asked)
    first = quarry.status(run_id)
    assert (first["round"], first["rows"]["error"] > 100) == (3, True)
    rows = quarry.client.table(run_id)["status"].to_pylist()
    failed, answered = str(rows.index("error")), str(rows.index("ok"))

    found = known(quarry, run_id, failed)

    assert [(each["version"], each["round"]) for each in found["attempts"]] == [(1, 1), (1, 2), (1, 3)]
    assert [each["run_id"] for each in found["attempts"]] == [run_id] * 3
    assert (
        found["attempts"][0]["shard"] == found["shard"] < found["attempts"][1]["shard"] < found["attempts"][2]["shard"]
    )
    assert all(json.loads(each["lines"][0])["recordId"] == found["record_id"] for each in found["attempts"])
    assert {json.loads(each["lines"][0])["error"]["errorCode"] for each in found["attempts"]} == {429}
    assert len({each["job"] for each in found["attempts"]}) == 3
    assert found["error_code"] == "MODEL_ERROR"

    quarry.world.bedrock.throttled_share = 0.0
    made_by = json.loads(quarry("retry", run_id, "--yes", "--json").stdout)["run_id"]
    quarry.finish(made_by)

    followed = known(quarry, run_id, failed)
    assert [(each["version"], each["round"]) for each in followed["attempts"]] == [(1, 1), (1, 2), (1, 3), (2, 2)]
    assert (followed["run_id"], followed["attempts"][3]["run_id"], followed["status"]) == (made_by, made_by, "ok")
    assert f"topic number {failed}" in followed["answer"]
    assert f"attempt 1, in version 2 (run {made_by}), round 2, retry shard" in quarry("why", run_id, failed).stdout
    assert json.loads(quarry("why", run_id, failed, "--version", "1", "--json").stdout) == found
    assert {each["version"] for each in known(quarry, run_id, answered)["attempts"]} == {1}
