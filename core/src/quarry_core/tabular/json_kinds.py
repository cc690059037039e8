"""What the values of a JSONL column are, and the type that holds all of them. Pure.

A column has one kind of value over all files, or it holds JSON: nothing is converted, rounded or guessed. Texts are
strings, so "01" stays a text; whole numbers are int64, or the narrowest wider type; numbers are float64 if every whole
number among them is exact there. Objects, arrays and mixtures are JSON text (`json_column`), and so are numbers that
no type holds. An absent key and an explicit null are null.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter

import msgspec
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from quarry_core.tabular.json_column import json_field

FLOAT_EXACT_MAX = 2**53
DECIMAL_MAX = 10**38 - 1
# A longer number fits no type; it is not converted to find out.
_DIGITS_MAX = 39
# Without an exponent a number of so many digits is no infinity.
_FLOAT_CHARS = 300
# Rows that have fewer than one in so many of all keys are looked at row by row.
SPARSE = 4
_NULL_SIGN = ord("n")
_TEXT, _BOOL, _NULL, _NUMBER, _NESTED = "text", "bool", "null", "number", "nested"
_KINDS = {ord('"'): _TEXT, ord("t"): _BOOL, ord("f"): _BOOL, ord("n"): _NULL, ord("{"): _NESTED, ord("["): _NESTED} | {
    ord(sign): _NUMBER for sign in "-0123456789"
}


class Kinds(BaseModel):
    """What was seen in one column; nulls are not.

    Attributes:
        values: how many there are.
        text, truth, nested: there are such values.
        decimal: there are numbers with a point or an exponent.
        huge: there are numbers that neither int64, uint64, decimal128(38, 0) nor float64 hold.
        least, most: of the whole numbers, if there are any.
    """

    model_config = ConfigDict(frozen=True)

    values: int = 0
    text: bool = False
    truth: bool = False
    nested: bool = False
    decimal: bool = False
    huge: bool = False
    least: int | None = None
    most: int | None = None

    def __or__(self, other: Kinds) -> Kinds:
        bounds = [one for one in (self.least, other.least, self.most, other.most) if one is not None]
        return Kinds(
            values=self.values + other.values,
            text=self.text or other.text,
            truth=self.truth or other.truth,
            nested=self.nested or other.nested,
            decimal=self.decimal or other.decimal,
            huge=self.huge or other.huge,
            least=min(bounds, default=None),
            most=max(bounds, default=None),
        )

    @property
    def mixed(self) -> bool:
        """Whether the values have no type in common, or none that holds them, though each alone has one."""
        numbers = self.least is not None or self.decimal or self.huge
        return self.text + self.truth + self.nested + numbers > 1 or self.huge or self._inexact

    @property
    def _inexact(self) -> bool:
        """Whether a whole number would change beside numbers with a point."""
        bounds = (self.least or 0, self.most or 0)
        return self.decimal and any(abs(bound) > FLOAT_EXACT_MAX for bound in bounds)

    def field(self, name: str) -> pa.Field:
        """The column that holds these values."""
        if self.nested or self.mixed:
            return json_field(name)
        if self.truth:
            return pa.field(name, pa.bool_())
        if self.least is None or self.most is None:
            return pa.field(name, pa.float64() if self.decimal else pa.string())
        if self.decimal:
            exact = self.least >= -FLOAT_EXACT_MAX and self.most <= FLOAT_EXACT_MAX
            return pa.field(name, pa.float64()) if exact else json_field(name)
        if self.least >= -(2**63) and self.most < 2**63:
            return pa.field(name, pa.int64())
        if self.least >= 0 and self.most < 2**64:
            return pa.field(name, pa.uint64())
        return pa.field(name, pa.decimal128(38, 0))

    def in_words(self) -> str:
        """For people: "text, lists or objects"."""
        numbers = self.least is not None or self.decimal or self.huge
        words = {"text": self.text, "true or false": self.truth, "numbers": numbers, "lists or objects": self.nested}
        listed = [word for word, there in words.items() if there]
        return " and ".join(listed)


NOTHING = Kinds()


def kinds_of(rows: Sequence[Mapping[str, msgspec.Raw]]) -> dict[str, Kinds]:
    """What the columns of these rows hold, in the order in which they first appear."""
    return {name: _kinds(list(map(bytes, values))) for name, values in _columns(rows)}


def _columns(rows: Sequence[Mapping[str, msgspec.Raw]]) -> Iterator[tuple[str, list[msgspec.Raw]]]:
    names = dict.fromkeys(chain.from_iterable(rows))
    if sum(map(len, rows)) * SPARSE < len(names) * len(rows):
        sparse: dict[str, list[msgspec.Raw]] = {}
        for row in rows:
            for name, value in row.items():
                sparse.setdefault(name, []).append(value)
        yield from sparse.items()
        return
    for name in names:
        try:
            yield name, list(map(itemgetter(name), rows))
        except KeyError:
            yield name, [row[name] for row in rows if name in row]


def _kinds(texts: list[bytes]) -> Kinds:
    signs = Counter(map(itemgetter(0), texts))  # a value's kind is told by its first byte
    known = {_KINDS[sign] for sign in signs}
    numbers: list[bytes] = []
    if _NUMBER in known:
        numbers = texts if len(known) == 1 else [text for text in texts if _KINDS[text[0]] is _NUMBER]
    return _numbers(numbers) | Kinds(
        values=len(texts) - signs[_NULL_SIGN], text=_TEXT in known, truth=_BOOL in known, nested=_NESTED in known
    )


def merged(known: dict[str, Kinds], new: Mapping[str, Kinds]) -> None:
    """Add to `known` what `new` tells."""
    for name, kinds in new.items():
        before = known.get(name)
        known[name] = kinds if before is None else before | kinds


def schema_of(kinds: Mapping[str, Kinds]) -> pa.Schema:
    """The columns that hold what was seen."""
    return pa.schema([one.field(name) for name, one in kinds.items()])


def _numbers(texts: Sequence[bytes]) -> Kinds:
    whole = list(filter(bytes.isdigit, texts))
    others = [text for text in texts if not text.isdigit()] if len(whole) < len(texts) else []
    whole += [text for text in others if text[1:].isdigit()]
    real = [text for text in others if not text[1:].isdigit()]
    short = [text for text in whole if len(text) <= _DIGITS_MAX]
    values = [value for value in map(int, short) if -DECIMAL_MAX <= value <= DECIMAL_MAX]
    return Kinds(
        decimal=bool(real),
        huge=len(values) < len(whole) or any(map(_is_infinite, real)),
        least=min(values, default=None),
        most=max(values, default=None),
    )


def _is_infinite(text: bytes) -> bool:
    """Whether a number is beyond the floats."""
    return (len(text) > _FLOAT_CHARS or b"e" in text or b"E" in text) and float(text) in (float("inf"), float("-inf"))
