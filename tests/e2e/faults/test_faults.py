"""Bedrock at its worst, one kind at a time: the run ends right, each row stands once, and no healthy work is dead."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from quarry_local.settings import LOCAL_WAITS
from tests.e2e.faults.conftest import QUOTA
from tests.e2e.user import CLAUDE, until

ROWS = 300
SHARDS = 3
# No other test here has taught this pool a limit: with a lower one Quarry would ask for no job too many.
UNTAUGHT = "anthropic.claude-3-5-haiku-20241022-v1:0"
pytestmark = pytest.mark.slow


def begin(user, run_id: str, model_id: str = CLAUDE, attempts_max: int = 3, **faults: Any) -> None:
    """Send a manifest of three shards to a simulator with these faults."""
    user.stack.set_faults(**faults)
    user.send(
        {
            "s3_uri": user.topics(f"inputs/{run_id}.csv", ROWS),
            "job_name_prefix": "faults",
            "model_id": model_id,
            "prompt_id": "joke_about_topic",
            "max_records_per_job": 100,
            "run_id": run_id,
            "record_errors": {"max_attempts": attempts_max},
        }
    )


def ended(user, run_id: str, within_s: float = 60) -> tuple[str, Counter[str]]:
    """The state of the run at its end, and how its rows came out; each of them stands once, in its place."""
    totals = user.ended(run_id, within_s)
    result = user.result(run_id)
    assert result["topic"].to_pylist() == [f"topic number {row}" for row in range(ROWS)]
    outcomes = Counter(code or "ok" for code in result["error_code"].to_pylist())
    assert (totals["ok"], totals["error"], totals["open"]) == (outcomes["ok"], ROWS - outcomes["ok"], 0)
    answered = [
        text
        for text, code in zip(*(result[x].to_pylist() for x in ("response", "error_code")), strict=True)
        if not code
    ]
    assert all(answered)
    assert user.dead() == dict.fromkeys(user.dead(), 0)
    return totals["state"], outcomes


def a_job_each(user, run_id: str) -> None:
    """No attempt of a shard has had two jobs, and none had a second attempt."""
    jobs = user.jobs(run_id)
    assert len(jobs) == len({job["name"] for job in jobs}) == SHARDS


def suffered(user) -> Counter[str]:
    return Counter(user.stack.simulator_stats()["faults"])


@pytest.mark.promise("L5", "S1")
def test_throttled_refused_with_500_and_answered_late_the_run_succeeds(user):
    before = suffered(user)
    begin(user, "throttled", throttled_share=0.5, server_error_share=0.4, reply_slow_share=1, reply_slow_s=0.2)

    assert ended(user, "throttled", 90) == ("SUCCEEDED", Counter(ok=ROWS))
    a_job_each(user, "throttled")
    seen = suffered(user) - before
    assert min(seen["ThrottlingException"], seen["InternalServerException"], seen["reply_slow"]) > 0


@pytest.mark.promise("S2")
def test_with_every_reply_to_create_lost_each_shard_has_one_job(user):
    before = suffered(user)
    begin(
        user,
        "lost",
        reply_lost_share=0.2,
        reply_lost_by_operation={"CreateModelInvocationJob": 1},
        token_window_s=5,
    )

    assert ended(user, "lost", 90) == ("SUCCEEDED", Counter(ok=ROWS))
    a_job_each(user, "lost")
    assert (suffered(user) - before)["reply_lost"] >= SHARDS


# No reply and no event tells of a job, and List shows it later than it is waited for: Create is sent again.
CREATED_TWICE: dict[str, Any] = {
    "reply_lost_by_operation": {"CreateModelInvocationJob": 1},
    "events_lost_share": 1,
    "list_lag_s": 2 * float(LOCAL_WAITS["QUARRY_LIST_SETTLE_S"]),
}


@pytest.mark.parametrize("window_s", [None, 600])
@pytest.mark.promise("S2")
def test_where_only_the_token_tells_of_a_job_it_is_given_again(user, window_s):
    run_id, before = f"token{window_s or ''}", user.stack.simulator_stats()["creates"]["by_token"]
    begin(user, run_id, token_window_s=window_s, **CREATED_TWICE)

    assert ended(user, run_id, 90) == ("SUCCEEDED", Counter(ok=ROWS))
    a_job_each(user, run_id)
    assert user.stack.simulator_stats()["creates"]["by_token"] - before >= SHARDS


@pytest.mark.parametrize("names", ["active", "ever"])
@pytest.mark.promise("S2")
def test_with_tokens_forgotten_and_names_refused_the_refusal_makes_no_second_job(user, names):
    run_id, before = f"names{names}", suffered(user)
    begin(user, run_id, token_window_s=0, names_refused=names, starting_s=8, **CREATED_TWICE)

    assert ended(user, run_id, 90) == ("SUCCEEDED", Counter(ok=ROWS))
    a_job_each(user, run_id)
    seen = suffered(user) - before
    assert min(seen[fault] for fault in ("reply_lost", "token_forgotten", "name_refused", "list_lag")) >= SHARDS


@pytest.mark.promise("S2")
def test_with_tokens_forgotten_and_names_taken_twice_list_alone_keeps_each_shard_to_one_job(user):
    before = suffered(user)
    begin(
        user,
        "listed",
        token_window_s=0,
        list_lag_s=2.5,
        events_lost_share=1,
        reply_lost_by_operation={"CreateModelInvocationJob": 1},
    )

    assert ended(user, "listed", 90) == ("SUCCEEDED", Counter(ok=ROWS))
    a_job_each(user, "listed")
    seen = suffered(user) - before
    assert min(seen["reply_lost"], seen["list_lag"]) >= SHARDS
    assert seen["token_forgotten"] == 0


HAIKU_45 = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
FIELDS = ["kind: good | bad", "score: number # how sure", "on: date", "at: datetime?", "tags: string[]"]
COLUMNS = pa.schema(
    [
        ("kind", pa.string()),
        ("score", pa.float64()),
        ("on", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
        ("tags", pa.list_(pa.field("element", pa.string()))),
    ]
)


@pytest.mark.promise("S3", "S9")
@pytest.mark.parametrize(("model_id", "mode"), [(HAIKU_45, "native"), (CLAUDE, "tool"), (CLAUDE, "instruction")])
def test_answers_that_do_not_fit_the_schema_cost_their_own_row_only(user, model_id, mode):
    user.stack.set_faults(record_broken_json_share=0.1, record_wrong_type_share=0.05)
    user.send(
        {
            "s3_uri": user.topics(f"inputs/{mode}.csv", ROWS),
            "job_name_prefix": "faults",
            "model_id": model_id,
            "prompt": "About {topic}",
            "inference": {"max_tokens": 2_000},
            "max_records_per_job": 100,
            "run_id": mode,
            "output_schema": FIELDS,
            "output_mode": mode,
        }
    )

    totals = user.ended(mode, 60)

    result = user.result(mode)
    assert totals["state"] == "SUCCEEDED_WITH_ERRORS"
    assert pa.schema([result.schema.field(name) for name in COLUMNS.names]).equals(COLUMNS)
    assert result["topic"].to_pylist() == [f"topic number {row}" for row in range(ROWS)]
    invalid = result.filter(pc.equal(result["status"], "error"))
    assert set(invalid["error_code"].to_pylist()) == {"INVALID_OUTPUT"}
    assert 25 < invalid.num_rows < 70
    assert (invalid["response"].null_count, invalid["kind"].null_count) == (0, invalid.num_rows)
    assert any(message.startswith("/kind: ") for message in invalid["error_message"].to_pylist())
    good = result.filter(pc.equal(result["status"], "ok"))
    assert (good["response"].null_count, good["kind"].null_count) == (good.num_rows, 0)


@pytest.mark.promise("S10")
def test_jobs_that_fail_or_expire_are_repeated_and_one_that_ends_partially_is_kept(user):
    endings = {"*-endings-00000-1-*": "failed", "*-endings-00002-1-*": "expired", "*-endings-00004-1-*": "partial"}
    begin(user, "endings", attempts_max=1, job_faults=endings)

    assert ended(user, "endings") == ("SUCCEEDED_WITH_ERRORS", Counter(ok=250, NOT_PROCESSED=50))
    statuses = sorted((job["name"].split("-")[-3:-1], job["status"]) for job in user.jobs("endings"))
    assert statuses == [
        (["00000", "1"], "Failed"),
        (["00000", "2"], "Completed"),
        (["00002", "1"], "Expired"),
        (["00002", "2"], "Completed"),
        (["00004", "1"], "PartiallyCompleted"),
    ]


@pytest.mark.promise("S10")
def test_what_a_failed_job_leaves_is_kept_and_its_other_rows_fail_with_it(user):
    begin(user, "leaving", job_faults={"*-leaving-00002-1-*": "failed"}, job_failed_output=True, job_done_share=0.3)

    assert ended(user, "leaving") == ("SUCCEEDED_WITH_ERRORS", Counter(ok=230, JOB_FAILED=70))
    a_job_each(user, "leaving")


@pytest.mark.promise("S3", "S10")
def test_output_that_is_there_before_its_job_ends_is_not_taken_for_the_whole(user):
    before = suffered(user)
    begin(
        user,
        "early",
        job_output_early=True,
        seconds_per_1000_records=40,
        events_doubled_share=1,
        job_faults={"*-early-00002-1-*": "failed"},
    )

    state, outcomes = ended(user, "early")
    assert (state, set(outcomes)) == ("SUCCEEDED_WITH_ERRORS", {"ok", "JOB_FAILED"})
    # The failed job has left a half of its half, or as much more as it had done when that was written.
    assert 225 <= outcomes["ok"] <= 250
    a_job_each(user, "early")
    assert (suffered(user) - before)["job_output_early"] == SHARDS


@pytest.mark.promise("S10")
def test_a_hung_job_that_somebody_stops_gives_what_it_had_done(user, bedrock):
    begin(user, "hung", job_faults={"*-hung-00002-1-*": "hung"})

    def hanging():
        jobs = user.jobs("hung")  # read once: between two looks the others may end
        left = [job for job in jobs if job["status"] != "Completed"]
        return left[0] if len(jobs) == SHARDS and [job["status"] for job in left] == ["InProgress"] else None

    job = until(hanging, 60, user.ends_of_logs)
    until(lambda: user.totals("hung")["ok"] == ROWS - 100, 30, user.ends_of_logs)
    assert user.totals("hung")["state"] == "RUNNING"
    bedrock.stop_model_invocation_job(jobIdentifier=job["arn"])

    assert ended(user, "hung") == ("SUCCEEDED_WITH_ERRORS", Counter(ok=250, NOT_PROCESSED=50))
    a_job_each(user, "hung")


@pytest.mark.promise("S3", "S9", "S10")
def test_bad_records_and_bad_lines_each_cost_their_own_row_only(user):
    begin(
        user,
        "lines",
        attempts_max=1,
        record_error_share=0.1,
        record_empty_share=0.1,
        record_truncated_share=0.1,
        line_corrupt_share=0.1,
        line_missing_share=0.1,
    )

    state, outcomes = ended(user, "lines")
    assert state == "SUCCEEDED_WITH_ERRORS"
    assert set(outcomes) == {"ok", "MODEL_ERROR", "EMPTY_ANSWER", "CORRUPT_ANSWER", "MISSING"}
    assert all(10 < count < 60 for code, count in outcomes.items() if code != "ok")
    reasons = Counter(user.result("lines")["stop_reason"].to_pylist())
    assert 10 < reasons["max_tokens"] < 60


@pytest.mark.promise("S10")
def test_the_code_of_a_failed_record_is_reported_whether_it_is_a_number_or_a_text(user):
    for form in ("number", "text"):
        faults = {"record_error_share": 0.1, "record_error_code": 429, "record_error_code_form": form}
        begin(user, f"code{form}", attempts_max=1, **faults)
        state, outcomes = ended(user, f"code{form}")
        assert (state, set(outcomes)) == ("SUCCEEDED_WITH_ERRORS", {"ok", "MODEL_ERROR"})
        messages = [text for text in user.result(f"code{form}")["error_message"].to_pylist() if text]
        assert len(messages) == outcomes["MODEL_ERROR"] > 10
        assert all(message.startswith("429: ") for message in messages)


@pytest.mark.promise("S3", "S10")
def test_records_with_a_transient_error_are_asked_again_by_a_job_and_then_on_demand(user):
    begin(user, "again", record_error_share=0.5, record_error_code=503, record_refused_share=0.02)

    state, outcomes = ended(user, "again", 90)

    assert (state, set(outcomes)) == ("SUCCEEDED_WITH_ERRORS", {"ok", "MODEL_ERROR"})
    messages = {text for text in user.result("again")["error_message"].to_pylist() if text}
    assert all(message.startswith("400: ") for message in messages), "what another attempt fixes is fixed"
    shards = user.report("again")["shards"]
    assert min(shard["rows"] for shard in shards if not shard["on_demand"]) >= 100
    assert {shard["round"] for shard in shards if not shard["on_demand"]} > {1}
    assert len(user.jobs("again")) == sum(not shard["on_demand"] for shard in shards)


@pytest.mark.promise("S3", "S4")
def test_errors_of_an_ended_run_are_asked_again_into_a_new_version(user, tmp_path):
    begin(user, "retried", attempts_max=1, record_error_share=0.5, record_error_code=503, record_refused_share=0.02)
    state, before = ended(user, "retried")
    assert (state, 100 < before["MODEL_ERROR"] < ROWS) == ("SUCCEEDED_WITH_ERRORS", True)
    first = {key: user.get(key) for key in user.part_keys("retried")}
    user.stack.clear_faults()

    said = user.quarry("retry", "retried", "--yes").stdout
    assert "run retried-v2 makes version 2" in said

    state, after = ended(user, "retried-v2", 90)
    paid = sum(job["total_records"] for job in user.jobs("retried.v2"))  # a job writes a hyphen of its run as a dot
    report = user.report("retried-v2")
    print(f"{said}\n{before} became {after}; records paid: {paid} of {ROWS}; {report['dataset']}, {report['records']}")
    assert state == "SUCCEEDED_WITH_ERRORS"
    assert sum(after.values()) == ROWS
    assert after["MODEL_ERROR"] + paid == before["MODEL_ERROR"]
    messages = {text for text in user.result("retried-v2")["error_message"].to_pylist() if text}
    assert all(message.startswith("400: ") for message in messages), "only what no attempt fixes is left"
    assert {key: user.get(key) for key in user.part_keys("retried")} == first
    found = user.quarry("results", "retried", "-o", str(tmp_path / "rows")).stdout
    assert "version 2 of the dataset of run retried, made by run retried-v2" in found
    assert "0 differences" in user.quarry("verify", "retried").stdout


@pytest.mark.promise("S1", "L4", "L5")
def test_while_foreign_jobs_take_most_slots_the_run_goes_on_in_what_is_left(user):
    pools = {CLAUDE: QUOTA - 1}
    user.stack.set_faults(foreign_jobs=pools, foreign_job_s=600)
    until(
        lambda: user.stack.simulator_stats()["pools"].get(CLAUDE, {}).get("foreign") == QUOTA - 1, 20, lambda: "foreign"
    )

    begin(user, "foreign", foreign_jobs=pools)

    assert ended(user, "foreign", 90) == ("SUCCEEDED", Counter(ok=ROWS))
    a_job_each(user, "foreign")
    pool = user.stack.simulator_stats()["pools"][CLAUDE]
    assert pool["foreign"] == QUOTA - 1
    assert pool["peak_active"] <= QUOTA


@pytest.mark.parametrize("mode", ["refuse", "queue"])
@pytest.mark.promise("L4", "L5")
def test_above_a_quota_smaller_than_was_thought_the_run_goes_on_refused_or_queued(user, mode):
    before = user.stack.simulator_stats()["pools"].get(UNTAUGHT, {"refused": 0})["refused"]
    user.stack.set_simulator(quota=1)
    try:
        begin(user, f"quota{mode}", UNTAUGHT, quota_mode=mode)
        assert ended(user, f"quota{mode}", 90) == ("SUCCEEDED", Counter(ok=ROWS))
    finally:
        user.stack.set_simulator(quota=QUOTA)
    a_job_each(user, f"quota{mode}")
    refused = user.stack.simulator_stats()["pools"][UNTAUGHT]["refused"] - before
    assert (refused > 0) is (mode == "refuse")


@pytest.mark.promise("I1", "I2", "L2")
def test_with_events_early_late_and_of_nobodys_jobs_the_run_succeeds(user):
    before = user.stack.simulator_stats()["events"]
    begin(user, "odd", events_early_share=1, events_late_share=0.5, events_late_s=4, events_foreign_share=1)

    assert ended(user, "odd") == ("SUCCEEDED", Counter(ok=ROWS))
    a_job_each(user, "odd")
    after = user.stack.simulator_stats()["events"]
    assert all(after[kind] > before[kind] for kind in ("early", "late", "foreign"))


@pytest.mark.promise("I1", "I2", "L2")
def test_events_that_come_when_all_is_over_change_nothing(user):
    before = user.stack.simulator_stats()["events"]
    begin(user, "delayed", events_delay_s=600)

    assert ended(user, "delayed") == ("SUCCEEDED", Counter(ok=ROWS))
    a_job_each(user, "delayed")
    totals = user.totals("delayed")
    during = user.stack.simulator_stats()["events"]
    assert during["delivered"] == before["delivered"]

    user.stack.clear_faults()
    events = user.env["QUARRY_EVENTS_QUEUE_URL"]
    produced = during["produced"] - before["produced"]
    assert produced == SHARDS * 5
    until(
        lambda: user.stack.simulator_stats()["events"]["delivered"] == before["delivered"] + produced,
        20,
        lambda: f"not delivered: {user.stack.simulator_stats()['events']}",
    )
    until(lambda: user.depth(events) == (0, 0), 30, user.ends_of_logs)
    assert ended(user, "delayed") == ("SUCCEEDED", Counter(ok=ROWS))
    a_job_each(user, "delayed")
    assert user.totals("delayed") == totals


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("account", "Your account is not authorized to perform this action"),
        ("unsupported_model", "Batch inference is not supported for the requested model"),
        ("pass_role", "is not authorized to perform: iam:PassRole"),
        ("access", "You don't have access to the model"),
    ],
)
@pytest.mark.promise("S10", "L2")
def test_a_run_whose_creates_are_refused_fails_with_bedrocks_words(user, kind, words):
    run_id = kind.replace("_", "")[:16]
    begin(user, run_id, create_refused=kind)

    totals = user.ended(run_id)
    assert totals["state"] == "FAILED"
    assert user.jobs(run_id) == []
    assert words in str(user.status(run_id)) + str(user.report(run_id))
    assert user.dead() == dict.fromkeys(user.dead(), 0)


@pytest.mark.promise("S10", "L2")
def test_when_some_creates_are_refused_the_jobs_that_stand_are_kept_and_the_other_rows_say_why(user):
    before = suffered(user)
    begin(user, "refusing", create_refused="access", create_refused_share=0.5)

    state, outcomes = ended(user, "refusing")
    assert (suffered(user) - before)["AccessDeniedException"] > 0
    assert outcomes["ok"] == 100 * len(user.jobs("refusing"))
    assert outcomes["REFUSED"] == ROWS - outcomes["ok"] > 0
    assert state == ("SUCCEEDED_WITH_ERRORS" if outcomes["ok"] else "FAILED")
