"""Whether whole CSV records fit their header, told by their bytes, without making a table of them. Pure.

`RecordScanner` has passed the records, so each quote in them opens or closes a cell or is one of a doubled pair, and what
stands outside of quotes is told by counting. What is left for a parser to refuse is a record with too many or too few cells,
and bytes that are not UTF-8. Both are seen here, in a few passes over the bytes; the parser is asked to name them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from quarry_core.tabular.csv.records import CR, LF, QUOTE

_Places = np.ndarray[Any, np.dtype[np.int64]]


def cells_fit(records: memoryview, rows: int, columns: int, delimiter: str) -> bool:
    """Whether these whole records of RFC 4180 have `columns` cells each, and are UTF-8.

    Args:
        records: as `RecordScanner` has passed them, empty lines included.
        rows: how many records they are.
        columns: of the header, at least 1.
        delimiter: between cells, of ASCII.
    """
    data = np.frombuffer(records, np.uint8)
    quotes = np.flatnonzero(data == QUOTE)
    delimiters = _outside(np.flatnonzero(data == ord(delimiter)), quotes)
    if len(delimiters) != rows * (columns - 1):
        return False
    if columns > 1 and rows > 1:
        ends = _outside(np.flatnonzero((data == LF) | (data == CR)), quotes)
        lines = np.searchsorted(ends, delimiters).reshape(rows, columns - 1)
        # As many as there should be in all; so each record has its own if those of one are in one line, and no line has two.
        if (lines[:, 0] != lines[:, -1]).any() or (lines[1:, 0] == lines[:-1, 0]).any():
            return False
    return _is_utf8(records, data)


def _outside(places: _Places, quotes: _Places) -> _Places:
    """Those that stand outside of quotes: behind an even number of them."""
    if not len(quotes) or not len(places):
        return places
    outside: _Places = places[np.searchsorted(quotes, places) % 2 == 0]
    return outside


def _is_utf8(records: memoryview, data: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    if not (data.view(np.int8) < 0).any():
        return True
    bounds = pa.py_buffer(np.array([0, len(records)], np.int32))
    try:
        pa.StringArray.from_buffers(1, bounds, pa.py_buffer(records)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
