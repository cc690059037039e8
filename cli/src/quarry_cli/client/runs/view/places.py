"""Where a run's results are. Pure."""

from __future__ import annotations

from quarry_cli.client.runs.view.shown import Compact
from quarry_core.contract.names import compact_prefix, results_prefix, s3_uri
from quarry_core.contract.states import RunState
from quarry_core.ledger.rows import Totals


def results_uri(totals: Totals, bucket: str, *, dry_run: bool) -> str | None:
    """None where there are no results and never will be."""
    if totals.erasing_at:
        return None
    if dry_run or (totals.state in (RunState.FAILED, RunState.CANCELLED) and totals.shards_settled == 0):
        return None
    return s3_uri(bucket, results_prefix(totals.run_id))


def compact(totals: Totals, bucket: str) -> Compact | None:
    """The results once more, in larger parts; None where nobody has compacted them."""
    if not totals.compact_at or totals.erasing_at:
        return None
    return Compact(
        uri=s3_uri(bucket, compact_prefix(totals.run_id)),
        parts=totals.compact_parts,
        at=totals.compact_at,
        by=totals.compact_by or None,
    )
