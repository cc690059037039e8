"""What the simulated Bedrock does not say by itself: every error, long lists, statuses of tomorrow."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import botocore.session
import pytest

from quarry_core.aws.jobs import ACTIVE_STATUSES, LIST_PAGES_MAX, BedrockJobs
from quarry_core.errors import Conflict, Missing, QuotaExceeded, Refused, Throttled, Unknown
from quarry_core.ports import JobRequest
from tests.unit.core.scripted import CUT, CUT_IN_BODY, Answer, scripted, set_credentials, wrong

ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/"
REQUEST = JobRequest(
    name="census-r1-00002-1-dev",
    client_token="0123456789abcdef0123456789abcdef",
    role_arn="arn:aws:iam::123456789012:role/quarry",
    model_id="anthropic.claude-3-haiku-20240307-v1:0",
    input_uri="s3://bucket/batch-input/r1/00002.jsonl",
    output_uri="s3://bucket/batch-output/r1/00002-1/",
    timeout_hours=72,
)
TERMINAL = {"Completed", "Failed", "Stopped", "PartiallyCompleted", "Expired"}


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    set_credentials(monkeypatch)


def summary(number, status="InProgress", name=None):
    return {
        "jobArn": f"{ARN}{number:012d}",
        "jobName": name or f"job-{number}",
        "modelId": "arn:aws:bedrock:us-east-1::foundation-model/m",
        "roleArn": "arn:aws:iam::123456789012:role/quarry",
        "status": status,
        "submitTime": "2026-11-20T10:00:00.123Z",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/in"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}},
    }


def page(*summaries, after=None):
    return Answer({"invocationJobSummaries": list(summaries)} | ({"nextToken": after} if after else {}))


def asked(request):
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}


@pytest.mark.promise("S2")
@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (wrong("ThrottlingException", 429), Throttled),
        (wrong("ServiceQuotaExceededException", 400), QuotaExceeded),
        (wrong("ValidationException", 400), Refused),
        (wrong("AccessDeniedException", 403), Refused),
        (wrong("ResourceNotFoundException", 404), Refused),
        (wrong("ConflictException", 400), Conflict),
        (wrong("InternalServerException", 500), Unknown),
        (Answer({}, 503), Unknown),
        (CUT, Unknown),
        (CUT_IN_BODY, Unknown),
    ],
    ids=str,
)
async def test_create_is_sent_once_and_answers_are_told_from_silence(line, kind):
    async with scripted("bedrock", [line]) as (aws, reported):
        with pytest.raises(kind, match=REQUEST.name):
            await BedrockJobs(aws).create(REQUEST)
    assert len(reported.requests) == 1


def test_every_declared_error_of_create_is_tried_above():
    declared = botocore.session.get_session().get_service_model("bedrock").operation_model("CreateModelInvocationJob")
    mark = test_create_is_sent_once_and_answers_are_told_from_silence.pytestmark
    lines = next(one for one in mark if one.name == "parametrize").args[1]
    tried = {line.body.get("__type") for line, _ in lines if isinstance(line, Answer)}
    assert {shape.name for shape in declared.error_shapes} <= tried


@pytest.mark.promise("S10")
def test_every_status_is_active_or_terminal():
    model = botocore.session.get_session().get_service_model("bedrock")
    assert set(model.shape_for("ModelInvocationJobStatus").enum) == set(ACTIVE_STATUSES) | TERMINAL


async def test_a_status_that_nobody_knows_passes_through():
    async with scripted("bedrock", [Answer(summary(1, "Hibernating"))]) as (aws, _):
        assert (await BedrockJobs(aws).get(f"{ARN}{1:012d}")).status == "Hibernating"


async def test_a_job_is_asked_for_by_its_whole_arn():
    async with scripted(
        "bedrock", [Answer({**summary(1), "successRecordCount": 7, "endTime": "2026-11-20T11:00:00Z"})]
    ) as (
        aws,
        reported,
    ):
        job = await BedrockJobs(aws).get(f"{ARN}{1:012d}")
    assert reported.requests[0].path.count("/") == 2, "the ARN's slash is no separator"
    assert unquote(reported.requests[0].path).endswith(f"{ARN}{1:012d}")
    assert (job.success_records, job.error_records) == (7, None)
    assert job.ended_at == datetime(2026, 11, 20, 11, tzinfo=UTC)
    assert job.submitted_at == datetime(2026, 11, 20, 10, microsecond=123_000, tzinfo=UTC)


async def test_a_list_is_read_to_its_end_and_filtered_to_the_exact_name():
    pages = [
        page(summary(1, name="job-1"), summary(2, name="job-10"), after="two"),
        page(after="three"),
        page(summary(3, name="job-1"), summary(4, name="a-job-1")),
    ]
    async with scripted("bedrock", pages) as (aws, reported):
        found = await BedrockJobs(aws).find("job-1")
    assert [job.arn[-1] for job in found] == ["1", "3"]
    assert [asked(request) for request in reported.requests] == [
        {"nameContains": "job-1", "maxResults": "1000"},
        {"nameContains": "job-1", "maxResults": "1000", "nextToken": "two"},
        {"nameContains": "job-1", "maxResults": "1000", "nextToken": "three"},
    ]


async def test_a_list_without_end_is_unknown_and_not_half_an_answer():
    async with scripted("bedrock", [page(summary(1), after="more")]) as (aws, reported):
        with pytest.raises(Unknown, match="pages"):
            await BedrockJobs(aws).find("job-1")
    assert len(reported.requests) == LIST_PAGES_MAX


async def test_a_page_that_fails_fails_the_list():
    async with scripted("bedrock", [page(summary(1), after="more"), wrong("ThrottlingException", 429)]) as (aws, _):
        with pytest.raises(Throttled):
            await BedrockJobs(aws).active()


async def test_active_is_one_pass_per_status_in_the_order_of_a_jobs_life():
    async with scripted("bedrock", [page()]) as (aws, reported):
        assert list(await BedrockJobs(aws).active()) == []
    assert [asked(request)["statusEquals"] for request in reported.requests] == [
        "Submitted",
        "Validating",
        "Scheduled",
        "InProgress",
        "Stopping",
    ]


@pytest.mark.promise("S1")
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("begins", range(4))
async def test_a_job_that_moves_while_we_list_is_met_once(begins, steps):
    """It moves by one status after the pass number `steps`."""
    passes = 0

    def bedrock(request):
        nonlocal passes
        at = begins + (passes > steps)
        passes += 1
        status = ACTIVE_STATUSES[at]
        return page(summary(1, status)) if asked(request)["statusEquals"] == status else page()

    async with scripted("bedrock", bedrock) as (aws, _):
        found = await BedrockJobs(aws).active()
    assert [job.arn for job in found] == [f"{ARN}{1:012d}"]


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
async def test_any_400_to_a_stop_means_that_it_has_ended(code):
    async with scripted("bedrock", [wrong(code, 400)]) as (aws, reported):
        await BedrockJobs(aws).stop(f"{ARN}{1:012d}")
    assert reported.requests[0].path.endswith("/stop")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (wrong("AccessDeniedException", 403), Refused),
        (wrong("ResourceNotFoundException", 404), Missing),
        (wrong("ThrottlingException", 429), Throttled),
        (wrong("InternalServerException", 500), Unknown),
        (CUT, Unknown),
    ],
    ids=str,
)
async def test_any_other_answer_to_a_stop_is_reported(line, kind):
    async with scripted("bedrock", [line]) as (aws, _):
        with pytest.raises(kind):
            await BedrockJobs(aws).stop(f"{ARN}{1:012d}")


async def test_a_job_without_vpc_key_or_tags_says_nothing_of_them():
    async with scripted("bedrock", [Answer({"jobArn": f"{ARN}{1:012d}"})]) as (aws, reported):
        assert await BedrockJobs(aws).create(REQUEST) == f"{ARN}{1:012d}"
    body = reported.requests[0].body
    assert not {"vpcConfig", "tags", "modelInvocationType"} & set(body)
    assert "s3EncryptionKeyId" not in json.dumps(body)
