"""What of slots, rows and jobs does not fit together, as a sweep has read it. Pure.

Theory of operation. A slot's holder, its shard's row and Bedrock's job change one after the other, and a sweep reads them
one after the other: so a difference that one sweep sees may be nothing. One that the next sweep sees too is a breach of
promise S1 or S7: a bug, or somebody wrote to the table. Nothing is corrected here; the sweep's own decisions are.
"""

from __future__ import annotations

from dataclasses import dataclass

from quarry_core.contract.names import parse_job_name
from quarry_scheduler.sweep import View

COUNT, ORPHAN, WITHOUT_SLOT = KINDS = ("slots_miscounted", "slot_without_row", "job_without_slot")


@dataclass(frozen=True, slots=True)
class Breach:
    """`subject` is a pool, a holder or a job's ARN, for the log."""

    kind: str
    subject: str


def breaches(view: View) -> frozenset[Breach]:
    """All differences in one sweep's view."""
    found = [Breach(COUNT, pool.pool) for pool in view.pools if pool.in_use != len(pool.holders)]
    holding = {shard.holder: shard for shard in view.held if shard.state.holds_a_slot}
    found += [Breach(ORPHAN, holder) for pool in view.pools for holder in pool.holders if holder not in holding]
    for job in view.active:
        named = parse_job_name(job.name, view.env)
        if named is None:
            continue
        row = holding.get(named.holder)
        if row is None or (row.arn and row.arn != job.arn):
            found.append(Breach(WITHOUT_SLOT, job.arn))
    return frozenset(found)
