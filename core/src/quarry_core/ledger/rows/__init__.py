"""The ledger's items as the code reads them, one file a kind; their keys stand in `ledger/keys.py`. Reads are consistent.

A new attribute is a field with a default, for items of the release before have none. A new kind of item is a file here, its
key, and its moves.
"""

from quarry_core.ledger.rows.audit import AuditEntry, read_audit_entry
from quarry_core.ledger.rows.failures import BEGUN, BegunRow, FailureRow, read_begun, read_failure
from quarry_core.ledger.rows.history import read_history
from quarry_core.ledger.rows.job import JobRow, read_job
from quarry_core.ledger.rows.month import Month, read_month
from quarry_core.ledger.rows.pool import Lane, LimitChange, Pool, read_lane, read_limit_change, read_pool
from quarry_core.ledger.rows.refused_model import RefusedModel, read_refused_model
from quarry_core.ledger.rows.run import PINNED, TEXTS, has_text, read_run, run_item, text_item
from quarry_core.ledger.rows.shard import (
    HEARTBEAT,
    HEARTBEAT_BEFORE,
    ON_DEMAND,
    Shard,
    Waiting,
    read_shard,
    read_waiting,
)
from quarry_core.ledger.rows.slice import Slice, read_slice
from quarry_core.ledger.rows.totals import ERRORS, Totals, cancelled_sentence, read_totals
from quarry_core.ledger.rows.version import Version, read_version

__all__ = [
    "BEGUN",
    "ERRORS",
    "HEARTBEAT",
    "HEARTBEAT_BEFORE",
    "ON_DEMAND",
    "PINNED",
    "TEXTS",
    "AuditEntry",
    "BegunRow",
    "FailureRow",
    "JobRow",
    "Lane",
    "LimitChange",
    "Month",
    "Pool",
    "RefusedModel",
    "Shard",
    "Slice",
    "Totals",
    "Version",
    "Waiting",
    "cancelled_sentence",
    "has_text",
    "read_audit_entry",
    "read_begun",
    "read_failure",
    "read_history",
    "read_job",
    "read_lane",
    "read_limit_change",
    "read_month",
    "read_pool",
    "read_refused_model",
    "read_run",
    "read_shard",
    "read_slice",
    "read_totals",
    "read_version",
    "read_waiting",
    "run_item",
    "text_item",
]
