"""The table was lost and an older state of it restored: what Bedrock and the bucket have seen since is found again."""

from __future__ import annotations

import copy

import pytest

from quarry_core.contract.names import manifest_key
from tests.world.world import SimulatedWorld

ROWS = 600


def restored(world, items):
    """The table as it was; everything else as it is; and fresh processes."""
    world.table.items.clear()
    world.table._sort_keys.clear()
    for key, item in items.items():
        world.table.items[key] = copy.deepcopy(item)
        world.table._sort_keys[key[0]].append(key[1])
    for keys in world.table._sort_keys.values():
        keys.sort()
    world.start()


def published_by(world):
    return {key: body for key, body in world.objects.bodies.items() if key.startswith("results/")}


async def whole_run(world, run_id):
    """Bring the run to its end, step by step; the ledger as it was behind each step."""
    older = []
    while not (totals := await world.totals(run_id)).state.terminal:
        for job in world.bedrock.active[:1]:
            world.bedrock.end(job)
        world.clock.advance(61)
        for step in (world.turn, world.turn, world.scheduler.tick_all, world.scheduler.sweeper.sweep):
            await step()
            older.append(copy.deepcopy(world.table.items))
    return totals, [items for items in older if items != older[-1]]


@pytest.mark.promise("S2", "S3", "S4")
@pytest.mark.parametrize("tenth", range(10))
async def test_an_older_ledger_catches_up_with_no_second_job_and_no_other_result(tenth):
    world = SimulatedWorld(quota=2)
    run_id = world.send(world.joke(ROWS, max_records_per_job=100))
    await world.turn()
    first, older = await whole_run(world, run_id)
    published = published_by(world)
    jobs = sorted(job.name for job in world.jobs.all)
    assert len(older) >= 20

    restored(world, older[tenth * len(older) // 10])
    assert not (await world.totals(run_id)).state.terminal, "nothing is left to catch up with"
    again = await world.run(run_id)

    assert (again.state, again.ok, again.error, again.open) == (first.state, ROWS, 0, 0)
    assert sorted(job.name for job in world.jobs.all) == jobs, "a job was created twice"
    assert published_by(world) == published
    assert not any(queue.dead for queue in world.queues.values())


@pytest.mark.promise("I3")
async def test_a_run_that_the_restored_ledger_never_knew_is_the_same_run_when_its_manifest_is_sent_with_its_origin():
    world = SimulatedWorld(quota=2)
    manifest = world.joke(ROWS, max_records_per_job=100)
    before = copy.deepcopy(world.table.items)
    run_id = world.send(manifest)
    (message,) = await world.queues["manifests"].receive(1, 0)
    await world.queues["manifests"].extend(message, 0)
    await world.turn()
    await whole_run(world, run_id)
    published = published_by(world)
    jobs = sorted(job.name for job in world.jobs.all)

    restored(world, before)
    world.send(world.objects.bodies[manifest_key(run_id)].decode(), quarry_origin_id=message.id)
    again = await world.run(run_id)

    assert (again.state, again.ok) == ("SUCCEEDED", ROWS)
    assert sorted(job.name for job in world.jobs.all) == jobs, "a job was created twice"
    assert published_by(world) == published
