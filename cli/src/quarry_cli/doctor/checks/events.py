"""How job events come: the rule, what it lets through, where it delivers, and whether the queue lets it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from quarry_cli.aws.asking import Answer
from quarry_cli.aws.environment import Environment, document
from quarry_cli.aws.finding import Fault, Fix, NotKnown, command, statements
from quarry_cli.aws.policy import Act, Holds, Verdict, by_resource
from quarry_cli.doctor import needed
from quarry_cli.doctor.needed import STRANGER
from quarry_core.contract import names


async def rule(environment: Environment) -> str | Sequence[Fault]:
    message = await environment.asking.found("events", "describe_rule", Name=environment.rule)
    if message is None:
        return [
            Fault(
                message=(
                    f"there is no rule {environment.rule}: job events are not delivered, and only the sweep"
                    " sees that jobs end"
                ),
                remedy="Create the rule, then check its target again.",
                fix=_put_rule(environment),
            )
        ]
    if str(message.get("State", "ENABLED")).startswith("ENABLED"):
        return f"rule {environment.rule} is on"
    return [
        Fault(
            message=f"rule {environment.rule} is {str(message['State']).lower()}",
            remedy="Enable it.",
            fix=command("events", "enable-rule", "--name", environment.rule),
        )
    ]


async def pattern(environment: Environment) -> str | Sequence[Fault]:
    message = await _rule(environment)
    event = json.dumps(needed.event(environment))
    answer = await environment.asking(
        "events", "test_event_pattern", EventPattern=message.get("EventPattern", "{}"), Event=event
    )
    if answer["Result"]:
        return "the rule matches job events of this environment"
    return [
        Fault(
            message=(
                "an event of a job of this environment does not match the rule's pattern:"
                f" {message.get('EventPattern')}"
            ),
            remedy="Give the rule the pattern for jobs whose names end in the environment's name.",
            fix=_put_rule(environment),
        )
    ]


async def target(environment: Environment) -> str | Sequence[Fault]:
    await _rule(environment)
    queue, dead = await _ends(environment)
    targets = await environment.asking.pages(
        "events", "list_targets_by_rule", "Targets", "NextToken", Rule=environment.rule
    )
    ours = [each for each in targets if each["Arn"] == queue["QueueArn"]]
    if not ours:
        message = f"the rule does not deliver to {queue['QueueArn']}"
    elif not any(each.get("DeadLetterConfig", {}).get("Arn") for each in ours):
        message = "an event that the rule cannot deliver is lost: its target has no dead-letter queue"
    else:
        return "the rule delivers to the events queue, and has a dead-letter queue"
    if dead is None:
        raise NotKnown(f"{message}; there is no queue {environment.event_target_dlq} for undeliverable events either")
    wanted = [
        {
            "Id": ours[0]["Id"] if ours else needed.EVENT_TARGET_ID,
            "Arn": queue["QueueArn"],
            "RetryPolicy": needed.EVENT_RETRY,
            "DeadLetterConfig": {"Arn": dead["QueueArn"]},
        }
    ]
    fix = command("events", "put-targets", "--rule", environment.rule, "--targets", json.dumps(wanted))
    return [Fault(message=message, remedy="Make the queue the rule's target.", fix=fix)]


async def delivery(environment: Environment) -> str | Sequence[Fault]:
    queue, dead = await _ends(environment)
    ends = [each for each in (queue, dead) if each is not None]
    faults = [fault for each in ends if (fault := _judge_delivery(environment, each))]
    for each in ends:
        faults += await _locked(environment, each)
    return faults or "the queues let the rule deliver, and no other sender"


def _judge_delivery(environment: Environment, queue: Answer) -> Fault | None:
    arn = queue["QueueArn"]
    policy = document(queue.get("Policy"))

    def sent_by(rule_arn: str, account: str) -> Verdict:
        context = {"aws:SourceArn": rule_arn, "aws:SourceAccount": account, "aws:SecureTransport": "true"}
        return by_resource(policy, {needed.EVENTS}, Act("sqs:SendMessage", arn, context))

    name = arn.rsplit(":", 1)[-1]
    where = f"policy of queue {name}, in place of its statement for {needed.EVENTS}"
    fix = statements(where, needed.delivery(arn, environment.rule_arn))
    if sent_by(environment.rule_arn, environment.account).refused:
        return Fault(
            message=f"{name} does not let {environment.rule} deliver: events are lost silently",
            remedy="Let the rule, by its ARN, send to the queue.",
            fix=fix,
        )
    foreign = sent_by(f"arn:{environment.partition}:events:{environment.region}:{STRANGER}:rule/anybody", STRANGER)
    if foreign.allow is Holds.YES and foreign.deny is Holds.NO:
        return Fault(
            message=f"{name} accepts events from any rule of any account",
            remedy="Restrict its statement to the rule's ARN.",
            fix=fix,
        )
    return None


async def _locked(environment: Environment, queue: Answer) -> list[Fault]:
    """The fault of a queue whose key EventBridge may not use; a queue without a key of KMS needs none."""
    named = queue.get("KmsMasterKeyId")
    if not named:
        return []
    name = queue["QueueArn"].rsplit(":", 1)[-1]
    key = (await environment.asking("kms", "describe_key", KeyId=named))["KeyMetadata"]
    message = f"EventBridge may not use the key of {name}: events are lost silently"
    if key.get("KeyManager") == "AWS":
        managed = ["--queue-url", queue["url"], "--attributes", '{"KmsMasterKeyId":"","SqsManagedSseEnabled":"true"}']
        fix = command("sqs", "set-queue-attributes", *managed)
        return [
            Fault(
                message=message,
                remedy="The AWS managed key for SQS admits no other service: use SQS-managed encryption.",
                fix=fix,
            )
        ]
    policy = document(
        (await environment.asking("kms", "get_key_policy", KeyId=key["Arn"], PolicyName="default"))["Policy"]
    )
    context = {"aws:SourceArn": environment.rule_arn, "aws:SourceAccount": environment.account}
    acts = [Act(action, key["Arn"], context) for action in ("kms:GenerateDataKey", "kms:Decrypt")]
    if not any(by_resource(policy, {needed.EVENTS}, act).refused for act in acts):
        return []
    fix = statements(f"policy of key {key['Arn']}", needed.event_key(environment.rule_arn))
    return [Fault(message=message, remedy="Add EventBridge to the key policy.", fix=fix)]


async def _rule(environment: Environment) -> Answer:
    message = await environment.asking.found("events", "describe_rule", Name=environment.rule)
    if message is None:
        raise NotKnown("the rule does not exist: see the check `event-rule`")
    return message


async def _ends(environment: Environment) -> tuple[Answer, Answer | None]:
    """The events queue, and the queue of what the rule cannot deliver."""
    queue = await environment.queue("events")
    if queue is None:
        raise NotKnown(f"there is no queue {names.queue_name(environment.env, 'events')}: see the check `queues`")
    return queue, await environment.undelivered()


def _put_rule(environment: Environment) -> Fix:
    wanted = ["--event-pattern", needed.event_pattern(environment), "--state", "ENABLED"]
    return command("events", "put-rule", "--name", environment.rule, *wanted)
