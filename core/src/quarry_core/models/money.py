"""Dollars as people read them. Pure.

Cents say enough of most sums, and nothing of a few rows of a small model: a sum that is not zero must never read as zero,
and two sums of which a sentence says that one is above the other must not read the same. Everything that writes dollars for
people writes them by these two.
"""

from __future__ import annotations

import math

_CENTS = 2
_BELOW_TEN_CENTS = 4
# To so many decimals sums are kept: one record of an embedding model costs less than a millionth.
DOLLARS_DIGITS = 9


def dollars(amount: float) -> str:
    """`$1,234.50`, `$0.0026`, `$0.000012`; `$0` of nothing alone.

    Args:
        amount: US dollars, at least 0.
    """
    return _written(amount, _places(amount))


def dollars_apart(*amounts: float) -> tuple[str, ...]:
    """The same of sums that are compared, with as many decimals as tell those that differ apart: `$10.002` and `$10.000`."""
    places = [_places(amount) for amount in amounts]
    while True:
        shown = [round(amount, digits) for amount, digits in zip(amounts, places, strict=True)]
        close = [
            at
            for at, amount in enumerate(amounts)
            if places[at] < DOLLARS_DIGITS
            and any(shown[at] == shown[other] and amount != amounts[other] for other in range(len(amounts)))
        ]
        if not close:
            return tuple(map(_written, amounts, places))
        for at in close:
            places[at] += 1


def _places(amount: float) -> int:
    """Decimals: cents; below ten cents ten-thousandths; of less than one of those what shows two digits."""
    if amount >= 0.1 or not amount:
        return _CENTS
    return _BELOW_TEN_CENTS if amount >= 0.0001 else 1 - math.floor(math.log10(amount))


def _written(amount: float, places: int) -> str:
    return f"${amount:,.{places}f}" if amount else "$0"
