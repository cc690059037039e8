"""Who asks for a change: it is written down beside it."""

from __future__ import annotations

from collections.abc import Sequence

from quarry_cli.client.connections import Connections
from quarry_core.errors import PortError
from quarry_core.ledger import moves
from quarry_core.ledger.rows import AuditEntry
from quarry_core.ports import Write


def audit(
    connections: Connections, action: str, by: str, at: str, *, run_id: str = "", subject: str = "", what: str = ""
) -> Sequence[Write]:
    """The writes that keep an entry of the audit trail, for the transaction of what was done."""
    entry = AuditEntry(at, action, by, run_id, subject, what)
    return moves.audited(entry, connections.clock.token())


async def caller(connections: Connections) -> str:
    """The ARN of whoever asks; empty where AWS does not say."""
    if connections.ask is None:
        return ""
    try:
        return str((await connections.ask("sts", "get_caller_identity", {})).get("Arn", ""))
    except PortError:
        return ""
