"""Telling the world that a run has ended, at least once, before its end stands in the ledger.

Theory of operation. Whoever ends a run tells of it first and ends it then: should it die in between, the end is made again,
and told again under the same id. The one who closes a run puts the event itself. A run that is refused is ended by a
service that may not speak on the bus, so it leaves the notice on the collector's queue. A webhook's notices always go
there: a host that does not answer must keep nobody waiting, and SQS repeats and at last dead-letters them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quarry_core.contract.notices import Channel, Notice, run_ended
from quarry_core.contract.states import RunState
from quarry_core.ledger.rows import Totals
from quarry_core.service.process import World

QUEUE = "collector"


async def leave(world: World, channel: Channel, detail: Mapping[str, Any]) -> None:
    """Put a notice on the collector's queue."""
    body = Notice(notice=channel, detail=detail).body()
    await world.queues[QUEUE].send(body, group=str(detail["run_id"]))


async def leave_for_webhook(world: World, detail: Mapping[str, Any]) -> None:
    """Likewise for the webhook, where there is one."""
    if world.settings.webhook_url:
        await leave(world, "webhook", detail)


async def tell_of_refusal(world: World, totals: Totals, reason: str, ended_at: str, *, code: str, step: str) -> None:
    """Before a run is FAILED that was never planned."""
    settings = world.settings
    detail = run_ended(
        env=settings.env,
        bucket=settings.bucket,
        run_id=totals.run_id,
        state=RunState.FAILED,
        code=code,
        step=step,
        reason=reason,
        rows={"accepted": 0, "ok": 0, "error": 0},
        ended_at=ended_at,
        since=totals.started_at,
        refused=True,
    )
    await leave(world, "event", detail)
    await leave_for_webhook(world, detail)
