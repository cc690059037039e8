"""A run, on a page for each of its tabs. Only reads."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from quarry_cli.client.runs.pieces import page_of
from quarry_cli.errors import NoSuchRecord, QuarryError
from quarry_cli.page import actions, shapes, words
from quarry_cli.page.forms import number_of, query_of
from quarry_cli.page.polling import poll_s
from quarry_cli.page.run_head import read_head, run_id_of
from quarry_cli.page.site import Site
from quarry_cli.screen import wording
from quarry_core.errors import PortError

JOBS_SHOWN = 12


class OneRun:
    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[Route]:
        return [
            Route("/runs/{run_id}", self.overview),
            Route("/runs/{run_id}/live", self.live),
            Route("/runs/{run_id}/shards", self.shards),
            Route("/runs/{run_id}/shards/{shard}", self.shard),
            Route("/runs/{run_id}/jobs", self.jobs),
            Route("/runs/{run_id}/errors", self.errors),
            Route("/runs/{run_id}/rows", self.rows),
            Route("/runs/{run_id}/request", self.request),
            Route("/runs/{run_id}/report", self.report),
        ]

    async def overview(self, request: Request) -> Response:
        return await self._overview(request, "run.html")

    async def live(self, request: Request) -> Response:
        """The part of the overview that moves."""
        return await self._overview(request, "run_live.html", fragment=True)

    async def _overview(self, request: Request, template: str, *, fragment: bool = False) -> Response:
        view, head = await read_head(self._site, request)
        query, seen = query_of(request), shapes.fingerprint(view)
        return self._site.render(
            template,
            **head,
            tab="overview",
            rows_bar=shapes.rows_bar(view),
            shards_bar=shapes.shards_bar(view),
            jobs=shapes.seen_jobs(view, JOBS_SHOWN),
            seen=seen,
            poll_s=poll_s(query, seen),
            fragment=fragment,
            canary=words.sentence(wording.canary_of(view)),
            lets_go_on=actions.lets_go_on(view) if self._site.write else None,
            moved=fragment and query.get("state", "") not in ("", view.state.value),
        )

    async def shards(self, request: Request) -> Response:
        query = query_of(request)
        if shard := query.get("shard", "").strip():
            number = f"{number_of(shard):05d}" if shard.isascii() and shard.isdigit() else shard
            return RedirectResponse(f"/runs/{run_id_of(request)}/shards/{number}", 303)
        view, head = await read_head(self._site, request)
        found = await self._site.reads.shards(view.run_id, number_of(query.get("page", "0")))
        return self._site.render("shards.html", **head, tab="shards", found=found, shards_bar=shapes.shards_bar(view))

    async def shard(self, request: Request) -> Response:
        name = request.path_params["shard"]
        view, head = await read_head(self._site, request)
        found = await self._site.reads.shard(view.run_id, name)
        if found is None:
            raise NoSuchRecord(f"run {view.run_id} has no shard {name!r} (yet)")
        shard, jobs = found
        return self._site.render("shard.html", **head, tab="shards", shard=shard, jobs=jobs, back=page_of(shard.shard))

    async def jobs(self, request: Request) -> Response:
        view, head = await read_head(self._site, request)
        found = await self._site.reads.jobs(view.run_id, query_of(request).get("after", ""))
        more = None if found.after is None else "?" + urlencode({"after": found.after})
        return self._site.render("jobs.html", **head, tab="jobs", found=found, more=more)

    async def errors(self, request: Request) -> Response:
        view, head = await read_head(self._site, request)
        found = await self._site.reads.errors(view.run_id)
        return self._site.render("errors.html", **head, tab="errors", found=found)

    async def rows(self, request: Request) -> Response:
        view, head = await read_head(self._site, request)
        rows = None
        if not view.erased_at and not view.dry_run and view.results_uri:
            rows = await self._site.reads.rows(view.run_id)
        answer = f"{view.result_prefix}response"
        return self._site.render("rows.html", **head, tab="rows", rows=rows, answer=answer)

    async def request(self, request: Request) -> Response:
        """The prompt, and what became of one record."""
        view, head = await read_head(self._site, request)
        asked = await self._site.reads.asked(view.run_id)
        wanted, record, problem = query_of(request).get("record", "").strip(), None, ""
        if not view.erased_at and not view.dry_run and (wanted or view.rows.enlisted):
            try:
                record = await self._site.reads.record(view.run_id, wanted or "0")
            except (QuarryError, PortError) as error:
                problem = str(error)
        return self._site.render(
            "request.html", **head, tab="request", pins=asked.pins, record=record, wanted=wanted, problem=problem
        )

    async def report(self, request: Request) -> Response:
        """The report as a file: a page of another make has no place under this one's address."""
        run_id = run_id_of(request)
        report = await self._site.reads.report(run_id)
        name = {"content-disposition": f'attachment; filename="quarry-{run_id}.html"'}
        return Response(report, media_type="text/html; charset=utf-8", headers=name)
