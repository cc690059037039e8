"""The simulated Bedrock as a client sees it: boto3 over HTTP, files in the emulator's S3, events in its SQS."""

import asyncio
import functools
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from quarry_local.bedrock.families.answers import prompt_digest
from quarry_local.bedrock.server import SimulatedBedrock
from quarry_local.bedrock.settings import Settings

pytestmark = [pytest.mark.emulator, pytest.mark.slow]

ACCOUNT = "000000000000"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
TERMINAL = {"Completed", "PartiallyCompleted", "Failed", "Expired", "Stopped"}
POLL_S = 0.04
FAST = {"submitted_s": 0, "validating_s": 0, "queue_s": 0, "starting_s": 0, "stopping_s": 0}


def client(name: str, url: str) -> Any:
    return boto3.client(
        name,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2}),
    )


emulated = functools.cache(client)


@pytest.fixture
def emulator(aws: Any) -> str:
    return str(aws.endpoint_url)


class World:
    """A bucket, a role and a simulated Bedrock of its own, in a thread of its own."""

    def __init__(self, emulator: str, name: str, **settings: Any) -> None:
        self.name = name
        self.emulator = emulator
        self.s3, self.sqs, self.events, self.iam = (emulated(x, emulator) for x in ("s3", "sqs", "events", "iam"))
        self.bucket = f"bucket-{name}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.role = self.iam.create_role(RoleName=f"role-{name}", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = SimulatedBedrock(
            Settings(aws_endpoint_url=emulator, rules_cache_s=0, **{**FAST, **settings}, _env_prefix="NOT_SET_")
        )
        self.url = self._run(self._server.start())
        self.bedrock = client("bedrock", self.url)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def close(self) -> None:
        self._run(self._server.stop())
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.bedrock.close()

    def put(self, lines: list[dict[str, Any]] | bytes, key: str = "in/data.jsonl") -> str:
        body = lines if isinstance(lines, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def create(self, uri: str, *, model: str = HAIKU, name: str | None = None, **more: Any) -> Any:
        return self.bedrock.create_model_invocation_job(
            **{
                "jobName": name or f"job-{self.name}",
                "roleArn": self.role,
                "modelId": model,
                "inputDataConfig": {"s3InputDataConfig": {"s3Uri": uri}},
                "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"s3://{self.bucket}/out/"}},
                **more,
            }
        )["jobArn"]

    def get(self, arn: str) -> Any:
        return self.bedrock.get_model_invocation_job(jobIdentifier=arn)

    def wait(self, arn: str, statuses: set[str] = TERMINAL) -> Any:
        deadline = time.monotonic() + 60
        while True:
            job = self.get(arn)
            if job["status"] in statuses:
                return job
            assert job["status"] not in TERMINAL, job
            assert time.monotonic() < deadline, job
            time.sleep(POLL_S)

    def objects(self, arn: str) -> dict[str, bytes]:
        prefix = f"out/{arn.rsplit('/', 1)[-1]}/"
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return {
            item["Key"].removeprefix(prefix): self.s3.get_object(Bucket=self.bucket, Key=item["Key"])["Body"].read()
            for item in listed
        }

    def results(self, arn: str, file: str = "data.jsonl.out") -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.objects(arn)[file].splitlines()]

    def page(self, path: str, method: str = "GET", body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, headers={"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return {"http": refused.code, **json.loads(refused.read())}

    def stats(self) -> Any:
        return self.page("/_quarry/stats")

    def change(self, **settings: Any) -> Any:
        return self.page("/_quarry/settings", "PUT", settings)

    def queue(self, name: str) -> tuple[str, str]:
        made = self.sqs.create_queue(QueueName=f"{name}-{self.name}")["QueueUrl"]
        asked = self.sqs.get_queue_attributes(QueueUrl=made, AttributeNames=["QueueArn"])
        return made, asked["Attributes"]["QueueArn"]

    def let_events_in(self, url: str, arn: str, rule_arn: str) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})

    def rule(self, target: dict[str, Any], **more: Any) -> Any:
        pattern = {
            "source": ["aws.bedrock"],
            "detail-type": ["Batch Inference Job State Change"],
            "detail": {"batchJobName": [{"prefix": f"job-{self.name}"}]},
        }
        name = f"rule-{self.name}"
        arn = self.events.put_rule(Name=name, EventPattern=json.dumps(pattern), **more)["RuleArn"]
        self.events.put_targets(Rule=name, Targets=[{"Id": "queue", **target}])
        return arn

    def received(self, url: str, count: int) -> list[dict[str, Any]]:
        """The first `count` messages, oldest first."""
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + 20
        while len(found) < count:
            assert time.monotonic() < deadline, [json.loads(one["Body"])["detail"]["status"] for one in found]
            answer = self.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"]
            )
            for message in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                found.append(message)
        return found

    def settled_events(self, count: int) -> Any:
        """The figures of events once `count` were dealt with."""
        deadline = time.monotonic() + 20
        while True:
            figures = self.stats()["events"]
            dealt = sum(figures[x] for x in ("delivered", "lost", "unmatched", "dead_lettered", "undeliverable"))
            if dealt >= count:
                return figures
            assert time.monotonic() < deadline, figures
            time.sleep(POLL_S)


