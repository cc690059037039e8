"""A file's batches as the dataset's: no value changes, and what would is refused with its row."""

from __future__ import annotations

import datetime as dt
import time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.column_names import COLUMNS_MAX
from quarry_core.tabular.align import Aligner
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.partition_values import partition_type


def aligned(array: pa.Array, kind: pa.DataType, first_row: int = 0) -> pa.Array:
    batch = pa.record_batch([array], ["x"])
    aligner = Aligner(batch.schema, pa.schema([("x", kind)]), "part-7")
    result = aligner.align(batch, first_row)
    result.validate(full=True)
    assert result.schema == pa.schema([("x", kind)])
    return result["x"]


MAP = pa.map_(pa.string(), pa.int8())
STRUCT = pa.struct([("a", pa.int8()), ("b", pa.list_(pa.struct([("x", pa.int8())])))])
WIDER_STRUCT = pa.struct(
    [("c", pa.string()), ("b", pa.list_(pa.struct([("y", pa.bool_()), ("x", pa.int64())]))), ("a", pa.int64())]
)
SAME = [
    (pa.array([1, None, -1], pa.int8()), pa.int64()),
    (pa.array([2**53, -(2**53), None]), pa.float64()),
    (pa.array([2**64 - 1, None], pa.uint64()), pa.decimal128(20, 0)),
    (pa.array(["a", None, ""], pa.large_string()), pa.string()),
    (pa.array(["a", None, "b", "a"]).dictionary_encode(), pa.string()),
    (pa.array([None, None]), pa.list_(pa.struct([("x", pa.int8())]))),
    (pa.array([b"ab", None], pa.binary(2)), pa.binary()),
    (pa.array([dt.date(2026, 1, 2), None], pa.date64()), pa.date32()),
    (pa.array([[1, None], None, [], [3]], pa.large_list(pa.int8())), pa.list_(pa.float64())),
    (pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)), pa.list_(pa.int64())),
    (pa.array([[1, 2], None, [3, 4]], pa.list_view(pa.int8())), pa.list_(pa.int64())),
    (pa.array([[("k", 1)], None, [], [("k", 2), ("l", None)]], MAP), pa.map_(pa.string(), pa.int64())),
]


@pytest.mark.parametrize(("array", "kind"), SAME, ids=lambda one: str(getattr(one, "type", one)))
@pytest.mark.parametrize("begin", [0, 1])
def test_values_stay_what_they_are_also_in_a_slice(array, kind, begin):
    assert aligned(array[begin:], kind).to_pylist() == array[begin:].to_pylist()


def test_structs_are_matched_by_field_at_any_depth():
    rows = [{"a": 1, "b": [{"x": 2}, None]}, None, {"a": None, "b": None}, {"a": 3, "b": []}]
    found = aligned(pa.array(rows, STRUCT)[1:], WIDER_STRUCT).to_pylist()
    assert found == [None, {"c": None, "b": None, "a": None}, {"c": None, "b": [], "a": 3}]
    assert aligned(pa.array(rows[:1], STRUCT), WIDER_STRUCT).to_pylist() == [
        {"c": None, "b": [{"y": None, "x": 2}, None], "a": 1}
    ]


def test_text_that_is_no_utf8_is_left_for_the_encoder_to_find():
    broken = pa.array([b"\xff", b"a"], pa.large_binary()).cast(pa.large_string(), safe=False)
    batch = pa.record_batch([broken], ["x"])
    result = Aligner(batch.schema, pa.schema([("x", pa.string())]), "f").align(batch, 0)
    assert result["x"].cast(pa.binary()).to_pylist() == [b"\xff", b"a"]


REFUSED = [
    (pa.array([1, 2**53 + 1]), pa.float64(), "9007199254740993 is a whole number beyond 2**53, which float64 rounds"),
    (pa.array([0, 2**64 - 1], pa.uint64()), pa.float64(), "18446744073709551615 is a whole number beyond 2**53"),
    (pa.array([0, 2**40], pa.timestamp("s")), pa.timestamp("ns"), "is outside the range of timestamp[ns]"),
    (pa.array([0, 2**62], pa.duration("s")), pa.duration("ms"), "is outside the range of duration[ms]"),
    (pa.array([0, 86_400_005], pa.date64()), pa.date32(), "is no whole day, and dates of other files are"),
    (pa.array([[0], [1, 2**60]]), pa.list_(pa.float64()), "[1, 1152921504606846976] is a whole number beyond 2**53"),
    (
        pa.array([{"n": 0}, {"n": 2**60}]),
        pa.struct([("n", pa.float64()), ("m", pa.string())]),
        "{'n': 1152921504606846976} is a whole number beyond 2**53",
    ),
]


@pytest.mark.parametrize(("array", "kind", "why"), REFUSED, ids=lambda one: str(getattr(one, "type", one)))
def test_a_value_that_would_change_is_refused_with_its_row(array, kind, why):
    with pytest.raises(SourceError) as refused:
        aligned(array, kind, first_row=100)
    assert str(refused.value).startswith("part-7: column 'x', data row 102: ")
    assert why in str(refused.value)
    assert "cast it to text in all files, or correct the value" in str(refused.value)
    schema, target = pa.schema([("x", array.type)]), pa.schema([("x", kind)])
    assert Aligner(schema, target, "part-7").uncertain == ("x",)


