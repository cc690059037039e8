"""What all batch jobs of the account have before them, as CloudWatch tells: for people, and for a first pace.

Theory of operation. Read now and then in a turn of its own, so that a service which does not answer holds up no sweep. Nothing
is decided by it: the metrics are documented loosely, come late, and may not come at all. They show what others have pending, and
give an expected end before a pool's own pace is known: of what Bedrock processes, a pool's share is that of the records pending.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from quarry_core.errors import PortError
from quarry_core.ports import BatchLoad
from quarry_core.service.process import World
from quarry_core.telemetry import metrics
from quarry_scheduler.gauges import Ledgered

log = structlog.get_logger()
FRESH_S_MAX = 900.0  # what is older says nothing of now
NOTHING: Mapping[str, BatchLoad] = {}


class BatchLoads:
    """Remembers, in this process only, what was read last."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._loads = NOTHING
        self._read_at_s = 0.0

    async def read(self) -> None:
        """Read it, where it may be. What cannot be read stays as it was, until it is old."""
        if self._world.batch_metrics is None:
            return
        try:
            self._loads = await self._world.batch_metrics.by_model()
        except PortError as error:
            log.warning("batch_metrics_not_read", error=str(error))
            return
        self._read_at_s = self._world.clock.monotonic()

    def now(self) -> Mapping[str, BatchLoad]:
        """By canonical model; nothing where it is old, or not read at all."""
        return self._loads if self._world.clock.monotonic() - self._read_at_s <= FRESH_S_MAX else NOTHING

    def show(self, view: Ledgered) -> Mapping[str, float]:
        """Set the gauges, and give each pool's first pace, in rows per second."""
        found = {pool: load for pool in view.pools if (load := self.now().get(pool.partition("#")[2])) is not None}
        shares = {pool: share_of(pool, load, view) for pool, load in found.items()}
        pending = {pool: share for pool, share in shares.items() if share is not None}
        metrics.replace_all(
            metrics.BATCH_RECORDS_PENDING,
            {(pool, "ours"): share.ours for pool, share in pending.items()}
            | {(pool, "others"): share.others for pool, share in pending.items()},
        )
        metrics.replace_all(
            metrics.BATCH_TOKENS_PER_MINUTE,
            {
                (pool, direction): value
                for pool, load in found.items()
                for direction, value in (
                    ("input", load.input_tokens_per_minute),
                    ("output", load.output_tokens_per_minute),
                )
                if value is not None
            },
        )
        paces = {pool: pace_of(pool, found[pool], share, view) for pool, share in pending.items()}
        return {pool: pace for pool, pace in paces.items() if pace > 0}


@dataclass(frozen=True, slots=True)
class Share:
    """Records pending at Bedrock: ours, as far as the ledger knows, and all others."""

    ours: float
    others: float


def share_of(pool: str, load: BatchLoad, view: Ledgered) -> Share | None:
    """Whose the pending records are; None where CloudWatch does not tell how many there are. Pure."""
    if load.records_pending is None:
        return None
    processed = {job.arn: job.processed_records or 0 for job in view.active}
    sent = sum(
        max(0, shard.sendable - processed[shard.arn])
        for shard in view.held
        if shard.pool == pool and shard.arn in processed
    )
    # The two are read apart: never more than all.
    ours = min(float(sent), load.records_pending)
    return Share(ours, load.records_pending - ours)


def pace_of(pool: str, load: BatchLoad, share: Share, view: Ledgered) -> float:
    """Rows of ours per second, as far as it can be told; 0 where it cannot. Pure."""
    totals = [
        account.totals for account in view.accounts if account.run.pool == pool and account.totals.record_millitokens
    ]
    rows = sum(each.open for each in totals)
    if not load.input_tokens_per_minute or not rows or not load.records_pending:
        return 0.0
    tokens_per_row = sum(each.open * each.record_millitokens for each in totals) / rows / 1_000
    ours = share.ours / load.records_pending
    return load.input_tokens_per_minute / 60 * ours / tokens_per_row