@pytest.fixture
def world(emulator, request):
    made: list[World] = []

    def build(**settings: Any) -> World:
        made.append(World(emulator, os.urandom(5).hex(), **settings))
        return made[-1]

    yield build
    for one in made:
        one.close()


def claude_lines(count: int, prompt: str = "Why is stone {} grey?", **body: Any) -> list[dict[str, Any]]:
    return [
        {
            "recordId": f"r{number:06d}",
            "modelInput": {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 200,
                "messages": [{"role": "user", "content": prompt.format(number)}],
                **body,
            },
        }
        for number in range(count)
    ]


def titan_lines(count: int, **body: Any) -> list[dict[str, Any]]:
    return [{"recordId": f"r{n:06d}", "modelInput": {"inputText": f"stone {n}", **body}} for n in range(count)]


def refusal(call: Any, **request: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def test_a_text_job_runs_from_create_to_its_answers(world):
    w = world()
    lines = claude_lines(300)
    arn = w.create(w.put(lines))
    job = w.wait(arn)
    assert job["status"] == "Completed"
    assert (job["totalRecordCount"], job["processedRecordCount"]) == (300, 300)
    assert (job["successRecordCount"], job["errorRecordCount"]) == (300, 0)
    results = w.results(arn)
    asked = {line["recordId"]: line["modelInput"] for line in lines}
    assert {line["recordId"]: line["modelInput"] for line in results} == asked
    assert [line["recordId"] for line in results] != sorted(asked)
    for line in results:
        output = line["modelOutput"]
        assert prompt_digest(line["modelInput"]["messages"][0]["content"]) in output["content"][0]["text"]
        assert output["stop_reason"] == "end_turn"
    summary = json.loads(w.objects(arn)["manifest.json.out"])
    used = [line["modelOutput"]["usage"] for line in results]
    assert summary == {
        "totalRecordCount": 300,
        "processedRecordCount": 300,
        "successRecordCount": 300,
        "errorRecordCount": 0,
        "inputTokenCount": sum(one["input_tokens"] for one in used),
        "outputTokenCount": sum(one["output_tokens"] for one in used),
    }


def test_an_embedding_job_answers_with_unit_vectors(world):
    w = world()
    arn = w.create(w.put(titan_lines(100, dimensions=256)), model=TITAN)
    assert w.wait(arn)["status"] == "Completed"
    vectors = np.array([line["modelOutput"]["embedding"] for line in w.results(arn)])
    assert vectors.shape == (100, 256)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert len(np.unique(vectors, axis=0)) == 100


def test_get_shows_what_create_was_not_reported(world):
    w = world(starting_s=3600)
    uri = w.put(claude_lines(100))
    arn = w.create(uri, model=f"us.{HAIKU}", clientRequestToken="token-1")
    job = w.wait(arn, {"InProgress"})
    assert w.get(arn.rsplit("/", 1)[-1])["jobArn"] == arn
    assert job["modelId"] == f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.{HAIKU}"
    assert job["inputDataConfig"]["s3InputDataConfig"] == {"s3Uri": uri, "s3BucketOwner": ACCOUNT}
    assert job["timeoutDurationInHours"] == 24
    assert (job["jobExpirationTime"] - job["submitTime"]).total_seconds() == 24 * 3600
    assert (job["totalRecordCount"], job["processedRecordCount"]) == (100, 0)
    assert "endTime" not in job
    assert "tags" not in job


def test_a_body_of_another_api_fails_its_record_and_not_the_job(world):
    w = world()
    lines = claude_lines(100)
    del lines[0]["modelInput"]["anthropic_version"]
    lines[1]["modelInput"]["model"] = HAIKU
    job = w.wait(arn := w.create(w.put(lines)))
    assert job["status"] == "Completed"
    assert (job["successRecordCount"], job["errorRecordCount"]) == (98, 2)
    errors = {line["recordId"]: line["error"] for line in w.results(arn) if "error" in line}
    assert errors == {
        "r000000": {"errorCode": 400, "errorMessage": "anthropic_version: Field required"},
        "r000001": {"errorCode": 400, "errorMessage": "model: Extra inputs are not permitted"},
    }


def test_too_few_records_fail_the_job_after_create_with_the_known_words(world):
    w = world()
    arn = w.create(w.put(claude_lines(7)))
    job = w.wait(arn)
    assert job["status"] == "Failed"
    assert job["message"] == f"Batch job {arn} contains less records (7) than the required minimum of: 100"
    assert job["totalRecordCount"] == job["processedRecordCount"] == 0
    assert w.objects(arn) == {}


UNFIT: list[tuple[str, bytes | None, str]] = [
    ("in/data.jsonl", None, "does not exist"),
    ("in/data.json", b"{}\n", "no file that ends in .jsonl"),
    ("in/data.jsonl", b'{"recordId":"a","modelInput":{}}\nnot json\n', "record 2"),
    ("in/data.jsonl", b'{"recordId":"a","modelInput":[]}\n', "record 1"),
    ("in/data.jsonl", b'{"recordId":1,"modelInput":{}}\n', "record 1"),
    ("in/data.jsonl", b'{"recordId":"a"}\n', "record 1"),
]


def test_an_unfit_input_fails_the_job(world):
    w = world()
    for number, (key, body, said) in enumerate(UNFIT):
        unfit = f"in{number}/{key}"
        job = w.wait(w.create(f"s3://{w.bucket}/{unfit}" if body is None else w.put(body, unfit)))
        assert job["status"] == "Failed"
        assert said in job["message"]
        assert job["totalRecordCount"] == 0


def test_too_many_records_or_bytes_fail_the_job(world):
    w = world(records_max=120)
    uri = w.put(claude_lines(121))
    assert "the maximum of: 120" in w.wait(w.create(uri))["message"]
    w.change(file_bytes_max=1000, records_max=50_000)
    assert "1000 bytes" in w.wait(w.create(uri))["message"]


def test_a_folder_means_all_its_jsonl_files(world):
    w = world()
    lines = claude_lines(150)
    w.put(lines[:60], "in/a.jsonl")
    w.put(lines[60:], "in/deep/b.jsonl")
    w.put(b"no record", "in/notes.txt")
    arn = w.create(f"s3://{w.bucket}/in/")
    assert w.wait(arn)["totalRecordCount"] == 150
    assert set(w.objects(arn)) == {"a.jsonl.out", "deep/b.jsonl.out", "manifest.json.out"}
    assert len(w.results(arn, "a.jsonl.out")) == 60
    assert len(w.results(arn, "deep/b.jsonl.out")) == 90


def test_records_without_an_id_get_one_and_odd_text_is_echoed_as_it_came(world):
    w = world(records_min=1)
    odd = '{"modelInput":{ "anthropic_version":"bedrock-2023-05-31", "max_tokens" :9,"messages":[{"role":"user","content":"\\u00e9\\n\\"é\\" 1.50"}]}}'
    arn = w.create(w.put(odd.encode() + b"\r\n\r\n"))
    w.wait(arn)
    (line,) = w.objects(arn)["data.jsonl.out"].splitlines()
    assert odd.removeprefix('{"modelInput":').removesuffix("}").encode() in line
    assert json.loads(line)["recordId"]
    assert json.loads(line)["modelOutput"]["stop_reason"] == "max_tokens"


def test_the_same_client_token_makes_one_job_even_above_the_quota(world):
    w = world(quota=1, starting_s=3600)
    uri = w.put(claude_lines(100))
    first = w.create(uri, clientRequestToken="once")
    assert w.create(uri, clientRequestToken="once") == first
    assert w.stats()["creates"] == {"total": 2, "by_token": 1, "token_mismatches": 0}
    assert len(w.stats()["jobs"]) == 1


def test_a_client_token_can_be_forgotten(world):
    w = world(token_window_s=0)
    uri = w.put(claude_lines(100))
    assert w.create(uri, clientRequestToken="once") != w.create(uri, clientRequestToken="once")


def test_a_full_pool_refuses_every_name_of_its_model_and_no_other_model(world):
    w = world(quota=2, starting_s=3600)
    uri = w.put(claude_lines(100))
    w.create(uri)
    first = w.create(uri, model=f"us.{HAIKU}")
    for model in (HAIKU, f"global.{HAIKU}", f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"):
        with pytest.raises(ClientError) as refused:
            w.create(uri, model=model)
        assert refused.value.response["Error"]["Code"] == "ServiceQuotaExceededException"
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    w.create(uri, model=TITAN)
    pool = w.stats()["pools"][HAIKU]
    assert (pool["active"], pool["peak_active"], pool["quota"], pool["refused"]) == (2, 2, 2, 3)
    w.bedrock.stop_model_invocation_job(jobIdentifier=first)
    w.wait(first)
    w.create(uri)


def test_above_the_quota_jobs_may_wait_instead(world):
    w = world(quota=1, quota_mode="queue", starting_s=0.2)
    uri = w.put(claude_lines(100))
    arns = [w.create(uri) for _ in range(4)]
    assert {w.wait(arn)["status"] for arn in arns} == {"Completed"}
    pool = w.stats()["pools"][HAIKU]
    assert (pool["peak_active"], pool["active"], pool["running"]) == (4, 0, 0)


def test_stop_keeps_the_records_done_so_far(world):
    w = world(seconds_per_1000_records=4)
    arn = w.create(w.put(claude_lines(1000)))
    deadline = time.monotonic() + 20
    while w.get(arn)["processedRecordCount"] < 20:
        assert time.monotonic() < deadline
        time.sleep(POLL_S)
    w.bedrock.stop_model_invocation_job(jobIdentifier=arn)
    job = w.wait(arn)
    assert job["status"] == "Stopped"
    results = w.results(arn)
    assert 20 <= len(results) == job["processedRecordCount"] < 1000
    assert {line["recordId"] for line in results} == {f"r{n:06d}" for n in range(len(results))}
    assert json.loads(w.objects(arn)["manifest.json.out"])["totalRecordCount"] == 1000
    code, status, message = refusal(w.bedrock.stop_model_invocation_job, jobIdentifier=arn)
    assert (code, status) == ("ValidationException", 400)
    assert message.endswith("State was: Stopped")


def test_a_job_that_is_stopped_while_it_waits_leaves_nothing(world):
    w = world(queue_s=3600)
    arn = w.create(w.put(claude_lines(100)))
    w.wait(arn, {"Scheduled"})
    w.bedrock.stop_model_invocation_job(jobIdentifier=arn)
    assert w.wait(arn)["status"] == "Stopped"
    assert w.objects(arn) == {}


def test_a_timeout_while_running_keeps_what_was_done(world):
    w = world(seconds_per_1000_records=24 * 3600 * 4)
    arn = w.create(w.put(claude_lines(400)))
    w.wait(arn, {"InProgress"})
    w.change(speed=100_000)
    job = w.wait(arn)
    assert job["status"] == "PartiallyCompleted"
    assert 240 <= job["processedRecordCount"] <= 250
    assert len(w.results(arn)) == job["processedRecordCount"]
    assert job["totalRecordCount"] == 400


def test_a_timeout_while_waiting_expires_the_job_with_its_odd_end_time(world):
    w = world(queue_s=48 * 3600)
    arn = w.create(w.put(claude_lines(100)))
    w.wait(arn, {"Scheduled"})
    w.change(speed=100_000)
    job = w.wait(arn)
    assert job["status"] == "Expired"
    assert (job["lastModifiedTime"] - job["submitTime"]).total_seconds() > 24 * 3600
    assert (job["endTime"] - job["submitTime"]).total_seconds() < 3600
    assert job["processedRecordCount"] == 0


def test_an_unknown_model_or_role_is_refused_at_create(world):
    w = world()
    uri = w.put(claude_lines(100))
    for model in ("cohere.embed-english-v3", "us.anthropic.claude-sonnet-5", "amazon.titan-embed-text-v1"):
        with pytest.raises(ClientError) as refused:
            w.create(uri, model=model)
        assert refused.value.response["Error"] == {
            "Code": "ValidationException",
            "Message": "Batch inference is not supported for the requested model",
        }
    with pytest.raises(ClientError, match=r"catalogue, read on .*, does not know acme.next-v1:0"):
        w.create(uri, model="acme.next-v1:0")
    with pytest.raises(ClientError) as refused:
        w.create(uri, roleArn=f"arn:aws:iam::{ACCOUNT}:role/nobody")
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert w.stats()["jobs"] == []


BREACHES: list[dict[str, Any]] = [
    {"jobName": "with space"},
    {"jobName": "under_score"},
    {"jobName": "x" * 64},
    {"jobName": "a" + "-" * 61 + "_"},
    {"timeoutDurationInHours": 169},
    {"clientRequestToken": "under_score"},
    {"modelInvocationType": "Chat"},
    {"roleArn": "role"},
    {"inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/dt=1/a.jsonl"}}},
    {"inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/a.jsonl", "s3InputFormat": "CSV"}}},
    {"tags": [{"key": "k{}", "value": "v"}]},
    {"vpcConfig": {"subnetIds": ["s"] * 17, "securityGroupIds": ["g"]}},
]


