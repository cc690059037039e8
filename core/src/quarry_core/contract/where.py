"""The manifest's `where`: a condition on the columns of the source, as SQL has it. Pure.

Read are comparisons of a column with a value (`=`, `<>`, `!=`, `<`, `<=`, `>`, `>=`), `in (…)`, `is null`, `not`, `and`,
`or` and parentheses. Words may be written in either case. A column's name stands bare, or in double quotes where it is
not a word; a text stands in single quotes, and one inside is doubled.

What a condition means of a row is told by `tabular.where`, for it depends on the columns' types.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from quarry_core.contract.where_tokens import (
    OTHER_WORDS,
    SIGNS,
    TURNED,
    WORDS,
    Kind,
    Op,
    Token,
    WhereError,
    shown,
    tokens_of,
)
from quarry_core.text import shown_name

DEPTH_MAX = 64
# Of one `in (…)`. A longer list is data of its own, and belongs into the source.
VALUES_MAX = 1_000
NUMBER_CHARS_MAX = 100

Value = str | Decimal | bool

__all__ = [
    "And",
    "Compare",
    "Condition",
    "In",
    "IsNull",
    "Not",
    "Op",
    "Or",
    "Value",
    "WhereError",
    "columns_of_where",
    "parse_where",
]


@dataclass(frozen=True, slots=True)
class Compare:
    column: str
    op: Op
    value: Value


@dataclass(frozen=True, slots=True)
class In:
    """The column has one of these values, which are of one kind."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class IsNull:
    column: str


@dataclass(frozen=True, slots=True)
class Not:
    inner: Condition


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Condition, ...]


Condition = Compare | In | IsNull | Not | And | Or


def parse_where(text: str) -> Condition:
    """Read a condition. Raises WhereError."""
    if not text.strip():
        raise WhereError("is empty; write a condition, as in lang = 'en', or leave where out")
    parser = _Parser(list(tokens_of(text)))
    condition = parser.disjunction()
    parser.end()
    return condition


def columns_of_where(condition: Condition) -> tuple[str, ...]:
    """The columns that it asks for, in order, each once."""
    return tuple(dict.fromkeys(_columns(condition)))


def _columns(condition: Condition) -> Iterator[str]:
    match condition:
        case Compare() | In() | IsNull():
            yield condition.column
        case Not():
            yield from _columns(condition.inner)
        case And() | Or():
            for part in condition.parts:
                yield from _columns(part)


# --------------------------------------------------------------------------- grammar


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._next
        self._place += 1
        return token

    def _took(self, kind: Kind, text: str) -> bool:
        if self._next.kind == kind and self._next.text == text:
            self._place += 1
            return True
        return False

    def end(self) -> None:
        if self._next.kind != "end":
            raise self._fault("and, or, or the end of the condition")

    def disjunction(self) -> Condition:
        parts = [self._conjunction()]
        while self._took("word", "or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _conjunction(self) -> Condition:
        parts = [self._negation()]
        while self._took("word", "and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _negation(self) -> Condition:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise WhereError(
                f"at character {self._next.at + 1}, it is nested more than {DEPTH_MAX} deep; write it with fewer "
                "parentheses"
            )
        try:
            if self._took("word", "not"):
                return Not(self._negation())
            if self._took("sign", "("):
                inner = self.disjunction()
                if not self._took("sign", ")"):
                    raise self._fault("and, or, or )")
                return inner
            return self._predicate()
        finally:
            self._depth -= 1

    def _predicate(self) -> Condition:
        if self._next.kind in ("text", "number") or (
            self._next.kind == "word" and self._next.text in ("true", "false", "null")
        ):
            return self._turned()
        column = self._column()
        if self._took("word", "is"):
            negated = self._took("word", "not")
            if not self._took("word", "null"):
                raise self._fault("null", "compare with = true, = false or another value")
            return Not(IsNull(column)) if negated else IsNull(column)
        negated = self._took("word", "not")
        if self._took("word", "in"):
            inside = In(column, self._values())
            return Not(inside) if negated else inside
        if negated:
            raise self._fault("in", "write not before the whole comparison")
        op = self._op(column)
        return Compare(column, op, self._value())

    def _turned(self) -> Condition:
        """A value that stands before its column."""
        value = self._value()
        token = self._next
        if token.kind != "sign" or token.text not in SIGNS:
            raise self._fault("a comparison", "a column stands bare or in double quotes, a text in single quotes")
        op = SIGNS[self._take().text]
        return Compare(self._column(), TURNED[op], value)

    def _column(self) -> str:
        token = self._next
        if token.kind == "name":
            if not token.text:
                raise self._fault("a column's name")
            return self._take().text
        if token.kind == "word" and token.text in WORDS:
            raise self._fault("a column's name", "a name that is a word of the condition stands in double quotes")
        if token.kind != "word":
            raise self._fault("a column's name")
        following = self._tokens[self._place + 1]
        if token.text in OTHER_WORDS and following.kind in ("word", "name"):
            raise self._fault("a column's name", OTHER_WORDS[token.text])
        if following.kind == "sign" and following.text == "(":
            raise self._fault("a column's name", "there are no functions; compare a column with a value")
        return self._take().raw

    def _op(self, column: str) -> Op:
        token = self._next
        if token.kind == "sign" and token.text in SIGNS:
            return SIGNS[self._take().text]
        if token.kind == "word" and token.text in OTHER_WORDS:
            raise self._fault("a comparison", OTHER_WORDS[token.text])
        raise self._fault(
            f"a comparison, in or is behind the column {shown_name(column)!r}",
            "a name with spaces stands in double quotes",
        )

    def _values(self) -> tuple[Value, ...]:
        if not self._took("sign", "("):
            raise self._fault("( and the values", "write in ('a', 'b')")
        values = [self._value()]
        while self._took("sign", ","):
            values.append(self._value())
        if not self._took("sign", ")"):
            raise self._fault("a comma, or ) behind the last value")
        if len(values) > VALUES_MAX:
            raise WhereError(
                f"a list has {len(values)} values, more than {VALUES_MAX}; mark the rows in a column of the source instead"
            )
        if len({type(value) for value in values}) > 1:
            raise WhereError(
                "a list has values of several kinds; write all of them as texts ('1'), as numbers (1) or as true and false"
            )
        return tuple(values)

    def _value(self) -> Value:
        token = self._next
        match token.kind:
            case "text":
                return self._take().text
            case "number":
                if len(token.text) > NUMBER_CHARS_MAX:
                    raise self._fault(f"a number of at most {NUMBER_CHARS_MAX} digits")
                return Decimal(self._take().text)
            case "word" if token.text in ("true", "false"):
                return self._take().text == "true"
            case "word" if token.text == "null":
                raise self._fault("a value", "nothing equals null; write column is null, or column is not null")
            case "name" | "word":
                raise self._fault(
                    "a value",
                    f"a text stands in single quotes ('{shown_name(token.text)}'), and columns are compared with values "
                    "only",
                )
        raise self._fault("a value", "write a text in single quotes, a number, true or false")

    def _fault(self, expected: str, remedy: str = "") -> WhereError:
        token = self._next
        place = (
            f"behind character {token.at} it ends"
            if token.kind == "end"
            else f"at character {token.at + 1} stands {shown(token)}"
        )
        return WhereError(f"{place}, where {expected} should be" + (f"; {remedy}" if remedy else ""))
