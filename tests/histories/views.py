"""What `quarry status` says of the runs of a history, in the words that scripts rely on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from quarry_cli.client.api import Client
from quarry_cli.client.connections import Connections
from quarry_cli.errors import NoSuchRun
from tests.world.world import SimulatedWorld


def views_of(world: SimulatedWorld, run_ids: Iterable[str]) -> dict[str, Any]:
    """State, code, rows, shards by state and jobs of each run that has been accepted."""

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
        try:
            view = client.status(run_id)
        except NoSuchRun:
            continue
        found[run_id] = {
            "state": str(view.state),
            "code": view.code,
            "rows": {name: getattr(view.rows, name) for name in ("accepted", "ok", "error", "open", "enlisted")},
            "shards": {str(state): count for state, count in view.shards.items()},
            "jobs": {job.name: job.status for job in view.jobs},
        }
    return found
