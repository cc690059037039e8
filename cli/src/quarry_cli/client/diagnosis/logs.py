"""What the services logged about a run: from the files of a local stack, or by CloudWatch Logs Insights.

Whoever runs the services elsewhere, or may not ask Insights, gets the query to run himself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from quarry_cli.aws.asking import Ask
from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.errors import NotConfigured
from quarry_core.contract.names import RUN_ID_PATTERN
from quarry_core.errors import PortError
from quarry_core.ports import Clock

SERVICES = ("preprocessor", "scheduler", "collector")
LINES_MAX = 10_000
LOG_BYTES_MAX = 64 << 20  # of each local file, its end
EARLIER = timedelta(minutes=10)
LATER = timedelta(hours=1)
_ASK_EVERY_S = 1.0
_ANSWER_S_MAX = 60.0
_RUNNING = ("Scheduled", "Running", "Unknown")


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line. `fields` are the others that the service wrote; they may hold a stranger's words."""

    at: str
    service: str
    level: str
    event: str
    fields: dict[str, Any]


def local_lines(directory: Path, run_id: str, most: int) -> list[LogLine]:
    """The last lines about a run in a local stack's logs, the oldest first."""
    found: list[LogLine] = []
    for path in sorted((directory / "logs").glob("*.log")):
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - LOG_BYTES_MAX))
            for line in file:
                if run_id.encode() in line:
                    read = line_of(line.decode("utf-8", "replace"), run_id, path.stem)
                    found += [read] if read is not None else []
    return sorted(found, key=lambda line: line.at)[-most:]


def line_of(text: str, run_id: str, service: str) -> LogLine | None:
    """A line of a service that is about the run; None for any other, and for what is no JSON."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not _about(data, run_id):
        return None
    known = {name: data.pop(name, "") for name in ("timestamp", "service", "level", "event")}
    return LogLine(
        at=str(known["timestamp"]),
        service=str(known["service"] or service),
        level=str(known["level"]),
        event=str(known["event"]),
        fields=data,
    )


def _about(data: Mapping[str, Any], run_id: str) -> bool:
    """By the field, or by a name that the run id begins or is in: a job's, a key's."""
    if "run_id" in data:
        return bool(data["run_id"] == run_id)
    return any(isinstance(value, str) and run_id in value for value in data.values())


def groups_of(env: str) -> list[str]:
    """The log groups that Terraform's ECS services write to."""
    return [f"/ecs/{env}-quarry-{service}" for service in SERVICES]


def query_of(run_id: str, most: int) -> str:
    """The Insights query. Raises NotConfigured for what is no run id, which nobody puts into a query."""
    if RUN_ID_PATTERN.fullmatch(run_id) is None:
        raise NotConfigured(f"{run_id!r} is no run id")
    return (
        f'fields @timestamp, @message | filter run_id = "{run_id}" or @message like "{run_id}"'
        f" | sort @timestamp asc | limit {most}"
    )


def span_of(accepted_at: str, ended_at: str | None, now: datetime) -> tuple[int, int]:
    """From when to when, in seconds of the epoch."""
    begun = _time(accepted_at) or now - timedelta(days=1)
    ended = _time(ended_at or "") or now
    return int((begun - EARLIER).timestamp()), int(min(ended + LATER, now + EARLIER).timestamp())


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


async def service_lines(connections: Connections, view: RunView, most: int) -> tuple[list[LogLine] | None, str]:
    """What the services in AWS logged about a run; None, and why, where nobody may be asked."""
    if connections.ask is None or not connections.env:
        return None, "QUARRY_ENV is not set, by which the log groups are called: this is the query"
    span = span_of(view.accepted_at, view.ended_at, connections.clock.now())
    try:
        lines = await insights_lines(connections.ask, connections.clock, connections.env, view.run_id, most, span)
    except (PortError, TimeoutError) as error:
        return None, not_asked(error)
    return lines, ""


async def insights_lines(
    ask: Ask, clock: Clock, env: str, run_id: str, most: int, span: tuple[int, int]
) -> list[LogLine]:
    """The lines by Insights, the oldest first.

    Raises:
        PortError: Insights may not be asked, or there are no such groups.
        TimeoutError: it has not answered within a minute.
    """
    begun = await ask(
        "logs",
        "start_query",
        {
            "logGroupNames": groups_of(env),
            "startTime": span[0],
            "endTime": span[1],
            "queryString": query_of(run_id, most),
            "limit": most,
        },
    )
    deadline = clock.monotonic() + _ANSWER_S_MAX
    while True:
        answer = await ask("logs", "get_query_results", {"queryId": begun["queryId"]})
        if answer.get("status") not in _RUNNING:
            break
        if clock.monotonic() > deadline:
            raise TimeoutError(f"Insights has not answered within {_ANSWER_S_MAX:.0f} s")
        await clock.sleep(_ASK_EVERY_S)
    return [line for row in answer.get("results", ()) if (line := _of_insights(row, run_id)) is not None]


def _of_insights(row: Sequence[Mapping[str, str]], run_id: str) -> LogLine | None:
    fields = {each.get("field", ""): each.get("value", "") for each in row}
    read = line_of(fields.get("@message", ""), run_id, "")
    if read is not None:
        return read
    return LogLine(at=fields.get("@timestamp", ""), service="", level="", event=fields.get("@message", ""), fields={})


def not_asked(error: PortError | asyncio.TimeoutError) -> str:
    """Why the query is printed in place of its answer."""
    return f"Insights cannot be asked from here ({error}); this is the query, over the log groups of the services"
