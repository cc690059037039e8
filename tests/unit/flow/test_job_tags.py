"""The environment's tags stand on every job, as they were when its run was accepted."""

from __future__ import annotations

import importlib

import pytest

from quarry_core.contract.job_request import TAG_ENV, TAG_RUN
from quarry_core.contract.states import RunState
from quarry_core.ports import JobRequest
from quarry_core.service import process
from tests.unit.flow.acts import CLAUDE_POOL, enlist, jobs_per_attempt, play
from tests.world.clock import FakeClock
from tests.world.jobs import FakeJobs
from tests.world.world import SimulatedWorld


class Overheard(FakeJobs):
    """Keeps what Create was asked, also where it made no job."""

    def __init__(self, clock: FakeClock, **how: object) -> None:
        super().__init__(clock, **how)
        self.asked: list[JobRequest] = []

    async def create(self, request: JobRequest) -> str:
        self.asked.append(request)
        return await super().create(request)


def say(world: SimulatedWorld, job_tags: str) -> None:
    """The setting is changed, and all services are restarted."""
    world.settings = world.settings.model_copy(update={"job_tags": job_tags})
    world.start()


async def test_every_job_has_the_environments_tags_beside_its_runs():
    world = SimulatedWorld(job_tags="team=search,cost-center=4711")
    tagged = world.send(world.joke(rows=300, max_records_per_job=100, tags={"project": "jokes"}))
    await world.run(tagged)
    plain = world.send(world.joke(rows=100))
    await world.run(plain)

    theirs = {"team": "search", "cost-center": "4711"}
    expected = {
        tagged: {TAG_ENV: "test", TAG_RUN: tagged, "project": "jokes", **theirs},
        plain: {TAG_ENV: "test", TAG_RUN: plain, **theirs},
    }
    assert len(world.jobs.requests) == 4
    for request in world.jobs.requests:
        assert request.tags == expected[request.tags[TAG_RUN]]


async def test_a_manifest_that_gives_such_a_key_another_value_is_refused_by_its_name_before_anything_is_paid_for():
    world = SimulatedWorld(job_tags="team=search")
    run_id = world.send(world.joke(rows=100, tags={"Team": "ads"}))
    await world.idle()

    totals = await world.totals(run_id)
    assert (totals.state, totals.code, totals.step) == ("FAILED", "REFUSED", "arrive")
    assert totals.message == "tags: Team is ads, and every job here has team = search: leave it out (QUARRY_JOB_TAGS)"
    assert world.jobs.all == []
    same = world.send(world.joke(rows=100, run_id="same", tags={"team": "search"}))
    assert (await world.run(same)).state is RunState.SUCCEEDED


async def test_too_many_together_are_refused_and_as_many_as_fit_are_not():
    world = SimulatedWorld(job_tags="team=search,owner=ada")
    bad = world.send(world.joke(rows=100, tags={f"k{number}": "v" for number in range(47)}))
    good = world.send(world.joke(rows=100, tags={f"k{number}": "v" for number in range(46)}))
    await world.idle()

    assert "give at most 46 more (QUARRY_JOB_TAGS)" in (await world.totals(bad)).message
    assert (await world.run(good)).state is RunState.SUCCEEDED
    assert len(world.jobs.requests[0].tags) == 50


async def test_what_the_environment_gives_need_not_be_in_the_manifest_though_the_policy_requires_it():
    world = SimulatedWorld(policy="version: 1\ntags_required: [team, project]", job_tags="team=search")
    good = world.send(world.joke(rows=100, tags={"project": "jokes"}))
    bad = world.send(world.joke(rows=100))
    await world.idle()

    assert (await world.run(good)).state is RunState.SUCCEEDED
    assert (await world.totals(bad)).message == "tags: project must be given here, and is not (QUARRY_POLICY)"


@pytest.mark.promise("S2")
@pytest.mark.parametrize("later", ["", "team=ads", "team=search,owner=ada"])
async def test_a_change_between_two_creates_of_an_attempt_asks_the_same_and_pays_once(later):
    clock = FakeClock()
    # List shows the first job too late: Create is asked again.
    world = SimulatedWorld(clock=clock, jobs=Overheard(clock, list_lag_s=600), job_tags="team=search")
    world.bedrock.events_lost_share = 1.0
    run_id = await enlist(world, world.joke(rows=100, tags={"project": "jokes"}))
    world.jobs.lose_reply_once()
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    say(world, later)

    assert (await play(world, run_id)).state is RunState.SUCCEEDED
    first, *again = world.jobs.asked
    assert again
    assert first.tags == {TAG_ENV: "test", TAG_RUN: run_id, "team": "search", "project": "jokes"}
    assert all(request == first for request in again)
    assert set(jobs_per_attempt(world).values()) == {1}


async def test_a_run_keeps_the_tags_of_the_day_on_which_it_was_accepted_and_the_next_has_the_new_ones():
    world = SimulatedWorld(job_tags="team=search")
    first = await enlist(world, world.joke(rows=300, max_records_per_job=100, run_id="first"))
    say(world, "team=ads")
    second = world.send(world.joke(rows=100, run_id="second"))
    await world.run(first)
    await world.run(second)

    assert {(request.tags[TAG_RUN], request.tags["team"]) for request in world.jobs.requests} == {
        (first, "search"),
        (second, "ads"),
    }


@pytest.mark.parametrize("text", ["team", "quarry-env=prod"])
@pytest.mark.parametrize("service", ["preprocessor", "scheduler", "collector"])
def test_no_service_starts_with_tags_that_cannot_be(service, text, monkeypatch, capsys):
    known = SimulatedWorld().settings
    for name in ("env", "region", "table", "bucket", "bedrock_role_arn"):
        monkeypatch.setenv(f"QUARRY_{name.upper()}", getattr(known, name))
    for name in ("MANIFEST", "SLICES", "SCHEDULER", "EVENTS", "COLLECTOR"):
        monkeypatch.setenv(f"QUARRY_{name}_QUEUE_URL", f"https://queue/{name}")
    monkeypatch.setenv("QUARRY_JOB_TAGS", text)
    handler = importlib.import_module(f"quarry_{service}.handler")

    assert process.main(service, handler.build, handler.QUEUES) == 2
    assert f"{service}: QUARRY_JOB_TAGS: " in capsys.readouterr().err
