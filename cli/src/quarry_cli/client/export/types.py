"""The type that a column takes in a target, which holds each of its values. Pure.

Every target has leaves of its own (`Leaf`): a type without parts goes in, a type that the target keeps comes out, or None
if it has none. What all have in common stands here: dictionaries are their values, texts and lists are the plain ones,
a column of nulls is text, extension types are what they store unless the target knows them. Nothing is left to a target's
own cast: Delta and Lance cut fractions, DuckDB rounds.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from quarry_core.tabular.arrow_types import is_binary_view, is_large_list_view, is_list_view, is_string_view

# A type without parts, or an extension type; what the target takes for it, or None.
Leaf = Callable[[pa.DataType], pa.DataType | None]

_STRINGS = (pa.types.is_large_string, is_string_view, pa.types.is_null)
_BINARIES = (pa.types.is_large_binary, is_binary_view)
_LISTS = (pa.types.is_large_list, is_list_view, is_large_list_view)
DECIMAL_DIGITS_MAX = 38


class NoType(ValueError):
    """The target has no type for this one; the text says of which part."""


def table_type(kind: pa.DataType, leaf: Leaf) -> pa.DataType:
    """The type in the table. Raises NoType."""
    if isinstance(kind, pa.BaseExtensionType):
        kept = leaf(kind)
        if kept is not None:
            return kept
        if kind.extension_name == "arrow.bool8":
            return pa.bool_()
        return table_type(kind.storage_type, leaf)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return table_type(kind.value_type, leaf)
    if any(is_one(kind) for is_one in _STRINGS):
        return pa.string()
    if any(is_one(kind) for is_one in _BINARIES):
        return pa.binary()
    if pa.types.is_list(kind) or any(is_one(kind) for is_one in _LISTS) or pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field("element", table_type(kind.value_type, leaf)))
    if pa.types.is_map(kind):
        return pa.map_(table_type(kind.key_type, leaf), table_type(kind.item_type, leaf))
    if pa.types.is_struct(kind):
        return _struct(kind, leaf)
    found = leaf(kind)
    if found is None:
        raise NoType(str(kind))
    return found


def _struct(kind: pa.DataType, leaf: Leaf) -> pa.DataType:
    names = [kind.field(place).name for place in range(kind.num_fields)]
    if len({name.casefold() for name in names}) < len(names):
        raise NoType(f"a struct with two fields of one name, or of names equal but for case: {', '.join(names)}")
    return pa.struct([pa.field(name, table_type(kind.field(place).type, leaf)) for place, name in enumerate(names)])


def common_leaf(kind: pa.DataType) -> pa.DataType | None:
    """What no target takes as it is, or what all take; the others are asked first."""
    if pa.types.is_duration(kind):
        return pa.int64()
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_date64(kind):
        return pa.date32()
    if pa.types.is_decimal(kind):
        if kind.precision <= DECIMAL_DIGITS_MAX:
            return pa.decimal128(kind.precision, kind.scale)
        return pa.string()
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    plain = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_string, pa.types.is_binary)
    times = (pa.types.is_timestamp, pa.types.is_date32, pa.types.is_time)
    if any(is_one(kind) for is_one in (*plain, *times)):
        return kind
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    return None


def fits(own: pa.DataType, there: pa.DataType) -> bool:
    """Whether values of `own` may stand in a column of another type if each of them is checked."""
    is_ = pa.types
    if own == there or same_kind(own, there):
        return True
    if is_.is_integer(own):
        return bool(is_.is_integer(there) or is_.is_floating(there) or is_.is_decimal(there))
    if is_.is_floating(own):
        return bool(is_.is_floating(there))
    if is_.is_decimal(own):
        return bool(is_.is_decimal(there))
    if is_.is_timestamp(own):
        return bool(is_.is_timestamp(there)) and (own.tz is None) == (there.tz is None)
    if is_.is_time(own):
        return bool(is_.is_time(there))
    return False


def same_kind(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether two types differ only in how a reader writes them down: large or not, names of items, UTC's names."""
    is_ = pa.types
    if one == other:
        return True
    if is_list(one) and is_list(other):
        sizes = {kind.list_size for kind in (one, other) if is_.is_fixed_size_list(kind)}
        return len(sizes) < 2 and same_kind(one.value_type, other.value_type)
    if is_.is_struct(one) and is_.is_struct(other):
        fields = [[kind.field(place) for place in range(kind.num_fields)] for kind in (one, other)]
        return [each.name for each in fields[0]] == [each.name for each in fields[1]] and all(
            same_kind(a.type, b.type) for a, b in zip(*fields, strict=True)
        )
    if is_.is_map(one) and is_.is_map(other):
        return same_kind(one.key_type, other.key_type) and same_kind(one.item_type, other.item_type)
    if is_text(one) and is_text(other):
        return True
    if _is_bytes(one) and _is_bytes(other):
        return True
    if is_.is_timestamp(one) and is_.is_timestamp(other):
        return one.unit == other.unit and (one.tz is None) == (other.tz is None)
    return False


def is_list(kind: pa.DataType) -> bool:
    """Of any kind, of fixed size too."""
    return pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or any(is_one(kind) for is_one in _LISTS)


def is_text(kind: pa.DataType) -> bool:
    """Text, or what is stored as text (JSON) or shown as text by DuckDB (UUID)."""
    if isinstance(kind, pa.BaseExtensionType):
        return kind.extension_name in ("arrow.json", "arrow.uuid")
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or is_string_view(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind) or any(is_one(kind) for is_one in _BINARIES)
