"""What a model is sent of a schema, and what cannot be sent."""

from __future__ import annotations

import jsonschema_rs
import pytest

from quarry_core.models import CONVERSE, carriers_of
from quarry_core.structured.derive import OPTIONAL_MAX, UNIONS_MAX, as_instruction, as_tool, native
from quarry_core.structured.schema import SchemaError, read_schema
from quarry_core.structured.ways import Ask, WayRefused, check_sendable, mode_of

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
# What Bedrock's subset knows (anthropic 2.14.0's transformer makes the same).
SUBSET = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "enum",
    "const",
    "anyOf",
    "$ref",
    "$defs",
    "format",
    "description",
}


def of(required=(), **properties):
    return {"type": "object", "properties": properties, "required": list(required)}


def sent(schema, **more):
    return native(read_schema({**of(a=schema), **more}))["properties"]["a"]


def words(schema) -> set[str]:
    found = set()
    if isinstance(schema, dict):
        for word, value in schema.items():
            found.add(word)
            inner = value.values() if word in ("properties", "$defs") else value if word == "anyOf" else [value]
            if word not in ("enum", "const"):
                for one in inner:
                    found |= words(one)
    return found


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({"type": "number", "minimum": 0, "maximum": 1}, {"type": "number", "description": "At least 0; at most 1"}),
        (
            {"type": "string", "description": "A code", "pattern": "^[A-Z]+$", "maxLength": 3},
            {
                "type": "string",
                "description": 'A code (at most 3 characters; matches the regular expression "^[A-Z]+$")',
            },
        ),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "phone"}, {"type": "string", "description": 'Format "phone"'}),
        ({"type": "string", "title": "T", "examples": ["x"], "default": None}, {"type": "string"}),
        ({"type": ["string", "null"]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (
            {"type": ["string", "null"], "enum": ["a", None]},
            {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
        ),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        (
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 9, "uniqueItems": True},
            {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "description": "At most 9 items; no item twice",
            },
        ),
        (
            {"allOf": [of(["x"], x={"type": "string"}), of(y={"type": "integer"})]},
            {
                "type": "object",
                "properties": {"x": {"type": "string"}, "y": {"type": "integer"}},
                "required": ["x"],
                "additionalProperties": False,
            },
        ),
        ({"const": "x"}, {"const": "x"}),
        (
            {"allOf": [{"type": "integer", "minimum": 1}, {"minimum": 3}]},
            {"type": "integer", "description": "At least 3"},
        ),
    ],
)
def test_each_word_has_its_form(schema, made):
    assert sent(schema) == made


def test_references_stay_where_nothing_stands_beside_them_and_are_written_out_elsewhere():
    place = of(["city"], city={"type": "string", "minLength": 1})
    made = native(
        read_schema(
            {
                **of(["a", "b"], a={"$ref": "#/$defs/P"}, b={"$ref": "#/$defs/P", "description": "home"}),
                "$defs": {"P": place},
            }
        )
    )
    closed = {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "At least 1 characters"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    assert made["properties"] == {"a": {"$ref": "#/$defs/P"}, "b": {**closed, "description": "home"}}
    assert made["$defs"] == {"P": closed}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "object"}, "properties/a: an object without properties"),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            "properties/a/additionalProperties: an object of",
        ),
        ({"type": "object", "patternProperties": {"^x": {}}}, "properties/a/patternProperties: an object of"),
        ({}, "properties/a: a value of any kind"),
        ({"description": "anything"}, "properties/a: a value of any kind"),
        (True, "properties/a: a value of any kind"),
        (False, "properties/a: no value at all"),
        ({"type": "array"}, "properties/a: a list of values of any kind"),
        ({"type": "array", "items": {}}, "properties/a/items: a value of any kind"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "properties/a/prefixItems: a tuple"),
        ({"type": "string", "not": {"const": "x"}}, "properties/a/not: a negation"),
        ({"type": "string", "if": {"const": "x"}}, "properties/a/if: a condition"),
        ({"enum": [{"x": 1}]}, "properties/a/enum: an object or a list as a constant"),
        ({"$ref": "#/$defs/T"}, "properties/a/$ref: recursion"),
        ({"type": "array", "items": {"$ref": "#/$defs/T"}}, "properties/a/items/$ref: recursion"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "properties/a: cannot be sent: type is asked for twice"),
        (
            {"allOf": [{**of(x={"type": "string"}), "additionalProperties": False}, of(y={"type": "string"})]},
            "additionalProperties: false of one part forbids 'y' of another",
        ),
        (of(["z"], x={"type": "string"}), "properties/a/required: names 'z', which is not among the properties"),
    ],
)
def test_what_has_no_form_is_refused_by_its_path_with_the_other_ways(schema, said):
    tree = of(below={"$ref": "#/$defs/T"}, label={"type": "string"})
    with pytest.raises(SchemaError) as refused:
        sent(schema, **{"$defs": {"T": tree}})
    assert said in str(refused.value)
    if "required" not in said:
        assert '"output_mode": "tool" or "instruction"' in str(refused.value)


def test_claudes_limits_hold_for_claude_alone():
    optional = read_schema(of(**{f"c{n}": {"type": "string"} for n in range(OPTIONAL_MAX + 1)}))
    unions = {f"c{n}": {"type": ["string", "null"]} for n in range(UNIONS_MAX + 1)}
    nullable = read_schema(of(unions, **unions))
    with pytest.raises(SchemaError, match=f"{OPTIONAL_MAX + 1} properties are not required"):
        native(optional)
    with pytest.raises(SchemaError, match=f"{UNIONS_MAX + 1} values are unions"):
        native(nullable)
    assert native(optional, limited=False)
    assert native(nullable, limited=False)


