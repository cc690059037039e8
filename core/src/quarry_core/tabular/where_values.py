"""One comparison of a column with a value, by the column's type: row by row true, false or unknown. Pure.

Values are compared as they are, never rounded to fit each other: a whole number of 19 digits is not a float's
neighbour, and 2.5 lies between two integers. Types that have steps (whole numbers, decimals, dates, times) are compared
by the number of their steps. Texts are compared by their UTF-8 bytes.

A column of text may be asked with a number, for CSV has nothing but text: then each cell is read as a number. An empty
cell has no number, so the answer is unknown; a cell that is neither refuses the source, with its row, for to pass it
over would be a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quarry_core.contract.where import Op, Value
from quarry_core.tabular.arrow_types import is_string_view

# What answers for each value of a column.
ColumnAsk = Callable[[pa.Array], pa.Array]

CELL_NUMBER_CHARS_MAX = 400
_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)\s*")
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.(?P<fraction>[0-9]{1,9}))?)?"
_TIME_OF_DAY = re.compile(_TIME)
_TIMESTAMP = re.compile(
    rf"(?P<day>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})(?:[ T](?P<time>{_TIME}))?(?P<zone>Z|[+-][0-9]{{2}}:[0-9]{{2}})?"
)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_OPS: dict[Op, str] = {
    "=": "equal",
    "<>": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}
_EPOCH = date(1970, 1, 1)


class Mismatch(ValueError):
    """A column of this type cannot be asked so; the text follows the column's name: "is int64; write …"."""


class NotANumber(ValueError):
    """A cell that is asked as a number, or as true and false, and is none. `row` counts in the batch."""

    def __init__(self, row: int, text: str, what: str) -> None:
        super().__init__(f"{text!r} is no {what}")
        self.row = row


def comparing(kind: pa.DataType, op: Op, value: Value) -> ColumnAsk:
    """What compares a column of this type with a value. Raises Mismatch."""
    if pa.types.is_dictionary(kind):
        compare = comparing(kind.value_type, op, value)
        return lambda array: compare(array.dictionary_decode())
    if pa.types.is_null(kind):
        return lambda array: pa.nulls(len(array), pa.bool_())
    if _is_text(kind):
        return _of_text(op, value)
    if pa.types.is_boolean(kind):
        return _of_bool(op, value)
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return _of_number(kind, op, value)
    if pa.types.is_floating(kind):
        return _of_float(kind, op, value)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return _of_time(kind, op, value)
    raise Mismatch(f"is {kind}, of which only `is null` can be asked")


def among(kind: pa.DataType, values: Sequence[Value]) -> ColumnAsk:
    """What tells whether a column of this type has one of these values, which are of one kind. Raises Mismatch."""
    if pa.types.is_dictionary(kind):
        inner = among(kind.value_type, values)
        return lambda array: inner(array.dictionary_decode())
    if isinstance(values[0], str) and _is_text(kind):
        literals = pa.array([str(value).encode() for value in values], pa.large_binary())
        return lambda array: pc.if_else(
            array.is_valid(), pc.is_in(array.cast(pa.large_binary()), value_set=literals), None
        )
    asks = [comparing(kind, "=", value) for value in values]

    def ask(array: pa.Array) -> pa.Array:
        answer = asks[0](array)
        for one in asks[1:]:
            answer = pc.or_kleene(answer, one(array))
        return answer

    return ask


def _is_text(kind: pa.DataType) -> bool:
    return any(of(kind) for of in (pa.types.is_string, pa.types.is_large_string, is_string_view))


def looks_into_text(kind: pa.DataType, value: Value) -> bool:
    """Whether comparing reads texts as something else, and so may refuse one."""
    while pa.types.is_dictionary(kind):
        kind = kind.value_type
    return not isinstance(value, str) and _is_text(kind)


def _apply(op: Op, array: pa.Array, value: pa.Scalar) -> pa.Array:
    return getattr(pc, _OPS[op])(array, value)


