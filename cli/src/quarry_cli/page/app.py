"""The page of one environment: its sections, behind the guard.

Theory of operation. One process serves one environment, whose connection is open as long as it serves. A page is whole
without a script: what moves is a fragment that htmx asks for again, after a pause that the server chooses. An address that
changes anything is a POST, stands only with `--write`, and calls what the command of the same name calls.

Each section is a file in `sections`, with its addresses and what they do; what all of them use is the `Site`. What is
read from AWS is in `reads`, and how it is worded in `words`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request

from quarry_cli.errors import QuarryError
from quarry_cli.page.guard import Guard
from quarry_cli.page.reads import TooSlow
from quarry_cli.page.sections import SECTIONS
from quarry_cli.page.site import Served, Site
from quarry_core.errors import PortError

__all__ = ["Served", "build_app"]


def build_app(served: Served) -> Starlette:
    """The page of one environment."""
    site = Site(served)
    errors: Mapping[Any, Callable[[Request, Exception], Any]] = dict.fromkeys(
        (QuarryError, PortError, TooSlow, HTTPException), site.failed
    )
    return Starlette(
        routes=[route for section in SECTIONS for route in section(site).routes()],
        middleware=[Middleware(Guard, access=served.access)],
        exception_handlers=errors,
        lifespan=site.opened,
    )
