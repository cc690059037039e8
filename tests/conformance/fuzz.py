"""Fuzz the simulator's HTTP surface: `python -m tests.conformance.fuzz --requests 20000 --seed 1` (`make fuzz`).

Theory of operation. Valid requests of every operation, built from the service models, are bent: a member dropped,
doubled, of another type, far too long, of odd characters; a body that is no JSON or ends early; another method, path or
header; whole requests of chance. Nothing asks for an error of the server's own, so a 500 is a fault, and so is a
reply that takes longer than 5 seconds or a connection that just closes. Every operation gets a turn in rotation; one
request in five is of no operation. The seed decides all of it; a fault prints the request that found it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.session

from quarry_local import emulator
from quarry_local.bedrock.api.http import OPERATIONS
from tests.conformance.world import HAIKU, TITAN, SimulatedWorld, claude, questions

REPLY_S_MAX = 5.0
FAULTS_SHOWN_MAX = 10
# aiohttp's own. A longer line is answered with 400 while the body is still on its way, and the connection is closed: TCP
# then resets it, and whether the client reads the reply before that is chance.
LINE_BYTES_MAX = 8_190
QUOTAS = (
    "ListServices",
    "ListServiceQuotas",
    "ListAWSDefaultServiceQuotas",
    "GetServiceQuota",
    "GetAWSDefaultServiceQuota",
)
RUNTIME = ("InvokeModel", "Converse", "CountTokens")
SERVICES = {
    **dict.fromkeys(OPERATIONS, "bedrock"),
    **dict.fromkeys(RUNTIME, "bedrock-runtime"),
    **dict.fromkeys(QUOTAS, "service-quotas"),
}
SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "pattern": "^[a-z]{2,5}$", "minLength": 3},
        "b": {"anyOf": [{"$ref": "#/$defs/c"}, {"type": "null"}]},
    },
    "required": ["a"],
    "$defs": {"c": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 9}, "minItems": 2}},
}
OWN_PAGES = ("/_quarry/stats", "/_quarry/settings", "/_quarry/faults", "/healthz")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
TEXTS = (
    "", " ", "\0", "a", "%", "%2F", "%252F", "../../etc/passwd", "'\";--", "é漢\U0001f480", "\ud800", "null", "-1", "1e999",
    "9" * 400, "x" * 3_000, "a-" * 300, "-" * 64, "a" + "-" * 62, "arn:aws:bedrock:us-east-1:000000000000:", "s3://",
    "2026-11-20T00:00:00Z", "9999-99-99", "0001-01-01T00:00:00Z", "NaN", "am9iOi0x", "am9iOjk5OTk5", "{}", "[]",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 24, 169, 2**31, 2**63, 2**64, 10**400, 1.5, -0.0, 1e308, [], {}, [[]], [{}], {"": ""},
    [None], "text",
)  # fmt: skip
MODELS = {service: botocore.session.Session().get_service_model(service) for service in set(SERVICES.values())}


@dataclass
class Report:
    sent: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: str = ""
    faults: list[str] = field(default_factory=list)

    def reported(self) -> str:
        lines = [
            f"{sum(self.sent.values()):,} requests; the slowest reply took {self.slowest_s:.3f} s ({self.slowest})"
        ]
        lines += [f"  {count:6,}  {operation}" for operation, count in sorted(self.sent.items())]
        lines += [f"  {count:6,}  status {status}" for status, count in sorted(self.statuses.items())]
        lines += [f"FAULT {fault}" for fault in self.faults[:FAULTS_SHOWN_MAX]]
        lines.append(f"{len(self.faults)} faults")
        return "\n".join(lines)


@dataclass
class Request:
    operation: str
    method: str
    path: str
    body: bytes
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.operation}: {self.method} {self.path[:200]} {self.headers} {self.body[:300]!r}"


class Fuzzer:
    def __init__(self, world: SimulatedWorld, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed)
        self._uri = world.put(questions(3), "in/fuzz.jsonl")
        self._arns = [world.create(self._uri) for _ in range(3)]
        self._number = 0

    # ------------------------------------------------------------------ requests

    def next(self) -> Request:
        self._number += 1
        operations = tuple(SERVICES)
        # One in five is of no operation; the others take turns.
        if self._number % 5 == 0:
            return self._of_chance()
        turn = self._number - self._number // 5
        operation = operations[turn % len(operations)]
        members = self._members(operation)
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 3))):
            members = self._bent(members)
        return self._bent_wire(self._placed(operation, members))

    def _members(self, operation: str) -> Any:
        chance = self._random
        arn = chance.choice(self._arns)
        identifier = chance.choice((arn, arn.rsplit("/", 1)[-1], "abcdefghijkl"))
        match operation:
            case "CreateModelInvocationJob":
                request = self._world.request(self._uri, jobName=f"fuzz-{self._number}")
                more = {
                    "clientRequestToken": f"token-{chance.randrange(50)}",
                    "timeoutDurationInHours": 24,
                    "modelInvocationType": "InvokeModel",
                    "tags": [{"key": "a", "value": "b"}],
                    "vpcConfig": {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]},
                }
                return request | dict(chance.sample(sorted(more.items()), chance.randrange(len(more))))
            case "GetModelInvocationJob" | "StopModelInvocationJob":
                return {"jobIdentifier": identifier}
            case "ListModelInvocationJobs":
                more = {
                    "submitTimeAfter": "2026-01-01T00:00:00Z",
                    "statusEquals": "Failed",
                    "nameContains": "fuzz",
                    "maxResults": 5,
                    "nextToken": chance.choice(TEXTS),
                    "sortBy": "CreationTime",
                    "sortOrder": "Ascending",
                }
                return dict(chance.sample(sorted(more.items()), chance.randrange(len(more))))
            case "TagResource":
                return {"resourceARN": arn, "tags": [{"key": f"k{chance.randrange(80)}", "value": "v"}]}
            case "UntagResource":
                return {"resourceARN": arn, "tagKeys": ["k1"]}
            case "ListTagsForResource":
                return {"resourceARN": arn}
            case "GetFoundationModel":
                return {"modelIdentifier": chance.choice((HAIKU, TITAN))}
            case "GetInferenceProfile":
                return {"inferenceProfileIdentifier": f"us.{HAIKU}"}
            case "ListFoundationModels":
                return {"byProvider": chance.choice(("Anthropic", "Amazon"))}
            case "InvokeModel":
                tool = {"name": "look", "input_schema": SCHEMA}
                more = {
                    "tools": [tool],
                    "tool_choice": {"type": "tool", "name": "look"},
                    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
                    "thinking": {"type": "enabled", "budget_tokens": 1024},
                }
                return {"modelId": HAIKU, "body": claude("Why?", **dict(chance.sample(sorted(more.items()), 2)))}
            case "Converse":
                spoken = {"modelId": HAIKU, "messages": [{"role": "user", "content": [{"text": "Why?"}]}]}
                spec = {"toolSpec": {"name": "look", "inputSchema": {"json": SCHEMA}}}
                text_format = {"type": "json_schema", "structure": {"jsonSchema": {"schema": json.dumps(SCHEMA)}}}
                return spoken | chance.choice(
                    ({}, {"toolConfig": {"tools": [spec]}}, {"outputConfig": {"textFormat": text_format}})
                )
            case "CountTokens":
                return {"modelId": HAIKU, "input": {"converse": {"messages": [{"role": "user", "content": []}]}}}
            case "GetServiceQuota" | "GetAWSDefaultServiceQuota":
                return {"ServiceCode": "bedrock", "QuotaCode": "L-AE7F26D4"}
            case "ListServiceQuotas" | "ListAWSDefaultServiceQuotas":
                return {"ServiceCode": "bedrock", "MaxResults": chance.randrange(1, 101)}
        return {}

    def _bent(self, value: Any) -> Any:
        """The value with one thing about it changed, somewhere inside."""
        chance = self._random
        if isinstance(value, dict) and value and chance.random() < 0.85:
            name = chance.choice(list(value))
            made = dict(value)
            match chance.randrange(5):
                case 0:
                    del made[name]
                case 1:
                    made[chance.choice(("unknown", "", name.swapcase(), "__type"))] = made[name]
                case _:
                    made[name] = self._bent(made[name])
            return made
        if isinstance(value, list) and value and chance.random() < 0.7:
            return chance.choice((value * chance.randrange(3, 60), [self._bent(value[0]), *value[1:]], []))
        if isinstance(value, str) and chance.random() < 0.6:
            at = chance.randrange(len(value) + 1)
            return chance.choice((value[:at] + chance.choice(TEXTS) + value[at:], value * 30, value[:at]))
        return chance.choice((*TEXTS, *VALUES))

    def _placed(self, operation: str, members: Any) -> Request:
        """The request as its protocol wants it, as far as its members still have a place."""
        service = SERVICES[operation]
        model = MODELS[service].operation_model(operation)
        headers = {"Content-Type": "application/json", "Authorization": "Bearer fuzz"}
        if not isinstance(members, dict):
            return Request(operation, model.http["method"], model.http["requestUri"], _json(members), headers)
        if service == "service-quotas":
            headers["X-Amz-Target"] = f"{model.service_model.metadata['targetPrefix']}.{operation}"
            return Request(operation, "POST", "/", _json(members), headers)
        path, query, body = model.http["requestUri"], [], {}
        for name, value in members.items():
            shape = model.input_shape.members.get(name)
            where = shape.serialization.get("location") if shape else None
            wire = shape.serialization.get("name", name) if shape else name
            if where == "uri":
                path = path.replace("{" + wire + "}", _quoted(value))
            elif where == "querystring":
                query.append(f"{wire}={_quoted(value)}")
            else:
                body[wire] = value
        path = path.replace("{", "%7B").replace("}", "%7D")
        raw = model.input_shape.serialization.get("payload") == "body"
        data = _json(body.get("body") if raw else body)
        method = model.http["method"]
        return Request(operation, method, path + ("?" + "&".join(query) if query else ""), data, headers)

    def _bent_wire(self, request: Request) -> Request:
        chance = self._random
        match chance.randrange(30):
            case 0:
                request.body = request.body[: chance.randrange(len(request.body) + 1)]
            case 1:
                request.body = chance.randbytes(chance.randrange(200))
            case 2:
                request.body = b"[" * chance.choice((10, 3_000)) + request.body
            case 3:
                request.headers["Content-Type"] = chance.choice(("text/plain", "application/xml; charset=no", ""))
            case 4:
                request.headers["X-Amz-Target"] = chance.choice(("", "ServiceQuotasV20190624.Nothing", "x" * 500))
            case 5:
                request.path += chance.choice(
                    ("?", "/", "&a=b&a=c", "?maxResults=1&maxResults=2", "#x", "%00", "?%FF=%FE")
                )
            case 6:
                request.headers["Accept-Encoding"] = "br;q=x"
                request.headers["Content-Encoding"] = chance.choice(("gzip", "deflate", "identity"))
            case 7:
                request.body = b"\xef\xbb\xbf" + request.body
            case 8:
                depth = chance.choice((100, 900, 5_000))
                nested = b"[" * depth + b"]" * depth
                inside = chance.choice((b'{"system":%b}', b'{"tags":%b}', b'{"unknown":%b}', b'{"messages":%b}'))
                request.body = inside % nested
        return request

    def _of_chance(self) -> Request:
        chance = self._random
        known = ("/model-invocation-job", "/model-invocation-jobs", "/tagResource", "/model", "/", "/foundation-models")
        if chance.random() < 0.1:
            return Request("(own pages)", "GET", chance.choice(OWN_PAGES), b"", {})
        if chance.random() < 0.1:
            # Junk, so that nothing is set that would ask for errors.
            page = chance.choice(("/_quarry/settings", "/_quarry/faults", "/_quarry/clock"))
            body = _json({chance.choice(("unknown", "", "speed ")): chance.choice(VALUES)})
            return Request(
                "(own pages)",
                chance.choice(("PUT", "POST", "PATCH")),
                page,
                body,
                {"Content-Type": chance.choice(("application/json", "text/plain"))},
            )
        path = chance.choice(known) + "".join(f"/{_quoted(chance.choice(TEXTS))}" for _ in range(chance.randrange(4)))
        body = chance.choice((b"", b"{}", chance.randbytes(50), _json(chance.choice(VALUES))))
        return Request("(no operation)", chance.choice(METHODS), path, body, {})


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def run(world: SimulatedWorld, requests: int, seed: int) -> Report:
    """Send so many requests, one after the other."""
    report = Report()
    fuzzer = Fuzzer(world, seed)
    place = urlsplit(world.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=4 * REPLY_S_MAX)
    for _ in range(requests):
        request = fuzzer.next()
        report.sent[request.operation] += 1
        began = time.monotonic()
        try:
            answer = _answered(connection, request)
        except (OSError, http.client.HTTPException) as wrong:
            connection.close()
            if isinstance(wrong, ConnectionError) and len(request.path) > LINE_BYTES_MAX:
                report.statuses[400] += 1
            else:
                report.faults.append(f"{type(wrong).__name__}: {wrong}: {request}")
            continue
        took_s = time.monotonic() - began
        report.statuses[answer.status] += 1
        if took_s > report.slowest_s:
            report.slowest_s, report.slowest = took_s, request.operation
        if took_s > REPLY_S_MAX:
            report.faults.append(f"{took_s:.1f} s: {request}")
        if answer.status >= 500:
            report.faults.append(f"{answer.status}: {request}")
        if request.operation == "CreateModelInvocationJob" and answer.status == 200 and len(fuzzer._arns) < 100:
            # Later requests find jobs of more than one status.
            fuzzer._arns = sorted({*fuzzer._arns, *_newest(world)})
    connection.close()
    return report


def _answered(connection: http.client.HTTPConnection, request: Request) -> http.client.HTTPResponse:
    """The reply, read to its end. A kept connection may be closed between two requests: then on a new one."""
    for attempt in (1, 2):
        try:
            connection.request(request.method, request.path, request.body, request.headers)
            answer = connection.getresponse()
            answer.read()
        except (ConnectionError, http.client.RemoteDisconnected):
            connection.close()
            if attempt == 2:
                raise
        else:
            return answer
    raise AssertionError("a reply or an error")


def _newest(world: SimulatedWorld) -> list[str]:
    found = world.bedrock.list_model_invocation_jobs(maxResults=5)["invocationJobSummaries"]
    return [job["jobArn"] for job in found]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory, emulator.running(Path(directory)) as clients:
        world = SimulatedWorld(clients)
        try:
            report = run(world, chosen.requests, chosen.seed)
        finally:
            world.close()
    print(report.reported())
    least = min(report.sent[operation] for operation in SERVICES)
    if least < chosen.requests // 40:
        print(f"an operation was asked {least} times only")
        return 1
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
