"""What is kept of who did what: entries of the audit trail, and who first sent a manifest that has to wait."""

from __future__ import annotations

from datetime import datetime, timedelta

from quarry_core.ledger.keys import origin_key, trail_key
from quarry_core.ledger.rows import AuditEntry
from quarry_core.ports import Put, Write
from quarry_core.text import one_line

AUDIT_DAYS = 400
ORIGIN_DAYS = 30  # longer than SQS keeps a message
WHO_CHARS_MAX = 300
WHAT_CHARS_MAX = 600


def audited(entry: AuditEntry, token: str) -> list[Write]:
    """Keep an entry, in the transaction of what it tells of.

    Args:
        token: tells two entries of one moment apart; the same for one that is written again.
    """
    kept = {
        "at": entry.at,
        "action": entry.action,
        "by": one_line(entry.by, WHO_CHARS_MAX) or "unknown",
        "run_id": entry.run_id,
        "subject": one_line(entry.subject, WHO_CHARS_MAX),
        "what": one_line(entry.what, WHAT_CHARS_MAX),
    }
    item = {name: value for name, value in kept.items() if value}
    return [Put(trail_key(entry.at, token), item | {"expires_at": _expires_at(entry.at, AUDIT_DAYS)})]


def remember_sender(origin_id: str, sender: str, at: str) -> list[Write]:
    """Who sent the first message of a manifest: a copy that waits in its place is sent by a service."""
    item = {"sender": one_line(sender, WHO_CHARS_MAX), "expires_at": _expires_at(at, ORIGIN_DAYS)}
    return [Put(origin_key(origin_id), item)]


def _expires_at(at: str, days: int) -> int:
    return int((datetime.fromisoformat(at) + timedelta(days=days)).timestamp())
