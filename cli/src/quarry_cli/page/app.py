"""The page: its addresses, each of which reads, and renders a template.

Theory of operation. One process serves one environment, whose connection is open as long as it serves. A page is whole
without a script: what moves is a fragment that htmx asks for again, after a pause that the server chooses. An address that
changes anything is a POST, stands only with `--write`, and calls what the command of the same name calls.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from quarry_cli.aws.answers import for_people
from quarry_cli.client.connections import Connect
from quarry_cli.client.dead_letters.connections import Open, Post
from quarry_cli.client.dead_letters.queue import NO_REASON
from quarry_cli.client.dead_letters.settings import DeadLetterSettings
from quarry_cli.client.runs.pieces import page_of
from quarry_cli.client.runs.search import Wanted
from quarry_cli.client.runs.view import RunView
from quarry_cli.errors import (
    BadSetting,
    NoResults,
    NoSuchRecord,
    NoSuchRun,
    NotConfigured,
    NotControlled,
    NotEnded,
    NotRetried,
    QuarryError,
    RunEnded,
    SeveralRuns,
)
from quarry_cli.page import actions, shapes, words
from quarry_cli.page.forms import form_of, query_of
from quarry_cli.page.guard import HEALTH, LOGIN, SESSION_S_MAX, Access, Guard, local_target
from quarry_cli.page.links import Links
from quarry_cli.page.operations import ACT_S_MAX, Operations
from quarry_cli.page.reads import NOT_REDRIVEN, Reads, TooSlow
from quarry_cli.screen import wording
from quarry_cli.settings import ClientSettings
from quarry_core import __version__
from quarry_core.contract.share import CLASSES, WEIGHT_MAX
from quarry_core.contract.states import HELD, RunState
from quarry_core.errors import PortError

JOBS_SHOWN = 12
KEPT_S = 86_400
STATIC_FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_STATUS: Mapping[type[Exception], int] = {
    NoSuchRun: 404,
    NoSuchRecord: 404,
    NoResults: 404,
    SeveralRuns: 409,
    NotControlled: 409,
    NotRetried: 409,
    NotEnded: 409,
    RunEnded: 409,
    BadSetting: 400,
    TooSlow: 504,
}


@dataclass(frozen=True, slots=True)
class Served:
    """What is served.

    Attributes:
        connect: opens the environment.
        access: who may see it.
        environment: its name, as it is shown.
        write: whether runs can be controlled.
        open_queues: opens the dead-letter queues; None where they are not shown.
    """

    connect: Connect
    access: Access
    environment: str = ""
    write: bool = False
    links: Links = field(default_factory=Links)
    open_queues: Open | None = None


def build_app(served: Served) -> Starlette:
    """The page of one environment."""
    page = Page(served)
    routes = [
        Route(HEALTH, page.health),
        Route(LOGIN, page.login, methods=["GET", "POST"]),
        Route("/static/{name}", page.static),
        Route("/", page.runs),
        Route("/runs/{run_id}", page.run),
        Route("/runs/{run_id}/live", page.live),
        Route("/runs/{run_id}/shards", page.shards),
        Route("/runs/{run_id}/shards/{shard}", page.shard),
        Route("/runs/{run_id}/jobs", page.jobs),
        Route("/runs/{run_id}/errors", page.errors),
        Route("/runs/{run_id}/rows", page.rows),
        Route("/runs/{run_id}/request", page.request),
        Route("/runs/{run_id}/report", page.report),
        Route("/pools", page.pools),
        Route("/dead-letters", page.dead_letters),
        Route("/dead-letters/{queue}", page.dead_letters_of, methods=["POST"]),
    ]
    if served.write:
        routes += [
            Route("/runs/{run_id}/do/{action}", page.confirm, methods=["GET"]),
            Route("/runs/{run_id}/do/{action}", page.act, methods=["POST"]),
            Route("/pools/limit", page.operations.ask_limit, methods=["GET"]),
            Route("/pools/limit", page.operations.set_limit, methods=["POST"]),
            Route("/dead-letters/{queue}/redrive", page.operations.redrive, methods=["POST"]),
        ]
    errors: Mapping[Any, Callable[[Request, Exception], Any]] = {
        QuarryError: page.failed,
        PortError: page.failed,
        TooSlow: page.failed,
        HTTPException: page.failed,
    }
    guard = Middleware(Guard, access=served.access)
    return Starlette(routes=routes, middleware=[guard], exception_handlers=errors, lifespan=page.opened)


class Page:
    def __init__(self, served: Served) -> None:
        self._served = served
        self._reads: Reads | None = None
        self._static: dict[str, bytes] = {}
        self._templates = Environment(
            loader=PackageLoader("quarry_cli.page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.operations = Operations(lambda: self.reads, self._check_form, self._render)
        self._templates.filters.update(words.FILTERS)
        self._templates.filters["query"] = urlencode
        self._templates.globals.update(
            percent=words.percent,
            css=_version_of("page.css"),
            js=_version_of("page.js"),
            htmx=_version_of("htmx.min.js"),
        )

    @contextlib.asynccontextmanager
    async def opened(self, _: Starlette) -> AsyncIterator[None]:
        """The connection stays open as long as the page is served."""
        served = self._served
        async with contextlib.AsyncExitStack() as stack:
            connections = await stack.enter_async_context(served.connect())
            queues: Post | None = None
            known: tuple[str, ...] = ()
            sources: tuple[str, ...] = ()
            if served.open_queues is not None:
                settings = DeadLetterSettings.read()
                with contextlib.suppress(NotConfigured):
                    known = tuple(settings.known())
                    sources = tuple(name for name in known if settings.source_url(name))
                    queues = await stack.enter_async_context(served.open_queues(settings))
            self._reads = Reads(connections, queues, known, sources)
            yield

    @property
    def reads(self) -> Reads:
        assert self._reads is not None, "the page is not opened"
        return self._reads

    # ------------------------------------------------------------------ reading

    async def health(self, _: Request) -> Response:
        """Asked by whoever runs the process; AWS is not asked."""
        return PlainTextResponse("ok\n")

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        kind = STATIC_FILES.get(name)
        if kind is None:
            raise HTTPException(404)
        body = self._static.setdefault(name, files("quarry_cli.page").joinpath("static", name).read_bytes())
        # The address bears the version.
        return Response(body, media_type=kind, headers={"cache-control": f"private, max-age={KEPT_S}, immutable"})

    async def login(self, request: Request) -> Response:
        access = self._served.access
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
        return self._render(request, "login.html", status=401 if token else 200, target=target, wrong=wrong)

    async def runs(self, request: Request) -> Response:
        query = query_of(request)
        wanted, problem = _wanted(query)
        page = await self.reads.runs(wanted, _number(query.get("after", "0")))
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
            "poll_s": _poll_s(query, seen),
            "filtered": bool(kept),
        }
        fragment = live and "hx-request" in request.headers
        return self._render(request, "runs_list.html" if fragment else "runs.html", section="runs", **context)

    async def run(self, request: Request) -> Response:
        return await self._run_page(request, "run.html")

    async def live(self, request: Request) -> Response:
        return await self._run_page(request, "run_live.html", fragment=True)

    async def _run_page(self, request: Request, template: str, *, fragment: bool = False) -> Response:
        view, about = await self._about(request)
        query, seen = query_of(request), shapes.fingerprint(view)
        return self._render(
            request,
            template,
            **about,
            tab="overview",
            rows_bar=shapes.rows_bar(view),
            shards_bar=shapes.shards_bar(view),
            jobs=shapes.seen_jobs(view, JOBS_SHOWN),
            seen=seen,
            poll_s=_poll_s(query, seen),
            fragment=fragment,
            canary=words.sentence(wording.canary_of(view)),
            lets_go_on=actions.lets_go_on(view) if self._served.write else None,
            moved=fragment and query.get("state", "") not in ("", view.state.value),
        )

    async def shards(self, request: Request) -> Response:
        query = query_of(request)
        if shard := query.get("shard", "").strip():
            number = f"{_number(shard):05d}" if shard.isascii() and shard.isdigit() else shard
            return RedirectResponse(f"/runs/{_run_id(request)}/shards/{number}", 303)
        view, about = await self._about(request)
        found = await self.reads.shards(view.run_id, _number(query.get("page", "0")))
        return self._render(
            request, "shards.html", **about, tab="shards", found=found, shards_bar=shapes.shards_bar(view)
        )

    async def shard(self, request: Request) -> Response:
        name = request.path_params["shard"]
        view, about = await self._about(request)
        found = await self.reads.shard(view.run_id, name)
        if found is None:
            raise NoSuchRecord(f"run {view.run_id} has no shard {name!r} (yet)")
        shard, jobs = found
        return self._render(
            request, "shard.html", **about, tab="shards", shard=shard, jobs=jobs, back=page_of(shard.shard)
        )

    async def jobs(self, request: Request) -> Response:
        view, about = await self._about(request)
        found = await self.reads.jobs(view.run_id, query_of(request).get("after", ""))
        more = None if found.after is None else "?" + urlencode({"after": found.after})
        return self._render(request, "jobs.html", **about, tab="jobs", found=found, more=more)

    async def errors(self, request: Request) -> Response:
        view, about = await self._about(request)
        found = await self.reads.errors(view.run_id)
        return self._render(request, "errors.html", **about, tab="errors", found=found)

    async def rows(self, request: Request) -> Response:
        view, about = await self._about(request)
        rows = None
        if not view.erased_at and not view.dry_run and view.results_uri:
            rows = await self.reads.rows(view.run_id)
        return self._render(
            request, "rows.html", **about, tab="rows", rows=rows, answer=f"{view.result_prefix}response"
        )

    async def request(self, request: Request) -> Response:
        view, about = await self._about(request)
        asked = await self.reads.asked(view.run_id)
        wanted, record, problem = query_of(request).get("record", "").strip(), None, ""
        if not view.erased_at and not view.dry_run and (wanted or view.rows.enlisted):
            try:
                record = await self.reads.record(view.run_id, wanted or "0")
            except (QuarryError, PortError) as error:
                problem = str(error)
        return self._render(
            request,
            "request.html",
            **about,
            tab="request",
            pins=asked.pins,
            record=record,
            wanted=wanted,
            problem=problem,
        )

    async def report(self, request: Request) -> Response:
        """The report as a file: a page of another make has no place under this one's address."""
        run_id = _run_id(request)
        name = {"content-disposition": f'attachment; filename="quarry-{run_id}.html"'}
        return Response(await self.reads.report(run_id), media_type="text/html; charset=utf-8", headers=name)

    async def pools(self, request: Request) -> Response:
        query = query_of(request)
        found = await self.reads.pools(_number(query.get("page", "0")))
        seen = shapes.fingerprint_of(found)
        bars = {
            pool.limit.pool: shapes.bar(
                [("s-submitted", "in use", pool.limit.in_use)], max(pool.limit.limit, pool.limit.in_use)
            )
            for pool in found.pools
        }
        template = "pools_list.html" if "hx-request" in request.headers else "pools.html"
        again = "/pools?" + urlencode({"page": found.page, "seen": seen})
        return self._render(
            request, template, section="pools", found=found, bars=bars, again=again, poll_s=_poll_s(query, seen)
        )

    async def dead_letters(self, request: Request) -> Response:
        return self._render(
            request,
            "dead_letters.html",
            section="dead-letters",
            depths=await self.reads.depths(),
            queue=None,
            messages=[],
        )

    async def dead_letters_of(self, request: Request) -> Response:
        """A POST: who looks at messages hides them from others for a moment, and adds to their receive count."""
        self._check_form(await form_of(request))
        queue = request.path_params["queue"]
        messages = await self.reads.dead_letters_of(queue)
        return self._render(
            request,
            "dead_letters.html",
            section="dead-letters",
            depths=await self.reads.depths(),
            queue=queue,
            messages=messages,
            can_redrive=queue not in NOT_REDRIVEN and any(each.whole for each in messages),
            no_reason=NO_REASON,
        )

    # ------------------------------------------------------------------ controlling

    async def confirm(self, request: Request) -> Response:
        """Ask before what cannot be undone."""
        action = _action(request)
        _, about = await self._about(request)
        return self._render(request, "confirm.html", **about, tab="", action=action)

    async def act(self, request: Request) -> Response:
        form = await form_of(request)
        self._check_form(form)
        action, run_id = _action(request), _run_id(request)
        try:
            async with asyncio.timeout(ACT_S_MAX):
                done = await action.do(self.reads.connections, run_id, form)
        except TimeoutError as error:
            raise TooSlow(f"AWS did not answer within {ACT_S_MAX:g} s: look whether it was done") from error
        finally:
            self.reads.forget()  # also if it failed: something may have moved
        _, about = await self._about(request)
        return self._render(request, "done.html", **about, tab="", action=action, done=done)

    def _check_form(self, form: Mapping[str, str]) -> None:
        if not self._served.access.is_form_token(form.get("form_token", "")):
            raise HTTPException(403, "The form is not of this page, or too old: open the page again.")

    # ------------------------------------------------------------------ rendering

    async def _about(self, request: Request) -> tuple[RunView, dict[str, Any]]:
        """A run, and what each of its pages shows."""
        view = await self.reads.run(_run_id(request))
        asked = await self.reads.asked(view.run_id)
        now = self.reads.connections.clock.now()
        links = self._served.links.of_run(view.run_id, view.results_uri, view.accepted_at, view.ended_at, now)
        return view, {
            "section": "runs",
            "view": view,
            "name": asked.pins.job_name_prefix if asked.pins else "refused",
            "links": links,
            "actions": actions.possible(view) if self._served.write else (),
            "classes": CLASSES,
            "weight_max": WEIGHT_MAX,
            "age": lambda text: _age_s(text, now),
        }

    def _render(
        self, request: Request, template: str, *, status: int = 200, section: str = "", **context: Any
    ) -> Response:
        del request
        body = self._templates.get_template(template).render(
            **context,
            section=section,
            environment=self._served.environment,
            write=self._served.write,
            form_token=self._served.access.form_token,
            version=__version__,
        )
        # Half a surrogate pair is a mark here, and no error.
        return Response(body.encode("utf-8", "replace"), status, media_type="text/html; charset=utf-8")

    async def failed(self, request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            status = error.status_code
            text = error.detail
        else:
            known = for_people(error, ClientSettings()) if isinstance(error, PortError) else None
            status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 502)
            text = str(known or error)
        if "hx-request" in request.headers:
            # htmx leaves what stands, says so and tries again later.
            return PlainTextResponse(words.line(text), status)
        return self._render(request, "error.html", status=status, text=text)


def _version_of(name: str) -> str:
    body = files("quarry_cli.page").joinpath("static", name).read_bytes()
    return shapes.fingerprint_of(body)[:8]


def _run_id(request: Request) -> str:
    return str(request.path_params["run_id"])


def _action(request: Request) -> actions.Action:
    action = actions.ACTIONS.get(request.path_params["action"])
    if action is None:
        raise HTTPException(404)
    return action


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0


def _poll_s(query: Mapping[str, str], seen: str) -> int:
    return shapes.next_poll_s(_number(query.get("poll", "0")), changed=query.get("seen", "") != seen)


def _wanted(query: Mapping[str, str]) -> tuple[Wanted, str]:
    state = query.get("state", "").upper()
    known = state == HELD or state in RunState.__members__
    states = frozenset({state}) if known else frozenset()
    problem = "" if known or not state else f"There is no state {state}."
    return Wanted(name=query.get("name", "").strip(), model=query.get("model", "").strip(), states=states), problem


def _age_s(text: str | None, now: Any) -> float | None:
    moment = words.moment_of(text)
    return None if moment is None else max(0.0, (now - moment).total_seconds())
