"""Holding downloaded results against what the ledger and the report say: rows in = rows ok + rows with an error.

Pure. Three that should agree: the ledger's totals, the report, and the parts as they were counted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from quarry_cli.client.runs.view.shown import Rows


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """`unread` rows have an error and stand in no part: the source broke before they were read."""

    accepted: int
    ok: int
    error: int
    unread: int
    faults: list[str]


def account(rows: Rows, report: Any, parts_rows: int, parts_ok: int) -> Account:
    """Draw up the account of an ended run. The report's counts are of the rows in shards; unread ones stand apart.

    Args:
        rows: the ledger's.
        report: the report as JSON, None if there is none.
        parts_rows: rows counted in all parts, `parts_ok` of them with status ok.
    """
    unread = max(0, rows.accepted - rows.enlisted)
    faults = []
    if rows.accepted != rows.ok + rows.error:
        faults.append(f"the ledger has {rows.ok:,} ok + {rows.error:,} error rows for {rows.accepted:,} accepted ones")
    if parts_rows != rows.accepted - unread:
        faults.append(f"the parts have {parts_rows:,} rows, but should have {rows.accepted - unread:,}")
    if parts_ok != rows.ok:
        faults.append(f"the parts have {parts_ok:,} rows with an answer, but the ledger has {rows.ok:,}")
    if report is None:
        faults.append("there is no report")
    else:
        reported = _reported(report)
        faults += [
            f"the report says {reported.get(name)} rows {name}, but the ledger has {number}"
            for name, number in (
                ("accepted", rows.accepted - unread),
                ("ok", rows.ok),
                ("error", rows.error - unread),
                ("unread", unread),
            )
            if reported.get(name) != number
        ]
    return Account(accepted=rows.accepted, ok=rows.ok, error=rows.error, unread=unread, faults=faults)


def _reported(report: Any) -> Mapping[str, int]:
    rows = report.get("rows") if isinstance(report, dict) else None
    if not isinstance(rows, dict):
        return {}
    return {name: number for name, number in rows.items() if isinstance(number, int)}