def test_what_boto3_lets_pass_is_refused_by_the_service(world):
    w = world()
    for wrong in BREACHES:
        with pytest.raises(ClientError) as refused:
            w.create(f"s3://{w.bucket}/in/data.jsonl", **{"name": "fine", **wrong})
        assert refused.value.response["Error"]["Code"] == "ValidationException", wrong
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_list_filters_sorts_and_pages(world):
    w = world(starting_s=3600)
    uri = w.put(claude_lines(100))
    arns = [w.create(uri, name=f"job-{n}", model=model) for n, model in enumerate([HAIKU, TITAN] * 3)]
    w.bedrock.stop_model_invocation_job(jobIdentifier=arns[0])
    w.wait(arns[0])

    def listed(**request: Any) -> list[str]:
        pages = w.bedrock.get_paginator("list_model_invocation_jobs").paginate(**request)
        return [job["jobArn"] for page in pages for job in page["invocationJobSummaries"]]

    assert listed() == arns[::-1]
    assert listed(sortOrder="Ascending", PaginationConfig={"PageSize": 2}) == arns
    assert listed(PaginationConfig={"PageSize": 1}) == arns[::-1]
    assert listed(statusEquals="Stopped") == [arns[0]]
    assert listed(nameContains="b-3") == [arns[3]]
    third = w.get(arns[2])["submitTime"]
    assert set(listed(submitTimeAfter=third)) <= set(arns[2:])
    assert set(listed(submitTimeBefore=third)) == set(arns[:2])
    summary = w.bedrock.list_model_invocation_jobs(maxResults=1)["invocationJobSummaries"][0]
    assert summary["jobName"] == "job-5"
    assert refusal(w.bedrock.list_model_invocation_jobs, nextToken="nonsense")[0] == "ValidationException"
    assert refusal(w.bedrock.list_model_invocation_jobs, maxResults=1001)[0] == "ValidationException"
    assert refusal(w.bedrock.list_model_invocation_jobs, statusEquals="Done")[0] == "ValidationException"


