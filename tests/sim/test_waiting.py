"""What takes long, in virtual time: an end that no event tells, and days of a full quota."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim import trial
from tests.sim.lines import read
from tests.sim.scenario import THREE_DAYS_S

SWEEP_JITTER = 1.1
# Pages that are read, a tick that is under way, latencies of the simulated ports.
A_SWEEP_LASTS_S = 5.0


@pytest.fixture(autouse=True)
def _silent():
    with trial.silent():
        yield


def shards(done):
    return [item for (pk, sk), item in done.items.items() if pk.startswith("run#") and sk.startswith("shard#")]


@pytest.mark.promise("L2")
def test_with_every_event_lost_each_end_of_a_job_is_recorded_within_one_sweep():
    scenario = read("unheard:0")
    assert scenario.bus.lost == 1.0

    done = trial.run(scenario)

    assert done.right, done.verdict.why
    assert len(done.recorded_after_s) >= 8, "more jobs than shards: some were repeated"
    latest_s = max(done.recorded_after_s.values())
    assert latest_s <= scenario.sweep_every_s * SWEEP_JITTER + A_SWEEP_LASTS_S, done.recorded_after_s


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.promise("L4", "L5")
def test_three_days_of_a_full_quota_dead_letter_nothing_and_use_no_attempt():
    scenario = read("full:0")

    done = trial.run(scenario)

    assert done.right, done.verdict.why
    assert done.verdict.figures["healthy_in_dlq"] == 0
    assert {item["attempt"] for item in shards(done)} == {1}
    refused = done.seen["create quota"]
    assert refused > THREE_DAYS_S / scenario.tick_every_s / 2, "it was tried all the time"


def test_while_others_fill_the_quota_nothing_of_ours_begins():
    scenario = read("full:0")
    hour = replace(scenario, work=scenario.work[:1], bedrock=replace(scenario.bedrock, full_for_s=3_600.0))
    done = trial.run(hour)
    assert done.right, done.verdict.why
    assert min(done.begun_s.values()) >= 3_600
