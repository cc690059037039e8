"""Who asks for a change: it is written down beside it."""

from __future__ import annotations

from quarry_cli.client.connections import Connections
from quarry_core.errors import PortError


async def caller(connections: Connections) -> str:
    """The ARN of whoever asks; empty where AWS does not say."""
    if connections.ask is None:
        return ""
    try:
        return str((await connections.ask("sts", "get_caller_identity", {})).get("Arn", ""))
    except PortError:
        return ""
