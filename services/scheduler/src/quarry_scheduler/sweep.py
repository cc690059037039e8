"""What the sweep does about what it sees: one pure decision.

Theory of operation. Events make it fast, the sweep makes it sure. It compares what Bedrock says (one List pass over
the jobs that are active) with what the ledger says (rows that hold slots, markers, slices, open runs), and names every
difference as an action. What waits for a worker is `wake_ups`' to judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quarry_core.contract.names import parse_job_name
from quarry_core.contract.states import ShardState
from quarry_core.ledger.rows import Pool, Shard
from quarry_core.ports import Job
from quarry_scheduler.limits import Others, others


@dataclass(frozen=True, slots=True)
class View:
    """What one sweep has gathered."""

    env: str
    active: Sequence[Job]
    held: Sequence[Shard]  # rows in ADMITTED or SUBMITTED, of all pools
    pools: Sequence[Pool]


@dataclass(frozen=True, slots=True)
class Look:
    """Ask Bedrock about the job of a row that the list of active jobs does not hold: it has ended."""

    shard: Shard


@dataclass(frozen=True, slots=True)
class Tell:
    """An active job that bears a name of ours: note its status, adopt it, or stop it if its row has another."""

    job: Job


@dataclass(frozen=True, slots=True)
class Foreign:
    """Which active jobs of a pool are not ours: its limit goes by them."""

    pool: str
    others: Others


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A shard that is asked on demand by nobody any more: its heartbeat is stale."""

    shard: Shard


@dataclass(frozen=True, slots=True)
class Unallowed:
    """A shard that waits to be asked on demand, where that is not allowed any more."""

    shard: Shard


Action = Look | Tell | Foreign | Abandoned | Unallowed


def decide(view: View) -> list[Action]:
    """All that this sweep is to do."""
    actions: list[Action] = []
    active_arns = {job.arn for job in view.active}
    actions += [
        Look(shard)
        for shard in view.held
        if shard.state is ShardState.SUBMITTED and shard.arn and shard.arn not in active_arns
    ]
    ours = [job for job in view.active if parse_job_name(job.name, view.env)]
    actions += [Tell(job) for job in ours]
    found = others(view.active, view.env)
    actions += [Foreign(pool.pool, found.get(pool.pool, Others())) for pool in view.pools]
    return actions
