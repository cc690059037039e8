"""An entry of the audit trail."""

from __future__ import annotations

from dataclasses import dataclass

from quarry_core.ports import Item


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what. `at` is ISO 8601 in UTC; `by` is an ARN, or the id under which SQS knows who sent a manifest.

    `run_id` and `subject` (a pool, a model, a dead-letter queue) are what it was done to; either may be empty.
    """

    at: str
    action: str
    by: str
    run_id: str = ""
    subject: str = ""
    what: str = ""


def read_audit_entry(item: Item) -> AuditEntry:
    return AuditEntry(
        item["at"],
        item["action"],
        item["by"],
        item.get("run_id", ""),
        item.get("subject", ""),
        item.get("what", ""),
    )
