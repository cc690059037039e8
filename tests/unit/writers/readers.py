"""The five readers with which people open a result: pyarrow, pandas, polars, DuckDB and fastparquet.

Each gives, for the bytes of a file and the names of some columns, something that can be compared: types and values as
that reader sees them. A reader that cannot read a file raises `CannotRead`.
"""

from __future__ import annotations

import io
import itertools
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

Seen = tuple[Any, Any]


class CannotRead(Exception):
    """The reader has no type for a column, or does not know an encoding."""


def with_pyarrow(body: bytes, columns: Sequence[str]) -> Seen:
    table = pq.read_table(io.BytesIO(body))
    chosen = [table.column(table.schema.names.index(name)) for name in columns]
    fields = [table.schema.field(table.schema.names.index(name)) for name in columns]
    levels = [_levels(column) for column in chosen]
    return [(str(each), each.metadata or {}) for each in fields], ([repr(_plain(column)) for column in chosen], levels)


def _plain(column: pa.ChunkedArray) -> Any:
    return [_values(chunk) for chunk in column.chunks if len(chunk)] and [
        value for chunk in column.chunks for value in _values(chunk)
    ]


def _values(array: pa.Array) -> list[Any]:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _values(array.storage)
    if pa.types.is_dictionary(kind):
        return _values(array.dictionary_decode())
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        # Python's own times know no nanoseconds, and its dates no year 10000.
        wide = pa.int32() if kind.bit_width == 32 else pa.int64()
        return list(array.view(wide).to_pylist())
    if pa.types.is_struct(kind):
        valid = array.is_valid().to_pylist()
        columns = [_values(child) for child in array.flatten()]
        return (
            [tuple(row) if valid[place] else None for place, row in enumerate(zip(*columns, strict=True))]
            if columns
            else valid
        )
    if pa.types.is_map(kind):
        keys, items = _values(array.keys), _values(array.items)
        offsets, valid = array.offsets.to_pylist(), array.is_valid().to_pylist()
        return [
            list(zip(keys[a:b], items[a:b], strict=True)) if there else None
            for (a, b), there in zip(itertools.pairwise(offsets), valid, strict=True)
        ]
    if pa.types.is_nested(kind):
        lengths = pa.compute.list_value_length(array).to_pylist()
        rest = iter(_values(array.flatten()))
        return [None if length is None else [next(rest) for _ in range(length)] for length in lengths]
    values: list[Any] = array.to_pylist()
    return values


def _levels(column: pa.ChunkedArray) -> list[Any] | None:
    """All categories in the order in which a reader of the whole column meets them."""
    if not pa.types.is_dictionary(column.type):
        return None
    return list(dict.fromkeys(level for chunk in column.chunks for level in chunk.dictionary.to_pylist()))


def with_pandas(body: bytes, columns: Sequence[str]) -> Seen:
    try:
        frame = pd.read_parquet(io.BytesIO(body))
    except (ValueError, NotImplementedError, TypeError, OverflowError) as error:
        raise CannotRead from error
    return _frame(frame, columns)


def _frame(frame: pd.DataFrame, columns: Sequence[str]) -> Seen:
    there = [name for name in columns if name in frame.columns]
    kinds = [(name, repr(frame[name].dtype)) for name in there]
    return (kinds, repr(frame.index.dtype)), (
        [[_comparable(value) for value in frame[name]] for name in there],
        list(frame.index),
    )


def _comparable(value: Any) -> Any:
    if value is None:
        return "nan"
    return value.tolist().__repr__() if isinstance(value, np.ndarray) else repr(value)


def with_polars(body: bytes, columns: Sequence[str]) -> Seen:
    try:
        frame = pl.read_parquet(io.BytesIO(body))
    except BaseException as error:  # polars panics, which is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        raise CannotRead from error
    chosen = frame.select(columns)
    kinds = [(name, repr(kind)) for name, kind in chosen.schema.items()]
    return kinds, [
        repr(column.to_physical().to_list() if column.dtype.is_temporal() else column.to_list()) for column in chosen
    ]


def with_duckdb(body: bytes, columns: Sequence[str]) -> Seen:
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        path = Path(folder, "x.parquet")
        path.write_bytes(body)
        try:
            kinds = connection.execute(f"describe from '{path}'").fetchall()
            rows = connection.execute(f"select columns(*)::varchar from '{path}'").fetchall()
        except duckdb.Error as error:
            raise CannotRead from error
        places = [place for place, kind in enumerate(kinds) if kind[0] in columns]
        return [kinds[place][:2] for place in places], [[row[place] for place in places] for row in rows]


def with_fastparquet(body: bytes, columns: Sequence[str]) -> Seen:
    import fastparquet

    if any(pa.types.is_nested(each.type) for each in pq.read_schema(io.BytesIO(body))):
        raise CannotRead("fastparquet guesses what is nested by how it is encoded")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            frame = fastparquet.ParquetFile(io.BytesIO(body)).to_pandas()
        except Exception as error:
            raise CannotRead from error
    (kinds, index), values = _frame(frame, columns)
    # Whether a text is an object or a string, and what a null in it is, fastparquet guesses by the encoding.
    kinds = [(name, _guessed(kind)) for name, kind in kinds]
    return (kinds, _guessed(index)), [[None if value == "nan" else value for value in column] for column in values[0]]


def _guessed(kind: str) -> str:
    return "text" if "String" in kind or "'O'" in kind else kind


READERS: dict[str, Callable[[bytes, Sequence[str]], Seen]] = {
    "pyarrow": with_pyarrow,
    "pandas": with_pandas,
    "polars": with_polars,
    "duckdb": with_duckdb,
    "fastparquet": with_fastparquet,
}
