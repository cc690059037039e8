"""Dollars as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.models.money import dollars, dollars_apart
from tests.examples import examples

SUMS = st.one_of(st.just(0.0), st.floats(1e-9, 1e7), st.integers(1, 10**10).map(lambda micros: micros / 1_000_000))


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0"),
        (1234.5, "$1,234.50"),
        (0.1, "$0.10"),
        (0.0999, "$0.0999"),
        (0.0026, "$0.0026"),
        (0.0001, "$0.0001"),
        (0.000012345, "$0.000012"),
        (0.0000001, "$0.00000010"),
    ],
)
def test_a_sum_has_the_decimals_that_it_takes_to_see_something(amount, text):
    assert dollars(amount) == text


@pytest.mark.parametrize(
    ("amounts", "texts"),
    [
        ((12.5, 3), ("$12.50", "$3.00")),
        ((10.002, 10), ("$10.002", "$10.000")),
        ((0.00123, 0.0012), ("$0.00123", "$0.00120")),
        ((0.09996, 0.1), ("$0.09996", "$0.100")),
        ((4.2, 4.2), ("$4.20", "$4.20")),
        ((10.002, 10, 3), ("$10.002", "$10.000", "$3.00")),
    ],
)
def test_sums_that_differ_do_not_read_the_same(amounts, texts):
    assert dollars_apart(*amounts) == texts


@examples(300)
@given(st.tuples(SUMS, SUMS, SUMS))
def test_what_is_read_is_in_the_order_of_the_sums(amounts):
    read = [float(text.removeprefix("$").replace(",", "")) for text in dollars_apart(*amounts)]

    for amount, known in zip(amounts, read, strict=True):
        assert (known == 0) == (amount == 0)
        for other, beside in zip(amounts, read, strict=True):
            if amount < other - 1e-9:
                assert known < beside
