"""One type that holds the values of several: what a column is that has other types in other files. Pure.

The narrowest type that changes no value: wider numbers, the finest unit of time, plain text for dictionaries and large
text, a struct of all fields. Where some values may not fit, as whole numbers beyond 2**53 among floats, the type is
given all the same, and `align` refuses the value that does not. What has no such type, as numbers and text, is refused.

The answer does not depend on the order of the files: types are gathered first, and judged when all are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

import pyarrow as pa

from quarry_core.tabular.arrow_types import is_binary_view, is_large_list_view, is_list_view, is_string_view

UNITS = ("s", "ms", "us", "ns")
# The same zone under several names; what is read as UTC from one of them has the text that it had.
UTC_NAMES = frozenset({"UTC", "Etc/UTC", "Z", "+00:00", "GMT", "Zulu"})
DECIMAL128_DIGITS_MAX, DECIMAL256_DIGITS_MAX = 38, 76
_DIGITS = {(True, 8): 3, (True, 16): 5, (True, 32): 10, (True, 64): 19} | {
    (False, 8): 3,
    (False, 16): 5,
    (False, 32): 10,
    (False, 64): 20,
}


class Clash(ValueError):
    """Types that no type holds. The text names the place, both files and the remedy."""


class Sort(Enum):
    """What may be read as one type, in principle. `OTHER` only as itself."""

    NULL = "null"
    BOOL = "true and false"
    NUMBER = "numbers"
    TEXT = "text"
    BYTES = "bytes"
    DATE = "dates"
    TIME = "times"
    TIMESTAMP = "timestamps"
    DURATION = "durations"
    LIST = "lists"
    MAP = "maps"
    STRUCT = "structs"
    OTHER = "other"


_SORTS = (
    (Sort.NULL, (pa.types.is_null,)),
    (Sort.BOOL, (pa.types.is_boolean,)),
    (Sort.NUMBER, (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)),
    (Sort.TEXT, (pa.types.is_string, pa.types.is_large_string, is_string_view)),
    (Sort.BYTES, (pa.types.is_binary, pa.types.is_large_binary, is_binary_view, pa.types.is_fixed_size_binary)),
    (Sort.DATE, (pa.types.is_date,)),
    (Sort.TIME, (pa.types.is_time,)),
    (Sort.TIMESTAMP, (pa.types.is_timestamp,)),
    (Sort.DURATION, (pa.types.is_duration,)),
    (
        Sort.LIST,
        (
            pa.types.is_list,
            pa.types.is_large_list,
            pa.types.is_fixed_size_list,
            is_list_view,
            is_large_list_view,
        ),
    ),
    (Sort.MAP, (pa.types.is_map,)),
    (Sort.STRUCT, (pa.types.is_struct,)),
)


def sort_of(kind: pa.DataType) -> Sort:
    """Of a type that is no dictionary."""
    if isinstance(kind, pa.BaseExtensionType):
        # JSON is text to every reader that does not know the type; other extensions mean something of their own.
        return Sort.TEXT if kind.extension_name == "arrow.json" else Sort.OTHER
    return next((sort for sort, tests in _SORTS if any(of(kind) for of in tests)), Sort.OTHER)


class Place:
    """A column, or a field inside one, and every type that it has had.

    Memory is one entry for each distinct type, however many files there are.
    """

    def __init__(self) -> None:
        self._only: pa.DataType | None = None  # of all that are not null, while it is one
        self._several = False
        # Of each sort the types and the first file that has each; of nested ones the first alone.
        self._seen: dict[Sort, dict[pa.DataType, str]] = {}
        self._parts: dict[str, Place] = {}  # of structs; or the items of lists and maps
        self._twice = ""  # a name that two fields of a struct have

    def add(self, kind: pa.DataType, file: str) -> None:
        """Take note that `file` has this type."""
        if not pa.types.is_null(kind):
            if self._only is None:
                self._only = kind
            elif self._only != kind:
                self._several = True
        while pa.types.is_dictionary(kind):
            kind = kind.value_type
        sort = sort_of(kind)
        known = self._seen.setdefault(sort, {})
        if sort in (Sort.LIST, Sort.MAP, Sort.STRUCT):
            known.setdefault(next(iter(known), kind), file)
            parts = list(_parts_of(kind, sort))
            names = [name for name, _ in parts]
            self._twice = self._twice or next((name for name in names if names.count(name) > 1), "")
            for name, part in parts:
                self._parts.setdefault(name, Place()).add(part, file)
        else:
            known.setdefault(kind, file)

    def type(self, path: str) -> pa.DataType:
        """The type that holds all. Raises Clash; `path` is the place's name in it."""
        if not self._several:
            return pa.null() if self._only is None else self._only
        sorts = [sort for sort in self._seen if sort is not Sort.NULL]
        if len(sorts) > 1:
            raise _clash(path, [next(iter(self._seen[sort].items())) for sort in sorts])
        sort = sorts[0]
        known = self._seen[sort]
        match sort:
            case Sort.LIST:
                return pa.list_(pa.field(_item_name(next(iter(known))), self._parts["[]"].type(f"{path}[]")))
            case Sort.MAP:
                return self._map(path, next(iter(known)))
            case Sort.STRUCT:
                if self._twice:
                    raise Clash(
                        f"column {path!r} has two fields named {self._twice!r} ({next(iter(known.values()))} and others), "
                        "and other fields in other files; give each field a name of its own"
                    )
                _check_names(path, self._parts, next(iter(known.values())))
                return pa.struct([pa.field(name, part.type(f"{path}.{name}")) for name, part in self._parts.items()])
            case Sort.OTHER:
                raise _clash(path, list(known.items()))
        return _flat(path, sort, known)

    def seen(self) -> Iterator[tuple[pa.DataType, str]]:
        """The types that are not null, each with its first file; of nested ones the first alone."""
        for sort, known in self._seen.items():
            if sort is not Sort.NULL:
                yield from known.items()

    def _map(self, path: str, first: pa.DataType) -> pa.DataType:
        key = pa.field(first.key_field.name, self._parts["{key}"].type(f"{path}{{key}}"), nullable=False)
        return pa.map_(key, pa.field(first.item_field.name, self._parts["{value}"].type(f"{path}{{value}}")))


