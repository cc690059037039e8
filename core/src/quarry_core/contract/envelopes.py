"""What AWS and others put around a message, recognized, with the setting that takes it off. Pure.

A manifest is sent to its queue as it is. Whoever has a topic, a rule or a notification in front of the queue sends
an envelope instead; judged as a manifest, it would be a dozen unknown keys. One sentence names the envelope and the
remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quarry_core.contract.json_text import inner_object
from quarry_core.text import shown_name

REQUIRED = ("job_name_prefix", "model_id", "s3_uri", "dataset_id")
# Two of these together are nobody else's.
_MANIFEST_KEYS = frozenset({*REQUIRED, "prompt", "prompt_id", "max_records_per_job"})
_LOOKED_AT_MAX = 1_000
_DEPTH_MAX = 4
_NO_UPLOADS = (
    "an upload starts no run by itself; send a manifest that names the object in s3_uri, for example"
    " from a Lambda function"
)


def is_manifest(value: object) -> bool:
    """Whether an object has a manifest's keys, be it right or wrong."""
    return isinstance(value, Mapping) and len(_MANIFEST_KEYS & value.keys()) >= 2


def is_wakeup(data: Mapping[str, Any]) -> bool:
    """Whether it is a message between Quarry's services, of any version."""
    return "v" in data and ("step" in data or "kind" in data)


def envelope_of(data: Mapping[str, Any] | str) -> str | None:
    """The sentence for what stands around a manifest, or instead of one; None if `data` may be one itself."""
    if isinstance(data, str):
        return (
            "the manifest is JSON text inside a JSON string: send the object itself"
            " (it was encoded twice, as by json.dumps of what json.dumps gave)"
        )
    if any(key in data for key in REQUIRED):
        return None
    for recognize in (_sns, _eventbridge, _s3, _records, _sqs, _cloud_event, _wake_up, _somewhere_inside):
        sentence = recognize(data)
        if sentence is not None:
            return sentence
    return None


def _sns(data: Mapping[str, Any]) -> str | None:
    if "TopicArn" not in data or not ("Message" in data or "Type" in data):
        return None
    topic, kind = shown_name(str(data["TopicArn"])), data.get("Type")
    if kind in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        return (
            f"the message is SNS's {kind} for {topic}, not a manifest: confirm the subscription, and turn on"
            " its raw message delivery"
        )
    inside = inner_object(data["Message"]) if isinstance(data.get("Message"), str) else None
    wrapped = _s3(inside) if inside is not None else None
    if wrapped is not None:
        return f"{wrapped} (it came through SNS, {topic})"
    return (
        f"the message is wrapped by SNS ({topic}): turn on raw message delivery of the subscription"
        " (RawMessageDelivery=true), so that the manifest itself is the message"
    )


def _eventbridge(data: Mapping[str, Any]) -> str | None:
    if "detail-type" not in data or not ("detail" in data or "source" in data):
        return None
    source, kind, detail = str(data.get("source", "")), str(data["detail-type"]), data.get("detail")
    event = f"an EventBridge event ({shown_name(kind)!r} of {shown_name(source) or 'nobody'})"
    if source == "aws.bedrock":
        return f"the message is {event}, not a manifest: the rule's target must be the queue of job events"
    if source == "aws.s3":
        return f"the message is {event}, not a manifest: {_NO_UPLOADS} or by the rule's input transformer"
    if is_manifest(detail):
        return (
            f"the message is {event}: give the rule's target the input path $.detail, so that only the manifest is sent"
        )
    inside = _place_of_manifest({"detail": detail})
    if inside:
        return (
            f"the message is {event}: give the rule's target the input path $.{inside}, so that only the"
            " manifest is sent"
        )
    return f"the message is {event}, not a manifest: give the rule's target an input transformer that makes one"


def _s3(data: Mapping[str, Any]) -> str | None:
    if data.get("Event") == "s3:TestEvent":
        bucket = shown_name(str(data.get("Bucket", "a bucket")))
        return f"the message is the test event of an S3 notification ({bucket}), not a manifest: {_NO_UPLOADS}"
    records = data.get("Records")
    first = records[0] if isinstance(records, list) and records else None
    if isinstance(first, Mapping) and (first.get("eventSource") == "aws:s3" or "s3" in first):
        return f"the message is an S3 event notification, not a manifest: {_NO_UPLOADS}"
    return None


def _records(data: Mapping[str, Any]) -> str | None:
    records = data.get("Records")
    first = records[0] if isinstance(records, list) and records else None
    if not isinstance(first, Mapping):
        return None
    source = shown_name(str(first.get("eventSource") or first.get("EventSource") or "unknown source"))
    return (
        f"the message is a Lambda event with Records ({source}), not a manifest: send the content, one manifest"
        " per message"
    )


def _sqs(data: Mapping[str, Any]) -> str | None:
    lower = {str(key).casefold() for key in data}
    if {"body", "messageid"} <= lower or {"body", "receipthandle"} <= lower:
        return "the message is a whole SQS message with its ids: send only its Body"
    messages = data.get("Messages")
    if isinstance(messages, list) and messages and isinstance(messages[0], Mapping) and "Body" in messages[0]:
        return "the message is the answer of ReceiveMessage: send only the Body of each message"
    if "MessageBody" in data:
        return "the manifest is inside MessageBody: that is a parameter of SendMessage; send only its value"
    return None


def _cloud_event(data: Mapping[str, Any]) -> str | None:
    if "specversion" in data and "type" in data:
        return "the message is a CloudEvent: send only its data, as the whole message"
    return None


def _wake_up(data: Mapping[str, Any]) -> str | None:
    if is_wakeup(data):
        return "the message is an internal message of Quarry's services, not a manifest: it was sent to the wrong queue"
    return None


def _somewhere_inside(data: Mapping[str, Any]) -> str | None:
    inside = _place_of_manifest(data)
    if not inside:
        return None
    return f"the manifest is inside {inside}: send only that object, as the whole message"


def _place_of_manifest(data: Mapping[str, Any]) -> str:
    """The path of the first manifest inside, by levels; empty if there is none near."""
    level: list[tuple[str, object]] = [("", data)]
    looked_at = 0
    for _ in range(_DEPTH_MAX):
        below: list[tuple[str, object]] = []
        for where, value in level:
            looked_at += 1
            if looked_at > _LOOKED_AT_MAX:
                return ""
            found = inner_object(value) if isinstance(value, str) else value
            if where and is_manifest(found):
                return where
            if isinstance(found, Mapping):
                below += [
                    (f"{where}.{shown_name(str(key))}" if where else shown_name(str(key)), one)
                    for key, one in found.items()
                ]
            elif isinstance(found, list):
                below += [(f"{where}[{place}]", one) for place, one in enumerate(found[:_LOOKED_AT_MAX])]
        level = below
    return ""