def test_an_unknown_job_is_not_found_and_a_name_is_no_identifier(world):
    w = world()
    w.create(w.put(claude_lines(100)), name="abcdefghijkl")
    assert refusal(w.bedrock.get_model_invocation_job, jobIdentifier="abcdefghijkl")[:2] == (
        "ResourceNotFoundException",
        404,
    )
    unknown = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:model-invocation-job/abcdefghijkl"
    assert refusal(w.bedrock.stop_model_invocation_job, jobIdentifier=unknown)[1] == 404
    assert refusal(w.bedrock.get_model_invocation_job, jobIdentifier="no id")[0] == "ValidationException"


def test_tags_are_kept_and_changed(world):
    w = world()
    arn = w.create(w.put(claude_lines(100)), tags=[{"key": "run", "value": "1"}])
    w.bedrock.tag_resource(resourceARN=arn, tags=[{"key": "shard", "value": "2"}])
    w.bedrock.untag_resource(resourceARN=arn, tagKeys=["run"])
    assert w.bedrock.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "shard", "value": "2"}]
    many = [{"key": f"k{n}", "value": ""} for n in range(50)]
    assert refusal(w.bedrock.tag_resource, resourceARN=arn, tags=many)[0] == "TooManyTagsException"


def test_the_share_of_failing_records_is_chosen_by_the_seed(world):
    w = world(record_error_share=0.2, seed=7)
    uri = w.put(claude_lines(400))
    failed = []
    for name in ("same", "same", "other"):
        arn = w.create(uri, name=name)
        assert w.wait(arn)["status"] == "Completed"
        failed.append({line["recordId"] for line in w.results(arn) if "error" in line})
    assert failed[0] == failed[1] != failed[2]
    assert 40 < len(failed[0]) < 120


