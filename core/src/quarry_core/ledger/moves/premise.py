"""The premise that nearly every write repeats."""

from __future__ import annotations

from quarry_core.ports import Cond


def equal(attribute: str, value: object) -> Cond:
    """The attribute still is what was read."""
    return Cond(attribute, "eq", value)


def equal_or_absent(attribute: str, value: object) -> Cond:
    """Likewise, of an attribute that may be absent: then what was read is None."""
    return Cond(attribute, "absent") if value is None else equal(attribute, value)


def as_read(attribute: str, value: object) -> Cond:
    """Likewise, of an attribute that may be absent: then what was read is empty or zero."""
    return equal(attribute, value) if value else Cond(attribute, "absent")
