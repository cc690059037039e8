"""A few bugs are planted, and the simulation sees each; without them it sees nothing there. The others: `make sim-bugs`."""

from __future__ import annotations

import pytest

from tests.sim import campaign, trial
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


def test_every_bug_has_a_place_where_it_is_looked_for_first():
    assert LATER.keys() == LATER_AT.keys()
