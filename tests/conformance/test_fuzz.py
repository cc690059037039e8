"""The short form of the fuzzing: `make fuzz` runs the long one."""

from __future__ import annotations

import os

from tests.conformance.fuzz import SERVICES, run

REQUESTS = 2_000
SEED = int(os.environ.get("QUARRY_FUZZ_SEED", "1"))


def test_no_request_brings_a_500_or_a_slow_reply(open_world):
    report = run(open_world(), REQUESTS, SEED)
    assert report.faults == [], report.reported()
    assert min(report.sent[operation] for operation in SERVICES) >= REQUESTS // 40
    assert {200, 400, 404} <= set(report.statuses)


def test_the_same_seed_sends_the_same_requests(open_world):
    sent = [run(open_world(), 200, SEED).sent for _ in range(2)]
    assert sent[0] == sent[1]


DEEP = b"[" * 5_000 + b"]" * 5_000


def test_what_is_nested_too_deeply_is_refused_and_no_fault_of_the_server(open_world):
    world = open_world()
    for path in ("/model-invocation-job", "/tagResource", "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke"):
        assert world.raw("POST", path, b'{"unknown":' + DEEP + b"}").status == 400
    job = world.run(b'{"modelInput":{"a":' + DEEP + b"}}\n" + b'{"modelInput":{}}\n' * 100)
    assert job["status"] == "Failed"
    assert job["message"] != "Internal error"


def test_a_body_that_only_says_that_it_is_compressed_is_read_as_it_stands(open_world):
    world = open_world()
    for method, path in (("POST", "/model-invocation-job"), ("GET", "/model-invocation-jobs"), ("POST", "/")):
        reply = world.raw(method, path, b"not deflated", {"Content-Encoding": "deflate"})
        assert 400 <= reply.status < 500
