"""The table was lost and an older state of it restored: what Bedrock and the bucket have seen since is found again."""

from __future__ import annotations

import copy

import pytest

from quarry_core.contract.names import manifest_key
from tests.world.house import House

ROWS = 600


def restored(house, items):
    """The table as it was; everything else as it is; and fresh processes."""
    house.table.items.clear()
    house.table._sort_keys.clear()
    for key, item in items.items():
        house.table.items[key] = copy.deepcopy(item)
        house.table._sort_keys[key[0]].append(key[1])
    for keys in house.table._sort_keys.values():
        keys.sort()
    house.start()


def published_by(house):
    return {key: body for key, body in house.objects.bodies.items() if key.startswith("results/")}


async def whole_run(house, run_id):
    """Bring the run to its end, step by step; the ledger as it was behind each step."""
    older = []
    while not (totals := await house.totals(run_id)).state.terminal:
        for job in house.bedrock.active[:1]:
            house.bedrock.end(job)
        house.clock.advance(61)
        for step in (house.turn, house.turn, house.scheduler.tick_all, house.scheduler.sweeper.sweep):
            await step()
            older.append(copy.deepcopy(house.table.items))
    return totals, [items for items in older if items != older[-1]]


@pytest.mark.promise("S2", "S3", "S4")
@pytest.mark.parametrize("tenth", range(10))
async def test_an_older_ledger_catches_up_with_no_second_job_and_no_other_result(tenth):
    house = House(quota=2)
    run_id = house.send(house.joke(ROWS, max_records_per_job=100))
    await house.turn()
    first, older = await whole_run(house, run_id)
    published = published_by(house)
    jobs = sorted(job.name for job in house.jobs.all)
    assert len(older) >= 20

    restored(house, older[tenth * len(older) // 10])
    assert not (await house.totals(run_id)).state.terminal, "nothing is left to catch up with"
    again = await house.run(run_id)

    assert (again.state, again.ok, again.error, again.open) == (first.state, ROWS, 0, 0)
    assert sorted(job.name for job in house.jobs.all) == jobs, "a job was created twice"
    assert published_by(house) == published
    assert not any(queue.dead for queue in house.queues.values())


@pytest.mark.promise("I3")
async def test_a_run_that_the_restored_ledger_never_knew_is_the_same_run_when_its_manifest_is_sent_with_its_origin():
    house = House(quota=2)
    manifest = house.joke(ROWS, max_records_per_job=100)
    before = copy.deepcopy(house.table.items)
    run_id = house.send(manifest)
    (message,) = await house.queues["manifests"].receive(1, 0)
    await house.queues["manifests"].extend(message, 0)
    await house.turn()
    await whole_run(house, run_id)
    published = published_by(house)
    jobs = sorted(job.name for job in house.jobs.all)

    restored(house, before)
    house.send(house.objects.bodies[manifest_key(run_id)].decode(), quarry_origin_id=message.id)
    again = await house.run(run_id)

    assert (again.state, again.ok) == ("SUCCEEDED", ROWS)
    assert sorted(job.name for job in house.jobs.all) == jobs, "a job was created twice"
    assert published_by(house) == published
