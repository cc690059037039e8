"""What the page does beside runs: a pool's limit, and dead-letter messages that are moved back. Only with `--write`.

Each asks first, and calls what `quarry limits --set` and `quarry dlq redrive` call. Of dead-letter messages only those are moved
that were shown, by their ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from quarry_cli.client.dead_letters import queue as dead_letter_queue
from quarry_cli.client.pools.limits import REASON_CHARS_MAX, PoolLimit, read_limits, set_limit
from quarry_cli.errors import BadSetting
from quarry_cli.page import words
from quarry_cli.page.forms import form_of, query_of
from quarry_cli.page.reads import DEAD_LETTERS_SHOWN_MAX, Reads, TooSlow
from quarry_core.ledger.ledger import HOLDERS_MAX

ACT_S_MAX = 60.0
CHANGES_SHOWN = 5
ID_CHARS_MAX = 100
POOL_CHARS_MAX = 400

Render = Callable[..., Response]


class Operations:
    """The addresses of both.

    Args:
        reads: the page's, once it is opened.
        check_form: raises for a form that is not of this page.
        render: of the page's templates.
    """

    def __init__(
        self, reads: Callable[[], Reads], check_form: Callable[[Mapping[str, str]], None], render: Render
    ) -> None:
        self._reads = reads
        self._check_form = check_form
        self._render = render

    async def ask_limit(self, request: Request) -> Response:
        name = query_of(request).get("pool", "")
        found = await read_limits(self._reads().connections, _pool(name))
        pool = next((each for each in found.pools if each.pool == name), None)
        if pool is None:
            raise BadSetting(f"pool: {name!r} does not stand")
        return self._render(
            request,
            "limit.html",
            section="pools",
            pool=pool,
            changes=found.changes[:CHANGES_SHOWN],
            limit_max=HOLDERS_MAX,
            reason_max=REASON_CHARS_MAX,
        )

    async def set_limit(self, request: Request) -> Response:
        form = await form_of(request)
        self._check_form(form)
        name, text = _pool(form.get("pool", "")), form.get("limit", "").strip()
        if text and not (text.isascii() and text.isdigit() and len(text) <= 6):
            raise BadSetting(
                f"limit: {text[:20]!r} is not a whole number from 0 to {HOLDERS_MAX}; leave it empty for none"
            )
        reads = self._reads()
        try:
            async with asyncio.timeout(ACT_S_MAX):
                found = await set_limit(reads.connections, name, int(text) if text else None, form.get("reason", ""))
        except TimeoutError as error:
            raise TooSlow(f"AWS did not answer within {ACT_S_MAX:g} s: look whether it was done") from error
        finally:
            reads.forget()
        pool = next(each for each in found.pools if each.pool == name)
        return self._operated(request, "Set limit", _said(pool), [], ("/pools", "Back to the pools"))

    async def redrive(self, request: Request) -> Response:
        """Asks first; moves with the answer."""
        form = await form_of(request)
        self._check_form(form)
        queue, ids = str(request.path_params["queue"]), _ids(form.get("ids", ""))
        reads = self._reads()
        dead_letters, source = reads.redriven(queue)
        if form.get("sure") != "yes":
            return self._render(request, "redrive.html", section="dead-letters", queue=queue, ids=ids)
        try:
            async with asyncio.timeout(ACT_S_MAX):
                done = await dead_letter_queue.redrive(dead_letters, source, ids)
        except TimeoutError as error:
            raise TooSlow(
                f"AWS did not answer within {ACT_S_MAX:g} s: some may be moved; a message that is in both queues does no harm"
            ) from error
        finally:
            reads.forget()
        left = [f"{each} {why}" for each, why in done.left.items()]
        said = f"{words.count(done.done, 'message')} moved back to {queue}."
        return self._operated(request, "Move back", said, left, ("/dead-letters", "Back to the dead-letter messages"))

    def _operated(self, request: Request, title: str, said: str, more: list[str], back: tuple[str, str]) -> Response:
        context: dict[str, Any] = {"title": title, "said": said, "more": more, "back": back[0], "back_text": back[1]}
        return self._render(request, "operated.html", section=back[0].strip("/"), **context)


def _pool(name: str) -> str:
    """A pool's whole name, never only a model's. Raises BadSetting."""
    if not name or len(name) > POOL_CHARS_MAX or "#" not in name:
        raise BadSetting("pool: the address of this page is not one of ours")
    return name


def _ids(text: str) -> list[str]:
    """Those that were shown. Raises BadSetting."""
    ids = text.split()
    if not ids or len(ids) > DEAD_LETTERS_SHOWN_MAX or any(len(each) > ID_CHARS_MAX for each in ids):
        raise BadSetting(f"ids: one to {DEAD_LETTERS_SHOWN_MAX} messages that were shown: show them again")
    return list(dict.fromkeys(ids))


def _said(pool: PoolLimit) -> str:
    given = "QUARRY_JOB_QUOTA" if pool.set_to is None else f"{pool.set_to:,}"
    return f"The limit goes by {given} now; {pool.limit:,} slots may be used at the moment."
