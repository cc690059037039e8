"""The page's own files: style, scripts, icon. Their addresses bear a version, so a browser may keep them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from quarry_cli.page.shapes import fingerprint_of

KINDS = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


@cache
def body_of(name: str) -> bytes:
    """One of `KINDS`."""
    return files("quarry_cli.page").joinpath("static", name).read_bytes()


def version_of(name: str) -> str:
    return fingerprint_of(body_of(name))[:8]
