"""Every interleaving of the protocol in the small."""

from __future__ import annotations

import pytest

from tests.sim.protocol import Broken, Size, explore


@pytest.mark.promise("S1", "S2", "S5", "S7", "L1", "L4")
@pytest.mark.parametrize(
    "size",
    [Size(quota=1, collectors=2, faults=0), Size(quota=2, collectors=1, faults=0)],
    ids=["quota-1", "quota-2"],
)
def test_two_schedulers_a_sweep_and_collectors_keep_the_promises_in_every_order(size):
    assert explore(size).states > 5_000


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.promise("S1", "S2", "S5", "S7", "L1", "L3", "L4")
def test_so_they_do_when_any_one_of_them_dies_or_is_not_heard():
    assert explore(Size(collectors=1, faults=1)).states > 50_000


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.promise("S1", "S5", "S7", "L1", "L4")
def test_so_they_do_when_bedrock_says_no_at_any_moment():
    assert explore(Size(collectors=1, faults=1, refusals=True)).states > 50_000


@pytest.mark.promise("S1", "S8")
def test_a_slot_that_is_returned_for_a_no_while_a_create_is_on_its_way_would_break_the_quota():
    with pytest.raises(Broken, match="S1: job 00000/1 runs without a slot"):
        explore(Size(collectors=1, faults=1, refusals=True), waits_for_late=False)


@pytest.mark.promise("S1", "S8")
def test_a_slot_that_is_returned_by_who_has_taken_it_over_would_break_the_quota():
    """What the exploration found; see `JobCreator`."""
    with pytest.raises(Broken, match="S1: job 00000/1 runs without a slot"):
        explore(Size(collectors=1, faults=1), keeps_taken=False)
