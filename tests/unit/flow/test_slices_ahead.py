"""A shard is enlisted while the next one is written: nobody waits for the ledger, and nothing that was written is lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from quarry_core.contract.states import RunState, ShardState
from quarry_core.ports import Put
from tests.world.faults import Faults
from tests.world.world import SimulatedWorld

COMMITS_A_SHARD = 2  # its rows and its input; sixteen shards are eight slices of two
TURNS_MAX = 5_000


def enlists(writes, shard):
    return any(isinstance(write, Put) and write.key[1] == f"shard#{shard}" for write in writes)


class Late(Faults):
    """The first shard is enlisted when the second one stands, or after so many turns of the loop."""

    def __init__(self):
        super().__init__()
        self.commits_before = -1

    @property
    def commits(self):
        return self.calls.count("objects.commit")

    @asynccontextmanager
    async def call(self, name, *args):
        if name == "table.transact" and enlists(args[0], "00000"):
            for _ in range(TURNS_MAX):
                if self.commits >= 2 * COMMITS_A_SHARD:
                    break
                await asyncio.sleep(0)
            self.commits_before = self.commits
        async with super().call(name, *args):
            yield


async def test_the_next_shard_is_written_while_one_is_enlisted():
    late, world = Late(), SimulatedWorld()
    world.start({"preprocessor": late})
    run_id = world.send(world.joke(rows=1_600, max_records_per_job=100))
    totals = await world.run(run_id)
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 1_600)
    assert late.commits_before == 2 * COMMITS_A_SHARD, "one shard is written ahead, and no more"


async def test_what_was_written_before_the_source_broke_is_enlisted_and_has_its_end():
    class Breaking(Faults):
        """The version of the source that was pinned is erased when the first shard is about to be enlisted."""

        def before(self, name, args=()):
            if name == "table.transact" and enlists(args[0], "00000"):
                world.objects.erase(list(world.objects.under("inputs/")))
            return super().before(name, args)

    world = SimulatedWorld()
    world.start({"preprocessor": Breaking()})
    run_id = world.send(world.joke(rows=1_600, max_records_per_job=100))
    totals = await world.run(run_id)
    assert totals.state is RunState.FAILED
    assert totals.shards_enlisted >= 1
    assert totals.open == 0
    assert {shard.state async for shard in world.ledger.shards(run_id)} == {ShardState.SETTLED}
