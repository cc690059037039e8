"""Reading an output schema: what is taken, and what is refused, by its path."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.structured.schema import (
    COLUMNS_MAX,
    DEPTH_MAX,
    NODES_MAX,
    SCHEMA_BYTES_MAX,
    SchemaError,
    read_schema,
)
from quarry_core.structured.short import ShortFormError, long_form


def of(**properties):
    return {"type": "object", "properties": properties}


def refusal(schema) -> str:
    with pytest.raises(SchemaError) as refused:
        read_schema(schema)
    return str(refused.value)


def test_a_short_list_means_a_closed_object_of_required_fields():
    schema = read_schema(
        [
            "sentiment: positive | negative | neutral",
            "score: number # from 0 to 1",
            "tags: string[]",
            "published: date?",
            'kind: "number"',
            "levels: low | high?",
            "pairs: (a | b)[]",
            "at: datetime[][]",
        ]
    )

    assert json.loads(schema.text) == {
        "type": "object",
        "properties": {
            "sentiment": {"type": "string", "enum": ["positive", "negative", "neutral"]},
            "score": {"type": "number", "description": "from 0 to 1"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "published": {"type": ["string", "null"], "format": "date"},
            "kind": {"type": "string", "enum": ["number"]},
            "levels": {"type": ["string", "null"], "enum": ["low", "high", None]},
            "pairs": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
            "at": {"type": "array", "items": {"type": "array", "items": {"type": "string", "format": "date-time"}}},
        },
        "required": ["sentiment", "score", "tags", "kind", "pairs", "at"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("score", "'score' is not of the form"),
        (": number", "is not of the form"),
        ("score: strng", "did you mean string?"),
        ("score: int", "did you mean integer?"),
        ("score: timestamp", "did you mean datetime?"),
        ("score: string | integer", "string is a type, and beside | stand texts"),
        ("score: a | a", "a text stands twice"),
        ("score: []", "there is no type before []"),
        ("score: {a}", "is no type and no plain text"),
        (7, "must be a text"),
    ],
)
def test_a_short_entry_that_cannot_be_read_is_named(entry, said):
    with pytest.raises(ShortFormError, match=r"^1: ") as refused:
        long_form(["ok: string", entry])
    assert said in str(refused.value)


def test_the_order_of_properties_is_kept_and_the_draft_is_not():
    schema = read_schema({"$schema": "http://json-schema.org/draft-07/schema#", **of(z={"type": "string"}, a={})})

    assert list(schema.properties) == ["z", "a"]
    assert "$schema" not in json.loads(schema.text)
    assert list(read_schema(schema.text).properties) == ["z", "a"]


def test_a_root_that_is_a_reference_or_an_allof_is_the_object_that_it_means():
    root = read_schema({"$defs": {"R": of(a={"type": "string"})}, "$ref": "#/$defs/R", "description": "d"}).root
    assert root == {**of(a={"type": "string"}), "description": "d"}

    both = read_schema({"allOf": [of(a={"type": "string"}), {**of(b={}), "required": ["a"]}]})
    assert (list(both.properties), both.root["required"]) == (["a", "b"], ["a"])


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (5, "must be a JSON Schema, or a list such as"),
        ("text", "must be an object (JSON Schema) or a list of texts"),
        ([], "the list is empty"),
        ({}, 'type: must be "object" at the root, whose properties become columns; there is none'),
        ({"a": "string"}, 'a: is no word of JSON Schema; the short form is a list: ["a: string", …]'),
        ({"type": "array", "items": {}}, 'type: must be "object" at the root'),
        ({"type": "object"}, "properties: there are none"),
        ({**of(a={}), "anyOf": [{}]}, "anyOf: is not possible at the root"),
        ({**of(a={}), "additionalProperties": True}, "additionalProperties: members without a name have no column"),
        ({**of(a={}), "required": ["b"]}, "required: names b, which is not among the properties"),
        ({**of(a={}), "reqired": ["a"]}, "reqired: is no word of JSON Schema; did you mean required?"),
        ({**of(a={}), "$schema": "https://example.com/mine"}, "$schema: must name a draft of JSON Schema"),
        ({**of(a={}), "$id": "x"}, "$id: is not supported: write every reference as #/$defs/"),
        (of(a={"type": "strng"}), "properties/a/type: must be one of string, integer"),
        (of(a={"type": []}), "properties/a/type: must be one of"),
        (of(a={"enum": []}), "properties/a/enum: must be a list of values that is not empty"),
        (of(a={"minLength": -1}), "properties/a/minLength: must be a whole number from 0 on, not -1"),
        (of(a={"minimum": True}), "properties/a/minimum: must be a number, not true"),
        (of(a={"exclusiveMinimum": True}), "properties/a/exclusiveMinimum: must be a number"),
        (of(a={"items": [{}]}), "properties/a/items: must be one schema: write a tuple as prefixItems"),
        (of(a={"nullable": True}), 'properties/a/nullable: is not supported: write "type": ["string", "null"]'),
        (of(a={"anyOf": [{"type": "x"}]}), "properties/a/anyOf/0/type: must be one of"),
        (of(a={"items": 7}), "properties/a/items: must be a schema, which is an object, true or false, not 7"),
        (of(a={"$ref": "#/$defs/T"}), "properties/a/$ref: #/$defs/T is not there"),
        (of(a={"$ref": "other.json"}), "properties/a/$ref: references to other documents are not followed"),
        (of(a={"$ref": "#T"}), "properties/a/$ref: #T is an anchor"),
        (
            {**of(a={"$ref": "#/$defs/T"}), "$defs": {"T": {"$ref": "#/$defs/T"}}},
            "$ref: #/$defs/T refers to itself and says nothing else",
        ),
        (of(**{" ": {}}), "properties/ : is no name for a column"),
        (of(a={}, A={}), "properties/A: differs from a by upper and lower case alone"),
        (of(**{"a" * 300: {}}), "is longer than 255 bytes"),
        (
            of(**{f"c{n}": {} for n in range(COLUMNS_MAX + 1)}),
            f"there are {COLUMNS_MAX + 1}, and at most {COLUMNS_MAX}",
        ),
        (of(a={"description": "x" * SCHEMA_BYTES_MAX}), f"at most {SCHEMA_BYTES_MAX} are allowed"),
        (of(a={"const": float("nan")}), "cannot be written as JSON"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(schema, said):
    assert said in refusal(schema)


def test_depth_is_bounded_and_so_is_what_references_make():
    deep = {"type": "string"}
    for _ in range(DEPTH_MAX):
        deep = {"type": "array", "items": deep}
    assert "is nested too deep" in refusal(of(a=deep))

    doubling = {f"d{n}": of(a={"$ref": f"#/$defs/d{n + 1}"}, b={"$ref": f"#/$defs/d{n + 1}"}) for n in range(13)}
    doubling["d13"] = {"type": "string"}
    assert f"more than {NODES_MAX} parts" in refusal({**of(a={"$ref": "#/$defs/d2"}), "$defs": doubling})


def test_recursion_is_read():
    tree = {"type": "object", "properties": {"label": {"type": "string"}, "below": {"$ref": "#/$defs/T"}}}
    assert list(read_schema({**of(tree={"$ref": "#/$defs/T"}), "$defs": {"T": tree}}).properties) == ["tree"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "allOf", "anyOf", "$ref", "$defs", "enum", "required", "a"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_JSON)
def test_no_json_does_more_than_be_refused(found):
    with suppress(SchemaError):
        read_schema(found)