def test_what_the_types_alone_prove_need_not_be_looked_at():
    own = pa.schema([("a", pa.int32()), ("b", pa.string()), ("c", pa.int64()), ("d", pa.int64()), ("e", pa.float32())])
    target = pa.schema(
        [("a", pa.float64()), ("b", pa.string()), ("c", pa.int64()), ("d", pa.float64()), ("e", pa.float64())]
    )
    assert Aligner(own, target, "f").uncertain == ("d",)


def test_only_wanted_columns_are_read():
    own = pa.schema([("a", pa.string()), ("b", pa.string()), ("c", pa.string())])
    aligner = Aligner(own, pa.schema([("c", pa.string()), ("a", pa.string()), ("new", pa.list_(pa.int8()))]), "f")
    assert aligner.columns == ("a", "c")
    batch = pa.record_batch([pa.array(["A"]), pa.array(["C"])], ["a", "c"])
    assert aligner.align(batch, 0).to_pylist() == [{"c": "C", "a": "A", "new": None}]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=8))
def test_whole_numbers_become_floats_exactly_or_not_at_all(numbers):
    exact = all(number is None or int(float(number)) == number for number in numbers)
    within = all(number is None or abs(number) <= 2**53 for number in numbers)
    try:
        found = aligned(pa.array(numbers, pa.int64()), pa.float64()).to_pylist()
    except SourceError:
        assert not within
    else:
        assert exact
        assert found == numbers


# --------------------------------------------------------------------------- partitions


def hive(value: str | None, kind: str = "string", column: pa.Array | None = None) -> list:
    own = {"text": pa.array(["a", "b"])} | ({} if column is None else {"p": column})
    batch = pa.record_batch(own)
    target = pa.schema([("text", pa.string()), ("p", partition_type(kind))])
    aligner = Aligner(batch.schema, target, "p=1/f", {"p": value})
    return aligner.align(batch, 0)["p"].to_pylist()


def test_a_folders_value_is_text_and_stays_as_it_is_written():
    assert hive("01") == ["01", "01"]
    assert hive("") == ["", ""]
    assert hive(None) == [None, None]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("01", "int", 1),
        ("-7", "int", -7),
        ("1.50", "float", 1.5),
        ("1e3", "float", 1000.0),
        ("True", "bool", True),
        ("2026-01-02", "date", dt.date(2026, 1, 2)),
        ("2026-01-02 03:04:05", "timestamp", dt.datetime.fromisoformat("2026-01-02 03:04:05")),
        ("2026-01-02T03:04:05.25", "timestamp", dt.datetime.fromisoformat("2026-01-02 03:04:05.250")),
    ],
)
def test_a_folders_value_has_the_type_that_the_manifest_gives(text, kind, value):
    assert hive(text, kind) == [value, value]
    assert hive(None, kind) == [None, None]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1.0", "int"),
        ("9223372036854775808", "int"),
        (" 1", "int"),
        ("٣", "int"),
        ("nan", "float"),
        ("1e999", "float"),
        ("1_0", "float"),
        ("yes", "bool"),
        ("2026-02-30", "date"),
        ("20260102", "date"),
        ("2026-01-02 03:04:05+01:00", "timestamp"),
        ("", "int"),
    ],
)
def test_a_folders_value_that_is_not_of_its_type_is_refused(text, kind):
    with pytest.raises(SourceError) as refused:
        hive(text, kind)
    assert str(refused.value) == (
        f"p=1/f: the folder p={text!r} holds no {kind}, which partition_types asks for; take 'p' out of "
        "partition_types to have it as text"
    )


def test_a_file_may_have_the_folders_column_too_if_every_row_says_the_same():
    assert hive("7", column=pa.array(["7", "7"])) == ["7", "7"]
    assert hive("07", column=pa.array([7, 7], pa.int32())) == ["07", "07"]
    assert hive("7", "int", column=pa.array([7, 7], pa.int8())) == [7, 7]
    assert hive("x", column=pa.array(["x", "x"]).dictionary_encode()) == ["x", "x"]
    assert hive(None, column=pa.array([None, None], pa.string())) == [None, None]


@pytest.mark.parametrize(
    ("value", "column", "shown", "row"),
    [
        ("7", pa.array(["7", "8"]), "'8'", 2),
        ("7", pa.array([7, None]), "None", 2),
        ("x", pa.array([7, 7]), "7", 1),
        (None, pa.array([None, "x"]), "'x'", 2),
    ],
    ids=str,
)
def test_a_file_that_says_otherwise_than_its_folder_is_refused(value, column, shown, row):
    with pytest.raises(SourceError) as refused:
        hive(value, column=column)
    assert str(refused.value) == (
        f"p=1/f: column 'p' is {shown} in data row {row}, and the folder says {value!r}; rename the column or the folder"
    )
    batch = pa.record_batch({"text": pa.array(["a"]), "p": column[:1]})
    target = pa.schema([("text", pa.string()), ("p", pa.string())])
    assert Aligner(batch.schema, target, "f", {"p": value}).uncertain == ("p",)


def test_as_many_columns_as_may_be_are_matched_without_comparing_each_with_each():
    """Each with each takes ten seconds, each once a tenth: the limit is far from both."""
    names = [f"c{number}" for number in range(COLUMNS_MAX)]
    own = pa.schema([(name, pa.string()) for name in names])
    began = time.process_time()

    aligner = Aligner(own, pa.schema([*own, ("more", pa.string())]), "part-7")

    assert time.process_time() - began < 2
    assert (aligner.columns, aligner.nulls) == (tuple(names), ("more",))
