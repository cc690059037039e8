"""Who comes late finds another in the middle of the same work: each premise that stops it then is missed when it is gone."""

from __future__ import annotations

import pytest

from tests.sim import campaign, trial
from tests.sim.owners import Owners
from tests.sim.premises import Noted, dropped, read_premise

# Which call it is shifts with whatever else the services do, so that every call at which it may be is struck.
CLOSED_BY_TWO = [f"handed:0 plan=bus.put#1:stall,objects.list#{number}:stall" for number in range(1, 10)]
BEGUN_LATE = [
    f"handed:0 plan=bus.put#1:crash_after,objects.list#3:stall,table.transact#{number}:stall"
    for number in range(20, 50)
]
LEFT_LATE = [
    f"handed:0 plan=bus.put#1:refuse,objects.list#3:stall,table.transact#{number}:stall" for number in range(20, 40)
]
ENDED_LATE = [
    f"ondemand:0 plan=table.transact#{first}:stall,table.transact#{first + more}:stall"
    for first in range(38, 47)
    for more in range(4, 9)
]
CLOSED_LATE = [f"asked:0 plan=table.transact#{number}:stall" for number in range(1, 40)]
RELEASED_LATE = [f"judged:0 plan=table.transact#{number}:stall" for number in range(20, 35)]
JUDGED_LATE = [f"judged:0 plan=table.transact#{number}:stall" for number in range(30, 45)]
LIMITED_LATE = [f"limited:0 plan=table.transact#{number}:stall" for number in range(40, 90)]
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
        ("leave_piece: begun begun eq", LEFT_LATE, "another's mark on begun#close# of handed was taken off"),
        ("leave_invoking: shard heartbeat eq", SWEPT_LATE, "was moved from who asks it, and was heard of"),
        ("end_invoking: shard heartbeat eq", ENDED_LATE, "was moved from who asks it, and was heard of"),
        ("close_run: everything whatever it is", CLOSED_LATE, "has ended twice"),
        ("release_held: everything whatever it is", RELEASED_LATE, "judged is RUNNING"),
        (
            "judge_canary: everything whatever it is",
            JUDGED_LATE,
            "the canary of run judged was approved, and is exceeded",
        ),
        ("limit_pool: everything whatever it is", LIMITED_LATE, "is set to 0, and goes by"),
    ],
)
def test_who_comes_late_takes_nothing_from_another_and_without_the_premise_it_would(name, lines, words):
    with dropped(read_premise(name)):
        caught = next((line for line in lines if any(words in why for why in campaign.one(line).why)), None)
    assert caught is not None, "the premise is missed at none of these calls"
    outcome = campaign.one(caught)
    assert outcome.held, f'python -m tests.sim one "{caught}": {outcome.why}'


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("line", "seen"), [("judged:0", "control canary held"), ("limited:0", "control limit")])
def test_without_a_fault_all_is_right_there(line, seen):
    outcome = campaign.one(line)
    assert outcome.why == ()
    assert outcome.seen[seen]


def test_failures_are_forgotten_by_who_counted_the_last_of_them():
    who = ["one"]
    owners = Owners(lambda: who[0], lambda: 0.0, 60.0)
    key = ("run#r", "failure#settle#00000")
    for process in ("one", "other"):
        who[0] = process
        owners.changed(key, None, {"token": process})
    owners.changed(key, {"token": "other"}, None)
    assert owners.broken == []
    owners.changed(key, None, {"token": "other"})
    who[0] = "one"
    owners.changed(key, {"token": "other"}, None)
    assert owners.broken == ["failure#settle#00000 of r was forgotten, and another has counted since"]


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
