"""How job events come: the rule, what it lets through, where it delivers, and whether the queue lets it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from quarry_cli.aws.environment import Answer, Patient, document
from quarry_cli.aws.finding import Cure, Fault, NotKnown, command, statements
from quarry_cli.aws.policy import Act, Holds, Verdict, by_resource
from quarry_cli.doctor import needed
from quarry_cli.doctor.needed import STRANGER
from quarry_core.contract import names


async def rule(patient: Patient) -> str | Sequence[Fault]:
    told = await patient.asking.found("events", "describe_rule", Name=patient.rule)
    if told is None:
        return [
            Fault(
                told=f"there is no rule {patient.rule}: job events go nowhere, and ends are seen by the sweep only",
                remedy="Make the rule, then look again at its target.",
                cure=_put_rule(patient),
            )
        ]
    if str(told.get("State", "ENABLED")).startswith("ENABLED"):
        return f"rule {patient.rule} is on"
    return [
        Fault(
            told=f"rule {patient.rule} is {str(told['State']).lower()}",
            remedy="Switch it on.",
            cure=command("events", "enable-rule", "--name", patient.rule),
        )
    ]


async def pattern(patient: Patient) -> str | Sequence[Fault]:
    told = await _rule(patient)
    event = json.dumps(needed.event(patient))
    answer = await patient.asking(
        "events", "test_event_pattern", EventPattern=told.get("EventPattern", "{}"), Event=event
    )
    if answer["Result"]:
        return "the rule lets job events of this environment through"
    return [
        Fault(
            told=f"an event of a job of this environment does not match the rule's pattern: {told.get('EventPattern')}",
            remedy="Give the rule the pattern for jobs whose names end in the environment's name.",
            cure=_put_rule(patient),
        )
    ]


async def target(patient: Patient) -> str | Sequence[Fault]:
    await _rule(patient)
    queue, dead = await _ends(patient)
    targets = await patient.asking.pages("events", "list_targets_by_rule", "Targets", "NextToken", Rule=patient.rule)
    ours = [each for each in targets if each["Arn"] == queue["QueueArn"]]
    if not ours:
        told = f"the rule does not deliver to {queue['QueueArn']}"
    elif not any(each.get("DeadLetterConfig", {}).get("Arn") for each in ours):
        told = "an event that the rule cannot deliver is lost: its target has no dead-letter queue"
    else:
        return "the rule delivers to the events queue, and has a place for what it cannot deliver"
    if dead is None:
        raise NotKnown(f"{told}; there is no queue {patient.event_target_dlq} for what cannot be delivered either")
    wanted = [
        {
            "Id": ours[0]["Id"] if ours else needed.EVENT_TARGET_ID,
            "Arn": queue["QueueArn"],
            "RetryPolicy": needed.EVENT_RETRY,
            "DeadLetterConfig": {"Arn": dead["QueueArn"]},
        }
    ]
    cure = command("events", "put-targets", "--rule", patient.rule, "--targets", json.dumps(wanted))
    return [Fault(told=told, remedy="Make the queue the rule's target.", cure=cure)]


async def delivery(patient: Patient) -> str | Sequence[Fault]:
    queue, dead = await _ends(patient)
    ends = [each for each in (queue, dead) if each is not None]
    faults = [fault for each in ends if (fault := _judge_delivery(patient, each))]
    for each in ends:
        faults += await _locked(patient, each)
    return faults or "the queues let the rule deliver, and nobody else"


def _judge_delivery(patient: Patient, queue: Answer) -> Fault | None:
    arn = queue["QueueArn"]
    policy = document(queue.get("Policy"))

    def sent_by(rule_arn: str, account: str) -> Verdict:
        context = {"aws:SourceArn": rule_arn, "aws:SourceAccount": account, "aws:SecureTransport": "true"}
        return by_resource(policy, {needed.EVENTS}, Act("sqs:SendMessage", arn, context))

    name = arn.rsplit(":", 1)[-1]
    where = f"policy of queue {name}, in the place of its statement for {needed.EVENTS}"
    cure = statements(where, needed.delivery(arn, patient.rule_arn))
    if sent_by(patient.rule_arn, patient.account).refused:
        return Fault(
            told=f"{name} does not let {patient.rule} deliver: events are lost without a word",
            remedy="Let the rule, by its ARN, send to the queue.",
            cure=cure,
        )
    foreign = sent_by(f"arn:{patient.partition}:events:{patient.region}:{STRANGER}:rule/anybody", STRANGER)
    if foreign.allow is Holds.YES and foreign.deny is Holds.NO:
        return Fault(
            told=f"{name} takes events of any rule of any account",
            remedy="Bind its statement to the rule's ARN.",
            cure=cure,
        )
    return None


async def _locked(patient: Patient, queue: Answer) -> list[Fault]:
    """The fault of a queue whose key EventBridge may not use; a queue without a key of KMS needs none."""
    named = queue.get("KmsMasterKeyId")
    if not named:
        return []
    name = queue["QueueArn"].rsplit(":", 1)[-1]
    key = (await patient.asking("kms", "describe_key", KeyId=named))["KeyMetadata"]
    told = f"EventBridge may not use the key of {name}: events are lost without a word"
    if key.get("KeyManager") == "AWS":
        managed = ["--queue-url", queue["url"], "--attributes", '{"KmsMasterKeyId":"","SqsManagedSseEnabled":"true"}']
        cure = command("sqs", "set-queue-attributes", *managed)
        return [Fault(told=told, remedy="AWS's own key for SQS lets no service in: let SQS encrypt.", cure=cure)]
    policy = document((await patient.asking("kms", "get_key_policy", KeyId=key["Arn"], PolicyName="default"))["Policy"])
    context = {"aws:SourceArn": patient.rule_arn, "aws:SourceAccount": patient.account}
    acts = [Act(action, key["Arn"], context) for action in ("kms:GenerateDataKey", "kms:Decrypt")]
    if not any(by_resource(policy, {needed.EVENTS}, act).refused for act in acts):
        return []
    cure = statements(f"policy of key {key['Arn']}", needed.event_key(patient.rule_arn))
    return [Fault(told=told, remedy="Add EventBridge to the key's own policy.", cure=cure)]


async def _rule(patient: Patient) -> Answer:
    told = await patient.asking.found("events", "describe_rule", Name=patient.rule)
    if told is None:
        raise NotKnown("there is no rule: see the check `event-rule`")
    return told


async def _ends(patient: Patient) -> tuple[Answer, Answer | None]:
    """The events queue, and the queue of what the rule cannot deliver."""
    queue = await patient.queue("events")
    if queue is None:
        raise NotKnown(f"there is no queue {names.queue_name(patient.env, 'events')}: see the check `queues`")
    return queue, await patient.undelivered()


def _put_rule(patient: Patient) -> Cure:
    wanted = ["--event-pattern", needed.event_pattern(patient), "--state", "ENABLED"]
    return command("events", "put-rule", "--name", patient.rule, *wanted)
