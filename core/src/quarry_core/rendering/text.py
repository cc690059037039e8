"""Columns as text: which types can stand in a prompt, and how each is written. Pure.

Strings stay as they are. Numbers are written as in JSON, booleans as true and false, decimals in full, dates and times
in ISO 8601, UUIDs in their usual form, lists, structs and maps as JSON, in which every value is written as it is
outside. What has no value has no text either, and neither NaN nor infinity is a value: a null stays a null, for a
prompt that says "nan" would be answered, and paid for. Bytes have no text that could be guessed.

This is the one definition of what cannot be sent: the plan counts by it, and the encoder leaves out by it. What a
column's type tells is refused before anything is written (`check_encodable`); what only a value tells costs its own
row (`Rendered.faults`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quarry_core.contract.prompts import require_columns
from quarry_core.tabular.arrow_types import is_large_list_view, is_list_view, is_string_view
from quarry_core.tabular.json_column import is_json

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(str).decode
# The text of one nested value; a record of that size is never sent (`encode.RECORD_BYTES_MAX`), so none is built.
NESTED_TEXT_BYTES_MAX = 25_000_000
# 0001-01-01 and 10000-01-01 in seconds since 1970-01-01.
YEAR_1_S = -62_135_596_800
YEAR_10000_S = 253_402_300_800
DAY_S = 86_400
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class Fault(Enum):
    """Why a value has no text, as it is told of its row: "the column 'x' … in this row"."""

    NULL = "is null"
    NAN = "is NaN"
    INFINITE = "is infinite"
    NOT_UTF8 = "holds bytes that are not UTF-8 text"
    OUT_OF_RANGE = "holds a date outside of the years 1 to 9999, or a time outside of the day,"
    SAME_KEYS = "holds a map with a duplicate key"
    TOO_LONG = "is longer than any record may be"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A column as text: null where there is none. `faults` tells why, by row; a null that is not in it was null."""

    texts: pa.Array
    faults: Mapping[int, Fault] = field(default_factory=dict)

    def fault(self, row: int) -> Fault:
        return self.faults.get(row, Fault.NULL)


class NotEncodable(ValueError):
    """A column whose type cannot stand in a prompt; the text names the column, its type and the remedy."""


def check_encodable(schema: pa.Schema, columns: Sequence[str]) -> None:
    """Refuse columns that cannot stand in a prompt.

    Raises:
        MissingColumn: a column is not in the schema.
        NotEncodable: a column stands there twice, or its type has no text.
    """
    require_columns(columns, schema.names)
    for column in columns:
        if len(schema.get_all_field_indices(column)) > 1:
            raise NotEncodable(f"the dataset has more than one column {column!r}: rename them")
        kind = schema.field(column).type
        why = why_no_text(kind)
        if why:
            raise NotEncodable(f"the column {column!r} is of type {kind}, which {why}")


def why_no_text(kind: pa.DataType) -> str | None:
    """Why no value of this type can stand in a prompt, and what to do about it; None if it can."""
    if isinstance(kind, pa.BaseExtensionType):
        return None if kind.extension_name == "arrow.uuid" else why_no_text(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return why_no_text(kind.value_type)
    if _is_list(kind):
        return why_no_text(kind.value_type)
    if pa.types.is_map(kind):
        return why_no_text(kind.key_type) or why_no_text(kind.item_type)
    if pa.types.is_struct(kind):
        names = [part.name for part in kind]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            return f"has two fields of one name, {twice!r}: rename one of them"
        return next((why for part in kind if (why := why_no_text(part.type))), None)
    if pa.types.is_timestamp(kind) and kind.tz is not None and not _is_known_zone(kind):
        return f"has the time zone {kind.tz!r}, which is not known here: convert it to UTC"
    if any(is_plain(kind) for is_plain in _PLAIN):
        return None
    return "has no text: make it a column of strings"


def field_as_text(field: pa.Field, column: pa.Array) -> Rendered:
    """As `as_text`; of a column of JSON values a text is the text itself, and everything else its JSON."""
    return _json_values(column) if is_json(field) else as_text(column)


def field_as_json(field: pa.Field, column: pa.Array) -> Rendered:
    """As `field_as_text`, each value as JSON: a text in quotation marks; null where there is no value."""
    plain = field_as_text(field, column)
    texts = column if is_json(field) else _json(column).texts
    return Rendered(pc.if_else(plain.texts.is_valid(), texts, None), plain.faults)


def is_text(field: pa.Field) -> bool:
    """Whether a column's values are its texts, if they are UTF-8."""
    return (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)) and not is_json(field)


