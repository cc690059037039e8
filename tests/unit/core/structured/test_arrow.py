"""Columns made from a schema, and values put into them."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel, Field

from quarry_core.structured.arrow import Columns, fields_of
from quarry_core.structured.json_column import is_json
from quarry_core.structured.schema import read_schema
from quarry_core.structured.values import Unfit


def of(**properties):
    return {"type": "object", "properties": properties}


def column(schema, **more) -> pa.Field:
    return Columns(read_schema({**of(a=schema), **more})).fields[0]


def value(schema, found):
    columns = Columns(read_schema(of(a=schema)))
    return columns.arrays([columns.values({"a": found})])[0][0].as_py()


TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
STAMP = pa.timestamp("us", "UTC")


def items(kind):
    return pa.list_(pa.field("element", kind))


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        (TEXT, pa.string()),
        ({"type": "string", "enum": ["a", "b"]}, pa.string()),
        ({"enum": ["a", None]}, pa.string()),
        ({"const": "a"}, pa.string()),
        ({"type": "string", "format": "date-time"}, STAMP),
        ({"type": "string", "format": "date"}, pa.date32()),
        ({"type": "string", "format": "email"}, pa.string()),
        (WHOLE, pa.int64()),
        ({"enum": [1, 2]}, pa.int64()),
        ({"enum": [1, 2.5]}, pa.float64()),
        ({"type": "integer", "minimum": 0, "maximum": 2**64 - 1}, pa.uint64()),
        ({"type": "integer", "maximum": 2**64 - 1}, pa.decimal128(38, 0)),
        ({"type": "integer", "minimum": -(2**70)}, pa.decimal128(38, 0)),
        ({"type": "number"}, pa.float64()),
        ({"type": ["integer", "number"]}, pa.float64()),
        ({"anyOf": [WHOLE, {"type": "number"}]}, pa.float64()),
        ({"type": "boolean"}, pa.bool_()),
        ({"type": ["string", "null"], "format": "date"}, pa.date32()),
        ({"anyOf": [TEXT, {"type": "null"}]}, pa.string()),
        ({"oneOf": [{"type": "string", "const": "a"}, {"type": "string", "const": "b"}]}, pa.string()),
        ({"type": "array", "items": TEXT}, items(pa.string())),
        ({"type": "array", "items": {"type": "array", "items": WHOLE}}, items(items(pa.int64()))),
        (of(x=TEXT, y={"type": "boolean"}), pa.struct([("x", pa.string()), ("y", pa.bool_())])),
        ({"type": "object", "additionalProperties": WHOLE}, pa.map_(pa.string(), pa.int64())),
        (
            {"type": "array", "prefixItems": [WHOLE, TEXT], "items": False},
            pa.struct([("0", pa.int64()), ("1", pa.string())]),
        ),
        ({"type": "array", "prefixItems": [WHOLE, WHOLE], "maxItems": 2}, items(pa.int64())),
        ({"anyOf": [of(k={"const": "c"}, n=WHOLE), of(k={"const": "d"}, n=TEXT)]}, None),
        ({"allOf": [of(x=TEXT), of(y=WHOLE)]}, pa.struct([("x", pa.string()), ("y", pa.int64())])),
        ({"$ref": "#/$defs/P"}, pa.struct([("city", pa.string())])),
        ({"anyOf": [{"$ref": "#/$defs/P"}, {"type": "null"}]}, pa.struct([("city", pa.string())])),
    ],
)
def test_each_schema_has_its_type(schema, kind):
    found = column(schema, **{"$defs": {"P": of(city=TEXT)}})

    assert found.nullable
    if kind is None:  # objects of several kinds: one struct, in which a member of different types is JSON
        assert [(each.name, each.type, is_json(each)) for each in found.type.fields] == [
            ("k", pa.string(), False),
            ("n", pa.string(), True),
        ]
    else:
        assert (found.type, is_json(found)) == (kind, False)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": "null"},
        {"type": "object"},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "properties": {}, "additionalProperties": False},
        {"type": "object", "patternProperties": {"^x": TEXT}},
        {**of(x=TEXT), "additionalProperties": TEXT},
        {"type": "array"},
        {"type": "array", "prefixItems": [WHOLE]},
        {"type": ["string", "integer"]},
        {"anyOf": [TEXT, WHOLE]},
        {"anyOf": [TEXT, of(x=TEXT)]},
        {"enum": ["a", 1]},
        {"enum": [{"x": 1}]},
        {"properties": {"x": TEXT}},
        {"allOf": [TEXT, WHOLE]},
        {"$ref": "#/$defs/T"},
        {"anyOf": [{"$ref": "#/$defs/T"}, {"type": "null"}]},
        of(**{"": TEXT}),
    ],
)
def test_what_no_type_holds_is_json_as_text(schema):
    tree = of(below={"type": "array", "items": {"$ref": "#/$defs/T"}})
    found = column(schema, **{"$defs": {"T": tree}})
    assert (found.type, is_json(found), found.nullable) == (pa.string(), True, True)


def test_recursion_inside_of_a_struct_is_json():
    tree = {"$ref": "#/$defs/T"}
    found = column(of(tree=tree, name=TEXT), **{"$defs": {"T": of(below=tree)}})
    assert [(each.name, is_json(each)) for each in found.type.fields] == [("tree", True), ("name", False)]


@pytest.mark.parametrize(
    ("schema", "found", "put"),
    [
        (WHOLE, 3.0, 3),
        (WHOLE, -(2**63), -(2**63)),
        ({"type": "integer", "minimum": 0, "maximum": 2**64 - 1}, 2**64 - 1, 2**64 - 1),
        ({"type": "integer", "minimum": -(10**30)}, 10**30 - 1, Decimal(10**30 - 1)),
        ({"type": "number"}, 2**53 + 1, float(2**53)),
        ({"type": "number"}, 1, 1.0),
        ({"type": "string", "format": "date"}, "2024-02-29", date(2024, 2, 29)),
        (
            {"type": "string", "format": "date-time"},
            "2026-01-01T00:00:00.123456+02:00",
            datetime(2025, 12, 31, 22, 0, 0, 123456, UTC),
        ),
        (
            {"type": "string", "format": "date-time"},
            "1969-12-31t23:59:59.500z",
            datetime(1969, 12, 31, 23, 59, 59, 500_000, UTC),
        ),
        (
            {"type": "string", "format": "date-time"},
            "2026-01-01T00:00:00.1234560Z",
            datetime(2026, 1, 1, 0, 0, 0, 123456, UTC),
        ),
        ({}, {"x": [1, None, 2**70]}, '{"x":[1,null,1180591620717411303424]}'),
        ({"type": "array", "items": {"type": ["integer", "null"]}}, [1, None], [1, None]),
        ({"type": "array", "items": TEXT}, [], []),
        (of(x=TEXT, y=WHOLE), {"x": "a", "more": 1}, {"x": "a", "y": None}),
        ({"type": "object", "additionalProperties": WHOLE}, {"b": 2.0, "a": None}, [("b", 2), ("a", None)]),
        ({"type": "array", "prefixItems": [WHOLE, TEXT], "items": False}, [1], {"0": 1, "1": None}),
        (TEXT, None, None),
    ],
)
def test_values_are_put_in_exactly(schema, found, put):
    assert value(schema, found) == put


@pytest.mark.parametrize(
    ("schema", "found", "said", "path"),
    [
        (WHOLE, 4.9, "is no whole number", ("a",)),
        (WHOLE, True, "is no whole number", ("a",)),
        (WHOLE, 2**63, "is beyond 64 bits", ("a",)),
        (WHOLE, 1e300, "is beyond 64 bits", ("a",)),
        ({"type": "integer", "minimum": -(10**50)}, 10**38, "is beyond 38 digits", ("a",)),
        ({"type": "number"}, True, "is no number", ("a",)),
        ({"type": "number"}, 10**400, "is beyond a double", ("a",)),
        ({"type": "boolean"}, 1, "is no boolean", ("a",)),
        (TEXT, 1, "is no text", ("a",)),
        ({"type": "string", "format": "date-time"}, "2026-01-01T00:00:00.1234567Z", "finer than a microsecond", ("a",)),
        (
            {"type": "string", "format": "date-time"},
            "2026-06-30T23:59:60Z",
            "no time that a timestamp can hold",
            ("a",),
        ),
        ({"type": "string", "format": "date-time"}, "2026-01-01T00:00:00", "has no offset", ("a",)),
        ({"type": "string", "format": "date"}, "2026-02-30", "is no date", ("a",)),
        ({"type": "array", "items": of(x=WHOLE)}, [{"x": 1}, {"x": "y"}], "is no whole number", ("a", 1, "x")),
        ({"type": "object", "additionalProperties": WHOLE}, {"k": 1.5}, "is no whole number", ("a", "k")),
    ],
)
def test_what_a_column_cannot_hold_is_named_by_its_path(schema, found, said, path):
    with pytest.raises(Unfit) as unfit:
        value(schema, found)
    assert said in str(unfit.value)
    assert unfit.value.path == path


class Place(BaseModel):
    city: str = Field(min_length=1)
    zip: str | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    age: int


class Dog(BaseModel):
    kind: Literal["dog"]
    barks: float


class Review(BaseModel):
    sentiment: Literal["good", "bad"]
    at: datetime
    home: Place
    places: list[Place] = []
    pet: Cat | Dog = Field(discriminator="kind")
    notes: dict[str, int]
    anything: dict


def test_a_pydantic_model_becomes_columns_that_parquet_keeps():
    columns = Columns(read_schema(Review.model_json_schema()))
    answer = json.loads(
        Review(
            sentiment="good",
            at=datetime(2026, 1, 1, tzinfo=UTC),
            home=Place(city="Bern"),
            pet=Dog(kind="dog", barks=2),
            notes={"x": 1},
            anything={"y": [1]},
        ).model_dump_json()
    )
    table = pa.Table.from_arrays(columns.arrays([columns.values(answer), None]), schema=pa.schema(columns.fields))
    file = io.BytesIO()
    pq.write_table(table, file)

    read = pq.read_table(file)
    assert read.schema.equals(table.schema)
    assert [is_json(each) for each in read.schema] == [name == "anything" for name in read.schema.names]
    assert read.to_pylist() == [
        {
            "sentiment": "good",
            "at": datetime(2026, 1, 1, tzinfo=UTC),
            "home": {"city": "Bern", "zip": None},
            "places": [],
            "pet": {"kind": "dog", "age": None, "barks": 2.0},
            "notes": [("x", 1)],
            "anything": '{"y":[1]}',
        },
        dict.fromkeys(read.schema.names),
    ]
    assert not any(pa.types.is_null(each.type) for each in columns.fields)


def test_no_schema_makes_no_columns():
    assert fields_of("") == ()
