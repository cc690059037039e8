"""Pools, and with `--write` the limit of one, as `quarry limits --set` sets it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarry_cli.client.pools.limits import REASON_CHARS_MAX, PoolLimit, read_limits, set_limit
from quarry_cli.errors import BadSetting
from quarry_cli.page import shapes
from quarry_cli.page.forms import form_of, number_of, query_of
from quarry_cli.page.polling import is_fragment, poll_s
from quarry_cli.page.site import Site
from quarry_core.ledger.ledger import HOLDERS_MAX

CHANGES_SHOWN = 5
POOL_CHARS_MAX = 400


class Pools:
    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[Route]:
        pools = [Route("/pools", self.pools)]
        if not self._site.write:
            return pools
        return [
            *pools,
            Route("/pools/limit", self.ask_limit, methods=["GET"]),
            Route("/pools/limit", self.set_limit, methods=["POST"]),
        ]

    async def pools(self, request: Request) -> Response:
        query = query_of(request)
        found = await self._site.reads.pools(number_of(query.get("page", "0")))
        seen = shapes.fingerprint_of(found)
        bars = {
            pool.limit.pool: shapes.bar(
                [("s-submitted", "in use", pool.limit.in_use)], max(pool.limit.limit, pool.limit.in_use)
            )
            for pool in found.pools
        }
        template = "pools_list.html" if is_fragment(request) else "pools.html"
        again = "/pools?" + urlencode({"page": found.page, "seen": seen})
        return self._site.render(
            template, section="pools", found=found, bars=bars, again=again, poll_s=poll_s(query, seen)
        )

    async def ask_limit(self, request: Request) -> Response:
        name = query_of(request).get("pool", "")
        found = await read_limits(self._site.reads.connections, _pool(name))
        pool = next((each for each in found.pools if each.pool == name), None)
        if pool is None:
            raise BadSetting(f"pool: {name!r} does not stand")
        return self._site.render(
            "limit.html",
            section="pools",
            pool=pool,
            changes=found.changes[:CHANGES_SHOWN],
            limit_max=HOLDERS_MAX,
            reason_max=REASON_CHARS_MAX,
        )

    async def set_limit(self, request: Request) -> Response:
        form = await form_of(request)
        self._site.check_form(form)
        name, text = _pool(form.get("pool", "")), form.get("limit", "").strip()
        if text and not (text.isascii() and text.isdigit() and len(text) <= 6):
            raise BadSetting(
                f"limit: {text[:20]!r} is not a whole number from 0 to {HOLDERS_MAX}; leave it empty for none"
            )
        limit, reason = int(text) if text else None, form.get("reason", "")
        async with self._site.acting():
            found = await set_limit(self._site.reads.connections, name, limit, reason)
        pool = next(each for each in found.pools if each.pool == name)
        return self._site.render(
            "operated.html",
            section="pools",
            title="Set limit",
            said=_said(pool),
            more=[],
            back="/pools",
            back_text="Back to the pools",
        )


def _pool(name: str) -> str:
    """A pool's whole name, never only a model's. Raises BadSetting."""
    if not name or len(name) > POOL_CHARS_MAX or "#" not in name:
        raise BadSetting("pool: the address of this page is not one of ours")
    return name


def _said(pool: PoolLimit) -> str:
    given = "QUARRY_JOB_QUOTA" if pool.set_to is None else f"{pool.set_to:,}"
    return f"The limit goes by {given} now; {pool.limit:,} slots may be used at the moment."