def as_text(column: pa.Array) -> Rendered:
    """A column that has passed `check_encodable`, as strings; null where there is no value."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _by_dictionary(column, as_text(column.dictionary))
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name not in _OWN_TEXT:
        return as_text(column.storage)
    if _is_nested(kind):
        rendered = _json(column)
        return Rendered(pc.if_else(column.is_valid(), rendered.texts, None), rendered.faults)
    return _leaf(column)


def _json_values(column: pa.Array) -> Rendered:
    texts = pc.starts_with(column, '"')
    if not pc.any(texts, min_count=0).as_py():
        return Rendered(column)
    return Rendered(
        pa.array(
            [_decode(one) if one is not None and one[:1] == '"' else one for one in column.to_pylist()], pa.string()
        )
    )


# --------------------------------------------------------------------------- single values


def _leaf(column: pa.Array) -> Rendered:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return Rendered(_OWN_TEXT[kind.extension_name](column.storage))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _valid_utf8(column)
    if is_string_view(kind):
        return _valid_utf8(column.cast(pa.large_binary()).cast(pa.large_string(), safe=False))
    if pa.types.is_decimal(kind):
        return Rendered(_decimals(column))
    if pa.types.is_floating(kind):
        return _floats(column)
    text = column.cast(pa.string())
    if pa.types.is_timestamp(kind):
        text = pc.replace_substring(text, " ", "T", max_replacements=1)
        text = pc.replace_substring_regex(text, r"([+-][0-9]{2})([0-9]{2})$", r"\1:\2")
    if pa.types.is_temporal(kind):
        return _in_range(column, text)
    return Rendered(text)


def _in_range(column: pa.Array, text: pa.Array) -> Rendered:
    """ISO 8601 knows the years 1 to 9999, in the column's own zone.

    By value, for pyarrow writes "<value out of range: …>" for some of the others, years of five digits or a sign for
    more, and in a zone even a wrong date.
    """
    if pa.types.is_time(column.type):
        good = pc.invert(pc.starts_with(text, "<"))
    else:
        low, high = _years(column.type)
        numbers = column.view(pa.int32() if pa.types.is_date32(column.type) else pa.int64())
        good = pc.and_(pc.greater_equal(numbers, low), pc.less_equal(numbers, high))
        if getattr(column.type, "tz", None):
            local = pc.and_not(pc.match_substring_regex(text, "^[0-9]{4}-"), pc.starts_with(text, "0000"))
            good = pc.and_(good, local)
    if pc.all(good, skip_nulls=True, min_count=0).as_py():
        return Rendered(text)
    return Rendered(pc.if_else(good, text, None), _where(pc.invert(good), Fault.OUT_OF_RANGE))


def certain_range(kind: pa.DataType) -> tuple[int, int]:
    """The first and the last value of a date, time or timestamp type that has a text in every zone."""
    if pa.types.is_time(kind):
        return 0, DAY_S * _UNITS[kind.unit] - 1
    low, high = _years(kind)
    day = DAY_S * _UNITS[kind.unit] if getattr(kind, "tz", None) else 0
    return low + day, high - day


def _years(kind: pa.DataType) -> tuple[int, int]:
    """The first and the last value of the years 1 to 9999, in the type's unit."""
    if pa.types.is_date32(kind):
        return YEAR_1_S // DAY_S, YEAR_10000_S // DAY_S - 1
    unit = _UNITS["ms" if pa.types.is_date64(kind) else kind.unit]
    return max(YEAR_1_S * unit, -(2**63)), min(YEAR_10000_S * unit, 2**63) - 1


def _floats(column: pa.Array) -> Rendered:
    # A half float has the digits that tell it from its neighbours, as the wider ones have.
    text = _halves(column) if pa.types.is_float16(column.type) else column.cast(pa.string())
    wide = column.cast(pa.float32()) if pa.types.is_float16(column.type) else column
    finite = pc.is_finite(wide)
    if pc.all(finite, skip_nulls=True, min_count=0).as_py():
        return Rendered(text)
    faults = _where(pc.is_nan(wide), Fault.NAN) | _where(pc.is_inf(wide), Fault.INFINITE)
    return Rendered(pc.if_else(finite, text, None), faults)


def _halves(column: pa.Array) -> pa.Array:
    bits = column.view(pa.int16())
    distinct = pc.unique(bits).drop_null()
    halves = distinct.to_numpy(zero_copy_only=False).astype(np.int16, copy=False).view(np.float16)
    digits = (np.format_float_positional(half, trim="-") for half in halves)  # the shortest that are read back
    texts = pa.array(list(digits), pa.string())
    return texts.take(pc.index_in(bits, distinct))


