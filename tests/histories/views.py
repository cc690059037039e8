"""What `quarry status` and `quarry runs` say about the runs of a history.

The names on the left are those of the recordings and stay; what today's command calls them stands on the right.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from quarry_cli.client.api import Client
from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.search import RunLine
from quarry_cli.client.runs.view.shown import JobView, RunView
from quarry_cli.errors import NoSuchRun
from tests.world.world import SimulatedWorld


def views_of(world: SimulatedWorld, run_ids: Iterable[str]) -> dict[str, Any]:
    """The view of each run that has been accepted, by run id, and the list of runs."""

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[Connections]:
        yield Connections(
            table=world.table,
            queue=lambda: world.queues["manifests"],
            objects=lambda: world.objects,
            clock=world.clock,
            bucket=world.settings.bucket,
        )

    client, found = Client(connect), {}
    for run_id in run_ids:
        with contextlib.suppress(NoSuchRun):
            found[run_id] = _status(client.status(run_id))
    return {"status": found, "runs": [_line(line) for line in client.runs(100)]}


def _status(view: RunView) -> dict[str, Any]:
    rows, slots, spent = view.rows, view.slots, view.spent
    return {
        "state": str(view.state),
        "code": view.code,
        "step": view.step,
        "error": view.error,
        "rows": {
            "accepted": rows.accepted,
            "ok": rows.ok,
            "error": rows.error,
            "open": rows.open,
            "source": rows.source,
            "left_out": rows.left_out,
            "enlisted": rows.enlisted,
        },
        "shards": {str(state): count for state, count in view.shards.items()},
        "errors": dict(view.errors),
        "tokens": spent and [spent.input_tokens, spent.output_tokens],
        "slots": slots and [slots.pool, slots.limit, slots.in_use, slots.held],
        "jobs": [_job(job) for job in view.jobs],
        "model_id": view.model_id,
        "source": view.source_uri,
        "result_prefix": view.result_prefix,
        "accepted_at": view.accepted_at,
        "ended_at": view.ended_at,
    }


def _job(job: JobView) -> dict[str, Any]:
    return {
        "name": job.name,
        "arn": job.arn,
        "status": job.status,
        "attempt": job.attempt,
        "shard": job.shard,
        "message": job.message,
        "submitted_at": job.submitted_at,
        "ended_at": job.ended_at,
        "records": [job.total_records, job.processed_records, job.success_records, job.error_records],
    }


def _line(line: RunLine) -> dict[str, Any]:
    return {
        "run_id": line.run_id,
        "name": line.name,
        "state": line.state,
        "rows": [line.accepted, line.ok, line.error],
        "started_at": line.started_at,
        "ended_at": line.ended_at,
    }
