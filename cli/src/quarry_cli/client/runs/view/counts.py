"""What is counted: rows and their errors, shards by state, slots. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from quarry_cli.client.runs.view.shown import Rows, Slots
from quarry_core.contract.states import ShardState
from quarry_core.ledger.rows import Lane, Pool, Shard, Totals
from quarry_core.planning.estimate import Estimate


def rows(totals: Totals, processed: int, dry_run: Estimate | None) -> Rows:
    """Rows by outcome.

    Args:
        processed: rows that Bedrock has processed and nobody has settled.
        dry_run: of a dry run the estimate, which counts what a run would have accepted; None for any other run.
    """
    planned = dry_run.rows_planned if dry_run else totals.accepted
    return Rows(
        accepted=totals.accepted,
        ok=totals.ok,
        error=totals.error,
        open=totals.open,
        again=totals.again,
        source=totals.rows_source,
        planned=planned,
        left_out=max(0, totals.rows_source - planned),
        enlisted=totals.enlisted,
        processed=processed,
    )


def errors(totals: Totals) -> dict[str, int]:
    """Error rows of settled shards by code, the commonest first."""
    return dict(sorted(totals.errors.items(), key=lambda each: (-each[1], each[0])))


def count_shards(
    totals: Totals, lane: Lane | None, held: Iterable[Shard], asked: Iterable[Shard] = ()
) -> dict[ShardState, int]:
    """Shards by state, from counters and the few rows that hold a slot, at the same cost for 20 shards or 20,000.

    Every shard that is enlisted is settled, waits in its lane, holds a slot, has ended and waits for the collector; or it
    is one of `asked`, which are asked on demand or wait for that.
    """
    counts = dict.fromkeys(ShardState, 0)
    counts[ShardState.SETTLED] = totals.shards_settled
    counts[ShardState.PENDING] = lane.waiting if lane else 0
    for shard in held:
        if shard.state.holds_a_slot:
            counts[shard.state] += 1
    for shard in asked:
        if shard.state in (ShardState.PENDING, ShardState.INVOKING):
            counts[shard.state] += 1
    counts[ShardState.ENDED] = max(0, totals.shards_enlisted - sum(counts.values()))
    return counts


def by_state(shards: Mapping[ShardState, int]) -> dict[str, int]:
    """All states, but INVOKING only where a shard is in it: most runs know no such state."""
    return {state.value: shards[state] for state in ShardState if state is not ShardState.INVOKING or shards[state]}


def slots(pool: Pool | None, run_id: str, lane: Lane | None) -> Slots | None:
    """The pool's slots, and those of them that the run holds; None where it has no pool."""
    if pool is None:
        return None
    held = sum(holder.startswith(f"{run_id}/") for holder in pool.holders)
    return Slots(
        pool=pool.pool,
        limit=pool.admit_limit,
        in_use=pool.in_use,
        held=held,
        admission_class=lane.admission_class if lane else None,
        weight=lane.weight if lane else None,
    )