# --------------------------------------------------------------------------- text


def _of_text(op: Op, value: Value) -> ColumnAsk:
    if isinstance(value, str):
        literal = pa.scalar(value.encode(), pa.large_binary())
        return lambda array: _apply(op, array.cast(pa.large_binary()), literal)
    if isinstance(value, bool):
        return _of_bool_text(op, value)
    return lambda array: _by_distinct(array, lambda text: _number_of(text, op, value), "number")


def _of_bool_text(op: Op, value: bool) -> ColumnAsk:
    _check_bool_op(op)
    answers = {"true": (op == "=") == value, "false": (op == "=") != value, "": None}
    return lambda array: _by_distinct(array, lambda text: answers[text.strip().casefold()], "true or false")


def _number_of(text: str, op: Op, value: Decimal) -> bool | None:
    if not text.strip():
        return None
    found = _NUMBER.fullmatch(text) if len(text) <= CELL_NUMBER_CHARS_MAX else None
    if found is None:
        raise KeyError(text)
    number = Decimal(found[1])
    order = (number > value) - (number < value)
    return {"=": order == 0, "<>": order != 0, "<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[op]


def _by_distinct(array: pa.Array, answer: Callable[[str], bool | None], what: str) -> pa.Array:
    """Each distinct text is looked at once."""
    encoded = array.cast(pa.large_binary()).dictionary_encode()
    answers: list[bool | None] = []
    for place, raw in enumerate(encoded.dictionary.to_pylist()):
        text = raw.decode(errors="replace")
        try:
            answers.append(answer(text))
        except KeyError:
            row = pc.index(encoded.indices, pa.scalar(place, encoded.indices.type)).as_py()
            raise NotANumber(row, text if len(text) <= 60 else text[:59] + "…", what) from None
    return pa.array(answers, pa.bool_()).take(encoded.indices)


# --------------------------------------------------------------------------- true and false


def _of_bool(op: Op, value: Value) -> ColumnAsk:
    if not isinstance(value, bool):
        raise Mismatch("is true or false; write = true or = false")
    _check_bool_op(op)
    return lambda array: _apply(op, array, pa.scalar(value))


def _check_bool_op(op: Op) -> None:
    if op not in ("=", "<>"):
        raise Mismatch(f"is compared with true or false by {op}; only = and <> can be asked")


# --------------------------------------------------------------------------- numbers


def _of_number(kind: pa.DataType, op: Op, value: Value) -> ColumnAsk:
    if isinstance(value, bool) or not isinstance(value, Decimal):
        raise Mismatch(f"is {kind}; write a number without quotes")
    scale = kind.scale if pa.types.is_decimal(kind) else 0
    if pa.types.is_decimal(kind):
        most, least = 10**kind.precision - 1, -(10**kind.precision) + 1
    else:
        signed = pa.types.is_signed_integer(kind)
        most = 2 ** (kind.bit_width - signed) - 1
        least = -(2 ** (kind.bit_width - 1)) if signed else 0
    steps = Fraction(value) * Fraction(10) ** scale

    def literal(number: int) -> pa.Scalar:
        return pa.scalar(Decimal(number).scaleb(-scale) if pa.types.is_decimal(kind) else number, kind)

    return _by_steps(op, steps, least, most, literal)


def _by_steps(op: Op, steps: Fraction, least: int, most: int, literal: Callable[[int], pa.Scalar]) -> ColumnAsk:
    """Compare what has steps from `least` to `most` with a value that may lie between two, or beyond the ends."""
    floor = steps.numerator // steps.denominator
    if floor != steps:
        if op in ("=", "<>"):
            return _always(op == "<>")
        # Above the step below is what is above, and up to it what is below.
        op = "<=" if op in ("<", "<=") else ">"
    if floor > most:
        return _always(op in ("<", "<=", "<>"))
    if floor < least:
        return _always(op in (">", ">=", "<>"))
    bound = literal(floor)
    return lambda array: _apply(op, array, bound)


def _always(answer: bool) -> ColumnAsk:
    """The same for every value, and unknown for a null."""
    return lambda array: pc.if_else(array.is_valid(), answer, None)


def _of_float(kind: pa.DataType, op: Op, value: Value) -> ColumnAsk:
    if isinstance(value, bool) or not isinstance(value, Decimal):
        raise Mismatch(f"is {kind}; write a number without quotes")
    # What is written as 0.1 in the file is 0.1 here, too: the number is taken to the column's own digits.
    with np.errstate(over="ignore"):
        number = float(kind.to_pandas_dtype()(float(value)))

    def compare(array: pa.Array) -> pa.Array:
        if pa.types.is_float16(kind):
            array = array.cast(pa.float32())
        answer = _apply(op, array.cast(pa.float64()), pa.scalar(number))
        # NaN is no value: nothing is known of it, as of a null.
        return pc.if_else(pc.is_nan(array), None, answer)

    return compare


# --------------------------------------------------------------------------- dates and times


def _of_time(kind: pa.DataType, op: Op, value: Value) -> ColumnAsk:
    if not isinstance(value, str):
        raise Mismatch(f"is {kind}; write it as a text in single quotes, as in {_example(kind)}")
    nanos = _nanoseconds(kind, value)
    if pa.types.is_date(kind):
        storage, unit = (pa.int32(), 86_400 * 10**9) if pa.types.is_date32(kind) else (pa.int64(), 10**6)
    else:
        storage = pa.int32() if pa.types.is_time32(kind) else pa.int64()
        unit = 10**9 // _PER_SECOND[kind.unit]
    bits = storage.bit_width - 1
    compare = _by_steps(op, Fraction(nanos, unit), -(2**bits), 2**bits - 1, lambda number: pa.scalar(number, storage))
    return lambda array: compare(array.view(storage))


def _nanoseconds(kind: pa.DataType, text: str) -> int:
    """Since 1970, or since midnight."""
    wrong = Mismatch(f"is {kind}, and {text!r} is none; write it as in {_example(kind)}")
    try:
        if pa.types.is_date(kind):
            if _DATE.fullmatch(text) is None:
                raise wrong
            return (date.fromisoformat(text) - _EPOCH).days * 86_400 * 10**9
        if pa.types.is_time(kind):
            found = _TIME_OF_DAY.fullmatch(text)
            if found is None:
                raise wrong
            return _of_day(time.fromisoformat(text.partition(".")[0]), found["fraction"])
        found = _TIMESTAMP.fullmatch(text)
        if found is None:
            raise wrong
        if (found["zone"] is None) != (kind.tz is None):
            raise Mismatch(
                f"has {'no' if kind.tz is None else 'a'} time zone ({kind}), and {text!r} has "
                f"{'one' if kind.tz is None else 'none'}; write it as in {_example(kind)}"
            )
        at = datetime.fromisoformat(
            f"{found['day']}T{(found['time'] or '00:00').partition('.')[0]}{found['zone'] or 'Z'}"
        )
    except ValueError as error:  # 30 February
        raise error if isinstance(error, Mismatch) else wrong from error
    return (at - datetime.fromtimestamp(0, UTC)) // timedelta(seconds=1) * 10**9 + _fraction(found["fraction"])


def _of_day(at: time, fraction: str | None) -> int:
    return (at.hour * 3_600 + at.minute * 60 + at.second) * 10**9 + _fraction(fraction)


def _fraction(digits: str | None) -> int:
    return int((digits or "").ljust(9, "0"))


def _example(kind: pa.DataType) -> str:
    if pa.types.is_date(kind):
        return "'2026-01-31'"
    if pa.types.is_time(kind):
        return "'23:59:00'"
    return "'2026-01-31 23:59:00'" if kind.tz is None else "'2026-01-31T23:59:00Z'"
