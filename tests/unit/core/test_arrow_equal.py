from __future__ import annotations

import pyarrow as pa
import pytest

from quarry_core.tabular.arrow_equal import same_values

NAN = float("nan")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array([1, None]), pa.array([1, 0])),
        (pa.array([1]), pa.array([1], pa.int32())),
        (pa.array([[1], [2, 3]]), pa.array([[1, 2], [3]])),
        (pa.array([[], None]), pa.array([None, []], pa.list_(pa.null()))),
        (pa.array([{"a": 1}, None]), pa.array([{"a": 1}, {"a": None}])),
        (pa.array(["a", "b"]).dictionary_encode(), pa.array(["b", "a"]).dictionary_encode().take(pa.array([1, 0]))),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), pa.array([[("k", 2)]], pa.map_(pa.string(), pa.int64()))),
    ],
)  # fmt: skip
def test_these_are_not_the_same(one, other):
    assert not same_values(one, other)
    assert same_values(one, one)
    assert same_values(other, other)


def test_nan_is_the_same_at_any_depth_and_what_lies_under_a_null_does_not_matter():
    nested = pa.array([{"a": [NAN, None]}, None], pa.struct([("a", pa.list_(pa.float32()))]))
    hidden = pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer((1).to_bytes(8, "little") + b"\xff" * 8)])  # fmt: skip

    assert same_values(nested, pa.concat_arrays([nested]))
    assert same_values(hidden, pa.array([1, None]))


def test_a_slice_is_the_same_as_the_values_in_it():
    array = pa.array([[("a", 1)], [("b", None)], None], pa.map_(pa.string(), pa.int64()))

    assert same_values(array.slice(1), pa.array(array.to_pylist()[1:], array.type))
