"""What a browser sends: the query of an address, and a small form. Bounded, and nothing else."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

FORM_BYTES_MAX = 4_096
FIELD_CHARS_MAX = 400


def query_of(request: Request) -> dict[str, str]:
    return {name: value[:FIELD_CHARS_MAX] for name, value in request.query_params.items()}


async def form_of(request: Request) -> dict[str, str]:
    """A small form, as browsers send it."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415)
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_BYTES_MAX:
                raise HTTPException(413)
    except ClientDisconnect as error:
        raise HTTPException(400) from error
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise HTTPException(400) from error
    return {name: values[-1] for name, values in found.items()}


def number_of(text: str) -> int:
    """A whole number of an address, 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
