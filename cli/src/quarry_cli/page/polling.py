"""How a page asks again for its part that moves: by htmx, after a pause that grows while nothing does."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request

from quarry_cli.page.forms import number_of
from quarry_cli.page.shapes import next_poll_s


def is_fragment(request: Request) -> bool:
    """Whether htmx asks, for the part that moves alone."""
    return "hx-request" in request.headers


def poll_s(query: Mapping[str, str], seen: str) -> int:
    """Seconds until the next look.

    Args:
        query: has what was `seen` at the last look, and how long it was waited for it, `poll`.
        seen: a fingerprint of what is shown now.
    """
    return next_poll_s(number_of(query.get("poll", "0")), changed=query.get("seen", "") != seen)
