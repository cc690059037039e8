"""Lists of float32 as pages of a Parquet column chunk: what pyarrow writes, without going through every number.

Theory of operation. Beside its numbers a page of lists has two levels for each number: whether it begins a row, and whether it
is there. pyarrow makes and encodes them one by one, which costs three times as much as the numbers themselves. Where no
number is null they are runs that follow from the lengths of the rows, so they are written as runs. The numbers stand as they
are in memory: plain, and not compressed, for the digits of an embedding do not shrink.

Encodings: https://parquet.apache.org/docs/file-format/data-pages/encodings/ (RLE, PLAIN); levels:
https://github.com/apache/parquet-format/blob/master/README.md#nested-encoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from quarry_core.tabular.parquet.assembly import COMPRESSED, DATA_AT, UNCOMPRESSED, VALUES, ColumnChunk
from quarry_core.tabular.parquet.thrift_compact import (
    BINARY,
    I32,
    I64,
    LIST,
    STRUCT,
    RawField,
    varint,
    write_binary,
    write_list,
    write_number,
    write_struct,
)

PAGE_BYTES = 1 << 20
_FLOAT, _PLAIN, _RLE, _UNCOMPRESSED, _DATA_PAGE = 4, 0, 3, 0, 0
# Definition levels of an optional list of optional numbers.
NO_LIST, NO_NUMBERS, NO_NUMBER, NUMBER = range(4)
Numbers = np.ndarray[Any, np.dtype[np.int64]]
Levels = np.ndarray[Any, np.dtype[np.uint8]]


class VectorPages:
    """The pages of one column chunk of lists, as they come. `about`: the chunk, when all of it has come."""

    def __init__(self) -> None:
        self._values = 0
        self._bytes = 0

    def pages(self, column: pa.Array) -> Iterator[Any]:
        """Pages of some more rows, each as two buffers. `column`: of lists of float32, with or without nulls."""
        lengths = _lengths(column)
        ends = np.cumsum(lengths)
        first = 0
        while first < len(column):
            before = int(ends[first - 1]) if first else 0
            behind = int(np.searchsorted(ends, before + PAGE_BYTES // 4, side="right"))
            rows = column.slice(first, max(behind - first, 1))
            yield from self._page(rows, lengths[first : first + len(rows)])
            first += len(rows)

    def about(self, path: Sequence[str]) -> ColumnChunk:
        """The chunk of all pages; `path`: of the leaf, by the names of the file's schema."""
        return ColumnChunk(
            (
                RawField(1, I32, write_number(_FLOAT)),
                RawField(2, LIST, write_list(I32, map(write_number, (_RLE, _PLAIN)))),
                RawField(3, LIST, write_list(BINARY, (write_binary(name.encode()) for name in path))),
                RawField(4, I32, write_number(_UNCOMPRESSED)),
                RawField(VALUES, I64, write_number(self._values)),
                RawField(UNCOMPRESSED, I64, write_number(self._bytes)),
                RawField(COMPRESSED, I64, write_number(self._bytes)),
                RawField(DATA_AT, I64, write_number(0)),
            ),
            0,
            self._bytes,
        )

    def _page(self, rows: pa.Array, lengths: Numbers) -> Iterator[Any]:
        numbers = rows.flatten()  # of rows that are there
        count = int(np.maximum(lengths, 1).sum())  # a row without numbers has its levels too
        if numbers.null_count or not lengths.all():
            definition, repetition = _levels(rows, lengths, numbers)
            numbers = numbers.drop_null()
        else:
            definition = _run(count, NUMBER)
            repetition = _beginnings(lengths)
        values = numbers.buffers()[1]
        data = values[4 * numbers.offset :][: 4 * len(numbers)] if values is not None else b""
        levels = b"".join(len(each).to_bytes(4, "little") + each for each in (repetition, definition))
        size = len(levels) + 4 * len(numbers)
        header = write_struct(
            (
                RawField(1, I32, write_number(_DATA_PAGE)),
                RawField(2, I32, write_number(size)),
                RawField(3, I32, write_number(size)),
                RawField(
                    5,
                    STRUCT,
                    write_struct(
                        RawField(number, I32, write_number(value))
                        for number, value in ((1, count), (2, _PLAIN), (3, _RLE), (4, _RLE))
                    ),
                ),
            )
        )
        self._values += count
        self._bytes += len(header) + size
        yield header + levels
        yield data


def _lengths(column: pa.Array) -> Numbers:
    """How many numbers each row has; none where there is no list."""
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    lengths = np.diff(offsets).astype(np.int64)
    if column.null_count:
        lengths[column.is_null().to_numpy(zero_copy_only=False)] = 0
    return lengths


def _run(count: int, level: int) -> bytes:
    """A run of one level of at most 8 bits."""
    return varint(count << 1) + bytes((level,))


def _beginnings(lengths: Numbers) -> bytes:
    """Repetition levels of rows that all have numbers: 0 where a row begins, 1 where it goes on."""
    if len(lengths) and (lengths == lengths[0]).all():
        return _row(int(lengths[0])) * len(lengths)
    return b"".join(map(_row, lengths.tolist()))


def _row(length: int) -> bytes:
    return _run(1, 0) + (_run(length - 1, 1) if length > 1 else b"")


def _levels(rows: pa.Array, lengths: Numbers, numbers: pa.Array) -> tuple[bytes, bytes]:
    """Definition and repetition levels, whatever is null."""
    begins = np.cumsum(np.maximum(lengths, 1)) - np.maximum(lengths, 1)
    count = int(np.maximum(lengths, 1).sum())
    there = np.ones(count, np.bool_)
    there[begins[lengths == 0]] = False
    definition = np.full(count, NO_NUMBERS, np.uint8)
    definition[begins[rows.is_null().to_numpy(zero_copy_only=False)]] = NO_LIST
    definition[there] = np.where(numbers.is_null().to_numpy(zero_copy_only=False), NO_NUMBER, NUMBER)
    repetition = np.ones(count, np.uint8)
    repetition[begins] = 0
    return _runs(definition), _runs(repetition)


def _runs(levels: Levels) -> bytes:
    begins = np.flatnonzero(np.diff(levels, prepend=255))
    counts = np.diff(begins, append=len(levels))
    return b"".join(_run(count, level) for count, level in zip(counts.tolist(), levels[begins].tolist(), strict=True))
