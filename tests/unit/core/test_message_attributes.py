"""Attributes of a message that is sent on: ours find room beside anybody's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.message_attributes import ATTRIBUTES_MAX, CARRIED, apart, together, with_origin

NAMES = st.text("abcdefgh_-.0123456789", min_size=1, max_size=8)
SENT = st.dictionaries(NAMES, st.text(min_size=1, max_size=20), max_size=10)


@given(SENT, st.integers(1, 4))
def test_nothing_of_the_senders_is_lost_whatever_room_ours_take(theirs, ours_count):
    ours = {f"quarry_{number}": "ours" for number in range(ours_count)}

    sent = together(theirs, ours)

    assert len(sent) <= ATTRIBUTES_MAX
    assert all(sent.values())
    assert apart(sent) == {**theirs, **ours}


@given(SENT)
def test_sent_again_and_again_a_message_keeps_its_first_id_and_its_attributes(theirs):
    once = with_origin(theirs, "the-first")
    twice = with_origin(once, "the-second")

    assert twice == once
    assert apart(twice) == {"quarry_origin_id": "the-first", **theirs}


@pytest.mark.parametrize("theirs", ["", "no json", "[1]", '{"a": 1}', '{"a": ""}', "[" * 10_000])
def test_an_attribute_of_that_name_which_is_not_ours_is_left_as_it_is(theirs):
    assert apart({CARRIED: theirs, "mine": "kept"}) == {CARRIED: theirs, "mine": "kept"}
