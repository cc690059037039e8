"""A few bugs are planted, and the simulation sees each; without them it sees nothing there. The others: `make sim-bugs`."""

from __future__ import annotations

import pytest

from tests.sim import bugs, campaign, trial
from tests.sim.planting import LATER, LATER_AT


@pytest.fixture(autouse=True)
def _silent():
    with trial.silent():
        yield


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a budget is not looked at", "millionths of a dollar spent and"),
        ("a canary is not waited for", "before the canary of its run was judged"),
        ("a retry asks answered rows too", "its last outcome is"),
        ("who was paused asks on", "records were asked twice on demand"),
        ("a thread writes an input that nobody waits for", "inputs are left"),
        ("the month is not looked at", "is admitted, and 2026-01 comes to"),
        ("the month is booked twice", "millionths of a dollar of 2026-01 are still booked"),
        ("not returned where an admission came to nothing", "month 2026-01 says"),
        ("not returned on a cancelled admission", "are still booked"),
        ("a retry is booked at nothing", "booked in no month, which has a budget"),
    ],
)
def test_a_bug_against_what_is_held_counted_retried_or_late_is_seen(name, words):
    for line in LATER_AT[name]:
        assert campaign.one(line).held, line
    with LATER[name]():
        why = [each for line in LATER_AT[name] for each in campaign.one(line).why]
    assert any(words in each for each in why), why


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", bugs.BUGS)
def test_every_bug_still_fits_into_the_code(name):
    """Else it would be caught by an error of its own. What is not met here is found out when it is hunted."""
    with bugs.BUGS[name]():
        for line in (*bugs.AT.get(name, ())[:1], "plain:0", "handed:0 plan=jobs.create#1:crash_before"):
            bugs.check_planted(name, campaign.one(line).why)


def test_a_bug_that_falls_over_the_code_is_told_apart_from_one_that_is_caught():
    why = [
        "one is FAILED: the step create failed 5 times in the same way: TypeError: create() got an unexpected argument"
    ]
    with pytest.raises(AssertionError, match="does not fit into the code any more"):
        bugs.check_planted("nobody takes over", why)
    bugs.check_planted("nobody takes over", ["leaked 1: slots are still held"])


def test_every_bug_has_a_place_where_it_is_looked_for_first():
    assert LATER.keys() == LATER_AT.keys()