def test_events_come_through_the_rule_to_the_queue(world):
    w = world()
    url, arn = w.queue("events")
    w.let_events_in(url, arn, w.rule({"Arn": arn}))
    job = w.create(w.put(claude_lines(100)))
    w.wait(job)
    envelopes = [json.loads(message["Body"]) for message in w.received(url, 5)]
    statuses = [one["detail"]["status"] for one in envelopes]
    assert statuses == ["Submitted", "Validating", "Scheduled", "InProgress", "Completed"]
    last = envelopes[-1]
    assert last["source"] == "aws.bedrock"
    assert last["detail-type"] == "Batch Inference Job State Change"
    assert last["resources"] == [job]
    assert last["detail"]["batchJobArn"] == job
    assert last["detail"]["batchModelId"].endswith(HAIKU)
    assert set(last["detail"]) == {
        *("version", "accountId", "batchJobName", "batchJobArn", "batchModelId"),
        *("status", "failureMessage", "creationTime"),
    }
    assert w.settled_events(5)["delivered"] == 5


def test_a_queue_that_lets_nobody_in_gets_nothing_but_its_dead_letter_queue_does(world):
    w = world()
    url, arn = w.queue("events")
    dead_url, dead_arn = w.queue("dead")
    rule = w.rule({"Arn": arn, "DeadLetterConfig": {"Arn": dead_arn}})
    w.let_events_in(dead_url, dead_arn, rule)
    w.let_events_in(url, arn, rule + "-of-somebody-else")
    w.wait(w.create(w.put(claude_lines(100))))
    message = w.received(dead_url, 5)[0]
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert message["MessageAttributes"]["RULE_ARN"]["StringValue"] == rule
    figures = w.settled_events(5)
    assert (figures["delivered"], figures["dead_lettered"], figures["undeliverable"]) == (0, 5, 0)


