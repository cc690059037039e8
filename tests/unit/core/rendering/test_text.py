"""Values as text: the same inside of lists, structs and maps as outside, and the true reason where there is none."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.rendering.text import Fault, as_text, why_no_text
from tests.examples import examples
from tests.unit.core.rendering.columns import COLUMNS, broken_text

UUID_TEXT = "99edf7c2-1931-4e88-ac98-1036f65f8021"
UUIDS = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(UUID_TEXT).bytes, None], pa.binary(16)))


def texts(column):
    assert why_no_text(column.type) is None
    return as_text(column).texts.to_pylist()


def in_a_list(column):
    return pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column)


def in_a_struct(column):
    return pa.StructArray.from_arrays([column], ["x"])


def in_a_map(column):
    keys = pa.array([str(n) for n in range(len(column))])
    return pa.MapArray.from_arrays(pa.array(range(len(column) + 1), pa.int32()), keys, column)


# What has text, and what it is; in JSON it stands bare or in quotes.
WRITTEN = [
    (pa.array([0.1, 1e20, 1.5], pa.float32()), ["0.1", "1e+20", "1.5"], "bare"),
    (pa.array([0.1, 65504, 2.0], pa.float16()), ["0.1", "65500", "2"], "bare"),
    (pa.array([Decimal(0), Decimal("0.0000000012")], pa.decimal128(20, 10)), ["0.0000000000", "0.0000000012"], "bare"),
    (pa.array([Decimal(10) ** 70], pa.decimal256(76, 2)), ["1" + "0" * 70 + ".00"], "bare"),
    (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"], "bare"),
    (pa.array([True, False]), ["true", "false"], "bare"),
    (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0], pa.int8())), ["true", "false"], "bare"),
    (UUIDS.slice(0, 1), [UUID_TEXT], "quoted"),
    (pa.array(["x", "é"], pa.string_view()), ["x", "é"], "quoted"),
    (pa.array([1], pa.timestamp("ns", "UTC")), ["1970-01-01T00:00:00.000000001Z"], "quoted"),
    (pa.array([0], pa.timestamp("ms", "Europe/Berlin")), ["1970-01-01T01:00:00.000+01:00"], "quoted"),
    (pa.array([dt.date(9999, 12, 31), dt.date(1, 1, 1)]), ["9999-12-31", "0001-01-01"], "quoted"),
    (pa.array([dt.date(2026, 1, 2)], pa.date64()), ["2026-01-02"], "quoted"),
    (pa.array([1], pa.time64("ns")), ["00:00:00.000000001"], "quoted"),
    (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"], "quoted"),
]


@pytest.mark.parametrize(("column", "written", "how"), WRITTEN, ids=lambda value: str(getattr(value, "type", "")))
def test_a_value_is_written_the_same_inside_of_a_list_a_struct_and_a_map(column, written, how):
    inside = written if how == "bare" else [json.dumps(text, ensure_ascii=False) for text in written]
    assert texts(column) == written
    assert texts(in_a_list(column)) == ["[" + ",".join(inside) + "]"]
    assert texts(in_a_struct(column)) == ['{"x":' + text + "}" for text in inside]
    assert texts(in_a_map(column)) == [f'{{"{n}":{text}}}' for n, text in enumerate(inside)]


def test_maps_are_objects_whatever_their_keys_are():
    numbered = pa.array([[(1, [True])], None, []], pa.map_(pa.int32(), pa.list_(pa.bool_())))
    assert texts(numbered) == ['{"1":[true]}', None, "{}"]
    assert texts(numbered.slice(1)) == [None, "{}"]
    days = pa.array([[(dt.date(2026, 1, 2), None)]], pa.map_(pa.date32(), pa.string()))
    assert texts(days) == ['{"2026-01-02":null}']


def test_json_inside_of_json_is_json_where_it_is_some():
    column = pa.array(['{"a": 1}', None, "{'a'"]).cast(pa.json_())
    assert texts(column) == ['{"a": 1}', None, "{'a'"]
    assert texts(in_a_struct(column)) == ['{"x":{"a": 1}}', '{"x":null}', '{"x":"{\'a\'"}']


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.float16()], ids=str)
def test_neither_nan_nor_infinity_is_a_value(kind):
    rendered = as_text(pa.array([1.5, float("nan"), float("inf"), float("-inf"), None], kind))
    assert rendered.texts.to_pylist() == ["1.5", None, None, None, None]
    assert [rendered.fault(row) for row in range(1, 5)] == [Fault.NAN, Fault.INFINITE, Fault.INFINITE, Fault.NULL]
    assert texts(pa.array([[1.5, float("nan"), float("-inf"), None]], pa.list_(kind))) == ["[1.5,null,null,null]"]


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_a_date_that_no_calendar_has_has_no_text_in_any_zone(unit, zone):
    second = {"s": 1, "ms": 10**3, "us": 10**6}[unit]
    beyond = [2**63 - 1, -(2**63), 253_402_300_800 * second, -62_135_596_801 * second - 86_400 * second]
    column = pa.array([0, *beyond], pa.timestamp(unit, zone))
    rendered = as_text(column)
    assert [text is not None for text in rendered.texts.to_pylist()] == [True, False, False, False, False]
    assert {rendered.fault(row) for row in range(1, 5)} == {Fault.OUT_OF_RANGE}


def test_the_year_is_that_of_the_columns_own_zone():
    new_year = pa.array([253_402_300_799], pa.timestamp("s", "Europe/Berlin"))  # 10000-01-01T00:59:59 in Berlin
    assert texts(new_year) == [None]
    assert texts(pa.array([253_402_300_799], pa.timestamp("s", "EST5EDT"))) == ["9999-12-31T18:59:59-05:00"]


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ([2_932_897, -719_163, 2**31 - 1, -(2**31)], pa.date32()),
        ([253_402_300_800_000, 2**62, -(2**62)], pa.date64()),
        ([-1, 86_400, 2**31 - 1], pa.time32("s")),
        ([-1, 86_400 * 10**6], pa.time64("us")),
    ],
    ids=lambda value: str(value) if isinstance(value, pa.DataType) else "",
)
def test_dates_and_times_beyond_their_range_have_no_text(numbers, kind):
    column = pa.array(numbers, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    rendered = as_text(column)
    assert rendered.texts.null_count == len(numbers)
    assert set(rendered.faults.values()) == {Fault.OUT_OF_RANGE}
    assert as_text(in_a_list(column)).faults == {0: Fault.OUT_OF_RANGE}


@pytest.mark.promise("S9")
@pytest.mark.parametrize("around", [in_a_list, in_a_struct, in_a_map], ids=lambda one: one.__name__)
def test_broken_bytes_deep_inside_cost_their_own_row_and_say_so(around):
    whole, broken = around(pa.array(["a"])), around(broken_text().slice(1, 1))
    rendered = as_text(pa.concat_arrays([whole, broken, whole]))
    assert [text is None for text in rendered.texts.to_pylist()] == [False, True, False]
    assert rendered.faults == {1: Fault.NOT_UTF8}


@pytest.mark.promise("S9")
def test_a_map_with_one_key_twice_has_no_text_and_says_so():
    column = pa.array([[("a", 1)], [("a", 1), ("b", 2), ("a", 3)], [("b", 1)]], pa.map_(pa.string(), pa.int8()))
    rendered = as_text(column)
    assert rendered.texts.to_pylist() == ['{"a":1}', None, '{"b":1}']
    assert rendered.faults == {1: Fault.SAME_KEYS}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (pa.struct([("a", pa.string()), ("a", pa.int8())]), "two fields of one name, 'a': rename"),
        (pa.list_(pa.struct([("a", pa.string()), ("a", pa.string())])), "two fields of one name, 'a'"),
        (pa.list_(pa.timestamp("s", "Nowhere/Special")), "the time zone 'Nowhere/Special', which is not known"),
        (pa.struct([("x", pa.binary())]), "has no text"),
        (pa.map_(pa.string(), pa.duration("s")), "has no text"),
    ],
    ids=["struct", "list of structs", "zone", "bytes", "duration"],
)
def test_a_type_without_text_says_why(kind, message):
    assert message in why_no_text(kind)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda one: str(one.type))
@given(st.data())
@examples(15)
def test_a_slice_is_written_as_the_whole_is(column, data):
    start = data.draw(st.integers(0, len(column)))
    stop = data.draw(st.integers(start, len(column)))
    whole, part = as_text(column), as_text(column.slice(start, stop - start))
    assert part.texts.to_pylist() == whole.texts.to_pylist()[start:stop]
    assert dict(part.faults) == {row - start: fault for row, fault in whole.faults.items() if start <= row < stop}


NESTED = [one for one in COLUMNS if pa.types.is_nested(one.type)]


@pytest.mark.parametrize("column", NESTED, ids=lambda one: str(one.type))
def test_nested_text_is_json_of_as_many_parts(column):
    for text, value in zip(texts(column), column, strict=True):
        if text is not None:
            assert len(json.loads(text)) == len(value)


def test_every_half_float_is_written_so_that_it_is_read_back():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    column = pa.array(halves, pa.float16())
    for half, text in zip(halves, texts(column), strict=True):
        assert (text is None) if not np.isfinite(half) else np.float16(text) == half
