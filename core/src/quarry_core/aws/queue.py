"""One SQS queue and its dead-letter queue.

Delivery is at least once, in no order. `send` may put a message on the queue twice when a reply is lost; `ack` and
`dead-letter` may be called again. A receipt that no longer holds (the message was deleted, or delivered again to somebody
else) is no error to `ack`, which has nothing left to do, and is `Missing` to `extend`, whose caller must know that
it works on something it no longer has.

A message may bear a group: on a standard queue it orders nothing, but SQS then serves last the groups that have more
than their share of messages in flight (SQS guide, "Amazon SQS fair queues").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from quarry_core.aws.calls import Calls
from quarry_core.aws.dead_letters import dead_lettered
from quarry_core.contract.message_attributes import ATTRIBUTES_MAX
from quarry_core.errors import RECEIPT_GONE, Missing, Refused, raise_for
from quarry_core.ports import Message

RECEIVE_MESSAGES_MAX = 10
BATCH_MESSAGES_MAX = 10
WAIT_S_MAX = 20
DELAY_S_MAX = 900
VISIBILITY_S_MAX = 43_200
MESSAGE_BYTES_MAX = 1_048_576
DATA_TYPE = "String"


class SqsQueue:
    """`name` serves logs and metrics; the URLs are what SQS is asked with. Without a second one nothing is dead-lettered."""

    def __init__(self, aws: Calls, name: str, url: str, dead_letter_url: str = "") -> None:
        self.name = name
        self._aws = aws
        self._url = url
        self._dead_letter_url = dead_letter_url

    async def receive(self, most: int, wait_s: int) -> Sequence[Message]:
        _within("messages", most, 1, RECEIVE_MESSAGES_MAX)
        _within("wait_s", wait_s, 0, WAIT_S_MAX)
        answer = await self._call(
            "receive_message",
            {
                "MaxNumberOfMessages": most,
                "WaitTimeSeconds": wait_s,
                "MessageAttributeNames": ["All"],
                "MessageSystemAttributeNames": ["ApproximateReceiveCount", "SenderId", "SentTimestamp"],
            },
            "receiving from",
        )
        return [_message(wire) for wire in answer.get("Messages", [])]

    async def send(
        self, body: str, attributes: Mapping[str, str] | None = None, delay_s: int = 0, *, group: str = ""
    ) -> str:
        _within("delay_s", delay_s, 0, DELAY_S_MAX)
        check_attributes(attributes or {})
        refuse_too_large(body, attributes or {}, self.name)
        request = {"MessageBody": body, "DelaySeconds": delay_s, "MessageAttributes": _wire(attributes or {})}
        answer = await self._call("send_message", request | ({"MessageGroupId": group} if group else {}), "sending to")
        return str(answer["MessageId"])

    async def ack(self, message: Message) -> None:
        try:
            await self._call("delete_message", {"ReceiptHandle": message.receipt}, "deleting from")
        except Refused as refused:
            if refused.code not in RECEIPT_GONE:
                raise

    async def ack_all(self, messages: Sequence[Message]) -> None:
        if len(messages) == 1:
            await self.ack(messages[0])
            return
        _within("messages", len(messages), 1, BATCH_MESSAGES_MAX)
        entries = [{"Id": str(place), "ReceiptHandle": message.receipt} for place, message in enumerate(messages)]
        answer = await self._call("delete_message_batch", {"Entries": entries}, "deleting from")
        for failed in answer.get("Failed", []):
            if failed.get("Code") not in RECEIPT_GONE:
                error = {"Error": {"Code": failed.get("Code", ""), "Message": failed.get("Message", "")}}
                raise_for(ClientError(error, "DeleteMessageBatch"), f"deleting from {self.name}")

    async def extend(self, message: Message, visibility_s: int) -> None:
        _within("visibility_s", visibility_s, 0, VISIBILITY_S_MAX)
        try:
            await self._call(
                "change_message_visibility",
                {"ReceiptHandle": message.receipt, "VisibilityTimeout": visibility_s},
                "keeping a message of",
            )
        except Refused as refused:
            if refused.code not in RECEIPT_GONE:
                raise
            raise Missing(f"message {message.id} of {self.name} is no longer ours") from refused

    async def dead_letter(self, message: Message, reason: str, step: str) -> None:
        try:
            await self._dead_letter(*dead_lettered(message, reason, step))
        except Refused:
            # With its reason beside it the message may have become too large for the queue.
            await self._dead_letter(*dead_lettered(message, reason, step, cut=True))

    async def _dead_letter(self, body: str, attributes: Mapping[str, str]) -> None:
        refuse_too_large(body, attributes, self.name)
        request = {"QueueUrl": self._dead_letter_url, "MessageBody": body, "MessageAttributes": _wire(attributes)}
        await self._call("send_message", request, "dead-lettering a message of")

    async def backlog(self) -> int:
        return sum((await self._counts(self._url)).values())

    async def depth(self) -> Mapping[str, int]:
        own = await self._counts(self._url)
        dead = await self._counts(self._dead_letter_url) if self._dead_letter_url else {}
        return {**own, "dead": sum(dead.values())}

    async def _counts(self, url: str) -> dict[str, int]:
        names = {
            "visible": "ApproximateNumberOfMessages",
            "in_flight": "ApproximateNumberOfMessagesNotVisible",
            "delayed": "ApproximateNumberOfMessagesDelayed",
        }
        request = {"QueueUrl": url, "AttributeNames": list(names.values())}
        answer = await self._call("get_queue_attributes", request, "counting")
        return {ours: int(answer.get("Attributes", {}).get(theirs, 0)) for ours, theirs in names.items()}

    async def _call(self, operation: str, parameters: Mapping[str, Any], doing: str) -> dict[str, Any]:
        request = {"QueueUrl": self._url, **parameters}
        return await self._aws.call("sqs", operation, request, doing=f"{doing} {self.name}")


def check_attributes(attributes: Mapping[str, str]) -> None:
    """SQS takes at most 10 attributes and no empty value. Raises ValueError."""
    if len(attributes) > ATTRIBUTES_MAX:
        raise ValueError(f"{len(attributes)} message attributes; SQS takes at most {ATTRIBUTES_MAX}")
    for name, value in attributes.items():
        if not value:
            raise ValueError(f"message attribute {name!r} is empty")


def refuse_too_large(body: str, attributes: Mapping[str, str], queue: str) -> None:
    """SQS counts names, types and values of attributes too. A queue may have a smaller limit of its own."""
    texts = (body, *attributes, *attributes.values(), *(DATA_TYPE for _ in attributes))
    size_bytes = sum(len(text.encode(errors="replace")) for text in texts)
    if size_bytes > MESSAGE_BYTES_MAX:
        raise Refused(f"{queue}: a message of {size_bytes} bytes; SQS takes at most {MESSAGE_BYTES_MAX}")


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; SQS takes {least} to {most}")


def _wire(attributes: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"DataType": DATA_TYPE, "StringValue": value} for name, value in attributes.items()}


def _message(wire: Mapping[str, Any]) -> Message:
    system = wire.get("Attributes", {})
    return Message(
        id=wire["MessageId"],
        body=wire["Body"],
        receipt=wire["ReceiptHandle"],
        attributes={
            name: value["StringValue"]
            for name, value in wire.get("MessageAttributes", {}).items()
            if value.get("DataType", "").startswith(DATA_TYPE) and value.get("StringValue")
        },
        receive_count=int(system.get("ApproximateReceiveCount", 1)),
        sent_at_ms=int(system.get("SentTimestamp", 0)),
        sender=str(system.get("SenderId", "")),
    )
