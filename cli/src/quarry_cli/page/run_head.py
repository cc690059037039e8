"""What stands above each page of a run: its name and ids, what can be done to it, and its tabs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.requests import Request

from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.page import actions, words
from quarry_cli.page.site import Site
from quarry_core.contract.share import CLASSES, WEIGHT_MAX


def run_id_of(request: Request) -> str:
    """Of the address; it may be anything."""
    return str(request.path_params["run_id"])


async def read_head(site: Site, request: Request) -> tuple[RunView, dict[str, Any]]:
    """A run, and what `run_base.html` shows of it. Raises what `Reads` raises."""
    view = await site.reads.run(run_id_of(request))
    asked = await site.reads.asked(view.run_id)
    now = site.reads.connections.clock.now()
    links = site.served.links.of_run(view.run_id, view.results_uri, view.accepted_at, view.ended_at, now)
    return view, {
        "section": "runs",
        "view": view,
        "name": asked.pins.job_name_prefix if asked.pins else "refused",
        "links": links,
        "actions": actions.possible(view) if site.write else (),
        "classes": CLASSES,
        "weight_max": WEIGHT_MAX,
        "age": lambda text: _age_s(text, now),
    }


def _age_s(text: str | None, now: datetime) -> float | None:
    moment = words.moment_of(text)
    return None if moment is None else max(0.0, (now - moment).total_seconds())