def _parts_of(kind: pa.DataType, sort: Sort) -> Iterator[tuple[str, pa.DataType]]:
    if sort is Sort.STRUCT:
        for part in kind:
            yield part.name, part.type
    elif sort is Sort.MAP:
        yield "{key}", kind.key_type
        yield "{value}", kind.item_type
    else:
        yield "[]", kind.value_type


def _item_name(kind: pa.DataType) -> str:
    return str(kind.value_field.name)


def _check_names(path: str, names: Iterable[str], file: str) -> None:
    folded: dict[str, str] = {}
    for name in names:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise Clash(
                f"column {path!r} has fields {other!r} and {name!r} ({file} and others), which differ only in upper "
                "and lower case; give the field one name in all files"
            )


# --------------------------------------------------------------------------- flat types


def _flat(path: str, sort: Sort, known: dict[pa.DataType, str]) -> pa.DataType:
    kinds = list(known)
    match sort:
        case Sort.TEXT:
            return pa.string()
        case Sort.BYTES:
            return pa.binary()
        case Sort.BOOL:
            return pa.bool_()
        case Sort.DATE:
            return pa.date32()
        case Sort.TIME:
            unit = _finest(kinds)
            return pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)
        case Sort.DURATION:
            return pa.duration(_finest(kinds))
        case Sort.TIMESTAMP:
            zoned = {kind.tz is not None: (kind, file) for kind, file in reversed(known.items())}
            if len(zoned) > 1:
                raise Clash(
                    f"column {path!r} has a time zone in {zoned[True][1]} ({zoned[True][0]}) and none in "
                    f"{zoned[False][1]} ({zoned[False][0]}); write it with a zone in all files or in none"
                )
            zones = {kind.tz for kind in kinds}
            return pa.timestamp(_finest(kinds), zones.pop() if len(zones) == 1 else "UTC")
    return _number(path, known)


def _finest(kinds: Iterable[pa.DataType]) -> str:
    return max((str(kind.unit) for kind in kinds), key=UNITS.index)


def _number(path: str, known: dict[pa.DataType, str]) -> pa.DataType:
    floats = [kind for kind in known if pa.types.is_floating(kind)]
    decimals = [kind for kind in known if pa.types.is_decimal(kind)]
    ints = [kind for kind in known if pa.types.is_integer(kind)]
    if floats and decimals:
        raise _clash(path, [each for each in known.items() if each[0] in (floats[0], decimals[0])])
    if floats:
        return pa.float64() if ints else max(floats, key=lambda kind: int(kind.bit_width))
    if not decimals:
        return _whole(ints)
    digits = [_DIGITS[pa.types.is_signed_integer(kind), kind.bit_width] for kind in ints]
    before = max([*digits, *(kind.precision - kind.scale for kind in decimals)])
    behind = max(0, *(kind.scale for kind in decimals))
    wide = any(pa.types.is_decimal256(kind) for kind in decimals)
    if before + behind > (DECIMAL256_DIGITS_MAX if wide else DECIMAL128_DIGITS_MAX):
        raise _clash(path, list(known.items()), f"together they need {before + behind} digits; ")
    return (pa.decimal256 if wide else pa.decimal128)(before + behind, behind)


def _whole(ints: list[pa.DataType]) -> pa.DataType:
    signed = max((kind.bit_width for kind in ints if pa.types.is_signed_integer(kind)), default=0)
    unsigned = max((kind.bit_width for kind in ints if pa.types.is_unsigned_integer(kind)), default=0)
    if not signed:
        return {8: pa.uint8(), 16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}[unsigned]
    bits = max(signed, 2 * unsigned)
    return {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}.get(bits, pa.decimal128(20, 0))


def _clash(path: str, seen: Sequence[tuple[pa.DataType, str]], why: str = "") -> Clash:
    """Of the first two of these types, each with its file."""
    (one, one_file), (other, other_file) = seen[:2]
    return Clash(
        f"column {path!r} is {one} in {one_file} and {other} in {other_file}, and no type holds both without a change; "
        f"{why}cast it to one type in all files, or leave it out with `columns`"
    )
