"""Sections 1.3 to 1.7: what Get, List, Stop and the tags show of a job."""

from __future__ import annotations

from datetime import UTC, timedelta

import botocore
import pytest

from quarry_local.bedrock.jobs.job import Job
from quarry_local.bedrock.models.identity import resolve
from tests.conformance.world import ACCOUNT, HAIKU, MODEL, REGION, accepted, questions, refusal, refused

GET, LIST, STOP = "GetModelInvocationJob", "ListModelInvocationJobs", "StopModelInvocationJob"
REQUIRED = {"jobArn", "modelId", "roleArn", "submitTime", "inputDataConfig", "outputDataConfig"}
COUNTS = ("totalRecordCount", "processedRecordCount", "successRecordCount", "errorRecordCount")
DAY_S = 24 * 3600


def counts(job):
    return tuple(job[each] for each in COUNTS)


@pytest.mark.conforms("C1.3-name-is-no-identifier", "C1.3-not-found")
def test_a_name_identifies_no_job(world):
    name = "abcdefghijkm"  # of an id's form, so that only its meaning speaks against it
    world.create(jobName=name)
    refused(world.send(GET, {"jobIdentifier": name}), GET, "ResourceNotFoundException")
    refused(world.send(STOP, {"jobIdentifier": name}), STOP, "ResourceNotFoundException")
    refused(world.send(GET, {"jobIdentifier": "a-job-name"}), GET, "ValidationException")


@pytest.mark.conforms("C1.3-members", "C1.3-no-tokens-no-tags", "C1.3-route")
def test_get_shows_the_models_members_and_no_others(open_world):
    world = open_world()
    arn = world.create(world.put(questions()), tags=[{"key": "a", "value": "b"}])
    job = world.wait(arn)
    shown = accepted(world.send(GET, {"jobIdentifier": arn}), GET)
    assert set(shown) >= REQUIRED == set(MODEL.operation_model(GET).output_shape.required_members)
    assert not {each for each in shown if "token" in each.lower() and each != "clientRequestToken"}
    assert "tags" not in shown
    assert counts(job) == (100, 100, 100, 0)


@pytest.mark.conforms("C1.3-message", "C2-failed")
def test_a_message_is_there_when_something_failed_and_is_short(open_world):
    world = open_world()
    assert "message" not in world.run(questions())
    failed = world.wait(world.create(world.put(questions(3), key="few/data.jsonl")))
    assert failed["status"] == "Failed"
    assert 0 < len(failed["message"]) <= 2048
    longest = f"s3://{world.bucket}/" + "x" * (1024 - len(world.bucket) - 12) + ".jsonl"
    failed = world.wait(world.create(longest[:1024]))
    assert len(failed["message"]) <= 2048


@pytest.mark.conforms("C1.3-model-arn", "C1.3-owner-filled", "C1.3-timeout-filled")
def test_get_shows_what_create_was_not_reported(world):
    config = {"s3InputDataConfig": {"s3Uri": "s3://a-bucket/a.jsonl", "s3InputFormat": "JSONL"}}
    job = world.get(world.create(inputDataConfig=config))
    assert job["modelId"] == f"arn:aws:bedrock:{REGION}::foundation-model/{HAIKU}"
    assert job["inputDataConfig"] == {"s3InputDataConfig": {"s3Uri": "s3://a-bucket/a.jsonl", "s3BucketOwner": ACCOUNT}}
    assert job["outputDataConfig"]["s3OutputDataConfig"]["s3BucketOwner"] == ACCOUNT
    assert job["timeoutDurationInHours"] == 24
    assert (job["jobExpirationTime"] - job["submitTime"]).total_seconds() == DAY_S


@pytest.mark.conforms("C1.3-modified-after-end")
def test_a_completed_job_was_modified_a_moment_after_its_end(open_world):
    world = open_world(starting_s=5, speed=50)
    job = world.run(questions())
    assert 0.4 <= (job["lastModifiedTime"] - job["endTime"]).total_seconds() <= 1.3


