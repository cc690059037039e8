"""The columns of an outcome, made of buffers: no Python object a row, and no copy where one can be spared. Pure."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import pyarrow as pa

from quarry_core.contract.names import row_of
from quarry_core.contract.results import answer_type

UNKNOWN = -1  # a count that the output does not give
_PLACES = 10 ** np.arange(5, -1, -1)
_ID_CHARS = 5 + len(_PLACES)
_INT32_MAX = 2**31 - 1

Numbers = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


def record_ids(shard: str, start: int, stop: int) -> pa.Array:
    """The record ids of the rows `start` to `stop`, as `names.record_id` makes them one by one."""
    digits = np.arange(start, stop)[:, None] // _PLACES[None, :] % 10 + ord("0")
    head = np.tile(np.frombuffer(shard.encode("ascii"), np.uint8), (stop - start, 1))
    data = np.hstack([head, digits.astype(np.uint8)])
    offsets = np.arange(stop - start + 1, dtype=np.int32) * data.shape[1]
    return pa.StringArray.from_buffers(stop - start, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data)))


def rows_of(ids: list[str], shard: str) -> Numbers:
    """The rows that record ids name, as `names.row_of` reads them one by one; -1 for what is no id of this shard."""
    joined = "".join(ids)
    if not joined.isascii() or set(map(len, ids)) != {_ID_CHARS}:
        return np.fromiter((-1 if (row := row_of(each, shard)) is None else row for each in ids), np.int64, len(ids))
    digits = np.frombuffer(joined.encode("ascii"), np.uint8).reshape(len(ids), _ID_CHARS)
    ours = (digits[:, : len(shard)] == np.frombuffer(shard.encode("ascii"), np.uint8)).all(axis=1)
    ours &= ((digits >= ord("0")) & (digits <= ord("9"))).all(axis=1)
    rows = (digits[:, len(shard) :].astype(np.int64) - ord("0")) @ _PLACES
    return np.where(ours, rows, -1)


def view(numbers: array[int], start: int, stop: int) -> Numbers:
    return np.frombuffer(numbers, np.int64)[start:stop]


def pieces(data: bytes, lengths: Numbers) -> pa.Array:
    """Bytes that lie one behind the other, as a binary array."""
    wide = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=wide[1:])
    if wide[-1] <= _INT32_MAX:
        buffers = [None, pa.py_buffer(wide.astype(np.int32)), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.binary(), len(lengths), buffers)
    return pa.Array.from_buffers(pa.large_binary(), len(lengths), [None, pa.py_buffer(wide), pa.py_buffer(data)])


def pieces_of(payloads: list[bytes]) -> pa.Array:
    return pieces(b"".join(payloads), np.fromiter(map(len, payloads), np.int64, len(payloads)))


def indices(places: Numbers, there: Mask | None = None) -> pa.Array:
    """Places for `take`; null where nothing is there."""
    return _plain(places, pa.int64(), None if there is None else _validity(there))


def _validity(mask: Mask) -> pa.Buffer | None:
    return None if mask.all() else pa.py_buffer(np.packbits(mask, bitorder="little"))


def texts(payloads: pa.Array, mask: Mask) -> pa.Array:
    """Those of the payloads that the mask names, as strings; they are UTF-8. The others are null."""
    if not mask.any():
        return pa.nulls(len(payloads), pa.string())
    return _only(payloads, mask).view(pa.string())


def answers(payloads: pa.Array, mask: Mask, answer_column: str) -> pa.Array:
    """As `texts`, or as vectors of little-endian float32."""
    if answer_column == "response":
        return texts(payloads, mask)
    taken = _only(payloads, mask)
    validity, offsets, data = taken.buffers()
    numbers = pa.Array.from_buffers(pa.float32(), (data.size if data else 0) // 4, [None, data])
    ends = np.frombuffer(offsets, np.int32)[taken.offset : taken.offset + len(taken) + 1] // 4
    return pa.Array.from_buffers(
        answer_type(answer_column), len(taken), [validity, pa.py_buffer(ends)], children=[numbers]
    )


def _only(payloads: pa.Array, mask: Mask) -> pa.Array:
    return payloads if mask.all() else payloads.take(indices(np.arange(len(payloads)), mask))


def words(which: Numbers | Bytes, named: list[str | None]) -> pa.Array:
    payloads = [(word or "").encode() for word in named]
    there = np.fromiter((word is not None for word in named), np.bool_, len(named))
    return texts(pieces_of(payloads), there).take(indices(which.astype(np.int64)))


def numbers(values: Numbers) -> pa.Array:
    return _plain(values, pa.int64(), _validity(values != UNKNOWN))


def _plain(values: Numbers, kind: pa.DataType, validity: pa.Buffer | None = None) -> pa.Array:
    """As `pa.array`, which would import pandas wherever that is installed."""
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(np.ascontiguousarray(values))])
