"""Each fault of the simulated Bedrock, seen to happen: alone, on a stepped clock, with a directory in place of S3."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quarry_local.bedrock.families.answers import Refused
from quarry_local.bedrock.families.registry import answering
from quarry_local.bedrock.faults.plan import Faults, RecordFates, befalls, job_fault, request_fate
from quarry_local.bedrock.faults.spoiled import emptied, truncated
from quarry_local.bedrock.models.identity import resolve
from quarry_local.bedrock.pytest_plugin import BedrockSim, FaultsRefused
from quarry_local.bedrock.settings import FaultsAndPace, Settings

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
ROLE = "arn:aws:iam::123456789012:role/batch"
RECORDS = 200
HOUR_S = 3600
TERMINAL = {"Completed", "PartiallyCompleted", "Failed", "Expired", "Stopped"}


def lines(count: int = RECORDS) -> list[dict[str, Any]]:
    return [
        {
            "recordId": f"r{number:05d}",
            "modelInput": {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 200,
                "messages": [{"role": "user", "content": f"Why is stone {number} grey?"}],
            },
        }
        for number in range(count)
    ]


def create(sim: BedrockSim, name: str = "job", **more: Any) -> str:
    if "in/data.jsonl" not in sim.keys("bucket"):
        sim.put("bucket", "in/data.jsonl", lines())
    answer = sim.client().create_model_invocation_job(
        **{
            "jobName": name,
            "roleArn": ROLE,
            "modelId": HAIKU,
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/in/data.jsonl"}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}},
            **more,
        }
    )
    return str(answer["jobArn"])


def get(sim: BedrockSim, arn: str) -> Any:
    return sim.client().get_model_invocation_job(jobIdentifier=arn)


def run(sim: BedrockSim, name: str = "job") -> Any:
    """A job from Create to its end within ten simulated minutes."""
    arn = create(sim, name)
    sim.advance(600)
    job = get(sim, arn)
    assert job["status"] in TERMINAL
    return job


def output(sim: BedrockSim, job: Any) -> list[bytes]:
    return sim.read("bucket", f"out/{job['jobArn'].rsplit('/', 1)[-1]}/data.jsonl.out").splitlines()


def results(sim: BedrockSim, job: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output(sim, job)]


def refused(call: Any, **request: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def statuses(sim: BedrockSim, name: str = "job") -> list[str]:
    return [event["detail"]["status"] for event in sim.events() if event["detail"]["batchJobName"] == name]


COURSE = ["Submitted", "Validating", "Scheduled", "InProgress", "Completed"]


# ------------------------------------------------------------------------------- decisions


@given(st.integers(), st.text(max_size=20), st.floats(0, 1))
def test_a_decision_is_the_same_for_the_same_seed_kind_and_name(seed, name, share):
    assert befalls(seed, "lost", name, share) is befalls(seed, "lost", name, share)
    assert not befalls(seed, "lost", name, 0)
    assert befalls(seed, "lost", name, 1)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_about_as_many_suffer_as_the_share_says_and_another_seed_chooses_others(share):
    chosen = [{name for name in range(2000) if befalls(seed, "lost", f"{name}", share)} for seed in (1, 2)]
    assert all(abs(len(one) / 2000 - share) < 0.05 for one in chosen)
    assert chosen[0] != chosen[1]


@given(st.lists(st.floats(0, 0.2), min_size=5, max_size=5), st.integers(0, 9))
def test_a_record_suffers_one_fault_at_most_and_each_about_as_often_as_it_was_set(shares, seed):
    names = ("record_error_share", "record_empty_share", "record_truncated_share", "line_corrupt_share")
    faults = Faults(**dict(zip((*names, "line_missing_share"), shares, strict=True)))
    fates = RecordFates(seed, "job", faults)
    suffered = [str(fates.of(f"r{number}")) for number in range(1000)]
    for kind, share in zip(("error", "empty", "truncated", "corrupt", "missing"), shares, strict=True):
        assert abs(suffered.count(kind) / 1000 - share) < 0.07


def test_one_more_fault_of_another_kind_does_not_move_who_suffers():
    before = {n for n in range(500) if request_fate(1, "Get", f"{n}", 0, Faults(reply_lost_share=0.2)).reply_lost}
    faults = Faults(reply_lost_share=0.2, reply_slow_share=0.5)
    after = {n for n in range(500) if request_fate(1, "Get", f"{n}", 0, faults).reply_lost}
    assert before == after


def test_unknown_faults_and_values_out_of_range_are_refused():
    for wrong in (
        {"record_eror_share": 0.1},
        {"record_error_share": 1.1},
        {"events_late_s": -1},
        {"create_refused": "mood"},
        {"job_faults": {"*": "bored"}},
        {"foreign_jobs": {HAIKU: -1}},
        {"job_failed_share": 0.6, "job_hung_share": 0.6},
        {"record_empty_share": 0.6, "line_missing_share": 0.6},
    ):
        with pytest.raises(ValidationError):
            Faults.model_validate(wrong)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(Faults(), "list_lag_s", 3)  # noqa: B010 - what a type checker would refuse


def test_a_pattern_chooses_a_job_before_any_share_does():
    faults = Faults(job_hung_share=1, job_faults={"*-00001-1-*": "expired", "b*": "failed"})
    assert job_fault(0, "a-00001-1-dev", faults) == "expired"
    assert job_fault(0, "b", faults) == "failed"
    assert job_fault(0, "a-00001-2-dev", faults) == "hung"
    assert job_fault(0, "a", Faults()) is None


@pytest.mark.parametrize("fault", ["failed", "expired", "partial", "hung"])
def test_each_fault_of_jobs_has_its_share(fault):
    faults = Faults.model_validate({f"job_{fault}_share": 0.3})
    found = [job_fault(3, f"{number}", faults) for number in range(1000)]
    assert set(found) == {None, fault}
    assert abs(found.count(fault) / 1000 - 0.3) < 0.05


@pytest.mark.parametrize(
    "model_id",
    [
        HAIKU,
        "amazon.titan-embed-text-v2:0",
        "amazon.nova-lite-v1:0",
        "meta.llama3-1-8b-instruct-v1:0",
        "mistral.mistral-small-2402-v1:0",
        "openai.gpt-oss-20b-1:0",
        "qwen.qwen3-32b-v1:0",
        "deepseek.v3-v1:0",
    ],
)
def test_every_familys_answer_can_be_emptied_and_one_with_text_can_be_cut(model_id):
    body = an_answer(model_id)
    assert re.findall(rb"\[\w+ |[0-9a-f]{16}\]|\d\.\d{3,}", body)
    empty = emptied(body)
    assert not re.findall(rb"[0-9a-f]{16}\]|\d\.\d{3,}", empty)
    assert set(json.loads(empty)) == set(json.loads(body))
    if b"[0." not in body and b"[-0." not in body:
        assert re.search(rb'"(max_tokens|length|MAX_TOKENS)"', truncated(body))
        assert len(truncated(body)) < len(body)


def an_answer(model_id: str) -> bytes:
    """The model's answer to whichever body its family takes."""
    said = [{"role": "user", "content": "Hello"}]
    answer = answering(resolve(model_id, region="us-east-1", account="123456789012"))
    for body in (
        {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99, "messages": said},
        {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]},
        {"messages": said},
        {"prompt": "Hello"},
        {"inputText": "Hello"},
        {"message": "Hello"},
        {"texts": ["Hello"], "input_type": "search_document"},
    ):
        try:
            made = answer(json.dumps(body).encode())
        except Refused:
            continue
        return made.body
    raise AssertionError(f"{model_id} takes none of these bodies")


