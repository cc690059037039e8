"""Samples by the numbers of rows: exact, the same each time, nested, and without a pattern."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.tabular.row_sample import MIXED_MAX, Smallest, below_of, mixed


def rows(first: int, last: int) -> np.ndarray:
    return np.arange(first, last, dtype=np.uint64)


def chosen(below: int, seed: int, among: np.ndarray) -> list[int]:
    return [int(row) for row, place in zip(among, mixed(among, seed).tolist(), strict=True) if place < below]


def test_the_places_are_always_the_same():
    """Of releases to come too: a run that is half done goes on with its sample."""
    assert mixed(rows(0, 3), 0).tolist() == [5197578548964807871, 12035550249420947055, 12935080325729570654]
    assert mixed(rows(0, 2), 1).tolist() != mixed(rows(0, 2), 0).tolist()


def test_no_two_rows_have_one_place():
    assert len(np.unique(mixed(rows(0, 200_000), 7))) == 200_000


@given(st.integers(1, 300), st.integers(0, 2**63 - 1), st.lists(st.integers(1, 200), max_size=6))
def test_as_many_rows_as_asked_for_or_all(most, seed, batches):
    smallest, first = Smallest(most, seed), 0
    for size in batches:
        smallest.add(rows(first, first + size))
        first += size
    among = rows(0, first)
    found = chosen(smallest.below(), seed, among)
    assert len(found) == min(most, first)
    by_place = sorted(among.tolist(), key=lambda row: int(mixed(rows(row, row + 1), seed)[0]))
    assert set(found) == set(by_place[:most])


def test_a_larger_sample_has_all_of_a_smaller_one():
    among, samples = rows(0, 10_000), []
    for most in (10, 100, 1_000):
        smallest = Smallest(most, 3)
        smallest.add(among)
        samples.append(set(chosen(smallest.below(), 3, among)))
    assert samples[0] < samples[1] < samples[2]


@pytest.mark.parametrize("seed", [0, 1, 42, 2**62])
def test_a_share_is_spread_over_all_rows(seed):
    found = np.array(chosen(below_of(0.01), seed, rows(0, 200_000)))
    assert 1_800 < len(found) < 2_200
    parts = np.histogram(found, bins=10, range=(0, 200_000))[0]
    assert parts.min() > 140
    assert parts.max() < 270
    assert abs(np.mean(found % 2) - 0.5) < 0.05


def test_the_ends_of_a_share():
    assert below_of(0.5) == MIXED_MAX // 2
    assert below_of(1 - 2**-53) < MIXED_MAX
    assert below_of(5e-324) == 0