def test_a_disabled_rule_delivers_nothing(world):
    w = world()
    url, arn = w.queue("events")
    w.let_events_in(url, arn, w.rule({"Arn": arn}, State="DISABLED"))
    w.wait(w.create(w.put(claude_lines(100))))
    figures = w.settled_events(5)
    assert (figures["unmatched"], figures["delivered"]) == (5, 0)


def test_events_can_be_lost_doubled_and_overtaken(world):
    w = world(events_reordered_share=1)
    url, arn = w.queue("events")
    w.let_events_in(url, arn, w.rule({"Arn": arn}))
    uri = w.put(claude_lines(100))
    w.wait(w.create(uri))
    statuses = [json.loads(message["Body"])["detail"]["status"] for message in w.received(url, 5)]
    assert statuses == ["Validating", "Submitted", "InProgress", "Scheduled", "Completed"]
    w.change(events_reordered_share=0, events_doubled_share=1)
    w.wait(w.create(uri))
    doubled = [json.loads(message["Body"]) for message in w.received(url, 10)]
    assert len({one["id"] for one in doubled}) == 5
    w.change(events_lost_share=1)
    w.wait(w.create(uri))
    figures = w.settled_events(20)
    assert (figures["produced"], figures["delivered"]) == (15, 15)
    assert (figures["lost"], figures["doubled"], figures["reordered"]) == (5, 5, 2)