# ------------------------------------------------------------------------------- records and lines


def test_a_share_of_records_fails_with_the_code_in_either_form(bedrock_sim):
    bedrock_sim.faults(record_error_share=0.2, record_error_code=429)
    job = run(bedrock_sim)
    assert job["status"] == "Completed"
    errors = [line["error"] for line in results(bedrock_sim, job) if "error" in line]
    assert 20 < len(errors) == job["errorRecordCount"] < 70
    assert {error["errorCode"] for error in errors} == {429}
    bedrock_sim.faults(record_error_code_form="text")
    again = [line["error"]["errorCode"] for line in results(bedrock_sim, run(bedrock_sim)) if "error" in line]
    assert again == ["429"] * len(errors)


def test_a_share_of_records_is_refused_in_every_job_and_another_share_fails_in_one(bedrock_sim):
    bedrock_sim.faults(record_error_share=0.2, record_refused_share=0.1)
    failed = [
        {
            line["recordId"]: line["error"]["errorCode"]
            for line in results(bedrock_sim, run(bedrock_sim, name))
            if "error" in line
        }
        for name in ("first", "second")
    ]
    refused, transient = (
        [{name for name, code in each.items() if code == wanted} for each in failed] for wanted in (400, 500)
    )
    assert refused[0] == refused[1]
    assert 5 < len(refused[0]) < 60
    assert transient[0] != transient[1]


