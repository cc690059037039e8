"""A step that fails now and then, and is done in between, ends no run."""

from __future__ import annotations

import contextlib

import pytest
from structlog.testing import capture_logs

from quarry_core.contract.states import RunState
from quarry_core.service.failures import RunCode, Step, StepFailed
from quarry_core.service.pieces import Piece
from quarry_core.service.steps import Steps
from quarry_scheduler.tick import Ticker
from quarry_scheduler.tracking import JobTracker
from tests.unit.flow.acts import play
from tests.world.faults import Faults
from tests.world.world import SimulatedWorld

MINUTES = 60
CHECKS_MIN = 20


@pytest.fixture(autouse=True)
def _idle():
    """A traceback for each failure costs more than all the rest."""
    with capture_logs():
        yield


def every_other(monkeypatch, owner: type, name: str) -> list[str]:
    """Let every second call fail; what happened, as it happens."""
    whole, calls = getattr(owner, name), []

    async def sometimes(*args, **kwargs):
        calls.append("failed" if len(calls) % 2 else "done")
        if calls[-1] == "failed":
            raise RuntimeError("now and then")
        return await whole(*args, **kwargs)

    monkeypatch.setattr(owner, name, sometimes)
    return calls


@pytest.mark.promise("L2")
@pytest.mark.parametrize(
    ("owner", "name"),
    [(JobTracker, "job_seen"), (Ticker, "_finish_admitted"), (Ticker, "_admit_one")],
    ids=["track", "tick", "admit"],
)
async def test_a_run_goes_on_through_failures_between_which_the_step_is_done(monkeypatch, owner, name):
    world = SimulatedWorld(job_quota=1)
    run_id = world.send(world.joke(rows=4_000, max_records_per_job=100))
    calls = every_other(monkeypatch, owner, name)
    await world.idle()

    for _ in range(MINUTES):
        world.clock.advance(61)
        if name == "_admit_one":
            for job in world.bedrock.active:
                world.bedrock.end(job)
            await world.idle()
        with contextlib.suppress(StepFailed):
            await world.scheduler.tick_all()
        with contextlib.suppress(StepFailed):
            await world.scheduler.sweeper.sweep()

    assert calls.count("failed") >= CHECKS_MIN
    assert (await world.totals(run_id)).fault == ""
    monkeypatch.undo()
    assert (await play(world, run_id)).state is RunState.SUCCEEDED


async def test_failures_that_another_process_has_counted_since_are_not_forgotten_with_ours(monkeypatch):
    world = SimulatedWorld(job_quota=1)
    run_id = world.send(world.joke(rows=300, max_records_per_job=100))
    await world.idle()
    other = JobTracker.job_seen

    async def fails(*_args, **_kwargs):
        raise RuntimeError("always")

    monkeypatch.setattr(JobTracker, "job_seen", fails)
    await world.scheduler.sweeper.sweep()
    ours = world.scheduler
    world.start()
    await world.scheduler.sweeper.sweep()
    monkeypatch.setattr(JobTracker, "job_seen", other)

    await ours.sweeper.sweep()
    [counted] = [item for key, item in world.table.items.items() if key[1].startswith("failure#track")]
    assert counted["count"] == 2
    await world.scheduler.sweeper.sweep()
    assert [key for key in world.table.items if key[1].startswith("failure#track")] == []
    assert (await play(world, run_id)).state is RunState.SUCCEEDED


@pytest.mark.parametrize(("ways", "times"), [(1, 5), (2, 25)])
async def test_failures_in_a_row_count_by_the_way_in_which_they_fail_and_all_of_them_at_five_times_as_many(ways, times):
    steps, tried = Steps(SimulatedWorld().process_world(Faults())), []

    async def fails():
        tried.append(["this", "that"][len(tried) % ways])
        raise RuntimeError(tried[-1])

    async def end(why):
        return why

    why = None
    while why is None:
        with contextlib.suppress(StepFailed):
            why = await steps.run(Piece(Step.SETTLE, "r1", "00000"), fails, end)

    assert len(tried) == times
    assert why.code is RunCode.INTERNAL_ERROR
