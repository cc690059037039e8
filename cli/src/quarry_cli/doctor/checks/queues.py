"""The queues: there, each with its dead-letter queue, and nothing in those."""

from __future__ import annotations

import json
from collections.abc import Sequence

from quarry_cli.aws.asking import Answer
from quarry_cli.aws.environment import Environment
from quarry_cli.aws.finding import Fault, NotKnown, command, setting
from quarry_core.contract import names

RECEIVES_MAX = 30


async def there(environment: Environment) -> str | Sequence[Fault]:
    faults = []
    for name in environment.settings.queues:
        queue = await environment.queue(name)
        expected = names.queue_name(environment.env, name)
        if queue is None:
            faults.append(_absent(environment, name))
            continue
        region = queue["QueueArn"].split(":")[3]
        if region != environment.region:
            faults.append(
                Fault(
                    message=f"{queue['QueueArn']} is not in {environment.region}",
                    remedy="Give the URL of this environment's own queue.",
                    fix=setting(names.queue_url_variable(name), f"<the URL of {expected} in {environment.region}>"),
                )
            )
    return faults or f"all {len(environment.settings.queues)} queues exist"


def _absent(environment: Environment, name: str) -> Fault:
    url = environment.settings.queue_url(name)
    else_ = f"set {names.queue_url_variable(name)} to the URL that `terraform output` prints"
    if name == names.ON_DEMAND_QUEUE:
        else_ += ", or set QUARRY_ON_DEMAND=false to ask nothing on demand"
    return Fault(
        message=f"there is no queue {url or names.queue_name(environment.env, name)}",
        remedy=f"Create it, or {else_}.",
        fix=command("sqs", "create-queue", "--queue-name", names.queue_name(environment.env, name)),
    )


async def redrive(environment: Environment) -> str | Sequence[Fault]:
    faults = []
    for name in environment.settings.queues:
        queue, dead = await environment.queue(name), await environment.dead_letter_queue(name)
        if queue is None:
            raise NotKnown(f"there is no queue {names.queue_name(environment.env, name)}: see the check `queues`")
        if dead is None:
            faults.append(
                Fault(
                    message=f"{names.queue_name(environment.env, name)} has no dead-letter queue",
                    remedy="Create it; messages that cannot be processed go there, with the reason.",
                    fix=command(
                        "sqs", "create-queue", "--queue-name", names.dead_letter_queue_name(environment.env, name)
                    ),
                )
            )
            continue
        policy = json.loads(queue.get("RedrivePolicy") or "{}")
        if policy.get("deadLetterTargetArn") != dead["QueueArn"]:
            faults.append(_not_wired(queue, dead, policy.get("deadLetterTargetArn")))
    return faults or "every queue has its dead-letter queue"


def _not_wired(queue: Answer, dead: Answer, target: str | None) -> Fault:
    wanted = {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": RECEIVES_MAX}
    attributes = json.dumps({"RedrivePolicy": json.dumps(wanted)})
    return Fault(
        message=(
            f"messages of {queue['QueueArn'].rsplit(':', 1)[-1]} that cannot be handled go to {target or 'nowhere'}"
        ),
        remedy="Point its redrive policy to its dead-letter queue.",
        fix=command("sqs", "set-queue-attributes", "--queue-url", queue["url"], "--attributes", attributes),
    )


async def dead_letters(environment: Environment) -> str | Sequence[Fault]:
    faults = []
    queues = {
        names.dead_letter_queue_name(environment.env, name): await environment.dead_letter_queue(name)
        for name in environment.settings.queues
    }
    queues[environment.event_target_dlq] = await environment.undelivered()
    for name, queue in queues.items():
        count = int(queue.get("ApproximateNumberOfMessages", 0)) if queue else 0
        if queue and count:
            look = ["--message-attribute-names", "All", "--max-number-of-messages", "10", "--visibility-timeout", "0"]
            faults.append(
                Fault(
                    message=f"{name} holds {count:,} messages",
                    remedy="Read the reasons; when the cause is fixed, move the messages back or delete them.",
                    fix=command("sqs", "receive-message", "--queue-url", queue["url"], *look),
                )
            )
    if not faults and not all(queues.values()):
        missing = [name for name, queue in queues.items() if queue is None]
        raise NotKnown(f"there is no queue {', '.join(missing)}")
    return faults or "all dead-letter queues are empty"
