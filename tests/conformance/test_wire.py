"""Section 1.1 and 1.2: the wire, and what Create takes and answers beyond its members' own limits."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import botocore
import botocore.endpoint
import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError
from botocore.parsers import create_parser
from botocore.stub import Stubber

from tests.conformance.world import MODEL, REGION, accepted, lines_of, questions, refusal, refused

CREATE, GET, LIST, STOP = (
    "CreateModelInvocationJob",
    "GetModelInvocationJob",
    "ListModelInvocationJobs",
    "StopModelInvocationJob",
)
ARN = re.compile(r"arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/[a-z0-9]{12}")


@pytest.fixture
def offline():
    """A boto3 client that reaches nothing."""
    session = botocore.session.Session()
    client = session.create_client(
        "bedrock", region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )
    yield client
    client.close()


@pytest.mark.conforms("C1.1-service")
def test_the_service_is_what_the_model_says():
    stated = MODEL.metadata
    assert (stated["endpointPrefix"], stated["signingName"], stated["protocol"]) == ("bedrock", "bedrock", "rest-json")
    assert stated["apiVersion"] == "2023-04-20"


@pytest.mark.conforms("C1.1-signing")
def test_signed_and_bearing_a_token_are_both_answered(world, monkeypatch):
    assert set(MODEL.metadata["auth"]) == {"aws.auth#sigv4", "smithy.api#httpBearerAuth"}
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/bedrock/aws4_request"}
    accepted(world.send(LIST, {}, signed), LIST)
    accepted(world.send(LIST, {}, {"Authorization": "Bearer bedrock-api-key-test"}), LIST)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-test")
    bearing = botocore.session.Session().create_client("bedrock", region_name=REGION, endpoint_url=world.url)
    headers = []
    bearing.meta.events.register("before-send.bedrock", lambda request, **_: headers.append(dict(request.headers)))
    assert bearing.list_model_invocation_jobs()["ResponseMetadata"]["HTTPStatusCode"] == 200
    bearing.close()
    assert b"Bearer" in headers[0]["Authorization"]


@pytest.mark.conforms("C1.1-region")
def test_a_request_signed_for_another_region_is_refused(world):
    scope = "AWS4-HMAC-SHA256 Credential=test/20260101/{}/bedrock/aws4_request, SignedHeaders=host, Signature=x"
    accepted(world.send(LIST, {}, {"Authorization": scope.format(REGION)}), LIST)
    reply = world.send(LIST, {}, {"Authorization": scope.format("eu-west-1")})
    assert (reply.status, reply.headers["x-amzn-ErrorType"]) == (403, "InvalidSignatureException")
    assert "valid region" in reply.body["message"]


@pytest.mark.conforms("C1.1-paginator")
def test_the_paginator_walks_all_pages(world, offline):
    assert offline.can_paginate("list_model_invocation_jobs")
    made = {world.create(jobName=f"pages-{number}") for number in range(5)}
    pages = list(
        world.bedrock.get_paginator("list_model_invocation_jobs").paginate(
            nameContains="pages-", PaginationConfig={"PageSize": 2}
        )
    )
    assert {job["jobArn"] for page in pages for job in page["invocationJobSummaries"]} == made
    assert [len(page["invocationJobSummaries"]) for page in pages] == [2, 2, 1]
    assert ["nextToken" in page for page in pages] == [True, True, False]


@pytest.mark.conforms("C1.1-no-waiters")
def test_boto3_has_no_waiter_for_jobs(offline):
    assert offline.waiter_names == []


@pytest.mark.conforms("C1.1-four-operations")
def test_nothing_but_create_get_list_and_stop_can_be_done_to_a_job(world):
    named = {name for name in MODEL.operation_names if "ModelInvocationJob" in name}
    assert named == {CREATE, GET, LIST, STOP}
    path = f"/model-invocation-job/{quote(world.create(), safe='')}"
    for method in ("PUT", "DELETE", "PATCH", "POST"):
        reply = world.raw(method, path)
        assert 400 <= reply.status < 500, method
        assert reply.error is not None


@pytest.mark.conforms("C1.1-arn-in-path", "C1.3-identifier", "C1.3-route", "C1.5-route")
def test_an_encoded_arn_is_one_segment_of_the_path(world):
    arn = world.create()
    encoded = quote(arn, safe="")
    assert "%2F" in encoded
    assert "%3A" in encoded
    for identifier in (encoded, arn.rsplit("/", 1)[-1]):
        assert accepted(world.raw("GET", f"/model-invocation-job/{identifier}"), GET)["jobArn"] == arn
    other = world.create()
    world.wait(other)
    stopped = world.raw("POST", f"/model-invocation-job/{quote(other, safe='')}/stop")
    # It has ended by now: the operation was found, and the job.
    refused(stopped, STOP, "ValidationException")


@pytest.mark.conforms("C1.1-timestamps")
def test_times_are_iso_in_bodies_and_queries(world):
    arn = world.create()
    shown = world.send(GET, {"jobIdentifier": arn}).body
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", shown["submitTime"])
    moment = world.get(arn)["submitTime"]
    assert moment.tzinfo is not None
    for bound in (moment - timedelta(seconds=1), (moment - timedelta(seconds=1)).replace(microsecond=0)):
        asked = bound.astimezone(UTC).isoformat().replace("+00:00", "Z")
        reply = world.send(LIST, {"submitTimeAfter": asked, "maxResults": 1000})
        assert arn in {job["jobArn"] for job in accepted(reply, LIST)["invocationJobSummaries"]}
    assert (
        world.bedrock.list_model_invocation_jobs(submitTimeAfter=datetime(2100, 1, 1, tzinfo=UTC))[
            "invocationJobSummaries"
        ]
        == []
    )


@pytest.mark.conforms("C1.1-error-header")
def test_an_error_has_its_code_in_the_header_and_its_message_in_the_body(world):
    reply = world.send(GET, {"jobIdentifier": "abcdefghijkl"})
    refused(reply, GET, "ResourceNotFoundException")
    code, status, message = refusal(world.bedrock.get_model_invocation_job, jobIdentifier="abcdefghijkl")
    assert (code, status, message) == ("ResourceNotFoundException", 404, reply.body["message"])


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"x-amzn-errortype": "ConflictException:http://internal.amazon.com/"}, b'{"message":"m"}'),
        ({}, b'{"__type":"ConflictException","message":"m"}'),
    ],
)
@pytest.mark.conforms("C1.1-error-in-body", "C1.1-error-header")
def test_boto3_reads_an_error_from_header_or_body(headers, body):
    answer = {"headers": headers, "status_code": 400, "body": body}
    parsed = create_parser("rest-json").parse(answer, MODEL.operation_model(CREATE).output_shape)
    assert parsed["Error"] == {"Code": "ConflictException", "Message": "m"}


@pytest.mark.conforms("C1.1-fresh-token")
def test_boto3_sends_a_fresh_uuid_as_client_token(world):
    tokens = [world.get(world.create())["clientRequestToken"] for _ in range(2)]
    assert len(set(tokens)) == 2
    assert [uuid.UUID(token).version for token in tokens] == [4, 4]


@pytest.mark.conforms("C1.1-unknown-status")
def test_boto3_hands_on_a_status_that_it_does_not_know():
    answer = {"headers": {}, "status_code": 200, "body": b'{"status":"Paused"}'}
    parsed = create_parser("rest-json").parse(answer, MODEL.operation_model(GET).output_shape)
    assert parsed["status"] == "Paused"


def _request(**more):
    return {
        "jobName": "a-job",
        "roleArn": "arn:aws:iam::000000000000:role/a-role",
        "modelId": "a.model",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://a-bucket/a.jsonl"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://a-bucket/"}},
        **more,
    }


@pytest.mark.conforms("C1.1-boto3-checks")
def test_boto3_checks_minima_and_types_but_no_maximum_pattern_or_enum(offline):
    wrong: tuple[dict[str, Any], ...] = (
        {"jobName": ""},
        {"jobName": 7},
        {"unknown": "x"},
        {"timeoutDurationInHours": 23},
        {"inputDataConfig": {}},
        {"roleArn": None},
    )
    for bad in wrong:
        with pytest.raises(ParamValidationError):
            offline.create_model_invocation_job(**_request(**bad))
    with Stubber(offline) as stub:
        for bad in (
            {"timeoutDurationInHours": 169},
            {"jobName": "x" * 64},
            {"jobName": "with spaces"},
            {"modelInvocationType": "Chat"},
            {"inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://a-bucket/dt=1/a.jsonl"}}},
        ):
            sent = _request(**bad)
            stub.add_response("create_model_invocation_job", {"jobArn": "an-arn"}, sent)
            offline.create_model_invocation_job(**_request(**bad))


class _Raw:
    """A body as urllib3 would give it."""

    def stream(self, **_):
        yield b'{"message":"no"}'


@pytest.mark.parametrize(
    ("status", "code", "asked"),
    [
        (429, "ThrottlingException", 3),
        (500, "InternalServerException", 3),
        (502, "BadGateway", 3),
        (503, "ServiceUnavailableException", 3),
        (504, "GatewayTimeout", 3),
        (400, "ServiceQuotaExceededException", 1),
        (400, "ConflictException", 1),
        (400, "ValidationException", 1),
        (403, "AccessDeniedException", 1),
        (404, "ResourceNotFoundException", 1),
    ],
)
@pytest.mark.conforms("C1.1-retries")
def test_the_standard_mode_asks_again_only_for_what_may_pass(monkeypatch, status, code, asked):
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None, time=lambda: 0.0))
    client = botocore.session.Session().create_client(
        "bedrock",
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"mode": "standard"}),
    )
    sent = []

    def answer(request, **_):
        sent.append(request)
        return AWSResponse(request.url, status, {"x-amzn-errortype": code}, _Raw())

    client.meta.events.register("before-send.bedrock", answer)
    with pytest.raises(ClientError):
        client.create_model_invocation_job(**_request())
    client.close()
    assert len(sent) == asked


# ---------------------------------------------------------------------- 1.2


@pytest.mark.conforms("C1.2-route", "C1.2-answer")
def test_create_answers_an_arn_and_nothing_else(world):
    http = MODEL.operation_model(CREATE).http
    assert (http["method"], http["requestUri"], http["responseCode"]) == ("POST", "/model-invocation-job", 200)
    body = accepted(world.send(CREATE, world.request()), CREATE)
    assert set(body) == {"jobArn"}
    assert ARN.fullmatch(body["jobArn"])


@pytest.mark.conforms("C1.2-idempotent", "C5-token-again", "C1.1-arn-in-path")
def test_the_same_client_token_is_the_same_job(world):
    assert MODEL.operation_model(CREATE).input_shape.members["clientRequestToken"].metadata["idempotencyToken"]
    token = uuid.uuid4().hex
    first = world.send(CREATE, world.request(clientRequestToken=token, jobName=f"once-{token[:8]}"))
    again = world.send(CREATE, world.request(clientRequestToken=token, jobName=f"once-{token[:8]}"))
    assert accepted(first, CREATE) == accepted(again, CREATE)
    listed = world.bedrock.list_model_invocation_jobs(nameContains=f"once-{token[:8]}")
    assert len(listed["invocationJobSummaries"]) == 1


@pytest.mark.conforms("C5-token-lifetime")
def test_a_client_token_is_remembered_for_as_long_as_is_set(open_world):
    lasting, forgetful = open_world(), open_world(token_window_s=0)
    assert len({lasting.create(clientRequestToken="one") for _ in range(2)}) == 1
    assert len({forgetful.create(clientRequestToken="one") for _ in range(2)}) == 2


@pytest.mark.conforms("C5-token-mismatch")
def test_a_known_token_with_another_request_is_the_same_job_or_a_conflict(open_world):
    world = open_world()
    first = world.create(clientRequestToken="one", jobName="a")
    assert world.create(clientRequestToken="one", jobName="b") == first
    world.change(token_mismatch="conflict")
    refused(world.send(CREATE, world.request(clientRequestToken="one", jobName="b")), CREATE, "ConflictException")
    assert world.page("/_quarry/stats")["creates"]["token_mismatches"] == 2


@pytest.mark.conforms("C5-name-twice")
def test_two_jobs_may_have_one_name(world):
    assert world.create(jobName="the-name") != world.create(jobName="the-name")


@pytest.mark.conforms("C1.2-default-invocation")
def test_without_an_invocation_type_bodies_are_those_of_invoke_model(open_world):
    world = open_world()
    job = world.run(questions())
    assert job.get("modelInvocationType", "InvokeModel") == "InvokeModel"
    assert job["successRecordCount"] == 100


@pytest.mark.conforms("C1.2-tags-50", "C1.2-tags")
def test_a_request_may_bear_fifty_tags_and_not_fifty_one(world):
    tags = [{"key": f"key {number}", "value": "v"} for number in range(51)]
    arn = accepted(world.send(CREATE, world.request(tags=tags[:50])), CREATE)["jobArn"]
    assert len(world.bedrock.list_tags_for_resource(resourceARN=arn)["tags"]) == 50
    declared = [shape.name for shape in MODEL.operation_model(CREATE).error_shapes]
    assert "TooManyTagsException" not in declared
    refused(world.send(CREATE, world.request(tags=tags)), CREATE, "ValidationException")


@pytest.mark.conforms("C1.2-key-place")
def test_the_key_of_the_output_stands_inside_the_s3_configuration(world, offline):
    place = {"s3Uri": "s3://a-bucket/out/"}
    wrong = {"s3OutputDataConfig": place, "s3EncryptionKeyId": "alias/a-key"}
    with pytest.raises(ParamValidationError, match="s3EncryptionKeyId"):
        offline.create_model_invocation_job(**_request(outputDataConfig=wrong))
    right = {"s3OutputDataConfig": {**place, "s3EncryptionKeyId": "alias/a-key"}}
    arn = accepted(world.send(CREATE, world.request(outputDataConfig=right)), CREATE)["jobArn"]
    assert world.get(arn)["outputDataConfig"]["s3OutputDataConfig"]["s3EncryptionKeyId"] == "alias/a-key"


@pytest.mark.parametrize(
    ("uri", "taken"),
    [
        *((f"s3://a-bucket/in{character}put/a.jsonl", False) for character in "= +@:~é"),
        ("s3://a-bucket//a.jsonl", False),
        ("s3://A-bucket/a.jsonl", False),
        ("s3://a_bucket/a.jsonl", False),
        ("s3://a-bucket", True),
        ("s3://a-bucket/", True),
        ("s3://a-bucket/in/", True),
        *((f"s3://a-bucket/in{character}put/a.jsonl", True) for character in "_-.!*'()"),
    ],
)
@pytest.mark.conforms("C1.2-s3-uri-characters")
def test_an_s3_uri_takes_these_characters_and_refuses_those(world, uri, taken):
    reply = world.send(CREATE, world.request(uri))
    if taken:
        accepted(reply, CREATE)
    else:
        refused(reply, CREATE, "ValidationException")


@pytest.mark.conforms("C1.2-errors", "C5-above", "C1.3-not-found")
def test_the_declared_errors_have_the_declared_statuses(open_world):
    declared = {
        shape.name: shape.metadata["error"]["httpStatusCode"] for shape in MODEL.operation_model(CREATE).error_shapes
    }
    assert declared == {
        "ResourceNotFoundException": 404,
        "AccessDeniedException": 403,
        "ValidationException": 400,
        "ConflictException": 400,
        "ServiceQuotaExceededException": 400,
        "ThrottlingException": 429,
        "InternalServerException": 500,
    }
    world = open_world(quota=1, starting_s=3600)
    world.create(world.put(lines_of({"a": 1})))
    refused(world.send(CREATE, world.request()), CREATE, "ServiceQuotaExceededException")
    refused(world.send(GET, {"jobIdentifier": "abcdefghijkl"}), GET, "ResourceNotFoundException")