@pytest.mark.conforms("C1.3-expired-end", "C2-timeout-from-submit", "C2-expired")
def test_an_expired_job_ended_when_it_began_to_wait(open_world):
    world = open_world(submitted_s=60, validating_s=180, queue_s=30 * 3600, speed=1_000)
    arn = world.create(world.put(questions()), timeoutDurationInHours=24)
    world.wait(arn, {"Scheduled"})
    world.change(speed=100_000)
    job = world.wait(arn)
    assert job["status"] == "Expired"
    assert 200 <= (job["endTime"] - job["submitTime"]).total_seconds() <= 600
    late_s = (job["lastModifiedTime"] - job["submitTime"]).total_seconds() - DAY_S
    # A fast clock overshoots: only the earliest moment is sharp.
    assert late_s >= 16
    assert counts(job)[1:] == (0, 0, 0)
    assert world.objects(job) == {}


@pytest.mark.conforms("C1.3-expired-end")
def test_a_job_expires_16_to_42_seconds_after_its_timeout():
    late = {_job(f"{number:012d}").expires_at() - DAY_S for number in range(500)}
    assert (min(late), max(late)) == (16, 42)


def _job(job_id):
    model = resolve(HAIKU, region=REGION, account=ACCOUNT)
    return Job(job_id, f"arn:{job_id}", {"jobName": "a-job"}, model, submit_time=0.0)


@pytest.mark.conforms("C1.3-total-0-in-validating", "C1.3-counts-from-0", "C2-submitted", "C2-validating")
@pytest.mark.parametrize(("status", "wait"), [("Submitted", "submitted_s"), ("Validating", "validating_s")])
def test_all_counts_are_0_before_a_job_is_valid(open_world, status, wait):
    world = open_world(**{wait: 3600})
    job = world.wait(world.create(world.put(questions())), {status})
    assert counts(job) == (0, 0, 0, 0)
    assert world.objects(job) == {}


@pytest.mark.conforms("C1.3-counts-from-0", "C2-in-progress")
def test_the_counts_of_a_running_job_grow_with_its_progress(open_world):
    world = open_world(seconds_per_1000_records=1_000)  # 100 records in 100 seconds
    arn = world.create(world.put(questions()))
    job = world.wait(arn, {"InProgress"})
    assert counts(job)[0] == 100
    assert counts(job)[1] <= 5
    world.change(speed=40)
    seen = [counts(job)]
    while (job := world.get(arn))["status"] == "InProgress":
        seen.append(counts(job))
    assert seen == sorted(seen)
    assert any(0 < each[1] < 100 for each in seen)
    assert counts(job) == (100, 100, 100, 0)


@pytest.mark.conforms("C1.3-failed-counts-0")
def test_a_job_that_is_not_valid_shows_0_of_0(open_world):
    job = open_world().run(questions(7))
    assert job["status"] == "Failed"
    assert counts(job) == (0, 0, 0, 0)


# ---------------------------------------------------------------------- 1.4


def listed(world, **query):
    return [job["jobName"] for job in accepted(world.send(LIST, query), LIST)["invocationJobSummaries"]]


@pytest.mark.conforms("C1.4-route", "C1.4-filters", "C1.4-order", "C1.4-summaries")
def test_list_filters_by_time_status_and_name_and_sorts(open_world):
    world = open_world(validating_s=3600)
    for name in ("red-1", "red-2", "blue-1"):
        world.create(jobName=name)
    assert listed(world) == ["blue-1", "red-2", "red-1"]
    assert listed(world, sortBy="CreationTime", sortOrder="Ascending") == ["red-1", "red-2", "blue-1"]
    assert listed(world, sortOrder="Descending", nameContains="red") == ["red-2", "red-1"]
    blue = world.bedrock.list_model_invocation_jobs(nameContains="blue")["invocationJobSummaries"][0]
    world.wait(blue["jobArn"], {"Validating"})
    world.bedrock.stop_model_invocation_job(jobIdentifier=blue["jobArn"])
    world.wait(blue["jobArn"])
    assert listed(world, statusEquals="Stopped") == ["blue-1"]
    assert listed(world, statusEquals="Expired") == []
    moment = blue["submitTime"].astimezone(UTC)
    assert listed(world, submitTimeBefore=moment.isoformat(), sortOrder="Ascending") == ["red-1", "red-2"]
    # A job's time is what is shown of it, whole milliseconds: it lies neither before nor after that.
    assert listed(world, submitTimeAfter=moment.isoformat()) == []
    assert listed(world, submitTimeAfter=(moment - timedelta(milliseconds=1)).isoformat()) == ["blue-1"]


