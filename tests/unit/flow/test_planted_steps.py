"""A bug in any step of any service ends its run, with the reason, soon, and keeps what was paid for."""

from __future__ import annotations

import pytest

from quarry_cli.client.runs.view.build import run_view
from quarry_core.contract.names import report_key, success_key
from quarry_core.contract.states import RunState
from tests.unit.flow.acts import CLAUDE_POOL
from tests.unit.flow.planted_steps import PLANTS, ROWS, ending_of

SECONDS_MAX = 1_200
DEAD_MAX = 5
# What another part of the system makes good: the job is adopted by its name, or the end was decided before.
MADE_GOOD = {"create JobCreator._submitted", "close Runs._tell"}


@pytest.mark.promise("L1", "L2", "S3", "S5", "H1")
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.id)
async def test_a_bug_in_a_step_ends_the_run_with_its_reason_in_bounded_time_and_bounded_dead_lettering(plant):
    end = await ending_of(plant)
    world, totals = end.world, end.totals

    assert totals is not None
    assert totals.state.terminal, totals
    assert end.seconds <= SECONDS_MAX
    assert end.dead <= DEAD_MAX
    if plant.id in MADE_GOOD:
        assert totals.state is RunState.SUCCEEDED
        assert totals.ok == ROWS
    else:
        assert (totals.state, totals.code, totals.step) == (RunState.FAILED, "INTERNAL_ERROR", plant.step)
        assert "5 times in the same way" in totals.message
        assert "a bug in" in totals.message
    assert (totals.open, totals.accepted) == (0, totals.ok + totals.error)
    # Nobody holds a slot, nothing runs with Bedrock, nothing is on its way.
    pool = await world.ledger.pool(CLAUDE_POOL)
    assert pool is None or (pool.in_use, pool.holders) == (0, frozenset())
    assert world.bedrock.active == []
    assert {name: queue.bodies for name, queue in world.queues.items() if queue.bodies} == {}
    assert await world.ledger.open_runs() == []
    assert await world.ledger.todo(end.run_id) == []
    assert await world.ledger.waiting(end.run_id, 10) == []
    assert [key for key in world.objects.bodies if key.startswith("batch-input/")] == []
    view = run_view(await world.ledger.run(end.run_id), totals, {}, [], None, "world", now=world.clock.now())
    assert (view.code or "", view.step or "") == (totals.code, totals.step)
    if totals.accepted:
        tells_the_same_everywhere(world, end.run_id, totals)


def tells_the_same_everywhere(world, run_id, totals):
    report = world.report(run_id)
    code = totals.code
    assert (report["state"], report["code"], report["step"]) == (totals.state, code, totals.step)
    assert (success_key(run_id) in world.objects.bodies) == (totals.state is not RunState.FAILED)
    assert report_key(run_id) in world.objects.bodies
    if world.bus.events:
        detail = world.bus.events[-1].detail
        assert (detail["state"], detail["code"], detail["step"]) == (totals.state, code, totals.step)
    if totals.state is RunState.FAILED:
        assert report["reason"] == totals.message
