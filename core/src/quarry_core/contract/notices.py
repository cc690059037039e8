"""What Quarry tells the world when a run has ended, and how a webhook's request is signed. Pure.

Every end is told: as the event `Run Ended`, and to a webhook where the environment has one. A notice comes at least once,
and both ways bear one `event_id`, which follows from the run and its end: whoever got a notice before knows it by that.

A webhook is signed as Standard Webhooks 1.0 says (github.com/standard-webhooks/standard-webhooks, spec): HMAC-SHA256 over
`<id>.<seconds since 1970>.<body>`, in base64, one signature for each key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from quarry_core.contract.json_text import NotAnObject, parse_object
from quarry_core.contract.names import report_key, results_prefix, s3_uri
from quarry_core.text import bounded_text

RUN_ENDED = "Run Ended"
WEBHOOK_TYPE = "run.ended"
KEY_VARIABLE = "QUARRY_WEBHOOK_KEY"
KEY_PREFIX = "whsec_"
KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64
REASON_BYTES_MAX = 4_000
EVENT_ID_CHARS = 32
Channel = Literal["event", "webhook"]


class Notice(BaseModel):
    """A notice on the collector's queue, for one way. It carries what it says, so that it needs nothing that may be erased."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = 1
    notice: Channel
    detail: Mapping[str, Any]

    def body(self) -> str:
        return self.model_dump_json()


def read_notice(body: str) -> Notice | None:
    """The notice that a message is; None if it is something else."""
    try:
        data = parse_object(body)
    except NotAnObject:
        return None
    if not isinstance(data, Mapping) or "notice" not in data:
        return None
    try:
        return Notice.model_validate(data)
    except ValidationError:
        return None


def run_ended(
    *,
    env: str,
    bucket: str,
    run_id: str,
    state: str,
    code: str,
    step: str,
    reason: str,
    rows: Mapping[str, int],
    ended_at: str,
    since: str,
    dry_run: bool = False,
    refused: bool = False,
    version: int | None = None,
    version_of: str | None = None,
) -> dict[str, Any]:
    """The detail of `Run Ended`.

    Args:
        version: of a dataset, that the results are: 1, of a retry 2 or more; None: they are no version. `version_of` is the
            run whose dataset that is.
        ended_at: ISO 8601, UTC.
        since: what tells this end from another of the same run: a time that stands in the ledger, so that a notice which
            is sent again has the same id.
        refused: the run was refused before anything was planned: it has neither results nor a report.
    """
    digest = hashlib.sha256(f"{env}\n{run_id}\n{state}\n{since}".encode()).hexdigest()
    return {
        "event_id": digest[:EVENT_ID_CHARS],
        "env": env,
        "run_id": run_id,
        "state": state,
        "code": code,
        "step": step,
        "reason": bounded_text(reason, REASON_BYTES_MAX),
        "rows": dict(rows),
        "ended_at": ended_at,
        "results_uri": None if refused else s3_uri(bucket, results_prefix(run_id)),
        "report_uri": None if refused else s3_uri(bucket, report_key(run_id)),
        "dry_run": dry_run,
        "version": version,
        "version_of": version_of,
    }


def webhook_body(detail: Mapping[str, Any]) -> bytes:
    body = {"type": WEBHOOK_TYPE, "timestamp": detail["ended_at"], "data": detail}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def read_keys(text: str) -> tuple[bytes, ...]:
    """Signing keys, with a comma or space between an old and a new one.

    Raises:
        ValueError: there is none, or one is no key; the text names the variable and shows nothing of a key.
    """
    keys: list[bytes] = []
    for number, word in enumerate(text.replace(",", " ").split(), 1):
        try:
            key = base64.b64decode(word.removeprefix(KEY_PREFIX), validate=True)
        except binascii.Error as error:
            raise ValueError(f"{KEY_VARIABLE}: key {number} is not base64 behind {KEY_PREFIX!r}") from error
        if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
            raise ValueError(
                f"{KEY_VARIABLE}: key {number} has {len(key)} bytes, and not {KEY_BYTES_MIN} to {KEY_BYTES_MAX}"
            )
        keys.append(key)
    if not keys:
        raise ValueError(f"{KEY_VARIABLE} is not set, and QUARRY_WEBHOOK_URL is: no notice could be signed")
    return tuple(keys)


def signed(keys: Sequence[bytes], event_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers of a request to a webhook. `at_s`: seconds since 1970, of this try."""
    content = f"{event_id}.{at_s}.".encode() + body
    signatures = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }
