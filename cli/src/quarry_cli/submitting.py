"""Putting a manifest on the queue, and knowing its run id before anyone has read it.

The very text goes on the queue, with an origin id of its own: the run id follows from both (`manifest.run_id_of`).
Sending twice makes two runs unless the manifest names its `run_id`.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from quarry_cli.doors import Doors
from quarry_cli.errors import NotSubmitted
from quarry_core.manifest import (
    MANIFEST_BYTES_MAX,
    ORIGIN_ATTRIBUTE,
    ManifestError,
    manifest_hash,
    read_manifest,
    run_id_of,
)


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """`run_id` is None for text that is no JSON object: it was sent unchecked, and its end is the dead-letter queue.

    `known`: this very manifest, with this `run_id`, was accepted before; nothing happens a second time.
    """

    run_id: str | None
    message_id: str
    origin_id: str
    known: bool = False


async def submit(doors: Doors, text: str, *, check: bool = True) -> Submitted:
    """Send a manifest.

    Args:
        text: JSON.
        check: refuse here what would be refused there, as far as it can be seen from here.

    Raises:
        NotSubmitted: with the same sentences that the run would end with.
    """
    data = _object(text)
    known = check and await _check(doors, text, data)
    origin_id = doors.clock.token() + doors.clock.token()
    message_id = await doors.queue().send(text, {ORIGIN_ATTRIBUTE: origin_id})
    run_id = run_id_of(data, origin_id) if isinstance(data, dict) else None
    return Submitted(run_id=run_id, message_id=message_id, origin_id=origin_id, known=known)


def _object(text: str) -> Any:
    """The parsed text, or the error with which it cannot be parsed."""
    try:
        return json.loads(text)
    except ValueError as error:
        return error


async def _check(doors: Doors, text: str, data: Any) -> bool:
    """Whether the run stands already. Raises NotSubmitted."""
    if isinstance(data, ValueError):
        raise NotSubmitted(f"the manifest is not JSON: {data}") from data
    if not isinstance(data, dict):
        raise NotSubmitted(f"the manifest is not a JSON object but a {type(data).__name__}")
    size_bytes = len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > MANIFEST_BYTES_MAX:
        raise NotSubmitted(f"the manifest has {size_bytes} bytes; at most {MANIFEST_BYTES_MAX} are taken")
    try:
        asked = read_manifest(data).run_id
    except ManifestError as error:
        raise NotSubmitted(str(error)) from error
    if asked is None:
        return False
    run = await doors.ledger.run(asked)
    if run is not None and run.manifest_hash != manifest_hash(data):
        raise NotSubmitted(f"run_id: {asked} belongs to another manifest already; give this one an id of its own")
    return run is not None
