"""Section 2: the statuses of a job, which moves it makes, and what it leaves behind."""

from __future__ import annotations

import json

import pytest

from tests.conformance.world import MODEL, TERMINAL, accepted, claude, lines_of, questions, refusal

COUNTS = ("totalRecordCount", "processedRecordCount", "successRecordCount", "errorRecordCount")
WRONG = {"messages": [{"role": "user", "content": "Why?"}], "max_tokens": 10}  # for another API: no version


def counts(job):
    return tuple(job[each] for each in COUNTS)


@pytest.mark.conforms("C2-statuses")
def test_there_are_ten_statuses():
    assert set(MODEL.shape_for("ModelInvocationJobStatus").enum) == TERMINAL | {
        "Submitted",
        "Validating",
        "Scheduled",
        "InProgress",
        "Stopping",
    }


@pytest.mark.conforms("C2-graph", "C2-completed", "C2-submitted", "C2-validating", "C2-scheduled", "C3-every-change")
def test_a_job_goes_through_the_statuses_in_order(open_world):
    world = open_world()
    queue = world.listen()
    job = world.run(questions())
    assert job["status"] == "Completed"
    reported = [event["detail"]["status"] for event in world.received(queue, 5)]
    assert reported == ["Submitted", "Validating", "Scheduled", "InProgress", "Completed"]
    assert set(world.objects(job)) == {"data.jsonl.out", "manifest.json.out"}


@pytest.mark.parametrize("status", ["Submitted", "Validating", "Scheduled", "InProgress"])
@pytest.mark.conforms("C2-submitted", "C2-validating", "C2-scheduled", "C2-in-progress", "C2-stop-before-running")
def test_a_job_in_any_status_before_its_end_can_be_stopped(open_world, status):
    wait = {
        "Submitted": "submitted_s",
        "Validating": "validating_s",
        "Scheduled": "queue_s",
        "InProgress": "starting_s",
    }
    world = open_world(**{wait[status]: 3600})
    arn = world.create(world.put(questions()))
    assert "endTime" not in world.wait(arn, {status})
    world.bedrock.stop_model_invocation_job(jobIdentifier=arn)
    job = world.wait(arn)
    assert job["status"] == "Stopped"
    assert counts(job)[1] == 0
    assert all(not name.endswith(".jsonl.out") or not body for name, body in world.objects(job).items())


@pytest.mark.parametrize(
    ("body", "key", "settings"),
    [
        (b"", "in/data.txt", {}),
        (b"not json\n" * 100, "in/data.jsonl", {}),
        (b'["a", "list"]\n' * 100, "in/data.jsonl", {}),
        (b'{"recordId": "a"}\n' * 100, "in/data.jsonl", {}),
        (b'{"recordId": "a", "modelInput": "text"}\n' * 100, "in/data.jsonl", {}),
        (b'{"recordId": 7, "modelInput": {}}\n' * 100, "in/data.jsonl", {}),
        (b'{"modelInput": {}}\n' * 101, "in/data.jsonl", {"records_max": 100}),
        (b'{"modelInput": {}}\n' * 100, "in/data.jsonl", {"file_bytes_max": 1000}),
        (b'{"modelInput": {}}\n' * 100, "in/data.jsonl", {"job_bytes_max": 1000}),
        (None, "in/none.jsonl", {}),
    ],
)
@pytest.mark.conforms("C2-validating", "C2-failed", "C4.1-jsonl", "C1.3-failed-counts-0", "C2-graph")
def test_validating_fails_what_is_no_fit_input(open_world, body, key, settings):
    world = open_world(**settings)
    uri = f"s3://{world.bucket}/{key}" if body is None else world.put(body, key)
    queue = world.listen()
    # Accepted: that it is not fit is found out later.
    job = world.wait(
        accepted(world.send("CreateModelInvocationJob", world.request(uri)), "CreateModelInvocationJob")["jobArn"]
    )
    assert job["status"] == "Failed"
    assert job["message"]
    assert counts(job) == (0, 0, 0, 0)
    assert [event["detail"]["status"] for event in world.received(queue, 3)] == ["Submitted", "Validating", "Failed"]


TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.mark.parametrize("may", [True, False])
@pytest.mark.conforms("C2-validating-role")
def test_validating_fails_a_job_whose_role_does_not_reach_its_files(open_world, may):
    world = open_world()
    iam = world.aws.client("iam")
    name = f"reach-{world.name}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    bucket = f"arn:aws:s3:::{world.bucket}" if may else "arn:aws:s3:::another-bucket"
    actions = ["s3:GetObject", "s3:PutObject", "s3:ListBucket"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": [bucket, f"{bucket}/*"]}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=name, PolicyName="files", PolicyDocument=document)
    job = world.run(questions(), roleArn=role)
    assert job["status"] == ("Completed" if may else "Failed")
    assert may == ("message" not in job)


@pytest.mark.conforms("C2-validating-not-bodies", "C2-errors-complete", "C4.3-error", "C4.2-anthropic")
def test_a_job_of_nothing_but_wrong_bodies_completes(open_world):
    world = open_world()
    job = world.run(lines_of(WRONG))
    assert job["status"] == "Completed"
    assert counts(job) == (100, 100, 0, 100)
    assert world.summary(job)["successRecordCount"] == 0
    error = world.results(job)[0]["error"]
    assert error["errorMessage"] == "anthropic_version: Field required"


@pytest.mark.conforms("C2-errors-complete", "C2-validating-not-bodies")
def test_some_wrong_bodies_do_not_make_a_job_partially_completed(open_world):
    world = open_world()
    job = world.run([*lines_of(WRONG, 30), *questions(100)])
    assert job["status"] == "Completed"
    assert counts(job) == (130, 130, 100, 30)


@pytest.mark.conforms("C2-too-few-is-late", "C5-records-min")
def test_too_few_records_are_reported_after_create(open_world):
    world = open_world()
    reply = world.send("CreateModelInvocationJob", world.request(world.put(questions(1))))
    arn = accepted(reply, "CreateModelInvocationJob")["jobArn"]
    job = world.wait(arn)
    assert job["status"] == "Failed"
    assert job["message"] == f"Batch job {arn} contains less records (1) than the required minimum of: 100"


@pytest.mark.conforms("C2-partially-completed", "C4.3-missing-lines", "C2-timeout-from-submit", "C1.5-charged")
def test_a_timeout_while_running_leaves_what_was_done(open_world):
    # Twelve of the twenty-four hours are spent waiting, so half of the records' 24 hours are left.
    world = open_world(clock="stepped", queue_s=12 * 3600, seconds_per_1000_records=864_000)
    arn = world.create(world.put(questions()), timeoutDurationInHours=24)
    world.advance(25 * 3600)
    job = world.get(arn)
    assert job["status"] == "PartiallyCompleted"
    assert job["processedRecordCount"] == 50
    assert job["totalRecordCount"] == 100
    lines = world.results(job)
    assert len(lines) == job["processedRecordCount"]
    assert all("modelOutput" in line for line in lines)


@pytest.mark.conforms("C2-stopped", "C1.5-charged", "C4.3-missing-lines", "C2-stopping")
def test_a_stopped_job_may_leave_a_part_of_its_output(open_world):
    world = open_world(seconds_per_1000_records=10_000, speed=100)
    arn = world.create(world.put(questions()))
    while world.get(arn)["processedRecordCount"] < 10:
        world.wait(arn, {"InProgress", "Submitted", "Validating", "Scheduled"})
    world.bedrock.stop_model_invocation_job(jobIdentifier=arn)
    job = world.wait(arn)
    assert job["status"] == "Stopped"
    lines = world.results(job)
    assert 10 <= len(lines) == job["processedRecordCount"] < 100
    used = [line["modelOutput"]["usage"] for line in lines]
    summary = world.summary(job)
    assert summary["inputTokenCount"] == sum(each["input_tokens"] for each in used)
    assert summary["outputTokenCount"] == sum(each["output_tokens"] for each in used)
    assert summary["processedRecordCount"] == len(lines)


@pytest.mark.conforms("C2-scheduled", "C2-expired", "C5-above")
def test_a_job_waits_in_scheduled_while_there_is_no_capacity(open_world):
    world = open_world(quota=1, quota_mode="queue", starting_s=3600)
    uri = world.put(questions())
    first = world.create(uri)
    world.wait(first, {"InProgress"})
    # Not before: of two jobs that are validated at once, either may come first to the one place.
    second = world.create(uri)
    assert world.wait(second, {"Scheduled"})["processedRecordCount"] == 0
    world.bedrock.stop_model_invocation_job(jobIdentifier=first)
    world.wait(second, {"InProgress"})


@pytest.mark.conforms("C2-ends-are-final")
def test_nothing_leads_out_of_an_end(open_world):
    world = open_world()
    for lines in (questions(), questions(1)):
        job = world.run(lines)
        refusal(world.bedrock.stop_model_invocation_job, jobIdentifier=job["jobArn"])
        world.change(queue_s=0, speed=1_000)
        assert world.get(job["jobArn"]) | {"ResponseMetadata": 0} == job | {"ResponseMetadata": 0}


@pytest.mark.conforms("C2-in-progress", "C4.3-missing-lines", "C4.4-summary")
def test_the_summary_is_not_there_before_the_end(open_world):
    world = open_world(starting_s=3600)
    arn = world.create(world.put([*questions(), *lines_of(claude("again"), 3)]))
    job = world.wait(arn, {"InProgress"})
    assert "manifest.json.out" not in world.objects(job)
    world.change(starting_s=0, speed=100_000)
    job = world.wait(arn)
    assert json.loads(world.objects(job)["manifest.json.out"])["totalRecordCount"] == 103


@pytest.mark.conforms("C4.3-early-results")
def test_results_can_be_read_while_the_job_runs_and_are_whole_at_its_end(open_world):
    world = open_world(clock="stepped", job_output_early=True, seconds_per_1000_records=1000)
    arn = world.create(world.put(questions(100)))
    world.advance(60)
    job = world.get(arn)
    assert (job["status"], job["processedRecordCount"]) == ("InProgress", 60)
    early = world.objects(job)
    assert set(early) == {"data.jsonl.out"}
    lines = early["data.jsonl.out"].splitlines()
    assert len(lines) == 50
    world.advance(60)
    assert world.get(arn)["status"] == "Completed"
    whole = world.objects(job)
    assert set(whole) == {"data.jsonl.out", "manifest.json.out"}
    assert set(lines) < set(whole["data.jsonl.out"].splitlines())
    assert world.summary(job)["processedRecordCount"] == 100
