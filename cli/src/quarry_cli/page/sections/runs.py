"""The list of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarry_cli.client.runs.search import Wanted
from quarry_cli.page import shapes
from quarry_cli.page.forms import number_of, query_of
from quarry_cli.page.polling import is_fragment, poll_s
from quarry_cli.page.site import Site
from quarry_core.contract.states import HELD, RunState


class Runs:
    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[Route]:
        return [Route("/", self.runs)]

    async def runs(self, request: Request) -> Response:
        query = query_of(request)
        wanted, problem = _wanted(query)
        page = await self._site.reads.runs(wanted, number_of(query.get("after", "0")))
        kept = {name: query[name] for name in ("name", "model", "state") if query.get(name)}
        more = None if page.after is None else "/?" + urlencode({**kept, "after": page.after})
        # A list that somebody pages through stays as it is.
        live = not query.get("after")
        seen = shapes.fingerprint_of(
            [(each.run.run_id, each.run.state, each.run.ok, each.run.error) for each in page.runs]
        )
        context: dict[str, Any] = {
            "page": page,
            "query": {name: query.get(name, "") for name in ("name", "model", "state")},
            "problem": problem,
            "more": more,
            "live": live,
            "states": [*(state.value for state in RunState), HELD],
            "again": "/?" + urlencode({**kept, "seen": seen}),
            "poll_s": poll_s(query, seen),
            "filtered": bool(kept),
        }
        template = "runs_list.html" if live and is_fragment(request) else "runs.html"
        return self._site.render(template, section="runs", **context)


def _wanted(query: Mapping[str, str]) -> tuple[Wanted, str]:
    state = query.get("state", "").upper()
    known = state == HELD or state in RunState.__members__
    states = frozenset({state}) if known else frozenset()
    problem = "" if known or not state else f"There is no state {state}."
    return Wanted(name=query.get("name", "").strip(), model=query.get("model", "").strip(), states=states), problem