def test_a_share_of_records_is_answered_with_nothing(bedrock_sim):
    bedrock_sim.faults(record_empty_share=0.2)
    job = run(bedrock_sim)
    texts = [line["modelOutput"]["content"][0]["text"] for line in results(bedrock_sim, job)]
    assert 20 < texts.count("") < 70
    assert job["successRecordCount"] == RECORDS


def test_a_share_of_records_is_cut_off_and_counts_as_a_success(bedrock_sim):
    bedrock_sim.faults(record_truncated_share=0.2)
    job = run(bedrock_sim)
    reasons = [line["modelOutput"]["stop_reason"] for line in results(bedrock_sim, job)]
    assert 20 < reasons.count("max_tokens") == RECORDS - reasons.count("end_turn") < 70
    assert job["successRecordCount"] == RECORDS


def test_a_share_of_lines_is_broken_off(bedrock_sim):
    bedrock_sim.faults(line_corrupt_share=0.2)
    job = run(bedrock_sim)
    found = output(bedrock_sim, job)
    assert len(found) == RECORDS
    broken = 0
    for line in found:
        try:
            json.loads(line)
        except ValueError:
            broken += 1
    assert 20 < broken < 70


def test_a_share_of_lines_is_missing_though_counted(bedrock_sim):
    bedrock_sim.faults(line_missing_share=0.2)
    job = run(bedrock_sim)
    assert 130 < len(results(bedrock_sim, job)) < 180
    assert job["processedRecordCount"] == RECORDS


# ------------------------------------------------------------------------------- jobs


