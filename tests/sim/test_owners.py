"""Who comes late finds another in the middle of the same work: each premise that stops it then is missed when it is gone."""

from __future__ import annotations

import pytest

from tests.sim import campaign, trial
from tests.sim.premises import Noted, dropped, read_premise

# Which call it is shifts with whatever else the services do, so that every call at which it may be is struck.
CLOSED_BY_TWO = [f"handed:0 plan=bus.put#1:stall,objects.list#{number}:stall" for number in range(1, 10)]
BEGUN_LATE = [
    f"handed:0 plan=bus.put#1:crash_after,objects.list#3:stall,table.transact#{number}:stall"
    for number in range(20, 50)
]
SWEPT_LATE = [f"ondemand:0 plan=runtime.ask#10:crash_before,table.transact#{number}:stall" for number in range(20, 50)]


@pytest.fixture(autouse=True)
def _silent():
    with trial.silent():
        yield


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.promise("S8")
@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        ("finish_piece: begun begun eq", CLOSED_BY_TWO, "were taken off by a process that has none there any more"),
        ("begin_piece: begun version eq", BEGUN_LATE, "the delivery that began handed close# goes back from"),
        ("leave_invoking: shard heartbeat eq", SWEPT_LATE, "was moved from who asks it, and was heard of"),
    ],
)
def test_who_comes_late_takes_nothing_from_another_and_without_the_premise_it_would(name, lines, words):
    with dropped(read_premise(name)):
        caught = next((line for line in lines if any(words in why for why in campaign.one(line).why)), None)
    assert caught is not None, "the premise is missed at none of these calls"
    outcome = campaign.one(caught)
    assert outcome.held, f'python -m tests.sim one "{caught}": {outcome.why}'


def test_of_two_moves_that_ask_the_same_the_one_is_noted_that_was_refused():
    noted = Noted()
    with noted.noting():
        campaign.one("ondemand:0 plan=runtime.ask#7:stall")
    assert read_premise("keep_invoking: shard heartbeat eq") in noted.decisive
    assert not [premise for premise in noted.failed if premise.move == "leave_invoking"]


def test_a_trial_whose_premises_are_watched_is_the_same_trial():
    line = "rounds:0 plan=table.transact#41:stall"
    _, calls = campaign.outcome_and_calls(line)
    with Noted().noting():
        _, watched = campaign.outcome_and_calls(line)
    assert watched == calls
