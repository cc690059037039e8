"""Whether two Arrow arrays hold the same values.

Stricter than Arrow where a value could change unseen, and looser where none did: -0.0 is not 0.0, NaN equals NaN, and
of a category column the categories count too: their order, and those that no row has.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

_BITS = {pa.float16(): pa.int16(), pa.float32(): pa.int32(), pa.float64(): pa.int64()}


def same_values(one: pa.Array, other: pa.Array) -> bool:
    """True if both arrays have one type and hold the same, element by element."""
    if one.type != other.type or len(one) != len(other) or one.null_count != other.null_count:
        return False
    kind = one.type
    if isinstance(kind, pa.BaseExtensionType):
        return same_values(one.storage, other.storage)
    if pa.types.is_dictionary(kind):
        return same_values(one.dictionary, other.dictionary) and bool(one.indices.equals(other.indices))
    if kind in _BITS:
        return bool(one.view(_BITS[kind]).equals(other.view(_BITS[kind])))
    if not pa.types.is_nested(kind) or pa.types.is_union(kind) or pa.types.is_run_end_encoded(kind):
        return bool(one.equals(other))
    if not pc.is_null(one).equals(pc.is_null(other)):
        return False
    if not pa.types.is_struct(kind) and not _lengths(one).equals(_lengths(other)):
        return False
    return all(same_values(*pair) for pair in zip(_children(one), _children(other), strict=True))


def _lengths(array: pa.Array) -> pa.Array:
    if pa.types.is_map(array.type):
        array = _as_list(array)
    return pc.list_value_length(array)


def _children(array: pa.Array) -> Iterator[pa.Array]:
    """What lies inside, without what lies under nulls."""
    if pa.types.is_struct(array.type):
        # `flatten` gives a child's nulls where the struct is null.
        yield from array.flatten()
    elif pa.types.is_map(array.type):
        yield from _as_list(array).flatten().flatten()
    else:
        yield array.flatten()


def _as_list(array: pa.MapArray) -> pa.ListArray:
    entry = pa.struct([array.type.key_field, array.type.item_field])
    return array.cast(pa.list_(pa.field("entries", entry, nullable=False)))