def _decimals(column: pa.Array) -> pa.Array:
    text = column.cast(pa.string())
    if not pc.any(pc.match_substring(text, "E"), min_count=0).as_py():
        return text
    return pa.array([None if value is None else f"{value:f}" for value in column.to_pylist()], pa.string())


def _valid_utf8(column: pa.Array) -> Rendered:
    if _is_ascii(column):  # ten times as fast to see
        return Rendered(column)
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:  # Parquet readers take the writer's word for UTF-8
        texts: list[str | None] = []
        faults: dict[int, Fault] = {}
        for row, data in enumerate(column.cast(pa.large_binary()).to_pylist()):
            try:
                texts.append(None if data is None else data.decode())
            except UnicodeDecodeError:
                texts.append(None)
                faults[row] = Fault.NOT_UTF8
        return Rendered(pa.array(texts, pa.large_string()), faults)
    return Rendered(column)


def _is_ascii(column: pa.Array) -> bool:
    _, bounds, data = column.buffers()
    if data is None:
        return True
    width = np.int64 if pa.types.is_large_string(column.type) else np.int32
    ends = np.frombuffer(bounds, width, len(column) + 1, column.offset * np.dtype(width).itemsize)
    codes = np.frombuffer(data, np.int8)[ends[0] : ends[-1]]
    return not len(codes) or bool(codes.min() >= 0)


def _uuids(storage: pa.Array) -> pa.Array:
    return pa.array([None if one is None else str(UUID(bytes=one)) for one in storage.to_pylist()], pa.string())


def _booleans(storage: pa.Array) -> pa.Array:
    return storage.cast(pa.bool_()).cast(pa.string())


# Extension types whose text is not that of their storage.
_OWN_TEXT: dict[str, Callable[[pa.Array], pa.Array]] = {"arrow.uuid": _uuids, "arrow.bool8": _booleans}


def _by_dictionary(column: pa.DictionaryArray, rendered: Rendered) -> Rendered:
    """Each level is written once."""
    faults: dict[int, Fault] = {}
    if rendered.faults:
        for row, level in enumerate(column.indices.to_pylist()):
            if level in rendered.faults:
                faults[row] = rendered.faults[level]
    return Rendered(rendered.texts.take(column.indices), faults)


# --------------------------------------------------------------------------- JSON


