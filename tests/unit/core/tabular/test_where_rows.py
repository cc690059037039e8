"""Which rows a condition takes, by the columns' types; held against DuckDB where both have the same to say."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.where import parse_where
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.json_column import json_field
from quarry_core.tabular.where import Filter


def answers(where: str, array: pa.Array, field: pa.Field | None = None) -> list[bool]:
    schema = pa.schema([field or pa.field("x", array.type)])
    batch = pa.RecordBatch.from_arrays([array], schema=schema)
    return Filter(parse_where(where), schema).taken(batch, "f", 0).to_pylist()


WHEN = pa.array([dt.datetime(2026, 1, 31, 23, 59, tzinfo=dt.UTC), None])
TAKEN = [
    # Texts, by their bytes.
    ("x = 'b'", pa.array(["a", "b", None, ""]), [0, 1, 0, 0]),
    ("x <> 'b'", pa.array(["a", "b", None, ""]), [1, 0, 0, 1]),
    ("not x = 'b'", pa.array(["a", "b", None, ""]), [1, 0, 0, 1]),
    ("x >= 'b'", pa.array(["a", "b", "ä", "B"], pa.large_string()), [0, 1, 1, 0]),
    ("x in ('a', 'ä')", pa.array(["a", "b", "ä", None]).dictionary_encode(), [1, 0, 1, 0]),
    ("x not in ('a', 'ä')", pa.array(["a", "b", "ä", None], pa.string_view()), [0, 1, 0, 0]),
    # Whole numbers, and numbers between them and beyond them.
    ("x >= 4", pa.array([3, 4, None, 5], pa.int8()), [0, 1, 0, 1]),
    ("x > 2.5", pa.array([2, 3, None], pa.uint8()), [0, 1, 0]),
    ("x < 2.5", pa.array([2, 3, -3]), [1, 0, 1]),
    ("x <= -2.5", pa.array([-2, -3]), [0, 1]),
    ("x = 2.5 or x <> 2.5", pa.array([2, None]), [1, 0]),
    ("x = 300", pa.array([44, None], pa.uint8()), [0, 0]),
    ("x < 300 and x > -1 and x <> -1", pa.array([44, None], pa.uint8()), [1, 0]),
    ("x = 9007199254740993", pa.array([2**53, 2**53 + 1]), [0, 1]),
    ("x > 1e30 or x < -1e30", pa.array([2**63 - 1, -(2**63)]), [0, 0]),
    ("x = 18446744073709551615", pa.array([2**64 - 1, 0], pa.uint64()), [1, 0]),
    # Decimals.
    ("x = 1.1", pa.array([Decimal("1.10"), Decimal("1.11"), None], pa.decimal128(5, 2)), [1, 0, 0]),
    ("x > 1.105", pa.array([Decimal("1.10"), Decimal("1.11")], pa.decimal128(5, 2)), [0, 1]),
    ("x < 1e20", pa.array([Decimal("999.99")], pa.decimal256(5, 2)), [1]),
    # Floats: at their own width, and NaN is no value.
    ("x = 0.1", pa.array([0.1, 0.2, float("nan"), None]), [1, 0, 0, 0]),
    ("x = 0.1", pa.array([0.1, 0.2], pa.float32()), [1, 0]),
    ("x = 0.1", pa.array([0.1, 0.2], pa.float16()), [1, 0]),
    ("not x > 0", pa.array([float("nan"), -1.0, float("-inf")]), [0, 1, 1]),
    ("x < 1e300", pa.array([float("inf"), 1.0], pa.float32()), [0, 1]),
    # True and false.
    ("x = true", pa.array([True, False, None]), [1, 0, 0]),
    ("x <> true", pa.array([True, False, None]), [0, 1, 0]),
    # Dates and times.
    ("x >= '2026-01-31'", pa.array([dt.date(2026, 1, 30), dt.date(2026, 1, 31), None]), [0, 1, 0]),
    ("x = '2026-01-31'", pa.array([dt.date(2026, 1, 31)], pa.date64()), [1]),
    ("x = '2026-01-31T23:59:00Z'", WHEN, [1, 0]),
    ("x = '2026-02-01 01:59+02:00'", WHEN, [1, 0]),
    ("x > '2026-01-31 23:58:59.999999999Z'", WHEN, [1, 0]),
    ("x >= '2026-01-31 23:59:00.000000001Z'", WHEN, [0, 0]),
    ("x > '2026-01-31'", WHEN.cast(pa.timestamp("s")), [1, 0]),
    ("x < '9999-12-31'", WHEN.cast(pa.timestamp("ns")), [1, 0]),
    ("x < '12:00'", pa.array([dt.time(11, 59, 59), dt.time(12)], pa.time32("s")), [1, 0]),
    ("x >= '12:00:00.5'", pa.array([dt.time(12), dt.time(12, 0, 1)], pa.time64("us")), [0, 1]),
    # Nulls.
    ("x is null", pa.array([[1], None], pa.list_(pa.int8())), [0, 1]),
    ("x is not null", pa.array([{"a": 1}, None]), [1, 0]),
    ("x is null", pa.array([float("nan"), None]), [0, 1]),
    ("x = 'a' or x is null", pa.array([None, None]), [1, 1]),
    # Texts that are read as numbers: CSV has nothing else.
    ("x >= 4", pa.array(["3.9", "4", " 4.00 ", "", "1e1", None]), [0, 1, 1, 0, 1, 0]),
    ("not x >= 4", pa.array(["3.9", "4", ""]), [1, 0, 0]),
    ("x = 9007199254740993", pa.array(["9007199254740992", "9007199254740993"]), [0, 1]),
    ("x in (1, 2)", pa.array(["01", "2.0", "3", ""]), [1, 1, 0, 0]),
    ("x = true", pa.array(["TRUE", "false", "", "True"]), [1, 0, 0, 1]),
    ("x <> true", pa.array(["TRUE", "false", ""]), [0, 1, 0]),
    # What is decided already is not asked.
    ("x <> 'N/A' and x >= 4", pa.array(["N/A", "5", "3", "N/A"]), [0, 1, 0, 0]),
    ("x = 'N/A' or x >= 4", pa.array(["N/A", "5", "3"]), [1, 1, 0]),
    ("not (x = 'N/A' or not x >= 4)", pa.array(["N/A", "5", "3"]), [0, 1, 0]),
    ("x <> 'N/A' and (x is null or x >= 4 and x < 6)", pa.array(["N/A", "5", "7", None]), [0, 1, 0, 0]),
]


@pytest.mark.parametrize(("where", "array", "taken"), TAKEN, ids=lambda one: one if isinstance(one, str) else "")
def test_a_row_is_taken_if_the_answer_is_true(where, array, taken):
    assert answers(where, array) == [bool(one) for one in taken]
    assert answers(where, pa.concat_arrays([array[:1], array])[1:]) == [bool(one) for one in taken]


REFUSED = [
    (
        "x >= 4",
        pa.array(["5", "", "N/A"]),
        (
            "f: column 'x', data row 3: 'N/A' is no number, and where asks for one; compare it as text (in single quotes), or "
            "leave such rows out before: x <> '…' and …"
        ),
    ),
    ("x >= 4", pa.array(["1_000"]), "data row 1: '1_000' is no number"),
    ("x >= 4", pa.array(["1,5"]), "data row 1: '1,5' is no number"),
    ("x >= 4", pa.array(["inf"]), "data row 1: 'inf' is no number"),
    ("x >= 4", pa.array(["1" * 500]), "is no number"),
    ("x = true", pa.array(["yes"]), "data row 1: 'yes' is no true or false"),
    (
        "x > true",
        pa.array(["true"]),
        "where: column 'x' is compared with true or false by >; only = and <> can be asked",
    ),
    ("x = '4'", pa.array([4]), "where: column 'x' is int64; write a number without quotes"),
    ("x = '4'", pa.array([4.0]), "where: column 'x' is double; write a number without quotes"),
    ("x = true", pa.array([1]), "where: column 'x' is int64; write a number without quotes"),
    ("x = 1", pa.array([True]), "where: column 'x' is true or false; write = true or = false"),
    (
        "x = 2026",
        pa.array([dt.date(2026, 1, 1)]),
        "where: column 'x' is date32[day]; write it as a text in single quotes,",
    ),
    ("x = '2026-02-30'", pa.array([dt.date(2026, 1, 1)]), "and '2026-02-30' is none; write it as in '2026-01-31'"),
    ("x = '31.1.2026'", pa.array([dt.date(2026, 1, 1)]), "and '31.1.2026' is none"),
    (
        "x = '2026-01-31 00:00'",
        WHEN,
        (
            "where: column 'x' has a time zone (timestamp[us, tz=UTC]), and '2026-01-31 00:00' has none; write it as in "
            "'2026-01-31T23:59:00Z'"
        ),
    ),
    (
        "x = '2026-01-31T00:00Z'",
        WHEN.cast(pa.timestamp("us")),
        "has no time zone (timestamp[us]), and '2026-01-31T00:00Z'",
    ),
    ("x = '24:00'", pa.array([dt.time(1)]), "and '24:00' is none; write it as in '23:59:00'"),
    ("x = 1", pa.array([[1]]), "where: column 'x' is list<item: int64>, of which only `is null` can be asked"),
    ("x = 'a'", pa.array([b"a"]), "where: column 'x' is binary, of which only `is null` can be asked"),
    ("xx = 'a'", pa.array(["a"]), "where: there is no column 'xx'; did you mean x? The source has: x"),
    ("X = 'a'", pa.array(["a"]), "where: there is no column 'X'; did you mean x?"),
]


@pytest.mark.parametrize(("where", "array", "sentence"), REFUSED, ids=lambda one: one if isinstance(one, str) else "")
def test_what_cannot_be_asked_is_refused_with_a_remedy(where, array, sentence):
    with pytest.raises(SourceError) as refused:
        answers(where, array)
    assert sentence in str(refused.value)


def test_a_refused_row_is_the_files_also_behind_rows_that_were_not_asked():
    schema = pa.schema([("x", pa.string()), ("y", pa.string())])
    batch = pa.record_batch([pa.array(["a", "b", "a"]), pa.array(["1", "?", "?"])], schema=schema)
    with pytest.raises(SourceError, match=r"part-3: column 'y', data row 1003: '[?]' is no number"):
        Filter(parse_where("x = 'a' and y > 0"), schema).taken(batch, "part-3", 1_000)


def test_what_is_asked_further_right_decides_where_the_left_is_unknown():
    batch = pa.record_batch({"x": [None, None, "a", None], "y": ["5", "3", "?", ""]})
    for where, taken in (
        ("x = 'a' or y > 4", [True, False, True, False]),
        ("not (x = 'b' and y > 4)", [False, True, True, False]),
    ):
        assert Filter(parse_where(where), batch.schema).taken(batch, "f", 0).to_pylist() == taken, where


@pytest.mark.parametrize(
    "array",
    [
        pa.array([["a"], None], pa.list_(pa.string_view())),
        pa.array([b"a", None], pa.binary_view()),
        pa.array([1, None]),
    ],
    ids=lambda array: str(array.type),
)
def test_a_column_of_any_type_can_be_asked_for_null_beside_others(array):
    batch = pa.record_batch({"y": pa.array(["?", "5"], pa.string_view()), "x": array})
    taken = Filter(parse_where("x is null and y > 4"), batch.schema).taken(batch, "f", 0)
    assert taken.to_pylist() == [False, True]


def test_json_of_several_kinds_is_only_asked_for_null():
    array = pa.array(['"a"', "[1]", None])
    assert answers("x is null", array, json_field("x")) == [False, False, True]
    with pytest.raises(
        SourceError, match="column 'x' holds JSON of several kinds, of which only `is null` can be asked"
    ):
        answers("x = 'a'", array, json_field("x"))


# --------------------------------------------------------------------------- DuckDB

TEXTS = st.sampled_from(["'a'", "'b'", "'ä'", "''", "'it''s'"])
NUMBERS = st.sampled_from(["0", "1", "-1", "2.5", "1e2", "127", "128", "-129", "0.1"])
OPS = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
LEAVES = st.one_of(
    st.builds("t {} {}".format, OPS, TEXTS),
    st.builds("n {} {}".format, OPS, NUMBERS),
    st.builds("f {} {}".format, OPS, NUMBERS),
    st.builds("d {} {}".format, OPS, NUMBERS),
    st.builds("{} {} n".format, NUMBERS, OPS),
    st.builds("t {} in ({}, {})".format, st.sampled_from(["", "not"]), TEXTS, TEXTS),
    st.builds("n {} in ({}, {})".format, st.sampled_from(["", "not"]), NUMBERS, NUMBERS),
    st.builds("{} is {} null".format, st.sampled_from("tnfbd"), st.sampled_from(["", "not"])),
    st.builds("b {} {}".format, st.sampled_from(["=", "<>"]), st.sampled_from(["true", "false"])),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
        st.builds("not ({})".format, inner),
        st.builds("not {} and {}".format, LEAVES, inner),
    ),
    max_leaves=6,
)
ROWS = pa.table(
    {
        "t": pa.array(["a", "b", None, "ä", "", "it's", "a", None]),
        "n": pa.array([0, 1, -1, None, 127, -128, 2, 3], pa.int8()),
        "f": pa.array([0.0, 0.1, None, 2.5, 100.0, -1.0, 1.0, 3.0]),
        "d": pa.array(
            [Decimal("0.1"), Decimal("2.5"), None, *[Decimal(n) for n in (0, 1, -1, 99, 3)]], pa.decimal128(4, 1)
        ),
        "b": pa.array([True, False, None, True, False, None, True, False]),
    }
)


@given(CONDITIONS)
def test_the_rows_are_those_that_duckdb_takes(condition):
    (batch,) = ROWS.to_batches()
    ours = Filter(parse_where(condition), ROWS.schema).taken(batch, "f", 0).to_pylist()
    with duckdb.connect() as connection:
        connection.register("rows", ROWS)
        theirs = connection.execute(f"SELECT coalesce({condition}, false) FROM rows").fetchall()
    assert ours == [one for (one,) in theirs]
