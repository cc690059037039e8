"""How many bytes each row of an Arrow array has, and where to cut a batch so that no piece has too many. Pure.

A dictionary's rows count with the value they stand for: that is what they become in a text, and what a small file can
hide a gigabyte behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quarry_core.tabular.arrow_types import is_binary_view, is_string_view

Bytes = np.ndarray[Any, np.dtype[np.int64]]

BATCH_ROWS_MAX = 1_024


def row_bytes(column: pa.Array, least: int = 0) -> Bytes:
    """The decoded bytes of each row, about: offsets and validity are left out, a null may count as a value does.

    A value of a fixed width counts with `least` at least: one digit of JSON takes more than one byte on its way.
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return row_bytes(column.storage, least)
    if pa.types.is_dictionary(kind):
        levels = np.append(row_bytes(column.dictionary, least), 0)
        return levels.take(_filled(column.indices, len(levels) - 1))
    if pa.types.is_map(kind):
        bounds = column.offsets.to_numpy(zero_copy_only=False)
        begin, length = int(bounds[0]), int(bounds[-1] - bounds[0])
        parts = (row_bytes(part.slice(begin, length), least) for part in (column.keys, column.items))
        return _summed(sum(parts, np.zeros(length, np.int64)), np.diff(bounds))
    if pa.types.is_struct(kind):
        return sum((row_bytes(part, least) for part in column.flatten()), np.zeros(len(column), np.int64))
    if hasattr(kind, "value_type"):
        width = _width(kind.value_type, least)
        if width is not None:
            return _filled(pc.list_value_length(column)) * width
        return _summed(row_bytes(column.flatten(), least), _filled(pc.list_value_length(column)))
    if _is_long(kind):
        return _filled(pc.binary_length(_measurable(column)))
    return np.full(len(column), _width(kind, least), np.int64)


def pieces(columns: Sequence[pa.Array], bytes_max: int, least: int = 0) -> Iterator[tuple[int, int]]:
    """Cut rows into stretches [start, stop) of at most `bytes_max` bytes as `row_bytes` counts, or of one row.

    The columns have one length. Batches that have no more in memory, and hide nothing, are passed as they are.
    """
    rows = len(columns[0]) if columns else 0
    hiding = any(hides(column.type) or (least and column.type.num_fields) for column in columns)
    if not hiding and sum(column.nbytes for column in columns) <= bytes_max:
        if rows:
            yield 0, rows
        return
    ends = np.cumsum(sum((row_bytes(column, least) for column in columns), np.zeros(rows, np.int64)))
    start = 0
    while start < rows:
        begun = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, begun + bytes_max, side="right")), start + 1)
        yield start, stop
        start = stop


def indices_fit(column: pa.Array) -> bool:
    """Whether every index of a dictionary has its level; of damaged data pyarrow does not ask."""
    kind = column.type
    if not hides(kind):
        return True
    if isinstance(kind, pa.BaseExtensionType):
        return indices_fit(column.storage)
    if pa.types.is_dictionary(kind):
        reported = pc.min_max(column.indices).as_py()
        return reported["max"] is None or (reported["min"] >= 0 and reported["max"] < len(column.dictionary))
    if pa.types.is_map(kind):
        return indices_fit(column.keys) and indices_fit(column.items)
    return all(map(indices_fit, column.flatten() if pa.types.is_struct(kind) else [column.flatten()]))


def _width(kind: pa.DataType, least: int) -> int | None:
    """Of a single value; None if it varies, or is made of others."""
    if pa.types.is_null(kind):
        return least
    plain = pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind)
    return max(-(-kind.bit_width // 8), least) if plain else None


def _summed(parts: Bytes, lengths: Bytes) -> Bytes:
    ends = np.concatenate(([0], np.cumsum(parts)))
    bounds = np.concatenate(([0], np.cumsum(lengths)))
    return ends[bounds[1:]] - ends[bounds[:-1]]


def _filled(numbers: pa.Array, null: int = 0) -> Bytes:
    numbers = numbers.cast(pa.int64())
    filled: Bytes = pc.fill_null(numbers, null).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return filled


def _is_long(kind: pa.DataType) -> bool:
    return any(
        of(kind)
        for of in (
            pa.types.is_string,
            pa.types.is_large_string,
            is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            is_binary_view,
        )
    )


def _measurable(column: pa.Array) -> pa.Array:
    if is_string_view(column.type) or is_binary_view(column.type):
        return column.cast(pa.large_binary())
    return column


def hides(kind: pa.DataType) -> bool:
    """Whether a dictionary is in it."""
    if isinstance(kind, pa.BaseExtensionType):
        return hides(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return True
    return any(hides(kind.field(place).type) for place in range(kind.num_fields))
