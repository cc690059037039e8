"""What is told of an ended run, and how a webhook's request is signed."""

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest

from quarry_core.contract.messages import NotAMessage, Wakeup, read_wakeup
from quarry_core.contract.notices import (
    REASON_BYTES_MAX,
    Notice,
    read_keys,
    read_notice,
    run_ended,
    signed,
    webhook_body,
)

PAGE = Path(__file__).resolve().parents[3] / "docs" / "notices.md"
ENDED = {
    "env": "prod",
    "bucket": "b",
    "run_id": "r1",
    "state": "SUCCEEDED",
    "code": "",
    "step": "",
    "reason": "",
    "rows": {"accepted": 3, "ok": 3, "error": 0},
    "ended_at": "2026-11-30T10:00:00+00:00",
    "since": "2026-11-30T10:00:00+00:00",
}


def test_a_request_is_signed_as_the_example_of_standard_webhooks():
    keys = read_keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    headers = signed(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_what_the_page_shows_verifies_what_is_sent(monkeypatch):
    [snippet] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown: dict[str, Any] = {}
    exec(snippet, shown)
    now_s, key = 1_800_000_000, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    monkeypatch.setattr("time.time", lambda: float(now_s))
    old = "whsec_" + base64.b64encode(b"o" * 32).decode()
    body = webhook_body(run_ended(**ENDED))

    assert shown["verified"](key, signed(read_keys(key), "id", now_s, body), body)
    assert shown["verified"](old, signed(read_keys(f"{key},{old}"), "id", now_s - 299, body), body)
    assert not shown["verified"](key, signed(read_keys(key), "id", now_s, body), body + b" ")
    assert not shown["verified"](key, signed(read_keys(old), "id", now_s, body), body)
    assert not shown["verified"](key, signed(read_keys(key), "id", now_s - 301, body), body)
    assert not shown["verified"](key, signed(read_keys(key), "id", now_s, body) | {"webhook-id": "other"}, body)


def test_the_page_names_each_field_of_a_notice():
    part = PAGE.read_text().partition("## What it says")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE) == list(run_ended(**ENDED))


def test_while_a_key_is_changed_both_sign():
    new, old = b"n" * 32, b"o" * 32
    both = ",".join("whsec_" + base64.b64encode(key).decode() for key in (new, old))

    signatures = signed(read_keys(both), "id", 7, b"body")["webhook-signature"].split()

    expected = [base64.b64encode(hmac.digest(key, b"id.7.body", hashlib.sha256)).decode() for key in (new, old)]
    assert signatures == [f"v1,{each}" for each in expected]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "QUARRY_WEBHOOK_KEY is not set"),
        ("whsec_???", "key 1 is not base64"),
        ("whsec_c2hvcnQ=", "key 1 has 5 bytes, and not 24 to 64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_c2hvcnQ=", "key 2 has 5 bytes"),
    ],
)
def test_a_key_that_is_none_is_refused_and_not_shown(text, why):
    with pytest.raises(ValueError, match=why.split(",", maxsplit=1)[0]) as refused:
        read_keys(text)

    assert why in str(refused.value)
    assert "c2hvcnQ" not in str(refused.value)


def test_one_end_has_one_id_and_another_end_another():
    first = run_ended(**ENDED)["event_id"]
    assert run_ended(**ENDED, version=2, version_of="r0")["event_id"] == first

    assert run_ended(**ENDED)["event_id"] == first
    others = [
        run_ended(**ENDED | {key: "x"})["event_id"] for key in ("env", "run_id", "state", "since")
    ]  # what is told beside them may change
    assert len({first, *others}) == 5
    assert run_ended(**ENDED | {"reason": "x"})["event_id"] == first


def test_a_refused_run_has_neither_results_nor_a_report():
    assert run_ended(**ENDED)["report_uri"] == "s3://b/results/r1/_report.json"
    refused = run_ended(**ENDED, refused=True)
    assert (refused["results_uri"], refused["report_uri"]) == (None, None)


def test_a_reason_of_any_length_fits():
    assert len(run_ended(**ENDED | {"reason": "é" * 100_000})["reason"].encode()) <= REASON_BYTES_MAX


def test_the_body_of_a_webhook_is_type_time_and_detail():
    detail = run_ended(**ENDED)

    assert json.loads(webhook_body(detail)) == {"type": "run.ended", "timestamp": ENDED["ended_at"], "data": detail}


def test_a_notice_is_read_back_and_is_no_wakeup():
    notice = Notice(notice="webhook", detail=run_ended(**ENDED))

    assert read_notice(notice.body()) == notice
    with pytest.raises(NotAMessage):
        read_wakeup(notice.body())


@pytest.mark.parametrize(
    "body", [Wakeup(step="close", run_id="r1").body(), "[]", "no", '{"notice": "fax", "detail": {}}']
)
def test_anything_else_is_no_notice(body):
    assert read_notice(body) is None
