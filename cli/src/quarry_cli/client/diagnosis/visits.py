"""Where a record was asked: in its own shard, in the retry shards of its run's rounds, and in those of retries.

A record keeps its id wherever it is asked again. Which retry shards may hold it is what the round's plan says; whether one
does, the list of ids that was written beside its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from quarry_cli.client.connections import Connections
from quarry_core.contract.names import plan_key, retried_key, round_key
from quarry_core.contract.run import Run
from quarry_core.contract.versions import VERSIONS_MAX
from quarry_core.errors import Missing
from quarry_core.ledger.rows import JobRow, Shard
from quarry_core.planning.plan import Plan
from quarry_core.planning.rounds import RoundPlan, lineage
from quarry_core.ports import ObjectRef, Objects

ATTEMPTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Visit:
    """A shard in which a record was asked, with the jobs of its attempts. `round` and `version` count from 1."""

    run_id: str
    version: int
    round: int
    shard: Shard
    jobs: tuple[JobRow, ...]


class PlanReader:
    """Reads what was planned of a run; None where that is gone, or cannot be read."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def __call__(self, run_id: str) -> Plan | None:
        try:
            return Plan.model_validate_json(self._objects.read(ObjectRef(plan_key(run_id))))
        except (Missing, ValidationError):
            return None

    def round(self, run_id: str, number: int) -> RoundPlan | None:
        try:
            return RoundPlan.model_validate_json(self._objects.read(ObjectRef(round_key(run_id, number))))
        except (Missing, ValidationError):
            return None

    def asks(self, run_id: str, shard: str, record: str) -> bool:
        """Whether a retry shard holds a record."""
        try:
            return record.encode() in self._objects.read(ObjectRef(retried_key(run_id, shard))).split()
        except Missing:
            return False


async def visits_of(connections: Connections, run: Run, shard: str, record: str, plans: PlanReader) -> list[Visit]:
    """Where a record was asked, in the order of time; of a retry also where the versions before have asked it."""
    found: list[Visit] = []
    for each in await _versions(connections, run):
        found += await _of_run(connections, each, shard, record, plans)
    return found


async def _versions(connections: Connections, run: Run) -> Sequence[Run]:
    """The run and those from which it was carried over, the first one first."""
    chain = [run]
    while chain[-1].pins is not None and chain[-1].pins.retry is not None and len(chain) < VERSIONS_MAX:
        before = await connections.ledger.run(chain[-1].pins.retry.base)
        if before is None:
            break
        chain.append(before)
    return chain[::-1]


async def _of_run(connections: Connections, run: Run, shard: str, record: str, plans: PlanReader) -> list[Visit]:
    ledger = connections.ledger
    totals = await ledger.totals(run.run_id)
    found: list[Visit] = []
    if run.version == 1:  # a retry's own shards have nothing that they asked
        standing = await ledger.shard(run.run_id, shard)
        found += [await _visit(connections, run, 1, standing)] if standing is not None else []
    sources = {shard}
    for number in range(2, (totals.round if totals is not None else 1) + 1):
        plan = plans.round(run.run_id, number)
        if plan is None:
            break
        here = [name for source in sources for name in lineage(source, [plan])[0]]
        sources = {name for name in here if plans.asks(run.run_id, name, record)}
        for name in sorted(sources):
            standing = await ledger.shard(run.run_id, name)
            if standing is not None:
                found.append(await _visit(connections, run, number, standing))
    return found


async def _visit(connections: Connections, run: Run, number: int, shard: Shard) -> Visit:
    attempts = range(1, min(shard.attempt, ATTEMPTS_MAX) + 1)
    jobs = [await connections.ledger.job(run.run_id, shard.shard, attempt) for attempt in attempts]
    return Visit(run.run_id, run.version, number, shard, tuple(job for job in jobs if job is not None))
