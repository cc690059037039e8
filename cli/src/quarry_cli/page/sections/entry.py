"""Before anything is shown: health, the page's own files, and signing in."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from quarry_cli.page import assets
from quarry_cli.page.forms import form_of, query_of
from quarry_cli.page.guard import HEALTH, LOGIN, SESSION_S_MAX, STATIC, local_target
from quarry_cli.page.site import Site

KEPT_S = 86_400


class Entry:
    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[Route]:
        return [
            Route(HEALTH, self.health),
            Route(LOGIN, self.login, methods=["GET", "POST"]),
            Route(STATIC + "{name}", self.static),
        ]

    async def health(self, _: Request) -> Response:
        """Asked by whoever runs the process; AWS is not asked."""
        return PlainTextResponse("ok\n")

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        kind = assets.KINDS.get(name)
        if kind is None:
            raise HTTPException(404)
        # The address bears the version.
        kept = {"cache-control": f"private, max-age={KEPT_S}, immutable"}
        return Response(assets.body_of(name), media_type=kind, headers=kept)

    async def login(self, request: Request) -> Response:
        access = self._site.served.access
        given = (await form_of(request)) if request.method == "POST" else query_of(request)
        target = local_target(given.get("next", "/"))
        token = given.get("token", "")
        if access.is_token(token):
            answer = RedirectResponse(target, 303)
            answer.set_cookie(
                access.cookie,
                access.session,
                max_age=SESSION_S_MAX,
                path="/",
                httponly=True,
                samesite="strict",
                secure=access.secure,
            )
            return answer
        wrong = "That is not the token of this page." if token else ""
        return self._site.render("login.html", status=401 if token else 200, target=target, wrong=wrong)
