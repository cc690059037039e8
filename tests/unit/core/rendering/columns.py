"""Columns of every type that can stand in a prompt, with the values that cannot: for tests of reading and rendering."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa

NAN, INFINITY = float("nan"), float("inf")


def broken_text() -> pa.Array:
    """ "a", two bytes that are no UTF-8, "b"."""
    bounds = pa.py_buffer(np.array([0, 1, 3, 4], np.int32))
    return pa.Array.from_buffers(pa.string(), 3, [None, bounds, pa.py_buffer(b"a\xed\xa0b")])


def _ints(kind: pa.DataType, numbers: list[int | None]) -> pa.Array:
    return pa.array(numbers, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)


_TEXTS = pa.concat_arrays([broken_text(), pa.array(["", None, 'q"\\\n', "é😀"])])
_UUIDS = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=7).bytes, None], pa.binary(16)))
_STAMPS = [0, None, 2**63 - 1, -(2**63), 10**17]

COLUMNS: list[pa.Array] = [
    _TEXTS,
    pa.array(["x", None], pa.large_string()),
    pa.array(["x", None, "y"], pa.string_view()),
    _TEXTS.dictionary_encode(),
    pa.array([1, None, 3], pa.int8()),
    pa.array([2**64 - 1, None], pa.uint64()),
    pa.array([True, None, False]),
    pa.nulls(3),
    pa.array([1.5, NAN, None, INFINITY, -INFINITY, 0.1]),
    pa.array([1.5, NAN, None, INFINITY, 0.1], pa.float32()),
    pa.array([1.5, NAN, None, INFINITY, 0.1], pa.float16()),
    pa.array([1.5, NAN, None]).dictionary_encode(),
    pa.array([Decimal("1.50"), None, Decimal(0)], pa.decimal128(20, 10)),
    pa.array([Decimal("1.50"), None], pa.decimal256(50, 10)),
    _ints(pa.date32(), [0, None, 2_932_896, 2_932_897, -719_163]),
    _ints(pa.timestamp("us"), _STAMPS),
    _ints(pa.timestamp("ms", "Europe/Berlin"), _STAMPS),
    _ints(pa.timestamp("ns", "UTC"), [0, None, 2**63 - 1]),
    _ints(pa.time64("us"), [0, None, -1, 86_400 * 10**6]),
    _ints(pa.time32("ms"), [0, None, 86_400_000]),
    _UUIDS,
    pa.array(['{"a":1}', None, "no"]).cast(pa.json_()),
    pa.array([[1.5, NAN], None, [], [INFINITY]], pa.list_(pa.float32())),
    pa.ListArray.from_arrays(pa.array([0, 1, 3, 3, 7], pa.int32()), _TEXTS),
    pa.ListArray.from_arrays(pa.array([0, 2, 2], pa.int32()), _UUIDS),
    pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int16(), 2)),
    pa.array([[1, 2], None, []], pa.large_list(pa.int64())),
    pa.array([[dt.date(2026, 1, 2)], None], pa.list_(pa.date32())),
    pa.ListArray.from_arrays(pa.array([0, 1, 3, 5], pa.int32()), _ints(pa.timestamp("us"), _STAMPS)),
    pa.StructArray.from_arrays([_TEXTS, pa.array([1, None, 3, 4, 5, None, 7])], ["t", "n"]),
    pa.array([{"a": {"b": [1]}}, None, {"a": None}], pa.struct([("a", pa.struct([("b", pa.list_(pa.int8()))]))])),
    pa.array([[("k", "v")], None, [], [("k", None), ("k", "x")]], pa.map_(pa.string(), pa.string())),
    pa.array([[(1, [True])], None], pa.map_(pa.int32(), pa.list_(pa.bool_()))),
    pa.array([["a", None], None, ["b"]]).cast(pa.list_(pa.dictionary(pa.int8(), pa.string()))),
]
