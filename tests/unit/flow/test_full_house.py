"""More runs than may be open: the next manifest waits, and waiting is not failing."""

from __future__ import annotations

import pytest

from quarry_core.states import RunState
from tests.world.house import House


@pytest.mark.promise("L5")
async def test_a_manifest_waits_for_as_long_as_it_takes_and_keeps_its_run_id():
    house = House(open_runs_max=1)
    first = house.send(house.joke(rows=100, run_id="first"))
    second = house.send(house.joke(rows=100))  # its run id hangs on its message id
    for _ in range(100):
        await house.quiet()
        house.clock.advance(61)

    assert await house.ledger.totals(second) is None
    assert not house.queues["manifests"].dead
    assert (await house.run(first)).state is RunState.SUCCEEDED
    for _ in range(3):
        await house.quiet()
        house.clock.advance(61)
    assert (await house.run(second)).state is RunState.SUCCEEDED
