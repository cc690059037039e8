"""What was written, counted while it goes by, to be held against what the target's own reader returns. Pure.

Counts say little: a reader may give as many rows, and others. So each record id goes into a sum of hashes, with the value
of each column of numbers beside it; about a hundred rows are kept whole and compared value by value. What a target rounds,
cuts, drops or swaps shows in one of them. Rows may come back in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quarry_cli.client.export.types import is_list, is_text, same_kind
from quarry_cli.client.results.values import plain_values
from quarry_core.tabular.arrow_equal import same_values

SAMPLED_ROWS = 100
NUMBER_COLUMNS_MAX = 8


def number_columns(schema: pa.Schema) -> list[str]:
    """The columns of numbers and vectors, at most `NUMBER_COLUMNS_MAX`: vectors first, then fractions, which targets round."""
    ranks = {each.name: _rank(each.type) for each in schema}
    return sorted((name for name, rank in ranks.items() if rank < 3), key=lambda name: ranks[name])[:NUMBER_COLUMNS_MAX]


def _rank(kind: pa.DataType) -> int:
    if is_list(kind) and (pa.types.is_float32(kind.value_type) or pa.types.is_float64(kind.value_type)):
        return 0
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return 1
    return 2 if pa.types.is_integer(kind) else 3


@dataclass(slots=True)
class Tally:
    """Of one run.

    Attributes:
        record_id: the name of the column of record ids in the table.
        numbers: the names of the columns whose values are summed.
        total: about as many rows as will come, by which samples are spread.
    """

    record_id: str
    numbers: Sequence[str]
    total: int = 0
    rows: int = 0
    ids: int = 0
    sums: dict[str, int] = field(default_factory=dict)
    samples: list[pa.RecordBatch] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """What has to be read to count."""
        return [self.record_id, *self.numbers]

    def add(self, batch: pa.RecordBatch, *, sample: bool = True) -> None:
        """Count rows as they stand in the table."""
        ids = _mixed(_column(batch, self.record_id).cast(pa.int64()).to_numpy(zero_copy_only=False))
        self.ids = _wrapped(self.ids, ids)
        for name in self.numbers:
            self.sums[name] = _wrapped(self.sums.get(name, 0), _mixed(ids ^ _bits(_column(batch, name))))
        if sample:
            stride = max(1, -(-self.total // SAMPLED_ROWS))
            for row in range(-self.rows % stride, batch.num_rows, stride):
                if len(self.samples) < SAMPLED_ROWS:
                    # A slice would keep the whole batch in memory.
                    self.samples.append(batch.take(pa.array([row])))
        self.rows += batch.num_rows

    def sampled(self) -> list[str]:
        """The record ids of the rows that are kept."""
        return [_column(each, self.record_id)[0].as_py() for each in self.samples]


def differences(written: Tally, found: Tally) -> list[str]:
    """What counting both says; empty if they agree."""
    if written.rows != found.rows:
        return [f"{written.rows:,} rows were written, and {found.rows:,} are read back"]
    if written.ids != found.ids:
        return ["the rows that are read back have other record ids"]
    return [
        f"column {name!r} has other values when it is read back"
        for name in written.numbers
        if written.sums.get(name, 0) != found.sums.get(name, 0)
    ]


def schema_differences(written: pa.Schema, found: pa.Schema) -> list[str]:
    """How the schema that the target's reader gives differs from the one that was written."""
    if written.names != found.names:
        return [f"the columns are {', '.join(found.names)} when they are read back, not {', '.join(written.names)}"]
    return [
        f"column {each.name!r} is {found.field(each.name).type} when it is read back, not {each.type}"
        for each in written
        if not same_kind(each.type, found.field(each.name).type)
    ]


def row_differences(written: Tally, found: Iterable[pa.RecordBatch]) -> list[str]:
    """How the kept rows differ from the same rows as they are read back, value by value."""
    there: dict[str, pa.RecordBatch] = {}
    for batch in found:
        for row, name in enumerate(_column(batch, written.record_id).to_pylist()):
            if name in there:
                return [f"record {name} is there twice"]
            there[name] = batch.slice(row, 1)
    for name, one in zip(written.sampled(), written.samples, strict=True):
        other = there.get(name)
        if other is None:
            return [f"record {name} is not there"]
        for each in one.schema.names:
            if not _same(_column(one, each), _column(other, each)):
                return [f"column {each!r} of record {name} has another value when it is read back"]
    return []


def _same(one: pa.Array, other: pa.Array) -> bool:
    if one.type == other.type and same_values(one, other):
        return True
    if pa.types.is_timestamp(one.type) and pa.types.is_timestamp(other.type):
        return bool(one.equals(other.cast(one.type)))
    if is_text(one.type) and is_text(other.type):
        return plain_values(one) == plain_values(other)
    return one.type != other.type and _shown(one) == _shown(other)


def _shown(array: pa.Array) -> list[Any]:
    """Values for a comparison: NaN is equal to itself, a timestamp is of UTC."""
    return [repr(value) for value in plain_values(array)]


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    return batch.column(batch.schema.get_field_index(name))


def _bits(numbers: pa.Array) -> Any:
    """64 bits of each number or vector, the same whatever width it is stored in; null has its own."""
    if is_list(numbers.type):
        return _bits_of_lists(numbers)
    missing = numbers.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_floating(numbers.type):
        values = pc.fill_null(numbers, 0.0).cast(pa.float64()).to_numpy(zero_copy_only=False)
        bits = np.where(np.isnan(values), np.float64("nan"), values).view(np.uint64).copy()
    else:
        filled = pc.fill_null(numbers, pa.scalar(0, numbers.type)).to_numpy(zero_copy_only=False)
        bits = (
            filled.astype(np.uint64 if pa.types.is_unsigned_integer(numbers.type) else np.int64).view(np.uint64).copy()
        )
    bits[missing] = np.uint64(0x9E3779B97F4A7C15)
    return bits


def _bits_of_lists(lists: pa.Array) -> Any:
    """Of each list a sum over its numbers, each with its place."""
    if pa.types.is_fixed_size_list(lists.type):
        lists = lists.cast(pa.list_(lists.type.value_field))
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    sums = np.concatenate(([np.uint64(0)], np.cumsum(_mixed(_bits(lists.flatten()) ^ _mixed(places)), dtype=np.uint64)))
    bits = sums[ends] - sums[ends - lengths] + lengths.astype(np.uint64)
    bits[lists.is_null().to_numpy(zero_copy_only=False)] = np.uint64(0x9E3779B97F4A7C15)
    return bits


def _mixed(values: Any) -> Any:
    """A hash of 64 bits of each, by the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64, copy=True) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _wrapped(total: int, values: Any) -> int:
    return (total + int(values.sum(dtype=np.uint64))) % 2**64
