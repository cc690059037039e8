"""How fast, how often, and what an answer that is none comes to."""

from __future__ import annotations

import json
import random

import pytest
from botocore.exceptions import EndpointConnectionError

from quarry_core.errors import Missing, QuotaExceeded, Refused, Throttled, Unknown
from quarry_scheduler.asking import (
    BURST_S,
    ENCLOSED_TOKENS_MAX,
    OUTPUT_TOKENS_DEFAULT,
    PAUSE_MAX_S,
    Again,
    Bucket,
    GiveUp,
    Halt,
    Outage,
    Rate,
    after,
    output_limit,
    tokens_to_reserve,
    with_limit,
)


@pytest.mark.parametrize("per_minute", [1, 7, 60, 1_000])
def test_no_minute_has_more_than_the_rate_and_ten_seconds_worth(per_minute):
    chance, bucket, now, times = random.Random(per_minute), Bucket(per_minute), 0.0, []
    for _ in range(400):
        now += bucket.wait_s(1, now)
        if bucket.wait_s(1, now) > 1e-6:
            now += 1e-6
        bucket.take(1, now)
        times.append(now)
        now += chance.choice((0, 0, 0, 30 / per_minute))
    most = max(sum(start <= each < start + 60 for each in times) for start in times)
    assert most <= per_minute + max(1, per_minute * BURST_S / 60) + 1


def test_more_than_a_bucket_holds_is_taken_when_it_is_full_and_owed():
    bucket = Bucket(600)
    assert bucket.wait_s(1_000, 0.0) == 0
    bucket.take(1_000, 0.0)
    assert bucket.wait_s(1, 0.0) == pytest.approx((1 + 900) / 10)


def test_what_was_set_aside_and_not_used_is_returned_up_to_what_a_bucket_holds():
    rate = Rate.of(60, 6_000)
    rate.take(1_000, 0.0)
    assert rate.wait_s(1_000, 0.0) == pytest.approx(10)
    rate.settle(1_000, 100, 0.0)
    assert rate.wait_s(900, 0.0) == 0
    rate.settle(0, -5_000, 0.0)
    assert rate.tokens.level == rate.tokens.most


def test_a_throttled_request_slows_everybody_down():
    rate = Rate.of(60, 6_000)
    rate.throttled(0.0)
    assert rate.wait_s(10, 0.0) == pytest.approx(1)
    assert rate.wait_s(10, 1.0) == 0


def test_a_clock_that_stands_still_or_goes_back_fills_nothing():
    bucket = Bucket(60)
    bucket.take(10, 100.0)
    assert bucket.wait_s(1, 50.0) == pytest.approx(1)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_gen_len": 7}, 7),
        ({"inferenceConfig": {"maxTokens": 8}}, 8),
        ({"inferenceConfig": {"max_new_tokens": 9}}, 9),
        ({"inputText": "x"}, None),
        ({"max_tokens": "many"}, None),
        ([1], None),
    ],
)
def test_the_most_that_may_be_answered_is_found_where_each_family_has_it(body, limit):
    text = json.dumps(body).encode()
    assert output_limit(text) == limit
    assert tokens_to_reserve(text) == len(text) // 3 + (limit or 0)


def test_an_image_is_long_and_few_tokens():
    body = json.dumps({"max_tokens": 1, "image": {"source": {"bytes": "A" * 1_000_000}}}).encode()
    assert tokens_to_reserve(body) == ENCLOSED_TOKENS_MAX + 1


def test_a_converse_request_without_a_limit_gets_one_and_keeps_the_rest():
    asked = {"messages": [{"role": "user", "content": [{"text": "ü"}]}], "inferenceConfig": {"temperature": 0.25}}
    limited = json.loads(with_limit(json.dumps(asked).encode()))
    assert limited == asked | {"inferenceConfig": {"temperature": 0.25, "maxTokens": OUTPUT_TOKENS_DEFAULT}}
    own = json.dumps({"inferenceConfig": {"maxTokens": 3}}).encode()
    assert with_limit(own) == own
    assert with_limit(b"no JSON") == b"no JSON"
    assert with_limit(b"[1]") == b"[1]"


def chained(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "attempt", "decision"),
    [
        (Throttled("t"), 1, Again(2)),
        (Throttled("t"), 4, Again(16)),
        (Unknown("u"), 7, Again(PAUSE_MAX_S)),
        (Throttled("t"), 8, GiveUp("THROTTLED", "after 8 tries: t")),
        (Unknown("u"), 8, GiveUp("NO_ANSWER", "after 8 tries: u")),
        (QuotaExceeded("q"), 1, GiveUp("THROTTLED", "q")),
        (Refused("r", "ValidationException"), 1, GiveUp("ValidationException", "r")),
        (Refused("r", "AccessDeniedException"), 1, Halt("r")),
        (Missing("m"), 1, Halt("m")),
        (chained(Unknown("u"), EndpointConnectionError(endpoint_url="https://nobody")), 7, Again(PAUSE_MAX_S)),
        (chained(Unknown("u"), EndpointConnectionError(endpoint_url="https://nobody")), 8, Outage("u")),
    ],
)
def test_what_follows_a_call_without_an_answer(error, attempt, decision):
    assert after(error, attempt, 8) == decision
