"""Bedrock forgets a job that a row still names."""

from __future__ import annotations

import pytest

from quarry_core.contract.states import RunState
from tests.world.house import House


@pytest.mark.promise("L1", "L2")
async def test_a_job_that_bedrock_knows_no_more_gives_its_slot_back_and_is_asked_again():
    house = House(job_quota=1)
    run_id = house.send(house.joke(rows=120))
    await house.quiet()
    [job] = house.jobs.all
    house.jobs.forget(job.arn)

    house.clock.advance(61)
    await house.scheduler.sweeper.sweep()
    assert (await house.totals(run_id)).repeats == 0, "one look is no proof"

    assert (await house.run(run_id)).state is RunState.SUCCEEDED
    assert (await house.totals(run_id)).repeats == 1
