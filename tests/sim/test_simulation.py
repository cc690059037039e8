"""The simulation itself, and a small sample of what `make sim` runs: whatever fails, each promise holds."""

from __future__ import annotations

import os

import pytest

from tests.sim import campaign, trial
from tests.sim.campaign import REGRESSIONS, outcome_and_calls, singles, spread
from tests.sim.lines import read
from tests.sim.processes import FAULTS
from tests.sim.tally import Tally

SINGLES, SEEDS = 10, 8


@pytest.fixture(autouse=True)
def _silent():
    with trial.silent():
        yield


def held(line: str):
    outcome, _ = outcome_and_calls(line)
    assert outcome.held, f'python -m tests.sim one "{line}": {outcome.why}'
    return outcome


def test_the_same_line_is_the_same_trial():
    line = "swarm:5"
    first, second = trial.run(read(line)), trial.run(read(line))
    assert first.calls == second.calls
    assert first.injected == second.injected
    assert first.seen == second.seen


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_strikes_at_its_call_in_virtual_time(fault):
    done = trial.run(read(f"plain:0 plan=60:{fault}"))
    assert [(number, kind) for number, _, kind in done.injected] == [(60, fault)]
    assert done.right, done.verdict.why


def test_a_trial_whose_fault_is_not_reached_does_not_count():
    tally = Tally()
    tally.add(held("plain:0 plan=59000:stall"))
    assert (tally.trials, tally.idle, tally.injected) == (0, 1, 0)


def test_a_seed_whose_faults_come_too_late_is_played_again_with_them_at_calls_that_are_reached():
    late = next(seed for seed in range(100) if trial.run(read(f"swarm:{seed}")).unreached)
    first, outcome = trial.run(read(f"swarm:{late}")), held(f"swarm:{late}")
    assert outcome.injected == len(read(f"swarm:{late}").plan) > len(first.injected)
    assert outcome == held(f"swarm:{late}"), "the same each time"


def test_every_single_fault_is_at_a_call_that_a_run_makes_before_it_is_over():
    last = max(singles("plain:0"), key=lambda line: int(line.split("plan=")[1].split(":")[0]))
    assert held(last).injected == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_more_trials_than_a_process_may_do_are_done_by_others(monkeypatch):
    monkeypatch.setattr(campaign, "TRIALS_PER_PROCESS", 4)
    with campaign.workers(1) as pool:
        numbers = list(pool.map(_number_and_process, range(12)))
    assert [number for number, _ in numbers] == list(range(12))
    assert len({process for _, process in numbers}) == 4, "one task was to see that the first one is there"


def _number_and_process(number: int) -> tuple[int, int]:
    return number, os.getpid()


def test_a_plan_with_a_fault_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="'explode' is no fault; there are refuse, lose_reply"):
        read("plain:0 plan=3:explode")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.promise("S1", "S2", "S3", "S5", "S6", "S7", "S8", "L1", "L2", "L3", "L5", "I1")
def test_a_sample_of_single_faults_at_every_kind_of_call_changes_nothing_that_comes_out():
    for line in spread(singles("asked:0"))[:SINGLES]:
        held(line)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.promise("S1", "S2", "S3", "S4", "S5", "S7", "S8", "S9", "L1", "L2", "L3", "L4", "L5", "I1", "I2")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_fails_together_every_row_comes_back_once_and_nothing_is_held(seed):
    held(f"swarm:{seed}")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.promise("S1", "S2", "S3", "S4", "S5", "S7", "S8", "L1", "L2", "L3", "I1")
@pytest.mark.parametrize("seed", range(100, 100 + SEEDS))
def test_so_it_is_with_runs_that_are_held_and_runs_that_are_retried(seed):
    held(f"wide:{seed}")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.promise("S3", "S4", "L2", "L3")
def test_a_sample_of_single_faults_while_a_run_is_held_twice_and_then_retried_changes_nothing_that_comes_out():
    outcome, _ = outcome_and_calls("held:0")
    assert outcome.why == (), "without any fault"
    assert {name: outcome.seen[f"control {name}"] for name in ("canary held", "budget held", "retry")} == {
        "canary held": 1,
        "budget held": 1,
        "retry": 1,
    }
    for line in spread(singles("held:0"))[:SINGLES]:
        held(line)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.promise("S3", "L2", "L3", "I1")
def test_a_sample_of_single_faults_while_the_months_budget_holds_runs_and_the_month_turns_changes_nothing_that_comes_out():
    outcome, _ = outcome_and_calls("monthly:0")
    assert outcome.why == (), "without any fault"
    for name in ("control month", "control retry", "control cancel", "month turned", "create quota"):
        assert outcome.seen[name], f"{name} is in it"
    for line in spread(singles("monthly:0"))[:SINGLES]:
        held(line)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.promise("S1", "S2", "S3", "S4", "S5", "S7", "S8", "L1", "L2", "L3", "I1")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_so_it_is_where_a_months_budget_holds_runs_is_raised_and_lowered(seed):
    held(f"capped:{seed}")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.promise("S3", "S4", "S10", "L2", "L3")
def test_a_sample_of_single_faults_while_records_go_again_changes_nothing_that_comes_out():
    outcome, _ = outcome_and_calls("rounds:0")
    assert outcome.why == (), "without any fault"
    for line in spread(singles("rounds:0"))[:SINGLES]:
        held(line)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_broke_once_holds_now():
    for path in sorted(REGRESSIONS.glob("*.txt")):
        held(path.read_text().splitlines()[0])
