"""What can be done to a run: a question, and its answer. Only with `--write`; what each action does is in `actions`."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarry_cli.page.actions import ACTIONS, Action
from quarry_cli.page.forms import form_of
from quarry_cli.page.run_head import read_head, run_id_of
from quarry_cli.page.site import Site


class Controls:
    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[Route]:
        if not self._site.write:
            return []
        return [
            Route("/runs/{run_id}/do/{action}", self.ask, methods=["GET"]),
            Route("/runs/{run_id}/do/{action}", self.do, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        """Ask before what cannot be undone."""
        action = _action(request)
        _, head = await read_head(self._site, request)
        return self._site.render("confirm.html", **head, tab="", action=action)

    async def do(self, request: Request) -> Response:
        form = await form_of(request)
        self._site.check_form(form)
        action = _action(request)
        async with self._site.acting():
            done = await action.do(self._site.reads.connections, run_id_of(request), form)
        _, head = await read_head(self._site, request)
        return self._site.render("done.html", **head, tab="", action=action, done=done)


def _action(request: Request) -> Action:
    action = ACTIONS.get(request.path_params["action"])
    if action is None:
        raise HTTPException(404)
    return action