def _json(column: pa.Array) -> Rendered:
    """Each value as JSON, and a null as "null"; null only where `faults` says why."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        rendered = _by_dictionary(column, _json(column.dictionary))
        return Rendered(_null_where(column.is_null(), rendered.texts), rendered.faults)
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name not in _OWN_TEXT:
        if kind.extension_name == "arrow.json":
            return _embedded(column)
        return _json(column.storage)
    if pa.types.is_map(kind):
        return _maps(column)
    if pa.types.is_struct(kind):
        return _structs(column)
    if _is_list(kind):
        return _lists(column)
    rendered = _leaf(column)
    if pa.types.is_floating(kind):  # JSON has neither NaN nor infinity; in an array they hold their place
        return Rendered(_null_where(rendered.texts.is_null(), rendered.texts))
    texts = rendered.texts if _is_bare(kind) else _quoted(rendered.texts)
    return Rendered(_null_where(column.is_null(), texts), rendered.faults)


def _null_where(mask: pa.Array, texts: pa.Array) -> pa.Array:
    return pc.if_else(mask, "null", texts) if pc.any(mask, min_count=0).as_py() else texts


def _quoted(texts: pa.Array) -> pa.Array:
    texts = texts.cast(pa.string())
    if pc.any(pc.match_substring_regex(texts, r'["\\\x00-\x1f]'), min_count=0).as_py():
        return pa.array([None if text is None else _encode(text).decode() for text in texts.to_pylist()], pa.string())
    return _joined('"', texts, '"')


def _embedded(column: pa.Array) -> Rendered:
    """JSON inside of JSON; what its writer only called JSON is a string."""
    rendered = _valid_utf8(column.storage)

    def one(text: str | None) -> str | None:
        if text is None:
            return None
        try:
            msgspec.json.decode(text)
        except msgspec.DecodeError:
            return _encode(text).decode()
        return text

    texts = pa.array([one(text) for text in rendered.texts.to_pylist()], pa.string())
    return Rendered(_null_where(column.is_null(), texts), rendered.faults)


def _lists(column: pa.Array) -> Rendered:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return _bracketed(column, lengths, _json(column.flatten()), "[", "]")


def _maps(column: pa.MapArray) -> Rendered:
    bounds = column.offsets.to_numpy(zero_copy_only=False)
    begin, end = int(bounds[0]), int(bounds[-1])
    keys, items = column.keys.slice(begin, end - begin), column.items.slice(begin, end - begin)
    names, values = _json(keys), _json(items)
    named = names.texts if _is_quoted(keys.type) else _quoted(names.texts)
    entries = Rendered(_joined(named, ":", values.texts), {**values.faults, **names.faults})
    rendered = _bracketed(column, np.diff(bounds), entries, "{", "}")
    twice = _same_keys(named, np.diff(bounds))
    if not twice:
        return rendered
    faults = {**rendered.faults, **dict.fromkeys(twice, Fault.SAME_KEYS)}
    return Rendered(pc.if_else(_mask(len(column), twice), None, rendered.texts), faults)


def _same_keys(names: pa.Array, lengths: np.ndarray[Any, Any]) -> list[int]:
    """The rows whose map has one key twice."""
    owners = pa.array(np.repeat(np.arange(len(lengths)), lengths))
    entries = pa.table({"owner": owners, "name": names})
    counted = entries.group_by(["owner", "name"], use_threads=False).aggregate([([], "count_all")])
    if counted.num_rows == entries.num_rows:
        return []
    return pc.unique(counted.filter(pc.greater(counted["count_all"], 1))["owner"]).to_pylist()  # type: ignore[no-any-return]


def _structs(column: pa.StructArray) -> Rendered:
    pieces: list[Any] = []
    faults: dict[int, Fault] = {}
    for part, values in zip(column.type, column.flatten(), strict=True):
        rendered = _json(values)
        pieces += ["," if pieces else "{", _encode(part.name).decode() + ":", rendered.texts]
        faults = {**rendered.faults, **faults}
    texts = _joined(*pieces, "}") if pieces else pa.array(["{}"] * len(column), pa.string())
    faults = {row: fault for row, fault in faults.items() if column[row].is_valid} if faults else faults
    return Rendered(_null_where(column.is_null(), texts), faults)


def _bracketed(column: pa.Array, lengths: np.ndarray[Any, Any], parts: Rendered, begin: str, end: str) -> Rendered:
    """Parts that follow each other, `lengths` of them for each row, as one text for each."""
    if len(column) == 1 and parts.texts.nbytes > NESTED_TEXT_BYTES_MAX + 4 * len(parts.texts):
        return Rendered(pa.nulls(1, pa.string()), {0: Fault.TOO_LONG})
    ends = np.cumsum(lengths)
    bounds = np.concatenate(([0], ends)).astype(np.int32)
    faults: dict[int, Fault] = {}
    for place, fault in parts.faults.items():
        faults.setdefault(int(np.searchsorted(ends, place, side="right")), fault)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(bounds), parts.texts.cast(pa.string())), ",")
    texts = _joined(begin, joined, end)
    return Rendered(_null_where(column.is_null(), texts), faults)


def _joined(*pieces: Any) -> pa.Array:
    return pc.binary_join_element_wise(*pieces, "")


# --------------------------------------------------------------------------- types


def _where(mask: pa.Array, fault: Fault) -> dict[int, Fault]:
    return dict.fromkeys(np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False)).tolist(), fault)


def _mask(length: int, rows: Sequence[int]) -> pa.Array:
    mask = np.zeros(length, bool)
    mask[list(rows)] = True
    return pa.array(mask)


_PLAIN = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_string,
    pa.types.is_large_string,
    is_string_view,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
)
_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    is_list_view,
    is_large_list_view,
)
_BARE = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
)


def _is_known_zone(kind: pa.DataType) -> bool:
    try:
        pa.array([0], pa.timestamp("s", kind.tz)).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _is_list(kind: pa.DataType) -> bool:
    return any(is_list(kind) for is_list in _LISTS)


def _is_nested(kind: pa.DataType) -> bool:
    return _is_list(kind) or pa.types.is_struct(kind) or pa.types.is_map(kind)


def _is_bare(kind: pa.DataType) -> bool:
    """Written without quotes in JSON."""
    if isinstance(kind, pa.BaseExtensionType):
        return bool(kind.extension_name == "arrow.bool8")
    return any(is_bare(kind) for is_bare in _BARE)


def _is_quoted(kind: pa.DataType) -> bool:
    """Written with quotes in JSON already, as the name of a member must be."""
    if pa.types.is_dictionary(kind):
        return _is_quoted(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name not in _OWN_TEXT:
        return kind.extension_name != "arrow.json" and _is_quoted(kind.storage_type)
    return not _is_nested(kind) and not _is_bare(kind)
