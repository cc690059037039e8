"""Values of a valid answer as what `pa.array` takes, and strictly: the half of `arrow` that runs for each answer. Pure.

pyarrow makes 4 of 4.9 without a word, takes true for 1.0, and fails a whole column for one number beyond its type. So
each value is converted by itself first, and one that its column cannot hold raises `Unfit` with its path. What comes out
is JSON again: times are counts of microseconds, dates are counts of days.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

INT64 = (-(2**63), 2**63 - 1)
UINT64_MAX = 2**64 - 1
DECIMAL_DIGITS = 38
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.date().toordinal()
_MICROSECONDS_DIGITS = 6


Convert = Callable[[Any], Any]


class Unfit(ValueError):
    """A value that its column cannot hold.

    Attributes:
        path: names and places that lead to it.
    """

    def __init__(self, reason: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(reason)
        self.path = path

    def under(self, step: str | int) -> Unfit:
        return Unfit(str(self), (step, *self.path))


def of_kind(kind: type, word: str) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, kind):
            raise Unfit(f"is no {word}")
        return value

    return convert


def as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def whole(low: int, high: int, name: str) -> Convert:
    def convert(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Unfit("is no whole number")
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if not isinstance(whole, int):
            raise Unfit("is no whole number")
        if not low <= whole <= high:
            raise Unfit(f"is beyond {name}: give it minimum and maximum, or describe it as a string")
        return whole

    return convert


def double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unfit("is no number")
    try:
        return float(value)
    except OverflowError:
        raise Unfit("is beyond a double: describe it as a string") from None


def timestamp(value: Any) -> int:
    """Microseconds since 1970, UTC. The text has passed the format `date-time`."""
    if not isinstance(value, str):
        raise Unfit("is no text")
    fraction = value.partition(".")[2].rstrip("Zz").partition("+")[0].partition("-")[0]
    if len(fraction.rstrip("0")) > _MICROSECONDS_DIGITS:
        raise Unfit("is finer than a microsecond: describe it as a string without format")
    try:
        moment = datetime.fromisoformat(value.replace("z", "Z").replace("t", "T"))
        if moment.tzinfo is None:
            raise Unfit("has no offset from UTC")
        since = moment - _EPOCH
    except (ValueError, OverflowError) as error:
        raise error if isinstance(error, Unfit) else Unfit("is no time that a timestamp can hold") from None
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def day(value: Any) -> int:
    if not isinstance(value, str):
        raise Unfit("is no text")
    try:
        return date.fromisoformat(value).toordinal() - _EPOCH_DAY
    except ValueError:
        raise Unfit("is no date") from None


def as_list(item: Convert) -> Convert:
    def convert(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Unfit("is no list")
        made = []
        for place, one in enumerate(value):
            try:
                made.append(None if one is None else item(one))
            except Unfit as error:
                raise error.under(place) from None
        return made

    return convert


def as_struct(members: Sequence[tuple[str, Convert]]) -> Convert:
    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Unfit("is no object")
        made = {}
        for name, inner in members:
            found = value.get(name)
            if found is not None:
                try:
                    made[name] = inner(found)
                except Unfit as error:
                    raise error.under(name) from None
        return made

    return convert


def as_tuple(members: Sequence[tuple[str, Convert]]) -> Convert:
    struct = as_struct(members)

    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, list):
            raise Unfit("is no list")
        return struct({str(place): one for place, one in enumerate(value)})  # type: ignore[no-any-return]

    return convert


def as_map(inner: Convert) -> Convert:
    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Unfit("is no object")
        made = {}
        for name, one in value.items():
            try:
                made[name] = None if one is None else inner(one)
            except Unfit as error:
                raise error.under(name) from None
        return made

    return convert
