"""Whether a queue is the one for manifests, told by its name, and what its sisters are called. Pure.

A manifest on another of Quarry's queues is nobody's: at best it becomes a dead-letter message, and no run ever tells of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from quarry_core.contract.names import queue_name
from quarry_core.text import shown_name

_VARIABLE = "QUARRY_MANIFEST_QUEUE_URL"
_OURS = re.compile(r"(?P<env>[a-z0-9]{1,8})-quarry-(?P<queue>[a-z-]+)")


def wrong_queue(url: str, env: str, others: Mapping[str, str]) -> str | None:
    """Why manifests should not be sent there; None if nothing speaks against it. Names that are not ours may be anything.

    Args:
        url: where they would be sent.
        env: the environment's name; empty if it is not known.
        others: URLs of the environment's other queues, by name.
    """
    name = url.rstrip("/").rpartition("/")[2]
    for other, other_url in others.items():
        if url == other_url:
            return _sentence(name, f"the environment's queue {other!r}", env)
    ours = _OURS.fullmatch(name)
    if ours is not None and ours["queue"] != "manifests":
        return _sentence(name, f"Quarry's queue {ours['queue']!r}", env)
    if ours is not None and env and ours["env"] != env:
        return _sentence(name, f"the queue of the environment {ours['env']!r}, but QUARRY_ENV is {env!r}", env)
    if name.endswith(("-dlq", "-dlq.fifo")):
        return _sentence(name, "a dead-letter queue by its name", env)
    return None


def sibling(url: str, queue: str) -> str:
    """The URL of another queue of the environment whose manifest queue this is; empty where its name is not one of ours."""
    place, _, name = url.rstrip("/").rpartition("/")
    ours = _OURS.fullmatch(name)
    return f"{place}/{queue_name(ours['env'], queue)}" if ours is not None and ours["queue"] == "manifests" else ""


def _sentence(name: str, what: str, env: str) -> str:
    right = f"{env or '<env>'}-quarry-manifests"
    return f"{_VARIABLE} points to {shown_name(name)}, which is {what}: set it to the URL of {right}"
