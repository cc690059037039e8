"""Bedrock forgets a job that a row still names."""

from __future__ import annotations

import pytest

from quarry_core.contract.states import RunState
from tests.world.world import SimulatedWorld


@pytest.mark.promise("L1", "L2")
async def test_a_job_that_bedrock_knows_no_more_returns_its_slot_and_is_asked_again():
    world = SimulatedWorld(job_quota=1)
    run_id = world.send(world.joke(rows=120))
    await world.idle()
    [job] = world.jobs.all
    world.jobs.forget(job.arn)

    world.clock.advance(61)
    await world.scheduler.sweeper.sweep()
    assert (await world.totals(run_id)).repeats == 0, "one look is no proof"

    assert (await world.run(run_id)).state is RunState.SUCCEEDED
    assert (await world.totals(run_id)).repeats == 1
