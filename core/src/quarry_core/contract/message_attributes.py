"""The attributes of a message that is sent on: SQS takes ten, and Quarry adds its own. Pure.

A message that waits its turn is sent again with its first id beside it, and a dead-letter message says why it is one. Where
the sender's attributes leave no room for ours, all of theirs travel in one, `quarry_attributes`, as a JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from quarry_core.contract.manifest_identity import ORIGIN_ATTRIBUTE

ATTRIBUTES_MAX = 10
CARRIED = "quarry_attributes"


def together(theirs: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Both, theirs in one attribute where there would be more than ten; ours hold where a name is in both."""
    kept = {name: value for name, value in theirs.items() if name not in ours}
    if len(kept) + len(ours) <= ATTRIBUTES_MAX:
        return {**kept, **ours}
    return {CARRIED: json.dumps(kept), **ours}


def apart(attributes: Mapping[str, str]) -> dict[str, str]:
    """The sender's attributes as he sent them; what is not ours to take apart stays as it is."""
    try:
        carried = json.loads(attributes.get(CARRIED, ""))
    except (ValueError, RecursionError):
        return dict(attributes)
    if not isinstance(carried, dict) or not all(isinstance(each, str) and each for each in carried.values()):
        return dict(attributes)
    rest = {name: value for name, value in attributes.items() if name != CARRIED}
    return {**carried, **rest}


def with_origin(attributes: Mapping[str, str], origin_id: str) -> dict[str, str]:
    """For a message that is sent again: its attributes, and the id by which it was first known."""
    return together(attributes, {ORIGIN_ATTRIBUTE: attributes.get(ORIGIN_ATTRIBUTE) or origin_id})