@pytest.mark.conforms("C1.4-summaries")
def test_a_summary_has_the_members_of_get(world):
    arn = world.create(jobName="summary-1")
    world.wait(arn)
    summary = accepted(world.send(LIST, {"nameContains": "summary-1"}), LIST)["invocationJobSummaries"][0]
    assert summary == world.send(GET, {"jobIdentifier": arn}).body
    assert summary["jobName"] == "summary-1"


@pytest.mark.conforms("C1.4-no-other-filters")
def test_nothing_else_filters(world):
    query = set(MODEL.operation_model(LIST).input_shape.members)
    assert query == {
        "submitTimeAfter",
        "submitTimeBefore",
        "statusEquals",
        "nameContains",
        "maxResults",
        "nextToken",
        "sortBy",
        "sortOrder",
    }
    world.create(jobName="unfiltered")
    reply = world.raw("GET", "/model-invocation-jobs?nameContains=unfiltered&modelIdEquals=none&tag=none")
    assert accepted(reply, LIST)["invocationJobSummaries"]


# ---------------------------------------------------------------------- 1.5


@pytest.mark.conforms("C1.5-route", "C2-stopping")
def test_stop_answers_nothing_and_stopped_follows_stopping(open_world):
    world = open_world(starting_s=3600, stopping_s=3600)
    arn = world.create(world.put(questions()))
    world.wait(arn, {"InProgress"})
    reply = world.send(STOP, {"jobIdentifier": arn})
    assert accepted(reply, STOP) == {}
    assert world.get(arn)["status"] == "Stopping"
    world.change(stopping_s=0)
    assert world.wait(arn)["status"] == "Stopped"


@pytest.mark.conforms("C1.5-ended")
def test_stopping_what_has_ended_is_a_validation_error_that_names_the_state(open_world):
    world = open_world()
    job = world.run(questions())
    reply = world.send(STOP, {"jobIdentifier": job["jobArn"]})
    refused(reply, STOP, "ValidationException")
    assert "State was: Completed" in reply.body["message"]
    assert world.get(job["jobArn"])["status"] == "Completed"


# ---------------------------------------------------------------------- 1.6

PROFILE = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/us.{HAIKU}"
TAKEN = (HAIKU, f"us.{HAIKU}", f"global.{HAIKU}", f"arn:aws:bedrock:{REGION}::foundation-model/{HAIKU}", PROFILE)


@pytest.mark.parametrize("model", TAKEN)
@pytest.mark.conforms("C1.6-accepted", "C5-profiles")
def test_a_model_may_be_named_by_its_id_a_profile_or_an_arn(world, model):
    accepted(world.send("CreateModelInvocationJob", world.request(model=model)), "CreateModelInvocationJob")


@pytest.mark.parametrize(
    "model",
    [
        f"arn:aws:bedrock:{REGION}:{ACCOUNT}:application-inference-profile/abcdefghijkl",
        f"arn:aws:bedrock:{REGION}:{ACCOUNT}:custom-model/amazon.titan-embed-text-v2/abcdefghijkl",
        "any_word-at-all",
    ],
)
@pytest.mark.conforms("C1.6-accepted", "C1.6-no-proof")
def test_what_fits_the_pattern_is_refused_for_what_it_names_at_most(world, model):
    reply = world.send("CreateModelInvocationJob", world.request(model=model))
    if reply.status != 200:
        message = refused(reply, "CreateModelInvocationJob", "ValidationException")
        assert message.startswith(("Batch inference is not supported for", "The provided model identifier is invalid."))


