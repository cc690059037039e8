"""The manifest's `where` as a person writes it: what is read, and what a slip is answered with."""

from __future__ import annotations

from decimal import Decimal

import pytest

from quarry_core.contract.where import (
    And,
    Compare,
    In,
    IsNull,
    Not,
    Or,
    WhereError,
    columns_of_where,
    parse_where,
)

READ = [
    ("lang = 'en'", Compare("lang", "=", "en")),
    ("stars>=4", Compare("stars", ">=", Decimal(4))),
    ("a <> -2.50e3", Compare("a", "<>", Decimal(-2500))),
    ("a != 'it''s'", Compare("a", "<>", "it's")),
    ("a == .5", Compare("a", "=", Decimal("0.5"))),
    ("5 < n", Compare("n", ">", Decimal(5))),
    ("'a' >= n", Compare("n", "<=", "a")),
    ("ok = TRUE", Compare("ok", "=", True)),
    ("note IS NOT NULL", Not(IsNull("note"))),
    ("kind in ('a', 'b')", In("kind", ("a", "b"))),
    ("n not in (1)", Not(In("n", (Decimal(1),)))),
    ('"a b" = 1 and `c-d` = 2', And((Compare("a b", "=", Decimal(1)), Compare("c-d", "=", Decimal(2))))),
    ('"say ""x""" = \'\'', Compare('say "x"', "=", "")),
    ('"in" is null', IsNull("in")),
    ("größe = 1", Compare("größe", "=", Decimal(1))),
    ("like = 1", Compare("like", "=", Decimal(1))),
    (
        "not a = 1 and b = 2 or c = 3",
        Or((And((Not(Compare("a", "=", Decimal(1))), Compare("b", "=", Decimal(2)))), Compare("c", "=", Decimal(3)))),
    ),
    (
        "not (a = 1 or\n b = 2)",
        Not(Or((Compare("a", "=", Decimal(1)), Compare("b", "=", Decimal(2))))),
    ),
]


@pytest.mark.parametrize(("text", "condition"), READ, ids=lambda one: one if isinstance(one, str) else "")
def test_a_condition_is_read_as_sql_reads_it(text, condition):
    assert parse_where(text) == condition


def test_its_columns_are_known_each_once():
    assert columns_of_where(parse_where("a = 1 and (b is null or not a in (2)) or \"c d\" > '0'")) == ("a", "b", "c d")


REFUSED = [
    (" ", "is empty; write a condition, as in lang = 'en', or leave where out"),
    (
        "a",
        (
            "behind character 1 it ends, where a comparison, in or is behind the column 'a' should be; a name with spaces stands "
            "in double quotes"
        ),
    ),
    (
        "a = ",
        "behind character 4 it ends, where a value should be; write a text in single quotes, a number, true or false",
    ),
    (
        'lang = "en"',
        (
            "at character 8 stands \"en\", where a value should be; a text stands in single quotes ('en'), and columns are "
            "compared with values only"
        ),
    ),
    ("a = b", "at character 5 stands b, where a value should be; a text stands in single quotes ('b')"),
    ("a = null", "at character 5 stands null, where a value should be; nothing equals null; write column is null, or"),
    ("a is true", "at character 6 stands true, where null should be; compare with = true, = false or another value"),
    ("a = 'x", "at character 5, a text begins that does not end; close it with ', and double one inside"),
    ("a = \u2018x\u2019", "at character 5 stands \u2018; write the straight quote '"),
    ("a like 'x%'", "at character 3 stands like, where a comparison should be; like is not supported; compare with =,"),
    ("a not like 'x%'", "at character 7 stands like, where in should be; write not before the whole comparison"),
    ("a between 1 and 2", "between is not supported; write column >= 1 and column <= 9"),
    ("a = 1;", "at character 6 stands ';'; write one condition, without ; behind it"),
    ("a = 1 && b = 2", "at character 7 stands '&'; write and"),
    ("a = 1 || b = 2", "at character 7 stands '|'; write or"),
    ("where a = 1", "at character 1 stands where, where a column's name should be; write the condition alone"),
    ("lower(a) = 'x'", "at character 1 stands lower, where a column's name should be; there are no functions"),
    ("a.b = 1", "at character 2 stands '.'; a name with a dot stands in double quotes"),
    (
        "a-b = 1",
        "at character 2 stands '-'; there are no calculations, and no comments; a name with - stands in double",
    ),
    ("2nd = 1", "at character 1 stands '2'; a name that begins with a digit stands in double quotes"),
    (
        "my col = 1",
        "at character 4 stands col, where a comparison, in or is behind the column 'my' should be; a name with",
    ),
    ("{a} = 1", "at character 1 stands '{'; where has no placeholders; write the column's name alone"),
    ("a = $1", "at character 5 stands '$'; it belongs neither to a condition nor to a bare name"),
    ("(a = 1", "behind character 6 it ends, where and, or, or ) should be"),
    ("a = 1) or b = 2", "at character 6 stands ), where and, or, or the end of the condition should be"),
    ("a in ()", "at character 7 stands ), where a value should be"),
    ("a in 'x'", "at character 6 stands 'x', where ( and the values should be; write in ('a', 'b')"),
    (
        "a in (1, 'b')",
        "a list has values of several kinds; write all of them as texts ('1'), as numbers (1) or as true",
    ),
    ("a in (1, null)", "at character 10 stands null, where a value should be; nothing equals null"),
    ("1 = 1", "at character 5 stands 1, where a column's name should be"),
    ("and = 1", "at character 1 stands and, where a column's name should be; a name that is a word of the condition"),
    ('"" = 1', 'at character 1 stands "", where a column\'s name should be'),
    ("(" * 65 + "a = 1" + ")" * 65, "at character 65, it is nested more than 64 deep; write it with fewer parentheses"),
    ("not " * 65 + "a = 1", "at character 257, it is nested more than 64 deep"),
    (
        "a in (" + "1," * 1000 + "1)",
        "a list has 1001 values, more than 1000; mark the rows in a column of the source instead",
    ),
    (
        "a = " + "1" * 101,
        "at character 5 stands 11111111111111111111111…, where a number of at most 100 digits should be",
    ),
    ("a = '" + "x" * 20_000 + "'", "has 20006 characters, and at most 16384 are allowed: shorten it"),
]


@pytest.mark.parametrize(("text", "sentence"), REFUSED, ids=lambda one: one[:30])
def test_a_slip_is_answered_with_its_place_and_a_remedy(text, sentence):
    with pytest.raises(WhereError) as refused:
        parse_where(text)
    assert str(refused.value).startswith(sentence) or sentence in str(refused.value)
