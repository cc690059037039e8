"""The sweep's schedule: what wakes a scheduler that was scaled to zero."""

from __future__ import annotations

import json
from collections.abc import Sequence

from quarry_cli.aws.environment import Environment
from quarry_cli.aws.finding import Fault, NotKnown, command
from quarry_core.contract import names

NONE = "there is no sweep schedule: at least one scheduler must always run"


async def sweep(environment: Environment) -> str | Sequence[Fault]:
    queue = await environment.queue("scheduler")
    if queue is None:
        raise NotKnown(f"there is no queue {names.queue_name(environment.env, 'scheduler')}: see the check `queues`")
    listed = await environment.asking.pages(
        "scheduler", "list_schedules", "Schedules", "NextToken", NamePrefix=f"{environment.env}-quarry-"
    )
    ours = [each for each in listed if each.get("Target", {}).get("Arn") == queue["QueueArn"]]
    if not ours:
        raise NotKnown(NONE)
    if any(each.get("State") == "ENABLED" for each in ours):
        return "a schedule sends the sweep to the scheduler's queue"
    name, group = ours[0]["Name"], ours[0].get("GroupName", "default")
    message = await environment.asking("scheduler", "get_schedule", Name=name, GroupName=group)
    change = [
        *("--name", name, "--group-name", group, "--state", "ENABLED"),
        *("--schedule-expression", str(message["ScheduleExpression"])),
        *("--flexible-time-window", json.dumps(message["FlexibleTimeWindow"])),
        *("--target", json.dumps(message["Target"])),
    ]
    return [
        Fault(
            message=f"schedule {name} is off: a scheduler scaled to zero is not woken",
            remedy="Enable it.",
            fix=command("scheduler", "update-schedule", *change),
        )
    ]
