"""Which batches go into one row group of a part.

A row group has one dictionary a column: so it ends where the dictionary of a category changes, and the categories, their
order and the width of the index come back as they were, whatever the source's row groups were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from quarry_core.tabular.arrow_equal import same_values
from quarry_core.tabular.parquet.layout import leaf_types


@dataclass(frozen=True, slots=True)
class RowGroup:
    """How large a row group is at most; the bytes are Arrow's. What comes as one batch is not divided."""

    rows_max: int = 8_192
    bytes_max: int = 8 << 20


OF_PARTS = RowGroup()


def row_groups(batches: Iterable[pa.RecordBatch], most: RowGroup = OF_PARTS) -> Iterator[list[pa.RecordBatch]]:
    """Batches of one row group each: of one dictionary a column, and never smaller than the dictionaries they repeat."""
    group: _Group | None = None
    rows = size = 0
    dictionaries: list[pa.Array] = []
    repeated = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        own = list(_dictionaries_of(batch))
        known = group is not None and all(map(same_values, own, dictionaries))
        levels = sum(each.nbytes for each in own)
        own_size = batch.nbytes - levels
        full = rows + batch.num_rows > most.rows_max or size + own_size > most.bytes_max
        if group is not None and (not known or (full and size >= repeated)):
            yield group.batches()
            group, rows, size = None, 0, 0
        if group is None:
            group = _Group(batch.schema, sharing=bool(own))
            dictionaries, repeated = own, levels
        group.add(batch)
        rows += batch.num_rows
        size += own_size
    if group is not None:
        yield group.batches()


class _Group:
    """The batches of a row group. Those with dictionaries are kept as Arrow's stream, which holds each dictionary once.

    Parquet readers give every batch a copy of the dictionary of its own: thousands of them, where rows are few to a batch.
    """

    def __init__(self, schema: pa.Schema, *, sharing: bool) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._sink = pa.BufferOutputStream() if sharing else None
        self._stream = pa.ipc.new_stream(self._sink, schema) if sharing else None

    def add(self, batch: pa.RecordBatch) -> None:
        if self._stream is None:
            self._batches.append(batch)
        else:
            self._stream.write_batch(batch)

    def batches(self) -> list[pa.RecordBatch]:
        """All that were added; nothing can be added any more."""
        if self._stream is None or self._sink is None:
            return self._batches
        self._stream.close()
        return list(pa.ipc.open_stream(self._sink.getvalue()))


def _dictionaries_of(batch: pa.RecordBatch) -> Iterator[pa.Array]:
    for column in batch.columns:
        yield from _dictionaries_in(column)


def _dictionaries_in(array: pa.Array) -> Iterator[pa.Array]:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        yield from _dictionaries_in(array.storage)
    elif pa.types.is_dictionary(kind):
        yield array.dictionary
    elif not any(map(pa.types.is_dictionary, leaf_types(kind))):
        return
    elif pa.types.is_struct(kind):
        for place in range(kind.num_fields):
            yield from _dictionaries_in(array.field(place))
    elif pa.types.is_map(kind):
        yield from _dictionaries_in(array.keys)
        yield from _dictionaries_in(array.items)
    else:
        yield from _dictionaries_in(array.values)
