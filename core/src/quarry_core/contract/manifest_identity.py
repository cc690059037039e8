"""Which run a manifest is: the run id that it asks for or gets, and when two are the same. Pure.

Every JSON object gets a run id, also one that is refused, so that its end can be looked up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from quarry_core.contract.names import RUN_ID_PATTERN
from quarry_core.text import SURROGATE

ORIGIN_ATTRIBUTE = "quarry_origin_id"
# The JSON object; or its text, where it stands inside a JSON string.
ManifestData = Mapping[str, Any] | str


def canonical_json(data: ManifestData) -> str:
    """One text for equal JSON, whatever the order of keys; half a surrogate pair stays the escape that it was."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def manifest_hash(data: ManifestData) -> str:
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()


def run_id_of(data: ManifestData, origin_id: str) -> str:
    """The run id that a manifest asks for, or 12 characters of a hash of its JSON and the origin id.

    The JSON is taken as it was sent: the order of keys and the space between them do not count, a key that is null
    does.

    Args:
        data: the manifest's JSON, valid or not.
        origin_id: the message attribute `quarry_origin_id`, else the message id: stable over redeliveries.
    """
    asked = data.get("run_id") if isinstance(data, Mapping) else None
    if isinstance(asked, str) and RUN_ID_PATTERN.fullmatch(asked):
        return asked
    text = canonical_json(data) + "\n" + origin_id
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:12]
