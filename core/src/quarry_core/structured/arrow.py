"""An output schema as Arrow columns: their types, made from the schema once and never from answers. Pure.

So every part of a run has the same types, whatever the models said, and no column is of the null type. All fields are
nullable: a member that is absent and one that is null become the same null. What no Arrow type holds is the value's own
JSON as text, in a field marked as such (`json_column`): a value of any kind, a union of different kinds, recursion, an
object whose members are not named. Members that the schema allows and does not name are left out of a struct.

`Columns.values` turns a valid answer into what `pa.array` takes (`values`). A value that its column cannot hold raises
`Unfit` with its path, so it is one row's error and not a shard's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from quarry_core.structured.flat import Refs, Unmergeable
from quarry_core.structured.json_column import JSON_METADATA
from quarry_core.structured.schema import OutputSchema, read_schema
from quarry_core.structured.values import (
    DECIMAL_DIGITS,
    INT64,
    UINT64_MAX,
    Convert,
    Unfit,
    as_json,
    as_list,
    as_map,
    as_struct,
    as_tuple,
    day,
    double,
    of_kind,
    timestamp,
    whole,
)

ITEM = "element"


class Kind:
    """What one place of an answer becomes: an Arrow type, and how a value becomes one of it."""

    __slots__ = ("convert", "is_json", "type")

    def __init__(self, kind: pa.DataType, convert: Convert, *, is_json: bool = False) -> None:
        self.type = kind
        self.convert = convert
        self.is_json = is_json

    def field(self, name: str) -> pa.Field:
        return pa.field(name, self.type, metadata=JSON_METADATA if self.is_json else None)


class Columns:
    """The columns of an output schema.

    Attributes:
        fields: one for each property of the root, in order.
    """

    def __init__(self, schema: OutputSchema) -> None:
        made = _Made(schema.refs)
        kinds = {name: made.kind(inner, ()) for name, inner in schema.properties.items()}
        self.fields: tuple[pa.Field, ...] = tuple(kind.field(name) for name, kind in kinds.items())
        self._members = [(name, kind.convert) for name, kind in kinds.items()]

    def values(self, answer: Mapping[str, Any]) -> list[Any]:
        """What goes into the columns, of an answer that is valid; all of it is JSON. Raises Unfit."""
        row = []
        for name, convert in self._members:
            value = answer.get(name)
            if value is not None:
                try:
                    value = convert(value)
                except Unfit as error:
                    raise error.under(name) from None
            row.append(value)
        return row

    def arrays(self, rows: Sequence[Sequence[Any] | None]) -> list[pa.Array]:
        """The columns of rows that `values` gave; None is a row of nulls."""
        return [
            pa.array([None if row is None else row[place] for row in rows], field.type)
            for place, field in enumerate(self.fields)
        ]


def fields_of(text: str) -> tuple[pa.Field, ...]:
    """The columns of a pinned output schema; none without one."""
    return Columns(read_schema(text)).fields if text else ()


_TEXT = Kind(pa.string(), of_kind(str, "text"))
_BOOL = Kind(pa.bool_(), of_kind(bool, "boolean"))
_DOUBLE = Kind(pa.float64(), double)
_LONG = Kind(pa.int64(), whole(*INT64, "64 bits"))
_UNSIGNED = Kind(pa.uint64(), whole(0, UINT64_MAX, "64 bits"))
_WIDE = Kind(pa.decimal128(DECIMAL_DIGITS, 0), whole(1 - 10**DECIMAL_DIGITS, 10**DECIMAL_DIGITS - 1, "38 digits"))
_TIMESTAMP = Kind(pa.timestamp("us", "UTC"), timestamp)
_DAY = Kind(pa.date32(), day)
_JSON = Kind(pa.string(), as_json, is_json=True)


# --------------------------------------------------------------------------- types


class _Made:
    def __init__(self, refs: Refs) -> None:
        self._refs = refs

    def kind(self, schema: Any, under: tuple[str, ...]) -> Kind:
        """What a schema's values become; `under` are the references that led here."""
        if not isinstance(schema, dict):
            return _JSON
        ref = schema.get("$ref")
        if ref is not None:
            if ref in under or self._refs.recursive(ref):
                return _JSON
            under = (*under, ref)
        try:
            flat = self._refs.flat(schema)
        except Unmergeable:
            return _JSON
        if "anyOf" in flat or "oneOf" in flat:
            return self._union(flat, under)
        values = flat["enum"] if "enum" in flat else [flat["const"]] if "const" in flat else None
        kinds = _kinds_of(flat, values)
        if values is not None and any(isinstance(value, (dict, list)) for value in values):
            return _JSON
        if kinds == {"integer"} or (values is not None and kinds == {"number"} and _all_whole(values)):
            return _integer(flat, values)
        if kinds and kinds <= {"integer", "number"}:
            return _DOUBLE
        if len(kinds) != 1:
            return _JSON
        match kinds.pop():
            case "string":
                return _text(flat)
            case "boolean":
                return _BOOL
            case "array":
                return self._array(flat, under)
            case "object":
                return self._object(flat, under)
            case _:
                return _JSON

    def _union(self, flat: dict[str, Any], under: tuple[str, ...]) -> Kind:
        if "anyOf" in flat and "oneOf" in flat:
            return _JSON
        word = "anyOf" if "anyOf" in flat else "oneOf"
        rest = {name: value for name, value in flat.items() if name not in (word, "discriminator")}
        structural = {"type", "properties", "items", "enum", "const", "prefixItems", "additionalProperties"}
        rest = rest if structural & rest.keys() else {}
        branches: list[dict[str, Any]] = []
        for branch in flat[word]:
            if branch is False:
                continue
            if not isinstance(branch, dict) or self._refers_back(branch, under):
                return _JSON
            try:
                one = self._refs.flat({"allOf": [rest, branch]} if rest else branch)
            except Unmergeable:
                continue  # no value fits both
            if one.get("type") != "null" and one.get("const", 0) is not None:
                branches.append(one)
        kinds = [self.kind(branch, under) for branch in branches]
        if not kinds:
            return _JSON
        first = kinds[0]
        if all(kind.type == first.type and kind.is_json == first.is_json for kind in kinds):
            return self._widest(branches, kinds, under)
        if {kind.type for kind in kinds} <= {pa.int64(), pa.float64()} and not any(kind.is_json for kind in kinds):
            return _DOUBLE
        if all(pa.types.is_struct(kind.type) for kind in kinds):
            return self._objects(branches, under)
        return _JSON

    def _refers_back(self, branch: dict[str, Any], under: tuple[str, ...]) -> bool:
        ref = branch.get("$ref")
        return ref is not None and (ref in under or self._refs.recursive(ref))

    def _widest(self, branches: Sequence[dict[str, Any]], kinds: Sequence[Kind], under: tuple[str, ...]) -> Kind:
        return self._objects(branches, under) if pa.types.is_struct(kinds[0].type) else kinds[0]

    def _objects(self, branches: Sequence[dict[str, Any]], under: tuple[str, ...]) -> Kind:
        """One struct with the members of all; a member of different types is JSON."""
        if any("prefixItems" in branch for branch in branches):
            return _JSON
        found: dict[str, list[Any]] = {}
        for branch in branches:
            for name, inner in branch.get("properties", {}).items():
                found.setdefault(name, []).append(inner)
        members = {}
        for name, schemas in found.items():
            distinct = [one for place, one in enumerate(schemas) if one not in schemas[:place]]
            members[name] = self.kind(distinct[0] if len(distinct) == 1 else {"anyOf": distinct}, under)
        return _struct_of(members)

    def _array(self, flat: dict[str, Any], under: tuple[str, ...]) -> Kind:
        if "prefixItems" in flat:
            first = flat["prefixItems"]
            closed = flat.get("items") is False or flat.get("maxItems", len(first) + 1) <= len(first)
            kinds = [self.kind(one, under) for one in first]
            if not closed:
                return _JSON
            if all(kind.type == kinds[0].type and kind.is_json == kinds[0].is_json for kind in kinds) and not (
                pa.types.is_nested(kinds[0].type)
            ):
                return _list_of(kinds[0])
            members = {str(place): kind for place, kind in enumerate(kinds)}
            fields = [kind.field(name) for name, kind in members.items()]
            return Kind(pa.struct(fields), as_tuple([(name, kind.convert) for name, kind in members.items()]))
        items = flat.get("items", True)
        return _JSON if isinstance(items, bool) else _list_of(self.kind(items, under))

    def _object(self, flat: dict[str, Any], under: tuple[str, ...]) -> Kind:
        properties, more = flat.get("properties"), flat.get("additionalProperties")
        if "patternProperties" in flat:
            return _JSON
        if properties:
            if more not in (None, False):
                return _JSON  # its members without a name would be lost
            return _struct_of({name: self.kind(inner, under) for name, inner in properties.items()})
        if not isinstance(more, dict):
            return _JSON
        inner = self.kind(more, under)
        return Kind(pa.map_(pa.string(), inner.field("value")), as_map(inner.convert))