RICH = {
    **of(
        ["kind", "score"],
        kind={"type": "string", "enum": ["a", "b"]},
        score={"type": "number", "minimum": 0, "multipleOf": 0.5},
        home={"anyOf": [{"$ref": "#/$defs/P"}, {"type": "null"}], "default": None},
        places={"type": "array", "items": {"$ref": "#/$defs/P"}, "maxItems": 4},
        when={"type": ["string", "null"], "format": "date-time"},
    ),
    "$defs": {"P": {**of(["city"], city={"type": "string", "pattern": "^.+$"}), "title": "Place"}},
}


def test_what_is_sent_is_of_the_subset_and_takes_no_more_than_the_users_closed_schema_apart_from_bounds():
    made = native(read_schema(RICH))
    assert words(made) <= SUBSET
    fits = jsonschema_rs.validator_for(made)
    good = {"kind": "a", "score": 1.5, "home": {"city": "Bern"}, "places": [], "when": None}
    assert fits.is_valid(good)
    for bad in ({**good, "kind": "c"}, {**good, "more": 1}, {**good, "home": {}}, {"kind": "a"}, {**good, "when": 5}):
        assert not fits.is_valid(bad)
        assert not jsonschema_rs.validator_for({**RICH, "additionalProperties": False}).is_valid(bad)


def test_a_tool_and_an_instruction_take_the_schema_as_it_is():
    schema = read_schema({"$defs": {"R": of(a={"type": "object"})}, "$ref": "#/$defs/R"})
    assert as_tool(schema) == {**of(a={"type": "object"}), "$defs": {"R": of(a={"type": "object"})}}
    assert as_instruction(schema).endswith(schema.text)


# ------------------------------------------------------------------ ways


def test_models_are_asked_by_what_they_know():
    assert list(carriers_of(SONNET)) == ["native", "tool", "instruction"]
    assert list(carriers_of(f"us.{HAIKU_3}")) == ["tool", "instruction"]
    assert list(carriers_of("anthropic.claude-v2:1")) == ["instruction"]
    assert carriers_of("amazon.titan-embed-text-v2:0") == {}
    assert CONVERSE.carriers("anthropic.claude-sonnet-4-5-20250929-v1:0")["native"] == "text_format"
    assert carriers_of("qwen.qwen3-32b-v1:0") == {"native": "text_format", "instruction": "prompt"}
    assert carriers_of("eu.amazon.nova-lite-v1:0") == {"tool": "tool_config", "instruction": "prompt"}
    assert list(carriers_of("made.up-by-nobody-v1:0")) == ["instruction"]


def test_a_way_that_a_model_does_not_know_is_refused_with_those_it_knows():
    assert mode_of(carriers_of(HAIKU_3), None, HAIKU_3) == "tool"
    with pytest.raises(WayRefused, match=r"output_mode: .* cannot be asked by 'native' in a batch: set .tool. or"):
        mode_of(carriers_of(HAIKU_3), "native", HAIKU_3)
    with pytest.raises(WayRefused, match="does not answer with text: leave output_schema out"):
        mode_of({}, None, "amazon.titan-embed-text-v2:0")


def test_what_excludes_a_schema_is_refused():
    schema, ways = read_schema(RICH), carriers_of(SONNET)
    with pytest.raises(WayRefused, match="a forced tool and thinking exclude each other"):
        check_sendable(schema, ways, "tool", {"thinking": {"type": "enabled", "budget_tokens": 1024}})
    with pytest.raises(WayRefused, match="inference: tools is set by output_schema"):
        check_sendable(schema, ways, "native", {"tools": []})
    check_sendable(schema, ways, "native", {"thinking": {"type": "enabled", "budget_tokens": 1024}})


def test_each_carrier_has_its_member():
    schema = read_schema(["a: string"])
    body = {"messages": [], "output_config": {"effort": "low"}}
    made = native(schema)

    def attached(mode, carrier):
        return {name: value for name, value in Ask(schema, mode, carrier).attach(body).items() if name != "messages"}

    assert attached("native", "output_config") == {
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": made}}
    }
    named = attached("native", "response_format")["response_format"]["json_schema"]
    assert named == {"name": "answer", "strict": True, "schema": made}
    text = attached("native", "text_format")["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]
    assert read_schema(text).properties == {"a": {"type": "string"}}
    tool = attached("tool", "tools")
    assert (tool["tools"][0]["input_schema"]["type"], tool["tool_choice"]) == (
        "object",
        {"type": "tool", "name": "answer"},
    )
    assert attached("tool", "tool_config")["toolConfig"]["toolChoice"] == {"tool": {"name": "answer"}}
    assert attached("tool", "functions")["tool_choice"] == {"type": "function", "function": {"name": "answer"}}
    assert attached("instruction", "prompt") == {"output_config": {"effort": "low"}}
    assert Ask(schema, "instruction", "prompt").beside == ""
    assert Ask(schema, "tool", "tool_config").beside.startswith("answer\nGives the answer.\n{")
    assert Ask(schema, "native", "output_config").beside.startswith("{")
    assert Ask(schema, "instruction", "prompt").instruction.startswith("\n\nAnswer with one JSON object")
