"""How long the longest value of a dictionary is, told from its page."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.tabular.parquet.pages import longest_entry

# Runs of values of one length: shorter and longer than what is followed one by one, and than what is looked at at once.
RUNS = st.lists(
    st.tuples(st.sampled_from([0, 1, 5, 6, 300]), st.sampled_from([1, 2, 31, 32, 33, 200, 4_096 + 40])), max_size=5
)


def page(runs, filled_with):
    return b"".join((struct.pack("<I", length) + filled_with * length) * times for length, times in runs)


@given(RUNS, st.sampled_from([b"x", b"\0", b"\6"]))
def test_the_longest_value_is_found_however_many_are_of_one_length(runs, filled_with):
    assert longest_entry(page(runs, filled_with)) == max((length for length, _ in runs), default=0)


@pytest.mark.parametrize("rest", [b"", b"\0", b"\6\0\0"])
def test_half_a_length_at_the_end_of_a_page_is_none(rest):
    assert longest_entry(page([(6, 40), (9, 1)], b"x") + rest) == 9


def test_a_length_beyond_the_page_is_taken_at_its_word():
    assert longest_entry(page([(6, 40)], b"x") + b"\xff\xff\xff\xff") == 0xFFFFFFFF
