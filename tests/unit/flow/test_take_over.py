"""A scheduler dies between admission and Create; another one finishes what it left, in every pool."""

from __future__ import annotations

import contextlib

import pytest

from quarry_core.contract.states import RunState
from tests.world.faults import Crash, Faults
from tests.world.world import TITAN, SimulatedWorld


@pytest.mark.promise("L1", "L3", "L4")
async def test_what_a_dead_scheduler_admitted_in_two_pools_is_finished_in_both():
    world = SimulatedWorld(job_quota=1)
    world.start({"scheduler": Faults()})
    text = world.send(world.joke(rows=120, run_id="text"))
    uri = world.csv(120, key="inputs/e.csv", columns=("input_text",))
    embedding = world.send(
        {"s3_uri": uri, "job_name_prefix": "e", "model_id": TITAN, "prompt_id": None, "run_id": "embed"}
    )
    await die_at_creates(world, {"text", "embed"})

    for run_id in (text, embedding):
        assert (await world.run(run_id)).state is RunState.SUCCEEDED
    assert len(world.jobs.all) == 2


async def die_at_creates(world: SimulatedWorld, runs: set[str]) -> None:
    """Every scheduler dies before its first Create, until each run has a shard that is ADMITTED."""
    for _ in range(20):
        faults = CrashBeforeCreate()
        world.start({"scheduler": faults})
        with contextlib.suppress(Crash):
            await world.idle()
        world.clock.advance(40)
        admitted = set()
        for run_id in runs:
            if await world.ledger.totals(run_id) is None:
                continue
            async for shard in world.ledger.shards(run_id):
                if shard.state == "ADMITTED":
                    admitted.add(run_id)
        if admitted == runs:
            world.start()
            return
    raise AssertionError("the runs were never admitted")


class CrashBeforeCreate(Faults):
    def before(self, name, args=()):
        if name == "jobs.create":
            self.crashed = True
            raise Crash("before Create")
        return super().before(name, args)
