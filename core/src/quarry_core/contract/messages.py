"""What travels between the services: wake-ups, and Bedrock's job events as they come.

A wake-up only says "look": it carries keys, never state. Unknown keys are ignored, so that an older consumer reads a
newer producer's message.

Versions. During a rolling upgrade old and new processes share the queues. A version is read by the reader that
`READERS` has for it: that of the version which this code writes, and that of the one before. When the meaning of a
wake-up changes, `VERSION` goes up by one, the old reader stays (it makes today's wake-up of what an old producer
wrote), and the one before it goes. A later version is nobody's fault: it goes back to the queue for a consumer that
knows it. An earlier one has no reader any more, nor will it get one: it is poison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from quarry_core.contract.envelopes import is_manifest, is_wakeup
from quarry_core.contract.json_text import NotAnObject, half_pairs, parse_object
from quarry_core.contract.names import RUN_ID_PATTERN
from quarry_core.text import bounded_text, shown_name

VERSION = 2
Step = Literal["count", "slice", "admit", "sweep", "on_demand", "settle", "close"]


class NotAMessage(ValueError):
    """The body is none of ours: poison."""


class UnknownVersion(ValueError):
    """A message of a later version than this code knows: not ours to judge, back to the queue."""


class Wakeup(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    v: int = VERSION
    step: Step
    run_id: str = ""
    shard: str | None = None
    slice: int | None = None

    def body(self) -> str:
        return self.model_dump_json(exclude_none=True)

    def about(self) -> dict[str, Any]:
        """What the log lines of its handling say it is about."""
        return self.model_dump(exclude_none=True, exclude_defaults=True, exclude={"v", "step"})


Reader = Callable[[Mapping[str, Any]], Wakeup]


def _first_version(data: Mapping[str, Any]) -> Wakeup:
    """Release 0.1.0 called the step `kind`."""
    if "kind" not in data:
        raise NotAMessage("kind: missing")
    return Wakeup.model_validate({**data, "v": VERSION, "step": data["kind"]})


READERS: Mapping[int, Reader] = {1: _first_version, VERSION: Wakeup.model_validate}


def read_wakeup(body: str) -> Wakeup:
    """Read a wake-up. Raises NotAMessage, UnknownVersion."""
    data = _json_object(body)
    if is_manifest(data):
        raise NotAMessage(_MANIFEST)
    version = data.get("v")
    if type(version) is not int:  # JSON's true is an int to Python
        raise NotAMessage("v: missing or not a number")
    read = READERS.get(version)
    if read is None:
        known = " and ".join(map(str, sorted(READERS)))
        if version > max(READERS):
            raise UnknownVersion(f"message version {version}; this release reads {known}")
        raise NotAMessage(f"v: version {version} is no longer read; this release reads {known}")
    try:
        return read(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise NotAMessage(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def group_of(body: str) -> str:
    """The group with which a wake-up is sent: its run; empty for any other message, and where SQS would refuse it."""
    try:
        run_id = read_wakeup(body).run_id
    except (NotAMessage, UnknownVersion):
        return ""
    return run_id if RUN_ID_PATTERN.fullmatch(run_id) else ""


class JobEvent(BaseModel):
    """A Batch Inference Job State Change (contract section 3). Its names differ from the API's; its times are not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    arn: str
    status: str
    message: str = ""


BEDROCK = "aws.bedrock"
JOB_EVENT = "Batch Inference Job State Change"
KEYS_SHOWN_MAX = 5
_MANIFEST = "it is a manifest: send it to the manifest queue (QUARRY_MANIFEST_QUEUE_URL)"


def read_job_event(body: str) -> JobEvent | None:
    """Read an event; None if it is one of Bedrock's of another kind, which a wide rule may bring.

    Raises:
        NotAMessage: it is none of Bedrock's; the text says what it is and what to set right.
    """
    data = _json_object(body)
    source, kind, detail = data.get("source"), data.get("detail-type"), data.get("detail")
    if source != BEDROCK or not isinstance(kind, str):
        raise NotAMessage(_why_no_event(data))
    if kind != JOB_EVENT:
        return None
    if not isinstance(detail, dict):
        raise NotAMessage("detail: not an object")
    name, arn, status = (detail.get(key) for key in ("batchJobName", "batchJobArn", "status"))
    if not (isinstance(name, str) and isinstance(arn, str) and isinstance(status, str)):
        raise NotAMessage("detail: batchJobName, batchJobArn or status is missing")
    # failureMessage may be absent (contract section 3).
    message = bounded_text(str(detail.get("failureMessage") or ""))
    return JobEvent(name=name, arn=arn, status=status, message=message)


def _why_no_event(data: Mapping[str, Any]) -> str:
    if is_manifest(data):
        return _MANIFEST
    if "batchJobArn" in data:
        return "it is the detail of a job event alone: the rule's target must have no input path"
    if "TopicArn" in data:
        return "it is wrapped by SNS: turn on raw message delivery, or let the rule send to the queue directly"
    if "detail-type" in data or "source" in data:
        kind, source = shown_name(str(data.get("detail-type"))), shown_name(str(data.get("source")))
        return f"it is not an event of {BEDROCK} but {kind!r} of {source}: narrow the rule to {BEDROCK}, {JOB_EVENT!r}"
    if is_wakeup(data):
        return "it is an internal message of Quarry's services, sent to the wrong queue"
    return (
        "it is not an EventBridge event:"
        f" {', '.join(shown_name(key) for key in list(data)[:KEYS_SHOWN_MAX]) or 'empty'}"
    )


def _json_object(body: str) -> Mapping[str, Any]:
    try:
        data = parse_object(body)
    except NotAnObject as error:
        raise NotAMessage(str(error)) from error
    if isinstance(data, str):
        raise NotAMessage("JSON text inside a JSON string: it was encoded twice")
    for field, sentence in half_pairs(data):
        raise NotAMessage(f"{field}: {sentence}")
    return data
