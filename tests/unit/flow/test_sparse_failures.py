"""A step that fails now and then, and is done in between, ends no run."""

from __future__ import annotations

import contextlib

import pytest
from structlog.testing import capture_logs

from quarry_core.contract.states import RunState
from quarry_core.service.failures import RunCode, Step, StepFailed
from quarry_core.service.pieces import Piece
from quarry_core.service.steps import Steps
from quarry_scheduler.learn import Learner
from quarry_scheduler.tick import Ticker
from tests.unit.flow.acts import play
from tests.world.faults import Faults
from tests.world.house import House

MINUTES = 60
LOOKS_MIN = 20


@pytest.fixture(autouse=True)
def _quiet():
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
    [(Learner, "job_seen"), (Ticker, "_finish_admitted"), (Ticker, "_admit_one")],
    ids=["track", "tick", "admit"],
)
async def test_a_run_goes_on_through_failures_between_which_the_step_is_done(monkeypatch, owner, name):
    house = House(job_quota=1)
    run_id = house.send(house.joke(rows=4_000, max_records_per_job=100))
    calls = every_other(monkeypatch, owner, name)
    await house.quiet()

    for _ in range(MINUTES):
        house.clock.advance(61)
        if name == "_admit_one":
            for job in house.bedrock.active:
                house.bedrock.end(job)
            await house.quiet()
        with contextlib.suppress(StepFailed):
            await house.scheduler.tick_all()
        with contextlib.suppress(StepFailed):
            await house.scheduler.sweeper.sweep()

    assert calls.count("failed") >= LOOKS_MIN
    assert (await house.totals(run_id)).fault == ""
    monkeypatch.undo()
    assert (await play(house, run_id)).state is RunState.SUCCEEDED


async def test_failures_that_another_process_has_counted_since_are_not_forgotten_with_ours(monkeypatch):
    house = House(job_quota=1)
    run_id = house.send(house.joke(rows=300, max_records_per_job=100))
    await house.quiet()
    other = Learner.job_seen

    async def fails(*_args, **_kwargs):
        raise RuntimeError("always")

    monkeypatch.setattr(Learner, "job_seen", fails)
    await house.scheduler.sweeper.sweep()
    ours = house.scheduler
    house.start()
    await house.scheduler.sweeper.sweep()
    monkeypatch.setattr(Learner, "job_seen", other)

    await ours.sweeper.sweep()
    [counted] = [item for key, item in house.table.items.items() if key[1].startswith("failure#track")]
    assert counted["count"] == 2
    await house.scheduler.sweeper.sweep()
    assert [key for key in house.table.items if key[1].startswith("failure#track")] == []
    assert (await play(house, run_id)).state is RunState.SUCCEEDED


@pytest.mark.parametrize(("ways", "times"), [(1, 5), (2, 25)])
async def test_failures_in_a_row_count_by_the_way_in_which_they_fail_and_all_of_them_at_five_times_as_many(ways, times):
    steps, tried = Steps(House().world(Faults())), []

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