def test_settings_change_while_it_runs_and_bad_ones_change_nothing(world):
    w = world(starting_s=3600)
    arn = w.create(w.put(claude_lines(100)))
    w.wait(arn, {"InProgress"})
    assert w.change(quota=3, nonsense=1)["http"] == 400
    assert w.change(speed=-1)["http"] == 400
    assert w.change(port=1)["http"] == 400
    assert w.page("/_quarry/settings")["quota"] == 20
    assert w.change(speed=100_000)["speed"] == 100_000
    assert w.wait(arn)["status"] == "Completed"


def test_an_output_bucket_that_is_not_there_fails_the_job(world):
    w = world()
    output = {"s3OutputDataConfig": {"s3Uri": f"s3://nowhere-{w.name}/out/"}}
    job = w.wait(w.create(w.put(claude_lines(100)), outputDataConfig=output))
    assert job["status"] == "Failed"
    assert "could not be read or written" in job["message"]


def test_health_and_unknown_paths(world):
    w = world()
    assert w.page("/healthz") == {"status": "ok"}
    assert w.page("/nowhere")["http"] == 404
    assert w.page("/model-invocation-job", "POST", [1])["http"] == 400


def test_the_program_says_its_port_and_ends_at_once(emulator):
    import signal
    import sys

    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "quarry_local.bedrock", "--quota", "3"],
        env={
            **os.environ,
            "AWS_ENDPOINT_URL": emulator,
            "AWS_REGION": "us-east-1",
            "QUARRY_SIM_EVENTS_LOST_SHARE": "0.5",
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        with urllib.request.urlopen(f"{ready['url']}/_quarry/settings", timeout=10) as answer:
            settings = json.loads(answer.read())
        assert (settings["quota"], settings["events_lost_share"]) == (3, 0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
