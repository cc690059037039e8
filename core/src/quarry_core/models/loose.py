"""Reading what a model's output holds beside the answer, in whatever form it came. Pure; nothing here raises.

An answer was paid for, so an odd value beside it (a count that is a text, a stop reason that is a number) becomes
"unknown" and never costs the answer. Values are what the standard library's `json` makes of JSON.
"""

from __future__ import annotations

import math
from typing import Any

Members = dict[str, Any]


def members(value: object) -> Members:
    """An object's members; none of what is no object."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str | None:
    """A text, or None for anything else."""
    return value if isinstance(value, str) else None


def count(value: object) -> int | None:
    """A whole number, or None for anything else: a float and a text are no counts."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def whole(value: object) -> object:
    """A number without a fraction as an integer; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def numbers(value: object) -> list[float] | None:
    """A list of finite numbers, or None if it is anything else or one element of it is."""
    if not isinstance(value, list):
        return None
    try:
        found = [float(each) for each in value if isinstance(each, int | float) and not isinstance(each, bool)]
    except OverflowError:
        return None
    return found if len(found) == len(value) and all(map(math.isfinite, found)) else None
