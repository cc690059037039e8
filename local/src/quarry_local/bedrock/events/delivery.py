"""Events go the way that EventBridge would send them: the default bus's rules, their targets, the queues' policies.

The emulator's PutEvents refuses source `aws.bedrock`, as AWS does, so the rules and targets are read from it, matched
with its own TestEventPattern, and the envelope is sent to the target queue. What the policy forbids or SQS refuses goes to
the target's dead-letter queue, and is counted. Delivery is at least once and promises no order between jobs.
"""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quarry_local.bedrock.aws import Aws
from quarry_local.bedrock.events.envelope import EventFigures
from quarry_local.bedrock.iam.policy import allows

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    arn: str
    group_id: str | None
    dead_letter_arn: str | None


@dataclass(frozen=True, slots=True)
class Rule:
    arn: str
    pattern: str
    targets: list[Target]


@dataclass(frozen=True, slots=True)
class Queue:
    url: str
    policy: str | None


class Delivery:
    """Used from one thread at a time."""

    def __init__(
        self, aws: Aws, figures: EventFigures, cache_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._aws = aws
        self._figures = figures
        self._cache_s = cache_s
        self._monotonic = monotonic
        self._read_at = float("-inf")
        self._rules: list[Rule] = []
        self._queues: dict[str, Queue] = {}

    def deliver(self, envelope: str) -> None:
        """Send the event to every target of every rule that matches it."""
        matched = False
        try:
            self._refresh()
            for rule in self._rules:
                if self._aws.events.test_event_pattern(EventPattern=rule.pattern, Event=envelope)["Result"]:
                    matched = True
                    for target in rule.targets:
                        self._send(rule, target, envelope)
        except (ClientError, BotoCoreError) as wrong:
            # EventBridge itself is away: the event is gone, and the figures say so.
            log.warning("event not delivered: %s", wrong)
            self._figures.undeliverable += 1
            return
        if not matched:
            self._figures.unmatched += 1

    def _refresh(self) -> None:
        now = self._monotonic()
        if now - self._read_at < self._cache_s:
            return
        self._queues.clear()
        self._rules = [
            Rule(rule["Arn"], rule["EventPattern"], self._targets(rule["Name"]))
            for page in _pages(self._aws.events.list_rules)
            for rule in page["Rules"]
            if rule.get("State") != "DISABLED" and rule.get("EventPattern")
        ]
        self._read_at = now

    def _targets(self, rule: str) -> list[Target]:
        targets: list[Target] = []
        for page in _pages(self._aws.events.list_targets_by_rule, Rule=rule):
            for target in page["Targets"]:
                if {"Input", "InputPath", "InputTransformer"} & set(target):
                    log.warning("target %s of rule %s changes its input; it gets the whole event", target["Id"], rule)
                targets.append(
                    Target(
                        target["Arn"],
                        target.get("SqsParameters", {}).get("MessageGroupId"),
                        target.get("DeadLetterConfig", {}).get("Arn"),
                    )
                )
        return targets

    def _send(self, rule: Rule, target: Target, envelope: str) -> None:
        refused = self._try(rule, target.arn, target.group_id, envelope, {})
        if refused is None:
            self._figures.delivered += 1
            return
        code, why = refused
        log.warning("event for %s not delivered: %s %s", target.arn, code, why)
        if target.dead_letter_arn:
            attributes = {
                name: {"DataType": "String", "StringValue": value}
                for name, value in {
                    "RULE_ARN": rule.arn,
                    "TARGET_ARN": target.arn,
                    "ERROR_CODE": code,
                    "ERROR_MESSAGE": why,
                }.items()
            }
            if self._try(rule, target.dead_letter_arn, None, envelope, attributes) is None:
                self._figures.dead_lettered += 1
                return
        self._figures.undeliverable += 1

    def _try(
        self, rule: Rule, arn: str, group_id: str | None, envelope: str, attributes: dict[str, Any]
    ) -> tuple[str, str] | None:
        """Send to one queue; what spoke against it, if anything did."""
        service, name = arn.split(":")[2], arn.rsplit(":", 1)[-1]
        if service != "sqs":
            return "UNSUPPORTED_TARGET", f"{arn} is not an SQS queue"
        try:
            queue = self._queue(arn, name)
            context = {
                "aws:SourceArn": rule.arn,
                "aws:SourceAccount": self._aws.account,
                "aws:SecureTransport": "true",
            }
            if not allows(
                queue.policy,
                service="events.amazonaws.com",
                action="sqs:SendMessage",
                resource=arn,
                context=context,
            ):
                return "NO_PERMISSIONS", f"the policy of {arn} does not let {rule.arn} send"
            group = {"MessageGroupId": group_id} if group_id else {}
            self._aws.sqs.send_message(QueueUrl=queue.url, MessageBody=envelope, MessageAttributes=attributes, **group)
        except ClientError as wrong:
            return wrong.response["Error"]["Code"], str(wrong)
        except (BotoCoreError, json.JSONDecodeError) as wrong:
            return type(wrong).__name__, str(wrong)
        return None

    def _queue(self, arn: str, name: str) -> Queue:
        if arn not in self._queues:
            url = self._aws.sqs.get_queue_url(QueueName=name)["QueueUrl"]
            asked = self._aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
            self._queues[arn] = Queue(url, asked.get("Attributes", {}).get("Policy"))
        return self._queues[arn]


def _pages(call: Callable[..., dict[str, Any]], **request: Any) -> list[dict[str, Any]]:
    """All pages; these operations have no paginator in every SDK version."""
    pages = [call(**request)]
    while token := pages[-1].get("NextToken"):
        pages.append(call(**request, NextToken=token))
    return pages
