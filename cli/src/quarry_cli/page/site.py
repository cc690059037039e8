"""What all sections of the page use: the open environment, its templates, forms, deadlines and errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from quarry_cli.aws.answers import for_people
from quarry_cli.client.connections import Connect
from quarry_cli.client.dead_letters.connections import Open, Post
from quarry_cli.client.dead_letters.settings import DeadLetterSettings
from quarry_cli.errors import (
    BadSetting,
    NoResults,
    NoSuchRecord,
    NoSuchRun,
    NotConfigured,
    NotControlled,
    NotEnded,
    NotRetried,
    RunEnded,
    SeveralRuns,
)
from quarry_cli.page import assets, words
from quarry_cli.page.guard import Access
from quarry_cli.page.links import Links
from quarry_cli.page.reads import Reads, TooSlow
from quarry_cli.settings import ClientSettings
from quarry_core import __version__
from quarry_core.contract.share import CLASS_DEFAULT, WEIGHT_DEFAULT
from quarry_core.errors import PortError

ACT_S_MAX = 60.0
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


class Site:
    """What a section is given.

    Attributes:
        served: what is served, and to whom.
    """

    def __init__(self, served: Served) -> None:
        self.served = served
        self._reads: Reads | None = None
        self._templates = Environment(
            loader=PackageLoader("quarry_cli.page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(words.FILTERS)
        self._templates.filters["query"] = urlencode
        self._templates.globals.update(
            percent=words.percent,
            usual_share=(CLASS_DEFAULT, WEIGHT_DEFAULT),
            css=assets.version_of("page.css"),
            js=assets.version_of("page.js"),
            htmx=assets.version_of("htmx.min.js"),
        )

    @contextlib.asynccontextmanager
    async def opened(self, _: Starlette) -> AsyncIterator[None]:
        """The connection stays open as long as the page is served."""
        served = self.served
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

    @property
    def write(self) -> bool:
        """Whether anything can be changed."""
        return self.served.write

    def check_form(self, form: Mapping[str, str]) -> None:
        """Raises HTTPException for a form that is not of this page."""
        if not self.served.access.is_form_token(form.get("form_token", "")):
            raise HTTPException(403, "The form is not of this page, or too old: open the page again.")

    @contextlib.asynccontextmanager
    async def acting(self, late: str = "look whether it was done") -> AsyncIterator[None]:
        """Around what changes something: it has so long, and what was read before is read again.

        Args:
            late: what a person is told who waited in vain.

        Raises:
            TooSlow: it took longer than ACT_S_MAX.
        """
        try:
            async with asyncio.timeout(ACT_S_MAX):
                yield
        except TimeoutError as error:
            raise TooSlow(f"AWS did not answer within {ACT_S_MAX:g} s: {late}") from error
        finally:
            self.reads.forget()  # also if it failed: something may have moved

    def render(self, template: str, *, status: int = 200, section: str = "", **context: Any) -> Response:
        """A template as an answer. `section` is marked in the navigation."""
        body = self._templates.get_template(template).render(
            **context,
            section=section,
            environment=self.served.environment,
            write=self.served.write,
            form_token=self.served.access.form_token,
            version=__version__,
        )
        # Half a surrogate pair is a mark here, and no error.
        return Response(body.encode("utf-8", "replace"), status, media_type="text/html; charset=utf-8")

    async def failed(self, request: Request, error: Exception) -> Response:
        """An error as a page, or for htmx as a line."""
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
        return self.render("error.html", status=status, text=text)
