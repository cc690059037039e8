"""Values of any Arrow type as JSON has them: texts, numbers, truth values, lists and objects.

Python's own times know no nanoseconds, and its dates no year 10000; a struct may have one name twice. So values are
taken from Arrow itself, at any depth. Times are as Arrow writes them, durations ISO 8601 (`PT0.000000001S`), decimals
texts in full, bytes base64, UUIDs as one writes them.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_S = 86_400


def plain_values(array: pa.Array) -> list[Any]:
    """The values of an array, each as JSON has it (but for NaN). Raises ValueError for text that is not UTF-8."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _extended(array)
    if pa.types.is_dictionary(kind):
        return plain_values(array.dictionary_decode())
    if pa.types.is_duration(kind):
        return _mapped(array.cast(pa.int64()), lambda value: duration_text(value, kind.unit))
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind) or pa.types.is_date(kind):
        texts: list[Any] = temporal_texts(array).to_pylist()
        return texts
    if pa.types.is_decimal(kind):
        return _mapped(array, lambda value: format(value, "f"))
    if pa.types.is_float16(kind):
        array = singles(array)
    if pa.types.is_struct(kind):
        return _objects(array)
    if pa.types.is_map(kind):
        return _mapped_pairs(array)
    if pa.types.is_nested(kind) and not pa.types.is_union(kind) and not pa.types.is_run_end_encoded(kind):
        values = iter(plain_values(array.flatten()))
        return _mapped(pc.list_value_length(array), lambda length: list(islice(values, length)))
    values = array.to_pylist()
    return [base64.b64encode(value).decode() if isinstance(value, bytes) else value for value in values]


def singles(halves: pa.Array) -> pa.Array:
    """Floats of 16 bits as floats of 32, which pyarrow's own cast does from 16 on."""
    values = halves.to_numpy(zero_copy_only=False).astype("float32")
    return pa.array(values, pa.float32(), mask=halves.is_null().to_numpy(zero_copy_only=False))


def temporal_texts(array: pa.Array) -> pa.Array:
    """Times and dates as texts; of a zone that this machine does not know, in UTC."""
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        return array.cast(pa.timestamp(array.type.unit, "UTC")).cast(pa.string())


def duration_text(value: int, unit: str) -> str:
    """An ISO 8601 duration of days and seconds."""
    per_second = _UNITS[unit]
    seconds, fraction = divmod(abs(value), per_second)
    days, seconds = divmod(seconds, _DAY_S)
    text = f"{seconds}.{fraction:0{len(str(per_second)) - 1}d}".rstrip("0") if fraction else str(seconds)
    parts = f"{days}D" if days else ""
    if seconds or fraction or not days:
        parts += f"T{text}S"
    return f"{'-' if value < 0 else ''}P{parts}"


def _mapped(array: pa.Array, form: Callable[[Any], Any]) -> list[Any]:
    return [None if value is None else form(value) for value in array.to_pylist()]


def _extended(array: pa.Array) -> list[Any]:
    name = array.type.extension_name
    if name == "arrow.uuid":
        return _mapped(array.storage, lambda value: str(UUID(bytes=value)))
    if name == "arrow.bool8":
        return _mapped(array.storage, bool)
    return plain_values(array.storage)


def _objects(array: pa.Array) -> list[Any]:
    names, seen = [], Counter[str]()
    for place in range(array.type.num_fields):
        name = array.type.field(place).name
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    columns = [plain_values(child) for child in array.flatten()]
    there = pc.is_valid(array).to_pylist()
    rows = zip(*columns, strict=True) if columns else iter([()] * len(array))
    return [dict(zip(names, row, strict=True)) if valid else None for valid, row in zip(there, rows, strict=True)]


def _mapped_pairs(array: pa.Array) -> list[Any]:
    """Maps as objects where their keys are texts, each once; as pairs otherwise."""
    entry = pa.struct([array.type.key_field, array.type.item_field])
    lists = array.cast(pa.list_(pa.field("entries", entry, nullable=False)))
    keys, items = (iter(plain_values(child)) for child in lists.flatten().flatten())

    def pairs(length: int) -> Any:
        found = list(zip(islice(keys, length), islice(items, length), strict=True))
        reported = dict(found) if all(isinstance(key, str) for key, _ in found) else {}
        return reported if len(reported) == len(found) else [list(pair) for pair in found]

    return _mapped(pc.list_value_length(lists), pairs)


def known_to_pandas(kind: pa.DataType) -> pa.DataType:
    """A nested type whose parts pandas knows: inside others it has no extension types and no bytes of fixed length."""
    inner = known_to_pandas
    if isinstance(kind, pa.BaseExtensionType):
        return inner(kind.storage_type)
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_struct(kind):
        return pa.struct(
            [kind.field(place).with_type(inner(kind.field(place).type)) for place in range(kind.num_fields)]
        )
    if pa.types.is_map(kind):
        return pa.map_(inner(kind.key_type), inner(kind.item_type), keys_sorted=kind.keys_sorted)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(inner(kind.value_type)), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(inner(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(inner(kind.value_type)))
    return kind
