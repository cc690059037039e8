"""Every single fault at every port call of every service: the run ends right all the same.

`refuse` (not done), `lose_reply` (done, but told that nobody knows), and a crash before or after the call, after which
a fresh process takes over. Judged by conservation, never by "all finished".
"""

from __future__ import annotations

from collections import Counter

import pytest

from quarry_core.contract.names import client_token, part_key
from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import PortError
from tests.world.faults import KINDS, Crash, Faults
from tests.world.world import SimulatedWorld

SERVICES = ("preprocessor", "scheduler", "collector")
ROWS = 240


async def run_with(service: str, faults: Faults, *, quota: int = 1) -> SimulatedWorld:
    world = SimulatedWorld(job_quota=quota, max_records_per_job=120)
    world.start({service: faults})
    run_id = world.send(world.joke(rows=ROWS, run_id="r1", max_records_per_job=120))
    assert run_id == "r1"
    for _ in range(60):
        try:
            await step(world)
        except Crash:
            world.start()
        except PortError:
            pass  # a failed receive or a failed turn: the loop goes on to the next one
        totals = await world.ledger.totals("r1")
        if totals is not None and totals.state.terminal:
            break
    return world


async def step(world: SimulatedWorld) -> None:
    await world.idle()
    for job in world.bedrock.active:
        world.bedrock.end(job)
    await world.idle()
    world.clock.advance(130)
    await world.scheduler.tick_all()
    await world.scheduler.sweeper.sweep()


async def check(world: SimulatedWorld) -> None:
    totals = await world.totals("r1")
    assert totals.state is RunState.SUCCEEDED, totals
    assert (totals.accepted, totals.ok, totals.error, totals.open) == (ROWS, ROWS, 0, 0)
    result = world.result("r1")
    assert result.column("topic").to_pylist() == [f"topic number {row}" for row in range(ROWS)]
    assert world.jobs.peak <= world.settings.job_quota
    names = Counter(job.name for job in world.jobs.all)
    assert set(names.values()) == {1}, f"more than one job for one attempt: {names}"
    assert all(request.client_token == client_token(request.name) for request in world.jobs.requests)
    async for shard in world.ledger.shards("r1"):
        assert shard.state is ShardState.SETTLED
        assert part_key("r1", shard.shard) in world.objects.bodies
    pool = await world.ledger.pool("us-east-1#anthropic.claude-3-haiku-20240307-v1:0")
    assert pool is not None
    assert pool.in_use == len(pool.holders) == 0
    assert await world.ledger.todo("r1") == []
    assert await world.ledger.waiting("r1", 10) == []
    for queue in world.queues.values():
        assert not queue.dead, f"healthy work in the dead-letter queue of {queue.name}"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.promise("S1", "S2", "S3", "S6", "S7", "L1", "L2", "L3", "I1")
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("kind", KINDS)
async def test_no_single_fault_at_any_call_changes_what_comes_out(service, kind):
    clean = Faults()
    await check(await run_with(service, clean))
    assert len(clean.calls) > 10
    broke = []
    for number in range(1, len(clean.calls) + 1):
        world = await run_with(service, Faults({number: kind}))
        try:
            await check(world)
        except AssertionError as error:
            broke.append(f"{service} {kind} at call {number} {clean.calls[number - 1]}: {error}")
    assert not broke, "\n".join(broke)
