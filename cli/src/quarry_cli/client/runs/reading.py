"""Reading what a view is made of, within bounds.

One look costs a handful of requests whatever the size of the run: shards are counted from counters (`count_shards`),
and of a large run only the jobs are read whose shard is not settled, unless all are asked for. Only reads; may be
called at any time by anyone.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from quarry_cli.client.aside import aside
from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.search import find_run, no_such_run
from quarry_cli.client.runs.view.build import run_view
from quarry_cli.client.runs.view.counts import count_shards
from quarry_cli.client.runs.view.shown import RunView, VersionView
from quarry_core.contract.canary import CanaryState
from quarry_core.contract.names import estimate_key
from quarry_core.contract.run import Run
from quarry_core.errors import PortError
from quarry_core.ledger import keys, rows
from quarry_core.ledger.ledger import PAGE_ITEMS
from quarry_core.ledger.rows import JobRow, Shard, Totals
from quarry_core.planning.estimate import Estimate
from quarry_core.ports import Item, Key, ObjectRef

# Up to this many shards, all jobs are read every time: a page or two.
SHARDS_WHOLE_MAX = 200
JOBS_AT_ONCE_MAX = 500


class RunReader:
    """Reads one run again and again."""

    def __init__(self, connections: Connections, run_id: str) -> None:
        self._connections = connections
        self._run_id = run_id
        self._run: Run | None = None  # immutable once it stands
        self._estimate: Estimate | None = None  # likewise
        self._judgement = ""  # likewise

    async def read(self, *, all_jobs: bool) -> RunView | None:
        """Look once; None if the run does not exist (yet).

        Args:
            all_jobs: list every job; else, of a run with more than `SHARDS_WHOLE_MAX` shards, the current ones.
        """
        ledger = self._connections.ledger
        if self._run is None:
            self._run = await ledger.run(self._run_id)
        totals = await ledger.totals(self._run_id)
        if self._run is None or totals is None:
            return None
        pool = lane = None
        held: list[Shard] = []
        if self._run.pins is not None:
            name = self._run.pins.pool
            lane = await ledger.lane(name, self._run_id)
            pool = await ledger.pool(name)
            ours = [holder for holder in pool.holders if holder.startswith(f"{self._run_id}/")] if pool else []
            held = await ledger.held(ours)
        asked: list[Shard] = []
        if totals.shards_on_demand and not totals.state.terminal:
            asked = await ledger.held(marker.holder for marker in await ledger.invoking(self._run_id))
        ended = [] if totals.state.terminal else await ledger.todo(self._run_id)
        paused = [] if totals.state.terminal or not totals.repeats else await ledger.repeats(self._run_id, PAGE_ITEMS)
        running = {(shard.shard, shard.attempt) for shard in held if shard.state.holds_a_slot}
        over = {(marker.shard, marker.attempt) for marker in ended}
        current = running | over
        whole = all_jobs or totals.shards_enlisted <= SHARDS_WHOLE_MAX
        return run_view(
            self._run,
            totals,
            count_shards(totals, lane, held, asked),
            [job async for job in ledger.jobs(self._run_id)] if whole else await self._jobs(current),
            pool,
            self._connections.bucket,
            now=self._connections.clock.now(),
            current=current,
            ended=over,
            lane=lane,
            paused=len(paused),
            estimate=await self._estimated(totals),
            versions=await self._versions(self._run, totals),
            judgement=await self._judged(totals),
        )

    async def _versions(self, run: Run, totals: Totals) -> list[VersionView]:
        """All versions of the dataset, the first one too; none while it has but one."""
        first_id = run.counted_as
        if first_id == run.run_id and not totals.last_version:
            return []
        ledger = self._connections.ledger
        later = await ledger.versions(first_id)
        found = await ledger.totals_of([first_id, *(each.made_by for each in later)])
        newest = (found[first_id].newest if first_id in found else "") or first_id
        numbers = {first_id: 1, **{each.made_by: each.number for each in later}}
        return [
            VersionView(version=number, run_id=made_by, state=found[made_by].state, newest=made_by == newest)
            for made_by, number in numbers.items()
            if made_by in found
        ]

    async def _estimated(self, totals: Totals) -> Estimate | None:
        """What was expected of a run that is planned; no look fails for want of it."""
        if self._estimate is None and totals.record_millitokens:
            objects = (self._connections.glance or self._connections.objects)()
            try:
                body = await aside(partial(objects.read, ObjectRef(estimate_key(self._run_id))))
                self._estimate = Estimate.model_validate_json(body)
            except (PortError, ValueError):
                return None
        return self._estimate

    async def _judged(self, totals: Totals) -> str:
        """What the run's canary came to, as JSON; it is judged once."""
        if not self._judgement and totals.canary not in ("", CanaryState.WAITING):
            self._judgement = await self._connections.ledger.canary(self._run_id)
        return self._judgement

    async def _jobs(self, wanted: Collection[tuple[str, int]]) -> list[JobRow]:
        jobs = [keys.job_key(self._run_id, shard, attempt) for shard, attempt in sorted(wanted)]
        found: dict[Key, Item] = {}
        for first in range(0, len(jobs), JOBS_AT_ONCE_MAX):
            found.update(await self._connections.table.get_many(jobs[first : first + JOBS_AT_ONCE_MAX]))
        return [rows.read_job(found[key]) for key in jobs if key in found]


async def read_run(connections: Connections, run_id: str) -> RunView:
    """A run with all its jobs, by its id or the beginning of it. Raises NoSuchRun, SeveralRuns."""
    view = await RunReader(connections, await find_run(connections, run_id)).read(all_jobs=True)
    if view is None:
        raise await no_such_run(connections, run_id)
    return view
