"""The premise that nearly every write repeats."""

from __future__ import annotations

from quarry_core.ports import Cond


def equal(attribute: str, value: object) -> Cond:
    """The attribute still is what was read."""
    return Cond(attribute, "eq", value)