def _list_of(item: Kind) -> Kind:
    return Kind(pa.list_(item.field(ITEM)), as_list(item.convert))


def _struct_of(members: Mapping[str, Kind]) -> Kind:
    if not members or not all(members):
        return _JSON  # Parquet has neither structs without a member nor members without a name
    fields = [kind.field(name) for name, kind in members.items()]
    return Kind(pa.struct(fields), as_struct([(name, kind.convert) for name, kind in members.items()]))


def _kinds_of(flat: Mapping[str, Any], values: Sequence[Any] | None) -> set[str]:
    """The types that a value may have, null apart; of an enumeration those of its values."""
    if values is not None:
        return {_kind_of(value) for value in values} - {"null"}
    named = flat.get("type", ())
    return {named} - {"null"} if isinstance(named, str) else set(named) - {"null"}


def _kind_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case _:
            return "object"


def _all_whole(values: Sequence[Any]) -> bool:
    return all(value is None or (isinstance(value, float) and value.is_integer()) for value in values)


def _integer(flat: Mapping[str, Any], values: Sequence[Any] | None) -> Kind:
    """The type that holds all values, where the schema tells their bounds; else 64 bits."""
    low, high = (
        flat.get("minimum", flat.get("exclusiveMinimum", 0)),
        flat.get("maximum", flat.get("exclusiveMaximum", 0)),
    )
    if values is not None:
        numbers = [value for value in values if value is not None]
        low, high = min(numbers), max(numbers)
    if low < INT64[0] or high > UINT64_MAX:
        return _WIDE
    if high > INT64[1]:
        return _UNSIGNED if low >= 0 and ("minimum" in flat or "exclusiveMinimum" in flat or values) else _WIDE
    return _LONG


def _text(flat: Mapping[str, Any]) -> Kind:
    if "enum" in flat or "const" in flat:
        return _TEXT
    match flat.get("format"):
        case "date-time":
            return _TIMESTAMP
        case "date":
            return _DAY
        case _:
            return _TEXT