@pytest.mark.parametrize("kind", ["provisioned-model", "imported-model", "custom-model-deployment"])
@pytest.mark.conforms("C1.6-not-matched")
def test_arns_of_these_kinds_do_not_fit_the_pattern(world, kind):
    model = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:{kind}/abcdefghijkl"
    reply = world.send("CreateModelInvocationJob", world.request(model=model))
    assert "pattern" in refused(reply, "CreateModelInvocationJob", "ValidationException")


# ---------------------------------------------------------------------- 1.7


@pytest.mark.conforms("C1.7-tagging", "C1.7-job-is-taggable")
def test_tags_are_set_listed_and_removed_by_post(world):
    arn = world.create(tags=[{"key": "team", "value": "one"}])
    for operation in ("TagResource", "UntagResource", "ListTagsForResource"):
        assert MODEL.operation_model(operation).http["method"] == "POST"
        assert "resourceARN" in MODEL.operation_model(operation).input_shape.members
    accepted(world.send("TagResource", {"resourceARN": arn, "tags": [{"key": "b", "value": ""}]}), "TagResource")
    accepted(world.send("UntagResource", {"resourceARN": arn, "tagKeys": ["team"]}), "UntagResource")
    shown = accepted(world.send("ListTagsForResource", {"resourceARN": arn}), "ListTagsForResource")
    assert shown == {"tags": [{"key": "b", "value": ""}]}


@pytest.mark.conforms("C1.7-stopped-job")
def test_the_tags_of_a_job_that_is_stopped_cannot_be_listed(open_world):
    world = open_world(stopping_s=3600)
    arn = world.create(world.put(questions()), tags=[{"key": "team", "value": "one"}])
    accepted(world.send("ListTagsForResource", {"resourceARN": arn}), "ListTagsForResource")
    world.bedrock.stop_model_invocation_job(jobIdentifier=arn)
    assert world.get(arn)["status"] == "Stopping"
    refused(world.send("ListTagsForResource", {"resourceARN": arn}), "ListTagsForResource", "ValidationException")
    world.change(stopping_s=0)
    world.wait(arn)
    refused(world.send("ListTagsForResource", {"resourceARN": arn}), "ListTagsForResource", "ValidationException")


@pytest.mark.conforms("C1.7-too-many-tags")
def test_the_fifty_first_tag_is_one_too_many(world):
    arn = world.create(tags=[{"key": f"k{number}", "value": "v"} for number in range(50)])
    reply = world.send("TagResource", {"resourceARN": arn, "tags": [{"key": "one more", "value": "v"}]})
    refused(reply, "TagResource", "TooManyTagsException")
    assert reply.body["resourceName"] == arn
    assert len(world.bedrock.list_tags_for_resource(resourceARN=arn)["tags"]) == 50
    # One that stands already makes none more.
    again = world.send("TagResource", {"resourceARN": arn, "tags": [{"key": "k1", "value": "w"}]})
    accepted(again, "TagResource")


@pytest.mark.conforms("C1.7-history")
def test_the_installed_boto3_knows_converse_jobs_and_the_counts(world):
    assert tuple(int(part) for part in botocore.__version__.split(".")) >= (1, 42, 81)
    shape = MODEL.operation_model(GET).output_shape
    assert set(COUNTS) <= set(shape.members)
    assert MODEL.shape_for("ModelInvocationType").enum == ["InvokeModel", "Converse"]
    assert "vpcConfig" in shape.members
    code, status, _ = refusal(world.bedrock.get_model_invocation_job, jobIdentifier="abcdefghijkl")
    assert (code, status) == ("ResourceNotFoundException", 404)
