"""The rows of a JSONL file, by row range, as Arrow batches of given types.

The file is read in blocks between the offsets that the count noted, and parsed by the types that the count found; only
the keys that are wanted become values. pyarrow's own JSON reader takes the types of the first block for those of the
file, and polars and DuckDB guess theirs from a sample; so none of them reads here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pyarrow as pa

from quarry_core.ports import ObjectRef, Objects
from quarry_core.tabular.counted import Count
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.json_column import is_json
from quarry_core.tabular.row_bytes import BATCH_ROWS_MAX

Decode = Callable[[bytes], Sequence[Any]]

STRUCT_FIELDS_MAX = 256
_ODD = re.compile('["\\\\\x00-\x1f]')
_parse_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_jsonl(
    objects: Objects, ref: ObjectRef, count: Count, first: int, rows: int, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Rows [first, first + rows) of a counted JSONL file, with the columns of `schema`. Raises as `rows.read_rows`."""
    until = first + rows
    noted = count.noted(first, until)
    decode = _decoder(schema)
    with objects.stream(ref, noted[0][1], noted[-1][1]) as body:
        for (row, byte), (next_row, next_byte) in pairwise(noted):
            lines = [line for line in body.read(next_byte - byte).split(b"\n") if line and not line.isspace()]
            if len(lines) != next_row - row:
                raise SourceError(
                    f"{ref.key}: {len(lines)} rows from data row {row + 1} (byte {byte}), {next_row - row} were "
                    "counted; pin the object, and count it again if it was replaced"
                )
            for begin in range(max(first - row, 0), min(until, next_row) - row, BATCH_ROWS_MAX):
                end = min(begin + BATCH_ROWS_MAX, until - row, next_row - row)
                yield _batch(lines[begin:end], decode, schema, ref.key, row + begin)


def _decoder(schema: pa.Schema) -> Decode:
    """Parses a line to the values of the wanted keys, in order; the others are passed over.

    A TypedDict would take any name, and lose keys that are not ASCII without a word (msgspec 0.23). A Struct does not,
    but refuses names with a quote or a backslash, and looks a field up one after the other where keys come in another
    order: objects of such names, or of very many, are parsed value by value.
    """
    types = [_python_type(field) for field in schema]
    if len(types) <= STRUCT_FIELDS_MAX and not any(_ODD.search(name) for name in schema.names):
        names = {f"f{place}": name for place, name in enumerate(schema.names)}
        fields = [(field, kind, None) for field, kind in zip(names, types, strict=True)]
        row = msgspec.defstruct("Row", fields, rename=names, gc=False)
        parse = msgspec.json.Decoder(row).decode
        return lambda line: msgspec.structs.astuple(parse(line))
    decoders = [(name, msgspec.json.Decoder(kind).decode) for name, kind in zip(schema.names, types, strict=True)]

    def by_value(line: bytes) -> Sequence[Any]:
        values = _parse_raw(line)
        return [None if name not in values else decode(values[name]) for name, decode in decoders]

    return by_value


def _python_type(field: pa.Field) -> Any:
    kind = field.type
    if is_json(field):
        return msgspec.Raw
    if pa.types.is_boolean(kind):
        return bool | None
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return int | None
    return (float if pa.types.is_floating(kind) else str) | None


def _batch(lines: list[bytes], decode: Decode, schema: pa.Schema, key: str, row: int) -> pa.RecordBatch:
    try:
        values = zip(*map(decode, lines), strict=True)
        return pa.RecordBatch.from_arrays(
            [_column(one, field) for field, one in zip(schema, values, strict=True)], schema=schema
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, pa.ArrowException, OverflowError) as error:
        raise SourceError(
            f"{key}: data rows {row + 1} to {row + len(lines)} are not what was counted ({error}); pin the object, and "
            "count it again if it was replaced"
        ) from error


def _column(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if not is_json(field):
        return pa.array(values, field.type)
    texts = [b"null" if value is None else bytes(value) for value in values]
    return pa.array([None if text == b"null" else text.decode() for text in texts], field.type)
