"""An Arrow array as another type that holds its values: checked, and nested types part by part. Pure.

Arrow's own cast of a struct drops fields and makes others up, and says nothing. So structs, lists and maps are taken
apart here and built anew, and only flat values are left to Arrow, whose safe casts refuse what would change.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quarry_core.tabular.arrow_types import is_binary_view, is_large_list_view, is_list_view, is_string_view

_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, is_list_view, is_large_list_view)


class NotHeld(ValueError):
    """A value that the other type does not hold; the text says why, "a whole number beyond …"."""


def recast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """The same values as `kind`, which `common_type` has found for them. Raises NotHeld."""
    own = array.type
    if own == kind:
        return array
    if pa.types.is_null(own):
        return pa.nulls(len(array), kind)
    if pa.types.is_dictionary(own):
        return recast(array.dictionary_decode(), kind)
    if isinstance(own, pa.BaseExtensionType):
        return recast(array.storage, kind)
    if pa.types.is_struct(kind):
        return _struct(array, kind)
    if pa.types.is_map(kind):
        return _map(array, kind)
    if pa.types.is_list(kind):
        return _list(array, kind)
    return _flat(array, kind)


def may_refuse(own: pa.DataType, kind: pa.DataType) -> bool:
    """Whether there are values of `own` that `kind` does not hold, so that only reading them tells."""
    if own == kind or pa.types.is_null(own):
        return False
    if pa.types.is_dictionary(own):
        return may_refuse(own.value_type, kind)
    if pa.types.is_struct(kind) and pa.types.is_struct(own):
        return any(may_refuse(part.type, kind.field(part.name).type) for part in own)
    if pa.types.is_map(kind) and pa.types.is_map(own):
        return may_refuse(own.key_type, kind.key_type) or may_refuse(own.item_type, kind.item_type)
    if pa.types.is_list(kind) and any(is_list(own) for is_list in _LISTS):
        return may_refuse(own.value_type, kind.value_type)
    if pa.types.is_floating(kind):
        return bool(pa.types.is_integer(own) and own.bit_width > 32)
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return bool(own.unit != kind.unit)
    return bool(pa.types.is_date64(own))


def _struct(array: pa.Array, kind: pa.DataType) -> pa.Array:
    # `flatten` gives a child's nulls where the struct is null, and knows of slices.
    own = dict(zip((part.name for part in array.type), array.flatten(), strict=True))
    parts = [
        recast(own[part.name], part.type) if part.name in own else pa.nulls(len(array), part.type) for part in kind
    ]
    return pa.StructArray.from_arrays(parts, fields=list(kind), mask=array.is_null())


def _list(array: pa.Array, kind: pa.DataType) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    return pa.ListArray.from_arrays(
        pa.array(_offsets(lengths)), recast(array.flatten(), kind.value_type), type=kind, mask=array.is_null()
    )


def _map(array: pa.Array, kind: pa.DataType) -> pa.Array:
    bounds = array.offsets.to_numpy(zero_copy_only=False)
    begin, length = int(bounds[0]), int(bounds[-1] - bounds[0])
    keys, items = (part.slice(begin, length) for part in (array.keys, array.items))
    missing = np.append(array.is_null().to_numpy(zero_copy_only=False), False)
    # A null offset makes a null map.
    offsets = pa.array(_offsets(np.diff(bounds)), mask=missing)
    return pa.MapArray.from_arrays(offsets, recast(keys, kind.key_type), recast(items, kind.item_type)).cast(kind)


def _offsets(lengths: Any) -> Any:
    ends = np.cumsum(lengths, dtype=np.int64)
    if len(ends) and ends[-1] > np.iinfo(np.int32).max:
        raise NotHeld("one of lists that together have more than 2**31 items")
    return np.concatenate(([0], ends)).astype(np.int32)


def _flat(array: pa.Array, kind: pa.DataType) -> pa.Array:
    own = array.type
    try:
        if is_string_view(own) or is_binary_view(own):
            # Parquet readers take the writer's word for UTF-8, and the encoder looks; the cast would refuse it here.
            return array.cast(pa.large_binary()).cast(pa.binary()).view(kind)
        if pa.types.is_large_string(own):
            return array.cast(kind, safe=False) if array.nbytes <= np.iinfo(np.int32).max else array.cast(kind)
        return array.cast(kind)
    except pa.ArrowInvalid as error:
        raise NotHeld(_why(own, kind)) from error


def _why(own: pa.DataType, kind: pa.DataType) -> str:
    if pa.types.is_floating(kind) and pa.types.is_integer(own):
        return "a whole number beyond 2**53, which float64 rounds"
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return f"outside the range of {kind}"
    if pa.types.is_date64(own):
        return "no whole day, and dates of other files are"
    return f"of {own}, and {kind} does not hold it"
