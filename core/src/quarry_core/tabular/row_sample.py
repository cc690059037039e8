"""Which rows are in a sample, by their numbers alone. Pure.

Each row's number is mixed with the seed into one of 2**64, one to one; the rows with the smallest are the sample. So no
two rows share a place, the sample needs no list, any worker can tell of any row whether it is in, and a larger sample
of the same seed has all rows of a smaller one. The mixing is that of splitmix64 (Steele, Lea, Flood 2014), whose steps
can all be undone.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, np.dtype[np.uint64]]

MIXED_MAX = 2**64
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mixed(rows: Numbers, seed: int) -> Numbers:
    """The place of each row among 2**64, by its number in the source and the seed."""
    with np.errstate(over="ignore"):
        start = _mix(np.array([seed], np.uint64) + _GOLDEN)[0]
        return _mix(rows * _GOLDEN + start)


def below_of(share: float) -> int:
    """A row is in the share if its place is below this."""
    return int(Fraction(share) * MIXED_MAX)


def _mix(numbers: Numbers) -> Numbers:
    with np.errstate(over="ignore"):
        numbers = (numbers ^ (numbers >> np.uint64(30))) * _FIRST
        numbers = (numbers ^ (numbers >> np.uint64(27))) * _SECOND
        return numbers ^ (numbers >> np.uint64(31))


class Smallest:
    """Keeps the rows with the smallest places, of any number that come by.

    Args:
        rows: how many.
        seed: of the sample.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self._most = rows
        self._seed = seed
        self._places: Numbers = np.empty(0, np.uint64)
        self._waiting: list[Numbers] = []
        self._waiting_rows = 0

    def add(self, rows: Numbers) -> None:
        """Take rows by their numbers, each once."""
        places = mixed(rows, self._seed)
        if len(self._places) == self._most:
            places = places[places < self._places[-1]]
        if len(places):
            self._waiting.append(places)
            self._waiting_rows += len(places)
        if self._waiting_rows > self._most:
            self._settle()

    def below(self) -> int:
        """A row that came by is in the sample if its place is below this."""
        self._settle()
        return MIXED_MAX if len(self._places) < self._most else int(self._places[-1]) + 1

    def _settle(self) -> None:
        places = np.concatenate([self._places, *self._waiting])
        self._waiting, self._waiting_rows = [], 0
        if len(places) > self._most:
            places = np.partition(places, self._most - 1)[: self._most]
        self._places = np.sort(places)
