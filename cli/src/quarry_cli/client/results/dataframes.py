"""Tables of pandas, polars and pyarrow, in as a file and out as the same kind; none of the three but pyarrow is needed.

What a table is, is told by the module of its class, so that nothing is imported that its owner has not imported already.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_cli.client.results.frame import frame_of, pandas_or_hint
from quarry_cli.errors import NotConfigured, NotSubmitted

FILE = "data.parquet"
Kind = Literal["pandas", "polars", "arrow"]


@dataclass(frozen=True, slots=True)
class Given:
    """What was handed in: `sources` as files or URIs, and how a result becomes what the caller wants."""

    sources: tuple[str, ...]
    result: Callable[[pa.Table], Any]


def given(data: Any, folder: Path, kind: Kind | None = None) -> Given:
    """What a caller handed in, as files.

    Args:
        data: a DataFrame of pandas or polars, a Table or RecordBatch of pyarrow, whatever speaks Arrow's C stream; a path
            or an `s3://` URI, or a list of them.
        folder: where a table is written to.
        kind: of the result; by default that of `data`, and for paths pandas.

    Raises:
        NotSubmitted: it is none of these, or its columns have no form in Parquet.
        NotConfigured: the package that the result needs is not installed.
    """
    paths = _paths(data)
    if paths is not None:
        return Given(paths, _made(kind or "pandas", None))
    own, table, index = _table(data)
    if not table.num_rows:
        raise NotSubmitted("data: it has no rows")
    _check_types(table.schema)
    path = folder / FILE
    try:
        # What a library notes about itself in the schema would be part of the file's hash.
        pq.write_table(table.replace_schema_metadata(None), path)
    except (pa.ArrowException, ValueError) as error:
        raise NotSubmitted(f"data: it cannot be written as Parquet: {error}") from error
    return Given((str(path),), _made(kind or own, index))


def _paths(data: Any) -> tuple[str, ...] | None:
    if isinstance(data, (str, os.PathLike)):
        return (os.fspath(data),)
    if isinstance(data, Sequence) and data and all(isinstance(each, (str, os.PathLike)) for each in data):
        return tuple(os.fspath(each) for each in data)
    return None


def _table(data: Any) -> tuple[Kind, pa.Table, Any]:
    """The kind, the rows, and pandas' index. Raises NotSubmitted."""
    module = type(data).__module__.partition(".")[0]
    if module in ("pandas", "polars") and type(data).__name__ == "Series":
        raise NotSubmitted("data: a Series is one column and no table: give data.to_frame()")
    try:
        if module == "pandas" and hasattr(data, "columns"):
            if not all(isinstance(name, str) for name in data.columns):
                raise NotSubmitted("data: the names of columns must be texts: data.rename(columns=str)")
            return "pandas", pa.Table.from_pandas(data, preserve_index=False), data.index
        if module == "polars":
            frame = data.collect() if hasattr(data, "collect") else data
            _check_polars(frame.schema)
            return "polars", frame.to_arrow(), None
        if isinstance(data, pa.Table):
            return "arrow", data, None
        if isinstance(data, pa.RecordBatch):
            return "arrow", pa.Table.from_batches([data]), None
        if hasattr(data, "__arrow_c_stream__"):
            return "arrow", pa.table(data), None
    except OverflowError as error:
        raise NotSubmitted(
            f"data: {_overflowing(data)} holds a whole number of more than 64 bits: cast it to text, or to decimals of at"
            " most 38 digits"
        ) from error
    except (pa.ArrowException, ValueError, TypeError, AttributeError) as error:
        raise NotSubmitted(f"data: it cannot be read as a table of columns: {error}") from error
    raise NotSubmitted(
        f"data: a {type(data).__module__}.{type(data).__qualname__} is no table: give a DataFrame of pandas or polars, a"
        " pyarrow Table, or the path of a CSV, JSON lines or Parquet file"
    )


def _overflowing(data: Any) -> str:
    """Which column it was; pyarrow does not say."""
    for name in data.columns:
        try:
            pa.Array.from_pandas(data[name])
        except OverflowError:
            return f"column {name!r}"
        except (pa.ArrowException, ValueError, TypeError):
            continue
    return "a column"


def _check_polars(schema: Any) -> None:
    """Of Python's own objects polars gives Arrow the addresses, as bytes. Raises NotSubmitted naming the column."""
    for name, kind in schema.items():
        own = str(kind)
        if "Object" in own:
            raise NotSubmitted(
                f"data: column {name!r} is {own}, Python objects that only this process knows: make texts, numbers, lists or"
                " structs of them, or leave it out"
            )
        if "Int128" in own:
            raise NotSubmitted(
                f"data: column {name!r} is {own}, and whole numbers of 128 bits cannot be read: cast it to Decimal(38, 0), to"
                " 64 bits or to text"
            )


def _check_types(schema: pa.Schema) -> None:
    """Raises NotSubmitted naming the first column that has no form in Parquet."""
    for field in schema:
        lacking = _not_in_parquet(field.type)
        if lacking is not None:
            raise NotSubmitted(
                f"data: column {field.name!r} is {field.type}, and Parquet has no {lacking}: cast it, for example to text, or"
                " leave it out"
            )


def _not_in_parquet(kind: pa.DataType) -> str | None:
    if isinstance(kind, pa.BaseExtensionType):
        return _not_in_parquet(kind.storage_type)
    if pa.types.is_interval(kind):
        return "intervals of months, days and nanoseconds"
    if pa.types.is_union(kind):
        return "unions"
    if pa.types.is_run_end_encoded(kind):
        return "run-end encoding"
    if pa.types.is_struct(kind) and not kind.num_fields:
        return "structs without fields"
    inner = [kind.field(place).type for place in range(kind.num_fields)]
    return next((found for each in inner if (found := _not_in_parquet(each)) is not None), None)


def _made(kind: Kind, index: Any) -> Callable[[pa.Table], Any]:
    """What makes the result of an Arrow table; what it needs is looked for now, before anything is paid for."""
    if kind == "arrow":
        return lambda table: table
    if kind == "polars":
        try:
            import polars as pl  # noqa: PLC0415 the caller's own
        except ImportError as error:
            raise NotConfigured("polars is not installed: run  pip install polars, or ask for another kind") from error
        return pl.from_arrow
    if kind != "pandas":
        raise NotSubmitted(f"returns: {kind!r} is none of pandas, polars and arrow")
    pandas_or_hint()

    def framed(table: pa.Table) -> Any:
        frame = frame_of(table)
        if index is not None and len(index) == len(frame):
            frame.index = index
        return frame

    return framed
