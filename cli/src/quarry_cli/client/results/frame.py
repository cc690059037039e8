"""Joined rows as a pandas DataFrame: an extra, so nothing else imports pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from quarry_cli.client.results.values import known_to_pandas
from quarry_cli.errors import NotConfigured

if TYPE_CHECKING:
    import pandas as pd


def pandas_or_hint() -> Any:
    """The module pandas. Raises NotConfigured if it is not installed, with the command that installs it."""
    try:
        import pandas as pd  # noqa: PLC0415 an extra
    except ImportError as error:
        raise NotConfigured(
            "pandas is not installed: run  pip install './cli[pandas]'  in the checkout, or put [pandas] behind the "
            "name of Quarry's wheel (docs/install.md)"
        ) from error
    return pd


def frame_of(table: pa.Table) -> pd.DataFrame:
    """The same rows; whole numbers and truth values get pandas' nullable types, so that a null makes no float of them."""
    pandas = pandas_or_hint()
    nullable = {
        pa.bool_(): pandas.BooleanDtype(),
        pa.int8(): pandas.Int8Dtype(),
        pa.int16(): pandas.Int16Dtype(),
        pa.int32(): pandas.Int32Dtype(),
        pa.int64(): pandas.Int64Dtype(),
        pa.uint8(): pandas.UInt8Dtype(),
        pa.uint16(): pandas.UInt16Dtype(),
        pa.uint32(): pandas.UInt32Dtype(),
        pa.uint64(): pandas.UInt64Dtype(),
        pa.time64("ns"): pandas.ArrowDtype(pa.time64("ns")),  # Python's own times know no nanoseconds
    }
    ready = [
        column.cast(known_to_pandas(column.type)) if pa.types.is_nested(column.type) else column
        for column in table.columns
    ]
    plain = pa.table(ready, names=table.column_names)
    # Inside lists, structs and maps pandas would make floats of whole numbers beside a null: 2**53 + 1 is none.
    frame: pd.DataFrame = plain.to_pandas(types_mapper=nullable.get, ignore_metadata=True, integer_object_nulls=True)
    return frame