def test_a_job_fails_while_it_runs_and_leaves_its_output_only_if_asked(bedrock_sim):
    bedrock_sim.faults(job_failed_share=1)
    job = run(bedrock_sim, "first")
    assert (job["status"], job["message"]) == ("Failed", "The job failed (simulated)")
    assert (job["totalRecordCount"], job["processedRecordCount"]) == (RECORDS, RECORDS // 2)
    assert bedrock_sim.keys("bucket", "out/") == []
    bedrock_sim.faults(job_failed_output=True, job_done_share=0.1)
    second = run(bedrock_sim, "second")
    assert len(results(bedrock_sim, second)) == RECORDS // 10
    assert bedrock_sim.stats()["faults"] == {"job_failed": 2}


def test_a_job_expires_without_waiting_for_its_timeout(bedrock_sim):
    bedrock_sim.faults(job_faults={"job": "expired"})
    job = run(bedrock_sim)
    assert (job["status"], job["processedRecordCount"]) == ("Expired", 0)
    assert statuses(bedrock_sim) == ["Submitted", "Validating", "Scheduled", "Expired"]
    assert bedrock_sim.keys("bucket", "out/") == []
    assert run(bedrock_sim, "another")["status"] == "Completed"


def test_a_job_ends_partially_with_the_records_it_has_done(bedrock_sim):
    bedrock_sim.faults(job_partial_share=1, job_done_share=1)
    job = run(bedrock_sim)
    assert job["status"] == "PartiallyCompleted"
    assert job["processedRecordCount"] == len(results(bedrock_sim, job)) == RECORDS - 1


def test_a_job_writes_early_what_is_half_of_its_work_and_leaves_it_though_it_fails(bedrock_sim):
    bedrock_sim.faults(job_output_early=True, seconds_per_1000_records=1000, job_faults={"failing": "failed"})
    whole, failing = create(bedrock_sim, "whole"), create(bedrock_sim, "failing")
    bedrock_sim.advance(20)
    assert bedrock_sim.keys("bucket", "out/") == []
    bedrock_sim.advance(90)
    assert [get(bedrock_sim, arn)["status"] for arn in (whole, failing)] == ["InProgress", "Failed"]
    early = output(bedrock_sim, {"jobArn": whole})
    assert len(early) == RECORDS // 2
    bedrock_sim.advance(100)
    assert get(bedrock_sim, whole)["status"] == "Completed"
    assert set(early) < set(output(bedrock_sim, {"jobArn": whole}))
    assert len(output(bedrock_sim, {"jobArn": failing})) == RECORDS // 4
    names = [key.rsplit("/", 1)[-1] for key in bedrock_sim.keys("bucket", "out/")]
    assert sorted(names) == ["data.jsonl.out", "data.jsonl.out", "manifest.json.out"]
    assert bedrock_sim.stats()["faults"] == {"job_failed": 1, "job_output_early": 2}


def test_a_job_that_is_stopped_before_its_early_output_leaves_what_it_had_done(bedrock_sim):
    bedrock_sim.faults(job_output_early=True, seconds_per_1000_records=1000)
    arn = create(bedrock_sim)
    bedrock_sim.advance(41.5)
    bedrock_sim.client().stop_model_invocation_job(jobIdentifier=arn)
    bedrock_sim.advance(600)
    assert get(bedrock_sim, arn)["status"] == "Stopped"
    assert len(output(bedrock_sim, {"jobArn": arn})) == 40
    assert bedrock_sim.stats()["faults"] == {}


def test_a_hung_job_stands_still_until_it_is_stopped_or_its_time_is_over(bedrock_sim):
    bedrock_sim.faults(job_hung_share=1, seconds_per_1000_records=100)
    stopped, left = create(bedrock_sim, "stopped"), create(bedrock_sim, "left")
    bedrock_sim.advance(HOUR_S)
    seen = get(bedrock_sim, stopped)
    assert (seen["status"], seen["processedRecordCount"]) == ("InProgress", RECORDS // 2)
    bedrock_sim.advance(20 * HOUR_S)
    assert get(bedrock_sim, stopped)["processedRecordCount"] == RECORDS // 2
    bedrock_sim.client().stop_model_invocation_job(jobIdentifier=stopped)
    bedrock_sim.advance(60)
    assert get(bedrock_sim, stopped)["status"] == "Stopped"
    assert len(results(bedrock_sim, {"jobArn": stopped})) == RECORDS // 2
    assert get(bedrock_sim, left)["status"] == "InProgress"
    bedrock_sim.advance(4 * HOUR_S)
    assert get(bedrock_sim, left)["status"] == "PartiallyCompleted"


# ------------------------------------------------------------------------------- requests


def test_requests_are_throttled_by_share_and_by_operation_before_any_work(bedrock_sim):
    bedrock_sim.faults(throttled_share=1, throttled_by_operation={"ListModelInvocationJobs": 0})
    with pytest.raises(ClientError) as caught:
        create(bedrock_sim)
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert bedrock_sim.client().list_model_invocation_jobs()["invocationJobSummaries"] == []
    assert bedrock_sim.stats()["faults"] == {"ThrottlingException": 1}


def test_a_share_of_requests_fails_with_500_and_the_next_try_has_another_fate(bedrock_sim):
    bedrock_sim.faults(server_error_by_operation={"GetModelInvocationJob": 0.5})
    arn = create(bedrock_sim)
    codes = []
    for _ in range(40):
        try:
            get(bedrock_sim, arn)
        except ClientError as error:
            codes.append((error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]))
    assert set(codes) == {("InternalServerException", 500)}
    assert 8 < len(codes) < 32


def test_a_reply_is_lost_after_the_work_is_done(bedrock_sim):
    bedrock_sim.faults(reply_lost_by_operation={"CreateModelInvocationJob": 1})
    with pytest.raises(ConnectionClosedError):
        create(bedrock_sim, clientRequestToken="once")
    [job] = bedrock_sim.client().list_model_invocation_jobs()["invocationJobSummaries"]
    bedrock_sim.clear_faults()
    assert create(bedrock_sim, clientRequestToken="once") == job["jobArn"]


def test_a_reply_comes_late_in_real_seconds(bedrock_sim):
    arn = create(bedrock_sim)
    bedrock_sim.faults(reply_slow_by_operation={"GetModelInvocationJob": 1}, reply_slow_s=0.3)
    began = time.monotonic()
    get(bedrock_sim, arn)
    assert time.monotonic() - began >= 0.3
    assert bedrock_sim.stats()["faults"] == {"reply_slow": 1}


REFUSALS = {
    "unsupported_model": ("ValidationException", 400, "Batch inference is not supported for the requested model"),
    "account": ("ValidationException", 400, "Your account is not authorized to perform this action. "),
    "pass_role": (
        "AccessDeniedException",
        403,
        f"iam:PassRole on resource: {ROLE} because no identity-based policy allows the iam:PassRole action",
    ),
    "access": ("AccessDeniedException", 403, "access to the model"),
}


def test_create_is_refused_in_the_words_of_the_contract(bedrock_sim):
    for kind, (code, status, words) in REFUSALS.items():
        bedrock_sim.faults(create_refused=kind)
        with pytest.raises(ClientError) as caught:
            create(bedrock_sim)
        answer = caught.value.response
        assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
        assert words in answer["Error"]["Message"]
    bedrock_sim.faults(create_refused=None)
    create(bedrock_sim)


@pytest.mark.bedrock_sim(models_without_access=(HAIKU,))
def test_no_job_is_made_of_a_model_without_access_by_whatever_name(bedrock_sim):
    for model_id in (HAIKU, f"us.{HAIKU}"):
        with pytest.raises(ClientError) as caught:
            create(bedrock_sim, modelId=model_id)
        reported = caught.value.response
        assert (reported["Error"]["Code"], reported["ResponseMetadata"]["HTTPStatusCode"]) == (
            "AccessDeniedException",
            403,
        )
        assert "access to the model" in reported["Error"]["Message"]
    create(bedrock_sim, modelId="anthropic.claude-3-5-haiku-20241022-v1:0")


@pytest.mark.bedrock_sim(quota=40)
def test_a_share_of_creates_is_refused_and_another_try_has_another_fate(bedrock_sim):
    bedrock_sim.faults(create_refused="access", create_refused_share=0.5)
    reported = []
    for _ in range(40):
        try:
            create(bedrock_sim)
        except ClientError as error:
            reported.append(error.response["Error"]["Code"])
    assert set(reported) == {"AccessDeniedException"}
    assert 8 < len(reported) < 32
    assert bedrock_sim.stats()["faults"] == {"AccessDeniedException": len(reported)}
    assert bedrock_sim.stats()["creates"]["total"] == 40 - len(reported)


@pytest.mark.parametrize("reason", ["model_context_window_exceeded", "malformed_model_output", "malformed_tool_use"])
def test_an_answer_may_stop_for_a_newer_reason(bedrock_sim, reason):
    bedrock_sim.faults(record_stop_reasons={reason: 1})
    found = results(bedrock_sim, run(bedrock_sim))
    assert {line["modelOutput"]["stop_reason"] for line in found} == {reason}


# ------------------------------------------------------------------------------- what Bedrock remembers and shows


def test_a_client_token_is_remembered_for_hours_unless_set_otherwise(bedrock_sim):
    first = create(bedrock_sim, clientRequestToken="token")
    bedrock_sim.advance(7 * 3600)
    assert create(bedrock_sim, clientRequestToken="token") == first
    bedrock_sim.advance(2 * 3600)
    assert create(bedrock_sim, clientRequestToken="token") != first


def test_a_token_that_comes_back_with_another_request_is_counted_and_reported_in_the_log(bedrock_sim, caplog):
    first = create(bedrock_sim, clientRequestToken="token")
    assert create(bedrock_sim, clientRequestToken="token") == first
    assert "came back" not in caplog.text

    assert create(bedrock_sim, clientRequestToken="token", timeoutDurationInHours=48) == first
    assert "came back with another request: timeoutDurationInHours differ" in caplog.text
    bedrock_sim.faults(token_mismatch="conflict")
    with pytest.raises(ClientError) as refused:
        create(bedrock_sim, clientRequestToken="token", timeoutDurationInHours=48)
    assert refused.value.response["Error"]["Code"] == "ConflictException"
    assert create(bedrock_sim, clientRequestToken="token") == first

    assert bedrock_sim.stats()["creates"] == {"total": 5, "by_token": 4, "token_mismatches": 2}
    assert len(bedrock_sim.stats()["jobs"]) == 1


@pytest.mark.parametrize("window_s", [None, 600, 5, 0])
@pytest.mark.promise("S2")
def test_a_client_token_is_remembered_for_its_window(bedrock_sim, window_s):
    bedrock_sim.faults(token_window_s=window_s)
    first = create(bedrock_sim, clientRequestToken="token")
    within = create(bedrock_sim, clientRequestToken="token")
    assert (within == first) is (window_s != 0)
    bedrock_sim.advance(601)
    assert (create(bedrock_sim, clientRequestToken="token") == first) is (window_s is None)
    forgotten = bedrock_sim.stats()["faults"].get("token_forgotten", 0)
    assert forgotten == {None: 0, 0: 2}.get(window_s, 1)


@pytest.mark.promise("S2")
def test_a_used_name_is_refused_while_its_job_is_active_or_for_ever_if_so_set(bedrock_sim):
    bedrock_sim.faults(names_refused="active")
    create(bedrock_sim, clientRequestToken="one")
    with pytest.raises(ClientError) as caught:
        create(bedrock_sim)
    assert caught.value.response["Error"]["Code"] == "ConflictException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    create(bedrock_sim, clientRequestToken="one")
    bedrock_sim.advance(600)
    create(bedrock_sim)
    bedrock_sim.advance(600)
    bedrock_sim.faults(names_refused="ever")
    with pytest.raises(ClientError, match="ConflictException"):
        create(bedrock_sim)
    create(bedrock_sim, "another")
    assert bedrock_sim.stats()["faults"] == {"name_refused": 2}


@pytest.mark.promise("S2")
def test_list_shows_a_new_job_only_after_its_lag_and_get_at_once(bedrock_sim):
    bedrock_sim.faults(list_lag_s=60)
    arn = create(bedrock_sim)
    assert get(bedrock_sim, arn)["jobName"] == "job"

    def listed():
        return bedrock_sim.client().list_model_invocation_jobs(nameContains="job")["invocationJobSummaries"]

    bedrock_sim.advance(59)
    assert listed() == []
    assert bedrock_sim.stats()["faults"] == {"list_lag": 1}
    bedrock_sim.advance(1)
    assert [job["jobArn"] for job in listed()] == [arn]
    assert bedrock_sim.stats()["faults"] == {"list_lag": 1}


@pytest.mark.bedrock_sim(quota=1)
def test_above_the_quota_create_is_refused_or_the_job_waits(bedrock_sim):
    create(bedrock_sim, "one")
    with pytest.raises(ClientError, match="ServiceQuotaExceededException"):
        create(bedrock_sim, "two")
    bedrock_sim.faults(quota_mode="queue", starting_s=100)
    two = create(bedrock_sim, "two")
    bedrock_sim.advance(30)
    assert get(bedrock_sim, two)["status"] == "Scheduled"
    bedrock_sim.advance(600)
    assert get(bedrock_sim, two)["status"] == "Completed"


@pytest.mark.bedrock_sim(quota=3)
def test_foreign_jobs_take_slots_end_by_themselves_and_come_again_until_the_fault_is_gone(bedrock_sim):
    bedrock_sim.faults(foreign_jobs={HAIKU: 2}, foreign_job_s=100, foreign_pause_s=50)
    bedrock_sim.advance(1)

    def pool():
        reported = bedrock_sim.stats()["pools"][HAIKU]
        return reported["active"], reported["foreign"]

    assert pool() == (2, 2)
    create(bedrock_sim, "mine")
    with pytest.raises(ClientError, match="ServiceQuotaExceededException"):
        create(bedrock_sim, "no-slot-left")
    bedrock_sim.advance(110)
    assert pool() == (0, 0)
    bedrock_sim.advance(50)
    assert pool() == (2, 2)
    names = [job["jobName"] for job in bedrock_sim.client().list_model_invocation_jobs()["invocationJobSummaries"]]
    assert sorted(names) == ["mine", *(f"somebody-elses-job-{slot}-{n}" for slot in (0, 1) for n in (1, 2))]
    bedrock_sim.faults(foreign_jobs={HAIKU: 1})
    bedrock_sim.advance(1)
    assert pool() == (1, 1)
    bedrock_sim.clear_faults()
    bedrock_sim.advance(1)
    assert pool() == (0, 0)
    bedrock_sim.advance(600)
    assert pool() == (0, 0)


# ------------------------------------------------------------------------------- events


@pytest.mark.promise("L2")
def test_events_are_lost_and_the_jobs_go_on(bedrock_sim):
    bedrock_sim.faults(events_lost_share=1)
    assert run(bedrock_sim)["status"] == "Completed"
    assert bedrock_sim.events() == []
    assert bedrock_sim.stats()["events"]["lost"] == 5


@pytest.mark.promise("I1", "I2")
def test_events_come_twice_and_out_of_order(bedrock_sim):
    bedrock_sim.faults(events_doubled_share=1)
    run(bedrock_sim)
    assert statuses(bedrock_sim) == [status for status in COURSE for _ in range(2)]
    assert len({event["id"] for event in bedrock_sim.events()}) == 5
    bedrock_sim.faults(events_doubled_share=0, events_reordered_share=1)
    run(bedrock_sim, "second")
    assert statuses(bedrock_sim, "second") == ["Validating", "Submitted", "InProgress", "Scheduled", "Completed"]


@pytest.mark.promise("I2")
def test_a_late_event_comes_after_its_time_and_holds_up_no_other(bedrock_sim):
    bedrock_sim.faults(events_late_share=0.5, events_late_s=HOUR_S)
    run(bedrock_sim)
    late = 5 - len(statuses(bedrock_sim))
    assert bedrock_sim.stats()["events"]["late"] == late > 0
    assert statuses(bedrock_sim) == [status for status in COURSE if status in statuses(bedrock_sim)]
    bedrock_sim.advance(HOUR_S)
    assert sorted(statuses(bedrock_sim)) == sorted(COURSE)


def test_every_event_can_be_delayed(bedrock_sim):
    bedrock_sim.faults(events_delay_s=HOUR_S)
    run(bedrock_sim)
    assert statuses(bedrock_sim) == []
    bedrock_sim.advance(HOUR_S)
    assert statuses(bedrock_sim) == COURSE


def test_an_early_event_is_there_before_create_is_answered(bedrock_sim):
    bedrock_sim.faults(events_early_share=1, events_delay_s=HOUR_S)
    create(bedrock_sim)
    # No time has passed and yet it is here: Create's answer waited for it, past the delay of all others.
    assert statuses(bedrock_sim) == ["Submitted"]
    assert bedrock_sim.stats()["events"]["early"] == 1
    bedrock_sim.advance(600)
    assert statuses(bedrock_sim) == ["Submitted"]


@pytest.mark.promise("I1")
def test_events_of_jobs_that_nobody_here_created_have_names_that_end_like_ours(bedrock_sim):
    bedrock_sim.faults(events_foreign_share=1)
    run(bedrock_sim, "jokes-abcdef-00001-1-dev")
    foreign = [event["detail"] for event in bedrock_sim.events() if event["detail"]["batchJobName"][:7] == "foreign"]
    assert [detail["status"] for detail in foreign] == COURSE
    assert {re.sub("[0-9a-f]{12}", "x", detail["batchJobName"]) for detail in foreign} == {"foreign-x-00001-1-dev"}
    [arn] = {detail["batchJobArn"] for detail in foreign}
    assert refused(bedrock_sim.client().get_model_invocation_job, jobIdentifier=arn)[0] == "ResourceNotFoundException"


# ------------------------------------------------------------------------------- the endpoint, the clock, the seed


def test_the_endpoint_shows_merges_and_resets_and_a_bad_fault_changes_nothing(bedrock_sim):
    calm = bedrock_sim.faults()
    assert set(calm) == set(FaultsAndPace.model_fields)
    assert bedrock_sim.faults(events_lost_share=0.5)["events_lost_share"] == 0.5
    reported = bedrock_sim.faults(list_lag_s=7, queue_s=9)
    assert (reported["events_lost_share"], reported["list_lag_s"], reported["queue_s"]) == (0.5, 7, 9)
    for wrong in (
        {"quota": 1},
        {"events_lost_share": 2},
        {"nonsense": 0},
        {"job_failed_share": 0.7, "job_hung_share": 0.7},
    ):
        with pytest.raises(FaultsRefused):
            bedrock_sim.faults(**wrong)
    assert bedrock_sim.faults() == reported
    assert bedrock_sim.clear_faults() == calm


@pytest.mark.bedrock_sim(events_lost_share=1, job_faults={"*": "expired"}, seed=3, queue_s=7)
def test_faults_can_be_there_from_the_start_and_clearing_them_keeps_the_pace(bedrock_sim):
    assert run(bedrock_sim)["status"] == "Expired"
    assert bedrock_sim.events() == []
    reported = bedrock_sim.clear_faults()
    assert (reported["events_lost_share"], reported["job_faults"], reported["queue_s"]) == (0, {}, 7)


def test_a_stepped_clock_stands_still_between_two_steps(bedrock_sim):
    arn = create(bedrock_sim)
    before = bedrock_sim.stats()["now"]
    assert get(bedrock_sim, arn)["status"] == "Submitted"
    bedrock_sim.advance(0.2)
    assert get(bedrock_sim, arn)["status"] == "Validating"
    assert bedrock_sim.stats()["now"] == before.replace("00.000", "00.200")
    for wrong in (-1, 1e12):
        with pytest.raises(FaultsRefused):
            bedrock_sim.advance(wrong)


@pytest.mark.bedrock_sim(clock="running")
def test_a_running_clock_is_not_stepped(bedrock_sim):
    with pytest.raises(FaultsRefused, match="stepped"):
        bedrock_sim.advance(1)


MIXED: dict[str, Any] = {
    "record_error_share": 0.1,
    "record_empty_share": 0.1,
    "record_truncated_share": 0.1,
    "line_corrupt_share": 0.1,
    "line_missing_share": 0.1,
    "job_failed_share": 0.2,
    "job_partial_share": 0.2,
    "job_hung_share": 0.1,
    "throttled_share": 0.2,
    "server_error_share": 0.3,
    "events_lost_share": 0.1,
    "events_doubled_share": 0.2,
    "events_reordered_share": 0.3,
    "events_late_share": 0.2,
    "events_foreign_share": 0.2,
    "foreign_jobs": {HAIKU: 2},
    "foreign_job_s": 3 * HOUR_S,
    "quota_mode": "queue",
}


def a_whole_run(directory, seed: int) -> tuple[dict[str, bytes], list[str], Any]:
    """Twelve jobs, each asked for until it is taken, with every kind of fault; all that came of it."""
    sim = BedrockSim(
        Settings(store=directory, clock="stepped", seed=seed, quota=4, **MIXED, _env_prefix="QUARRY_SIM_IS_NOT_READ_")
    )
    try:
        arns = []
        for number in range(12):
            for _ in range(20):
                try:
                    arns.append(create(sim, f"job-{number}", clientRequestToken=f"token-{number}"))
                    break
                except ClientError:
                    sim.advance(1)
        for _ in range(30):
            sim.advance(HOUR_S)
        reported = sim.stats()
        assert {job["status"] for job in reported["jobs"] if job["arn"] in arns} <= TERMINAL
        return (
            {key: sim.read("bucket", key) for key in sim.keys("bucket", "out/")},
            [json.dumps(event) for event in sim.events()],
            reported,
        )
    finally:
        sim.close()


def test_the_same_seed_and_requests_twice_give_the_same_bytes_and_the_same_events_in_order(tmp_path):
    once, again = (a_whole_run(tmp_path / name, seed=5) for name in ("once", "again"))
    assert once == again
    outputs, events, reported = once
    assert len(outputs) > 8
    assert len(events) > 60
    # It is no proof of much unless all of it happened.
    assert {"ThrottlingException", "InternalServerException", "job_failed", "job_partial"} <= set(reported["faults"])
    assert all(reported["events"][kind] for kind in ("lost", "doubled", "reordered", "late", "foreign"))
    other = a_whole_run(tmp_path / "other", seed=6)
    assert other[1] != events
