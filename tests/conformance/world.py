"""A simulated Bedrock to ask questions of, over HTTP, with a bucket, a role and a queue of its own.

`SimulatedWorld.send` places a request's members as the service model says and sends them *unchecked*, so that nothing of
boto3's hides what the service itself refuses. `SimulatedWorld.bedrock` is plain boto3, for what people really run. The server
runs in this process, in a thread of its own: a test may plant a fault in it. What takes too long raises `TooLong`,
which is no AssertionError: a planted fault is caught by what a check says, not by its patience.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import botocore.session
import urllib3
from botocore.exceptions import ClientError

from quarry_local.bedrock.server import SimulatedBedrock
from quarry_local.bedrock.settings import Settings
from quarry_local.clients import Clients

ACCOUNT = "000000000000"
REGION = "us-east-1"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
TERMINAL = frozenset({"Completed", "PartiallyCompleted", "Failed", "Expired", "Stopped"})
FAST = {"submitted_s": 0, "validating_s": 0, "queue_s": 0, "starting_s": 0, "stopping_s": 0}
PATIENCE_S = 40
POLL_S = 0.04  # to ask more often takes more of a core than what is waited for
MODEL = botocore.session.Session().get_service_model("bedrock")


@functools.cache
def _emulated(aws: Any, service: str) -> Any:
    return aws.client(service)


class TooLong(Exception):
    """What was waited for did not come."""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Any
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def error(self) -> str | None:
        found = self.headers.get("x-amzn-ErrorType")
        return None if found is None else str(found)


class SimulatedWorld:
    def __init__(self, aws: Any, **settings: Any) -> None:
        self.aws = aws
        self.name = os.urandom(5).hex()
        self.s3, self.sqs, self.events, iam = (_emulated(aws, each) for each in ("s3", "sqs", "events", "iam"))
        self.bucket = f"world-{self.name}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.role = iam.create_role(RoleName=f"world-{self.name}", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        self._http = urllib3.PoolManager(retries=False)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"world-{self.name}")
        self._thread.start()
        chosen = {"aws_endpoint_url": aws.endpoint_url, "rules_cache_s": 0, **FAST, **settings}
        self._server = SimulatedBedrock(Settings(_env_prefix="NOT_SET_", **chosen))
        try:
            self.url = self._run(self._server.start())
        except BaseException:
            self._end()
            raise
        self.bedrock = self.client()

    def client(self, **config: Any) -> Any:
        settings = {"read_timeout": 20, "attempts_max": 2, **config}
        return Clients(self.url, REGION).client("bedrock", **settings)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(90)

    def _end(self) -> None:
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._http.clear()

    def close(self) -> None:
        self.bedrock.close()
        self._run(self._server.stop())
        self._end()
        for key in self.keys(""):
            self.s3.delete_object(Bucket=self.bucket, Key=key)

    # ------------------------------------------------------------------ the wire

    def raw(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        """One request as it is; `path` is sent as it stands, percent signs and all."""
        # The pool decodes and encodes what a path holds; its own request keeps it.
        pool = self._http.connection_from_url(self.url)
        answer = pool.urlopen(method, path, body=body, headers=headers or {}, redirect=False, timeout=20)
        return Reply(answer.status, answer.headers, answer.data)

    def send(self, operation: str, request: dict[str, Any], headers: dict[str, str] | None = None) -> Reply:
        """A request of the model's operation, its members placed but not checked."""
        model = MODEL.operation_model(operation)
        path = model.http["requestUri"]
        query: list[str] = []
        body: dict[str, Any] = {}
        for name, value in request.items():
            member = model.input_shape.members.get(name)
            where = member.serialization.get("location") if member else None
            wire = member.serialization.get("name", name) if member else name
            if where == "uri":
                path = path.replace("{" + wire + "}", quote(str(value), safe=""))
            elif where == "querystring":
                query.append(f"{wire}={quote(str(value), safe='')}")
            else:
                body[wire] = value
        if query:
            path += "?" + "&".join(query)
        data = json.dumps(body).encode() if model.http["method"] == "POST" and body else None
        return self.raw(model.http["method"], path, data, {"Content-Type": "application/json", **(headers or {})})

    def page(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """One of the simulator's own pages."""
        headers = {"Content-Type": "application/json"}
        return self.raw(method, path, None if body is None else json.dumps(body).encode(), headers).body

    def change(self, **settings: Any) -> Any:
        return self.page("/_quarry/settings", "PUT", settings)

    def advance(self, seconds: float) -> None:
        """Let simulated seconds pass on a stepped clock; all that is due in them is done then."""
        self.page("/_quarry/clock", "POST", {"advance_s": seconds})

    # ------------------------------------------------------------------ jobs and files

    def put(self, lines: list[dict[str, Any]] | bytes, key: str = "in/data.jsonl") -> str:
        body = lines if isinstance(lines, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def request(self, uri: str = "", *, model: str = HAIKU, **more: Any) -> dict[str, Any]:
        """A request for Create, whole."""
        return {
            "jobName": f"job-{self.name}",
            "roleArn": self.role,
            "modelId": model,
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": uri or f"s3://{self.bucket}/in/data.jsonl"}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"s3://{self.bucket}/out/"}},
            **more,
        }

    def create(self, uri: str = "", *, model: str = HAIKU, **more: Any) -> str:
        return str(self.bedrock.create_model_invocation_job(**self.request(uri, model=model, **more))["jobArn"])

    def get(self, arn: str) -> Any:
        return self.bedrock.get_model_invocation_job(jobIdentifier=arn)

    def wait(self, arn: str, statuses: frozenset[str] | set[str] = TERMINAL) -> Any:
        """The job when it has one of these statuses; asserts that it did not end otherwise."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            job = self.get(arn)
            if job["status"] in statuses:
                return job
            assert job["status"] not in TERMINAL, job
            if time.monotonic() > deadline:
                raise TooLong(job)
            time.sleep(POLL_S)

    def run(self, lines: list[dict[str, Any]] | bytes, *, model: str = HAIKU, **more: Any) -> Any:
        """A job over one file of these lines, from Create to its end, as Get shows it then."""
        return self.wait(self.create(self.put(lines), model=model, **more))

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def objects(self, job: Any) -> dict[str, bytes]:
        """What lies in the job's own folder of the output."""
        prefix = f"out/{job['jobArn'].rsplit('/', 1)[-1]}/"
        return {
            key.removeprefix(prefix): self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            for key in self.keys(prefix)
        }

    def results(self, job: Any, file: str = "data.jsonl.out") -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.objects(job)[file].splitlines()]

    def summary(self, job: Any) -> dict[str, Any]:
        return dict(json.loads(self.objects(job)["manifest.json.out"]))

    # ------------------------------------------------------------------ events

    def listen(self, detail: dict[str, Any] | None = None) -> str:
        """A queue behind a rule for this world's jobs; returns the queue's URL."""
        made = self.sqs.create_queue(QueueName=f"events-{self.name}")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=made, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = {
            "source": ["aws.bedrock"],
            "detail-type": ["Batch Inference Job State Change"],
            "detail": detail or {"batchJobName": [{"prefix": f"job-{self.name}"}]},
        }
        rule = self.events.put_rule(Name=f"rule-{self.name}", EventPattern=json.dumps(pattern))["RuleArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=made, Attributes={"Policy": policy})
        self.events.put_targets(Rule=f"rule-{self.name}", Targets=[{"Id": "queue", "Arn": arn}])
        return str(made)

    def figures(self, dealt: int) -> Any:
        """The figures of events once `dealt` of them have gone one way or the other."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            figures = self.page("/_quarry/stats")["events"]
            ended = ("delivered", "lost", "unmatched", "dead_lettered", "undeliverable")
            if sum(figures[each] for each in ended) >= dealt:
                return figures
            if time.monotonic() > deadline:
                raise TooLong(figures)
            time.sleep(POLL_S)

    def received(self, queue: str, count: int) -> list[Any]:
        """The first `count` events from the queue, parsed, in the order of their coming."""
        found: list[Any] = []
        deadline = time.monotonic() + PATIENCE_S
        while len(found) < count:
            if time.monotonic() > deadline:
                raise TooLong([each["detail"]["status"] for each in found])
            answer = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                found.append(json.loads(message["Body"]))
        return found


# ---------------------------------------------------------------------- what is asked of every reply


def refused(reply: Reply, operation: str, code: str) -> str:
    """Assert that the reply is this error, as the operation's model declares it; returns its message."""
    declared = {shape.name: shape.metadata["error"] for shape in MODEL.operation_model(operation).error_shapes}
    assert code in declared, f"{operation} does not declare {code}"
    assert reply.status == declared[code]["httpStatusCode"], (reply.status, reply.raw)
    assert reply.error is not None
    assert reply.error.partition(":")[0] == code, (reply.error, reply.raw)
    assert isinstance(reply.body["message"], str)
    return str(reply.body["message"])


def accepted(reply: Reply, operation: str) -> Any:
    """Assert that the reply is the operation's own answer, all its members as the model states them."""
    model = MODEL.operation_model(operation)
    assert reply.status == model.http["responseCode"], (reply.status, reply.error, reply.raw)
    assert reply.error is None
    body = reply.body if reply.raw else {}
    if model.output_shape is not None:
        as_modelled(model.output_shape, body, operation)
    return body


def as_modelled(shape: Any, value: Any, at: str) -> None:
    """Assert that an answer's value has the model's form: members, types, bounds, patterns, enums."""
    match shape.type_name:
        case "structure":
            assert set(value) <= set(shape.members), (at, set(value) - set(shape.members))
            assert set(shape.required_members) <= set(value), (at, value)
            for name, found in value.items():
                as_modelled(shape.members[name], found, f"{at}.{name}")
        case "list":
            for found in value:
                as_modelled(shape.member, found, at)
        case "integer" | "long":
            assert isinstance(value, int), (at, value)
            assert shape.metadata.get("min", value) <= value <= shape.metadata.get("max", value), (at, value)
        case "string":
            assert isinstance(value, str), (at, value)
            assert not shape.enum or value in shape.enum, (at, value)
            assert len(value) <= shape.metadata.get("max", len(value)), (at, value)
        case "timestamp":
            assert isinstance(value, str), (at, value)
            assert value.endswith("Z"), (at, value)
        case other:
            raise AssertionError(f"{at}: no check for {other}")


def refusal(call: Any, **request: Any) -> tuple[str, int, str]:
    """The code, status and message with which boto3 says no; asserts that it does."""
    try:
        answer = call(**request)
    except ClientError as error:
        reported = error.response
        return reported["Error"]["Code"], reported["ResponseMetadata"]["HTTPStatusCode"], reported["Error"]["Message"]
    raise AssertionError(f"accepted: {answer}")


def claude(prompt: str, **more: Any) -> dict[str, Any]:
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 200,
        "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
        **more,
    }


def lines_of(body: Any, count: int = 100) -> list[dict[str, Any]]:
    """`count` records with this body each."""
    return [{"recordId": f"r{number:06d}", "modelInput": body} for number in range(count)]


def questions(count: int = 100, **more: Any) -> list[dict[str, Any]]:
    return [
        {"recordId": f"r{number:06d}", "modelInput": claude(f"Why is stone {number} grey?", **more)}
        for number in range(count)
    ]
