"""How many slots a pool has: what is configured, what AWS allows, what others take, and what refusals taught."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.errors import Refused
from quarry_core.ledger.limits import Limits
from quarry_core.ports import Job
from quarry_scheduler.handler import Scheduler
from quarry_scheduler.limits import Others, others
from tests.unit.flow.acts import CLAUDE_POOL, enlist, pool
from tests.world.world import CLAUDE, SimulatedWorld

COUNTS = st.integers(0, 500)


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(20), 20),
        (Limits(20, foreign=2), 18),
        (Limits(20, service_quota=20, foreign=2), 18),
        (Limits(10, service_quota=20, foreign=2), 10),  # ours is a share, which leaves others their room
        (Limits(20, service_quota=20, siblings=5), 15),
        (Limits(20, siblings=5), 20),  # each environment has a share of its own
        (Limits(20, service_quota=50, foreign=2, learned=7), 7),
        (Limits(20, service_quota=20, foreign=25), 0),
        (Limits(20, foreign=25), 1),  # the account's quota is not known: Bedrock says what is too much
        (Limits(0), 0),
        (Limits(0, foreign=3), 0),
    ],
)
def test_the_limit_is_the_least_of_what_bounds_it(limits, limit):
    assert limits.admit_limit == limit


@given(COUNTS, st.none() | COUNTS, COUNTS, COUNTS, st.none() | st.integers(1, 500))
def test_the_limit_is_never_more_than_any_of_them_and_never_negative(configured, quota, foreign, siblings, learned):
    limits = Limits(configured, quota, foreign, siblings, learned)

    assert 0 <= limits.admit_limit <= configured
    assert learned is None or limits.admit_limit <= learned
    assert quota is None or limits.admit_limit + foreign + siblings <= max(quota, foreign + siblings)
    assert limits.relaxed.admit_limit - limits.admit_limit in (0, 1)


def test_what_a_refusal_taught_is_forgotten_when_it_no_longer_matters():
    limits = Limits(20, foreign=2, learned=16)

    assert limits.relaxed.learned == 17
    assert limits.relaxed.relaxed.learned is None


def job(name, model=CLAUDE, number=1):
    return Job(f"arn:aws:bedrock:us-east-1:1:model-invocation-job/{number}", name, "InProgress", model, "", "")


def test_whose_a_job_is_its_name_says():
    active = [
        job("jokes-r1-00000-1-test"),
        job("jokes-r1-00000-1-prod"),
        job("somebody-elses"),
        job("somebody-elses", f"us.{CLAUDE}"),
        job("another-pools", "amazon.nova-lite-v1:0"),
        job("nobody-knows", "what is this"),
    ]

    found = others(active, "test")

    assert found[CLAUDE_POOL] == Others(foreign=2, siblings=1)
    assert found["us-east-1#amazon.nova-lite-v1:0"] == Others(foreign=1)


class FakeQuotas:
    def __init__(self, **known):
        self.known = known
        self.asked = 0
        self.fails = False

    async def jobs_at_once(self):
        self.asked += 1
        if self.fails:
            raise Refused("not allowed")
        return dict(self.known)


@pytest.fixture
def quotas():
    return FakeQuotas(**{CLAUDE: 5})


@pytest.fixture
def world():
    return SimulatedWorld(job_quota=20)


@pytest.fixture
def scheduler(world, quotas):
    return Scheduler(dataclasses.replace(world.process_world(), quotas=quotas))


@pytest.mark.promise("S1")
async def test_the_accounts_quota_and_others_jobs_bound_the_first_admission_already(world, scheduler):
    world.jobs.add_foreign("theirs", CLAUDE)
    await scheduler.limits.read_quotas()
    await enlist(world, world.joke(rows=2_000, max_records_per_job=100))

    await scheduler.ticker.tick(CLAUDE_POOL)

    assert len(world.bedrock.active) == 5
    assert (await pool(world)).limits == Limits(20, service_quota=5, foreign=1)


@pytest.mark.promise("S1")
async def test_the_limit_follows_others_jobs_and_the_quota_while_runs_go_on(world, scheduler, quotas):
    await scheduler.limits.read_quotas()
    await enlist(world, world.joke(rows=2_000, max_records_per_job=100))
    await scheduler.sweeper.sweep()
    assert (await pool(world)).admit_limit == 5

    arn = world.jobs.add_foreign("theirs", CLAUDE)
    await scheduler.sweeper.sweep()
    assert (await pool(world)).admit_limit == 4

    world.jobs.finish(arn)
    quotas.known[CLAUDE] = 9
    world.clock.advance(3_700)
    await scheduler.limits.read_quotas()
    await scheduler.sweeper.sweep()
    assert (await pool(world)).admit_limit == 9
    assert len(world.bedrock.active) == 9


async def test_what_another_scheduler_has_read_is_kept_by_one_that_may_not(world, scheduler):
    await scheduler.limits.read_quotas()
    await enlist(world, world.joke(rows=2_000, max_records_per_job=100))
    await scheduler.sweeper.sweep()

    await world.scheduler.sweeper.sweep()

    assert (await pool(world)).service_quota == 5


async def test_quotas_are_read_now_and_then_and_sooner_after_a_failure(world, scheduler, quotas):
    for _ in range(3):
        await scheduler.limits.read_quotas()
    assert quotas.asked == 1

    quotas.fails = True
    world.clock.advance(3_601)
    await scheduler.limits.read_quotas()
    await scheduler.limits.read_quotas()
    assert quotas.asked == 2

    world.clock.advance(601)
    await scheduler.limits.read_quotas()
    assert quotas.asked == 3


@pytest.mark.promise("L4")
async def test_two_environments_that_see_each_others_jobs_both_go_on():
    world = SimulatedWorld(job_quota=2)
    for number in range(5):
        world.jobs.add_foreign(f"jokes-r1-0000{number}-1-prod", CLAUDE)
    await enlist(world, world.joke(rows=2_000, max_records_per_job=100))

    await world.scheduler.sweeper.sweep()

    assert sum(each.name.endswith("-test") for each in world.bedrock.active) == 2
