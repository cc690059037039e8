"""More runs than may be open: the next manifest waits, and waiting is not failing."""

from __future__ import annotations

import json

import pytest

from quarry_core.contract.message_attributes import apart
from quarry_core.contract.states import RunState
from tests.world.queue import BODY_BYTES_MAX
from tests.world.world import SimulatedWorld


@pytest.mark.promise("L5")
async def test_a_manifest_waits_for_as_long_as_it_takes_and_keeps_its_run_id():
    world = SimulatedWorld(open_runs_max=1)
    first = world.send(world.joke(rows=100, run_id="first"))
    second = world.send(world.joke(rows=100))  # its run id hangs on its message id
    for _ in range(100):
        await world.idle()
        world.clock.advance(61)

    assert await world.ledger.totals(second) is None
    assert not world.queues["manifests"].dead
    assert (await world.run(first)).state is RunState.SUCCEEDED
    for _ in range(3):
        await world.idle()
        world.clock.advance(61)
    assert (await world.run(second)).state is RunState.SUCCEEDED


@pytest.mark.promise("L5")
async def test_a_manifest_with_ten_attributes_waits_as_any_other_and_keeps_them():
    world = SimulatedWorld(open_runs_max=1)
    first = world.send(world.joke(rows=100, run_id="first"))
    theirs = {f"trace{number}": "v" for number in range(10)}
    second = world.send(world.joke(rows=100), **theirs)
    for _ in range(40):
        await world.idle()
        world.clock.advance(61)

    assert not world.queues["manifests"].dead
    [waiting] = world.queues["manifests"]._contents.waiting.values()
    assert theirs.items() <= apart(waiting.attributes).items()
    assert (await world.run(first)).state is RunState.SUCCEEDED
    for _ in range(3):
        await world.idle()
        world.clock.advance(61)
    assert (await world.run(second)).state is RunState.SUCCEEDED


async def test_a_manifest_as_large_as_a_message_may_be_waits_by_itself():
    world = SimulatedWorld(open_runs_max=1)
    first = world.send(world.joke(rows=100, run_id="first"))
    await world.idle()
    text = json.dumps(world.joke(rows=100, run_id="second"))
    world.queues["manifests"].put(text + " " * (BODY_BYTES_MAX - len(text)), {})
    await world.idle()

    assert not world.queues["manifests"].dead
    assert (await world.run(first)).state is RunState.SUCCEEDED
    for _ in range(6):
        await world.idle()
        world.clock.advance(61)
    assert (await world.run("second")).state is RunState.SUCCEEDED
