"""Any schema: its columns have types that Parquet keeps, and take whatever the validator lets through."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.structured.answers import Answers, InvalidOutput
from quarry_core.structured.derive import native
from quarry_core.structured.schema import SchemaError, read_schema
from quarry_local.bedrock.families.schemas import NoValue, schema_of
from tests.examples import examples

NAMES = st.sampled_from(["a", "b", "c", "kind", "0", "ü", "a b"])
PLAIN = st.one_of(
    st.sampled_from(
        [
            {},
            True,
            {"type": "string"},
            {"type": "string", "format": "date"},
            {"type": "string", "format": "date-time"},
            {"type": "string", "minLength": 2, "maxLength": 9},
            {"type": "integer"},
            {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
            {"type": "integer", "minimum": -(2**80)},
            {"type": "number", "exclusiveMinimum": 0, "maximum": 2.5},
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["string", "null"]},
            {"type": ["integer", "string"]},
            {"type": ["integer", "number", "null"]},
            {"type": "object"},
            {"type": "array"},
            {"$ref": "#/$defs/Place"},
            {"$ref": "#/$defs/Tree"},
            {"$ref": "#/$defs/Place", "description": "where"},
            {"allOf": [{"$ref": "#/$defs/Place"}, {"properties": {"more": {"type": "string"}}}]},
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
        ]
    ),
    st.lists(st.sampled_from(["x", "y", 1, 2, 2.5, True, None]), min_size=1, max_size=3, unique_by=repr).map(
        lambda values: {"enum": values}
    ),
)
SCHEMAS = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        inner.map(lambda items: {"type": "array", "items": items}),
        inner.map(lambda more: {"type": "object", "additionalProperties": more}),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        st.dictionaries(NAMES, inner, max_size=3).map(lambda found: {"type": "object", "properties": found}),
        st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(
            lambda found: {"type": "object", "properties": found, "required": list(found)}
        ),
    ),
    max_leaves=6,
)
DEFINITIONS = {
    "Place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "Tree": {"type": "object", "properties": {"below": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}},
}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, 2**64, -(2**70), 10**40, 10**400, 4.9, 3.0, 1e300, "x", "2026-01-01", "0000-01-01"])
    | st.sampled_from(["2026-01-01T00:00:00Z", "2026-06-30T23:59:60Z", "9999-12-31T23:59:59-12:00"])
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def whole(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "$defs": DEFINITIONS}


def in_parquet(answers: Answers, payloads: list[bytes | None]) -> pa.Table:
    schema = pa.schema(answers.fields)
    assert all(each.nullable and not pa.types.is_null(each.type) for each in schema)
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(list(answers.arrays(payloads)), schema=schema), file)
    read = pq.read_table(file)
    assert read.schema.equals(schema)
    assert read.num_rows == len(payloads)
    return read


@examples(300)
@given(st.dictionaries(NAMES, SCHEMAS, min_size=1, max_size=3), st.lists(VALUES, max_size=6), st.text(max_size=3))
def test_what_is_valid_has_a_place_or_a_reason(properties, values, digest):
    answers = Answers(read_schema(whole(properties)))
    simulated = schema_of(whole(properties))
    said: list[Any] = [dict.fromkeys(properties, value) for value in values] + [{}]
    with suppress(NoValue):
        said.append(simulated.value(digest))
    payloads: list[bytes | None] = [None]
    for one in said:
        try:
            payloads.append(answers.payload(json.dumps(one), None))
        except InvalidOutput as error:
            assert str(error)  # noqa: PT017 - either is right

    in_parquet(answers, payloads)


@examples(300)
@given(st.dictionaries(NAMES, SCHEMAS, min_size=1, max_size=3), st.text(max_size=3))
def test_what_the_derived_schema_lets_through_is_valid_apart_from_bounds(properties, digest):
    user = read_schema(whole(properties))
    try:
        sent = native(user, limited=False)
        made = schema_of(sent).value(digest)
    except (SchemaError, NoValue):
        return  # it is refused, or nothing fits it
    try:
        Answers(user).payload(json.dumps(made), None)
    except InvalidOutput as error:
        # A bound that was only described, which the simulated model does not read; by itself, or in each branch.
        bounds = ("minimum", "maximum", "shorter", "longer", "beyond", "is not valid under any")
        assert any(word in str(error) for word in bounds), error  # noqa: PT017 - either is right
