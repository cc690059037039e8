"""What travels over SQS and EventBridge, and who reads it."""

from __future__ import annotations

import re
from typing import get_args

from tools.pages.fields import FIELD_HEAD, field_rows
from tools.pages.text import Lines, code, table

import quarry_collector.handler
import quarry_preprocessor.handler
import quarry_scheduler.handler
import quarry_scheduler.on_demand
from quarry_core.contract import messages, names


def wakeups() -> Lines:
    """Kinds with their reader, from the sentences of the three handlers that take them."""
    readers = (
        ("preprocessor", "slices", quarry_preprocessor.handler.Preprocessor.on_wakeup),
        ("scheduler", "scheduler", quarry_scheduler.handler.Scheduler.on_wakeup),
        ("scheduler", "on-demand", quarry_scheduler.on_demand.OnDemand.on_wakeup),
        ("collector", "collector", quarry_collector.handler.Collector.on_wakeup),
    )
    reported = {
        kind: (queue, reader, sentence)
        for reader, queue, handler in readers
        for kind, sentence in re.findall(r"`(\w+)`: ([^.]+)\.", handler.__doc__ or "")
    }
    return table(
        ("Step", "Queue", "Reader", "What the reader does"), ([code(k), *reported[k]] for k in get_args(messages.Step))
    )


def wakeup_fields() -> Lines:
    return table(FIELD_HEAD, field_rows(messages.Wakeup, messages.Wakeup.model_json_schema()["properties"]))


def job_event_fields() -> Lines:
    return table(FIELD_HEAD, field_rows(messages.JobEvent, messages.JobEvent.model_json_schema()["properties"]))


def queues() -> Lines:
    rows = [
        [code(name), code(names.queue_name("<env>", name)), code(names.queue_url_variable(name))]
        for name in names.QUEUES
    ]
    return table(("Queue", "Name", "Variable"), rows)
