"""Tools and structured outputs in records (contract section 4.1), and what Claude refuses of a well-formed body."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from quarry_local.bedrock.families.answers import Refused, prompt_digest
from quarry_local.bedrock.families.claude_rules import ClaudeRules
from quarry_local.bedrock.families.registry import answering
from quarry_local.bedrock.families.schemas import NoSchema, NoValue, schema_of
from quarry_local.bedrock.models.catalogue import entries
from quarry_local.bedrock.models.identity import Model, resolve
from tests.examples import examples

LITELLM = json.loads((Path(__file__).parent / "litellm_bodies.json").read_text(encoding="utf-8"))["bodies"]

CLAUDE = "anthropic.claude-haiku-4-5-20251001-v1:0"
GPT_OSS = "openai.gpt-oss-20b-1:0"
QWEN = "qwen.qwen3-32b-v1:0"
NOVA = "amazon.nova-lite-v1:0"

WHY = "Why is the sea salt?"
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
    "required": ["city"],
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 1}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def ask(model_id: str, body: Any, invocation_type: str = "InvokeModel", *, batch: bool = True) -> Any:
    model = Model(model_id, f"arn:{model_id}", entries()[model_id].family, id=model_id)
    answer = answering(model, invocation_type, batch=batch)(json.dumps(body).encode())
    found = json.loads(answer.body)
    usage = found["usage"]
    reported = [usage.get(name) for name in ("output_tokens", "outputTokens", "completion_tokens") if name in usage]
    assert reported == [answer.output_tokens]
    return found


def refusal(model_id: str, body: Any, invocation_type: str = "InvokeModel") -> str:
    with pytest.raises(Refused) as refused:
        ask(model_id, body, invocation_type)
    assert refused.value.code == 400
    return refused.value.message


def claude(**more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": WHY}]
    return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 2000, "messages": messages, **more}


def claude_tool(name: str = "weather", schema: Any = CITY) -> dict[str, Any]:
    return {"name": name, "description": "d", "input_schema": schema}


def chat(**more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": WHY}], **more}


def function(name: str = "weather", schema: Any = CITY) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def spec(name: str = "weather", schema: Any = CITY) -> dict[str, Any]:
    return {"toolSpec": {"name": name, "inputSchema": {"json": schema}}}


def converse(**more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"text": WHY}]}], **more}


def text_format(schema: Any) -> dict[str, Any]:
    named = {"name": "person", "schema": schema if isinstance(schema, str) else json.dumps(schema)}
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": named}}}


def valid(schema: Any, value: Any) -> bool:
    return bool(Draft202012Validator(schema).is_valid(value))


# ------------------------------------------------------------------ tools


@pytest.mark.parametrize("choice", [None, {"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "weather"}])
def test_claude_calls_a_tool_with_input_that_fits_its_schema(choice):
    more = {} if choice is None else {"tool_choice": choice}
    said = ask(CLAUDE, claude(tools=[claude_tool()], **more))

    (block,) = said["content"]
    assert (said["stop_reason"], block["type"], block["name"]) == ("tool_use", "tool_use", "weather")
    assert valid(CITY, block["input"])
    assert prompt_digest(WHY) in block["input"]["city"]


def test_claude_says_a_text_where_it_may_not_call_a_tool_or_has_its_result():
    result = [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "rain"}]}]
    called = [{"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Bern"}}]
    turns = [
        {"role": "user", "content": WHY},
        {"role": "assistant", "content": called},
        {"role": "user", "content": result},
    ]

    assert ask(CLAUDE, claude(tools=[claude_tool()], tool_choice={"type": "none"}))["content"][0]["type"] == "text"
    answered = ask(CLAUDE, claude(tools=[claude_tool()], messages=turns))
    assert prompt_digest(f"{WHY}\nrain") in answered["content"][0]["text"]


def test_the_prompt_decides_which_of_many_tools_is_called_and_a_name_wins():
    tools = [claude_tool(f"tool_{number}") for number in range(8)]
    prompts = [[{"role": "user", "content": f"prompt {number}"}] for number in range(30)]
    called = {ask(CLAUDE, claude(tools=tools, messages=one))["content"][0]["name"] for one in prompts}

    assert len(called) > 3
    named = {"type": "tool", "name": "tool_5"}
    assert ask(CLAUDE, claude(tools=tools, tool_choice=named))["content"][0]["name"] == "tool_5"


def test_a_call_that_the_limit_cuts_is_a_success_that_says_so():
    said = ask(CLAUDE, claude(tools=[claude_tool()], max_tokens=2))

    assert (said["stop_reason"], said["content"][0]["input"]) == ("max_tokens", {})


@pytest.mark.parametrize("choice", [None, "auto", "required", {"type": "function", "function": {"name": "weather"}}])
def test_an_open_model_calls_a_function_with_arguments_as_a_text(choice):
    more = {} if choice is None else {"tool_choice": choice}
    (said,) = ask(QWEN, chat(tools=[function()], **more))["choices"]

    (made,) = said["message"]["tool_calls"]
    assert (said["finish_reason"], said["message"]["content"], made["type"]) == ("tool_calls", None, "function")
    assert made["function"]["name"] == "weather"
    assert valid(CITY, json.loads(made["function"]["arguments"]))


def test_nova_calls_a_tool_in_its_own_body():
    said = ask(NOVA, converse(toolConfig={"tools": [spec()], "toolChoice": {"any": {}}}))

    call = said["output"]["message"]["content"][0]["toolUse"]
    assert (said["stopReason"], call["name"]) == ("tool_use", "weather")
    assert valid(CITY, call["input"])


@pytest.mark.parametrize("model_id", [CLAUDE, NOVA, GPT_OSS])
def test_a_converse_record_with_tools_fails_in_batch_and_is_answered_on_demand(model_id):
    body = converse(toolConfig={"tools": [spec()]})

    assert "Tool use" in refusal(model_id, body, "Converse")
    on_demand = ask(model_id, body, "Converse", batch=False)
    assert on_demand["output"]["message"]["content"][0]["toolUse"]["name"] == "weather"


NO_SCHEMAS: list[Any] = [
    {"type": "strin"},
    {"type": "object", "properties": []},
    {"type": "object", "required": "city"},
    {"type": "object", "properties": {"a": {"minimum": "1"}}},
    {"type": "object", "properties": {"a": {"pattern": "("}}},
]


@pytest.mark.parametrize("schema", NO_SCHEMAS, ids=json.dumps)
def test_a_tool_whose_schema_is_none_fails_its_record_with_the_place_named(schema):
    at = refusal(CLAUDE, claude(tools=[claude_tool(), claude_tool("other", schema)]))
    assert at.startswith("tools.1.custom.input_schema")
    assert "#/tools/0/function" in refusal(QWEN, chat(tools=[function(schema=schema)]))
    assert "#/toolConfig/tools/0" in refusal(NOVA, converse(toolConfig={"tools": [spec(schema=schema)]}))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tools": [{"name": "a"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [claude_tool(schema={})]}, "tools.0.custom.input_schema.type: Field required"),
        ({"tools": [claude_tool(schema={"type": "array"})]}, "tools.0.custom.input_schema.type: Input should be"),
        ({"tools": [claude_tool(schema=[])]}, "tools.0.custom.input_schema: Input should be a valid dictionary"),
        ({"tools": [claude_tool("a b")]}, "tools.0.custom.name: String should match"),
        ({"tools": [claude_tool(), claude_tool()]}, "tools: Tool names must be unique."),
        ({"tools": [function()]}, "tools.0"),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "tools.0: Input tag 'web_search_20250305'",
        ),
        ({"tools": "weather"}, "tools: "),
        ({"tool_choice": {"type": "auto"}}, "tool_choice: may only be specified"),
        ({"tools": [claude_tool()], "tool_choice": {"type": "maybe"}}, "tool_choice.type: "),
        ({"tools": [claude_tool()], "tool_choice": {"type": "tool"}}, "tool_choice.tool.name: Field required"),
        ({"tools": [claude_tool()], "tool_choice": {"type": "tool", "name": "x"}}, "Tool 'x' not found"),
        ({"tools": [claude_tool()], "tool_choice": {"type": "any", "x": 1}}, "tool_choice: "),
        (
            {
                "tools": [claude_tool()],
                "tool_choice": {"type": "any"},
                "thinking": {"type": "enabled", "budget_tokens": 1024},
            },
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
    ],
    ids=str,
)
def test_tools_that_claude_does_not_take_fail_their_record(more, said):
    assert refusal(CLAUDE, claude(**more)).startswith(said)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tools": [{}]}, "#/tools/0: required key [type] not found"),
        ({"tools": [claude_tool()]}, "#/tools/0: required key [type] not found"),
        ({"tools": [function("a b")]}, "#/tools/0/function/name"),
        ({"tools": [function(), function()]}, "Tool names must be unique."),
        ({"tool_choice": "required"}, "#/tool_choice: only permitted together with tools"),
        ({"tools": [function()], "tool_choice": "maybe"}, "#/tool_choice: expected type"),
        ({"tools": [function()], "tool_choice": function("x")}, "#/tool_choice: x is not one of the tools"),
        ({"response_format": {"type": "xml"}}, "#/response_format/type"),
        ({"response_format": {"type": "json_schema"}}, "#/response_format: required key [json_schema/schema]"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": PERSON}}}, "#/response_format/json_sc"),
    ],
    ids=str,
)
def test_tools_and_formats_that_an_open_model_does_not_take_fail_their_record(more, said):
    assert said in refusal(QWEN, chat(**more))


# ------------------------------------------------------------------ structured outputs


def test_claude_answers_json_that_fits_in_either_spelling():
    wanted = {"type": "json_schema", "schema": PERSON}
    for more in ({"output_config": {"format": wanted, "effort": "low"}}, {"output_format": wanted}):
        said = ask(CLAUDE, claude(**more))
        assert said["stop_reason"] == "end_turn"
        assert valid(PERSON, json.loads(said["content"][0]["text"]))


def test_an_open_model_answers_json_that_fits_and_gpt_oss_does_not_think_aloud_then():
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    for model_id in (QWEN, GPT_OSS):
        (said,) = ask(model_id, chat(response_format=wanted))["choices"]
        assert valid(PERSON, json.loads(said["message"]["content"]))
    (said,) = ask(QWEN, chat(response_format={"type": "json_object"}))["choices"]
    assert isinstance(json.loads(said["message"]["content"]), dict)


@pytest.mark.parametrize("model_id", [CLAUDE, NOVA, QWEN])
def test_a_converse_record_is_answered_with_json_that_fits(model_id):
    said = ask(model_id, converse(outputConfig=text_format(PERSON)), "Converse")

    assert valid(PERSON, json.loads(said["output"]["message"]["content"][0]["text"]))


def test_json_that_the_limit_cuts_is_a_success_that_says_so():
    said = ask(CLAUDE, claude(output_config={"format": {"type": "json_schema", "schema": PERSON}}, max_tokens=3))

    assert (said["stop_reason"], len(said["content"][0]["text"])) == ("max_tokens", 12)


@pytest.mark.parametrize("schema", NO_SCHEMAS, ids=json.dumps)
def test_an_output_schema_that_is_none_fails_its_record(schema):
    wanted = {"type": "json_schema", "schema": schema}
    assert refusal(CLAUDE, claude(output_config={"format": wanted})).startswith("output_config.format.schema: ")
    named = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert "#/response_format/json_schema/schema" in refusal(QWEN, chat(response_format=named))
    assert "jsonSchema/schema" in refusal(CLAUDE, converse(outputConfig=text_format(schema)), "Converse")


def test_a_converse_schema_is_a_text_of_json():
    for schema in ("no json", "[1]"):
        assert "jsonSchema/schema" in refusal(CLAUDE, converse(outputConfig=text_format(schema)), "Converse")
    bare = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": PERSON}}}}
    assert "#/outputConfig" in refusal(CLAUDE, converse(outputConfig=bare), "Converse")


def test_a_schema_that_nothing_fits_fails_its_record_and_says_whose_limit_that_is():
    impossible = {"type": "object", "properties": {"a": False}, "required": ["a"]}
    assert "the simulator found no value" in refusal(CLAUDE, claude(tools=[claude_tool(schema=impossible)]))


@pytest.mark.parametrize(
    "schema",
    [
        {
            "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
            "$ref": "#/$defs/node",
        },
        {"anyOf": [{"type": "null"}, {"type": "string", "format": "date-time"}]},
        {"oneOf": [{"type": "number"}, {"type": "integer"}]},
        {"allOf": [PERSON | {"additionalProperties": True}, {"properties": {"x": {"const": None}}, "required": ["x"]}]},
        {"type": "array", "items": CITY, "minItems": 3, "uniqueItems": True},
        {"type": "array", "prefixItems": [{"const": 1}, {"enum": ["a"]}], "items": False},
        {"type": "string", "pattern": r"^[A-Z]{2}-\d{3,5}(foo|bar)?$"},
        {"type": "string", "pattern": r"^\S+@[^@\s]+\.[a-z]{2,}$", "minLength": 8},
        {"type": "string", "maxLength": 3},
        {"type": "string", "minLength": 300},
        {"type": "integer", "multipleOf": 7, "minimum": 8, "maximum": 15},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
        {"not": {"type": "string"}},
        {"type": "object", "minProperties": 4, "additionalProperties": {"type": "boolean"}},
        {"type": ["null", "boolean"]},
        {"enum": [None, "x", 3]},
        {},
    ],
    ids=json.dumps,
)
def test_a_value_is_made_for_every_kind_of_schema(schema):
    made = schema_of(schema).value("0123456789abcdef")

    assert valid(schema, made)
    assert made == schema_of(schema).value("0123456789abcdef")


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer"},
            {"type": "number", "minimum": -2, "maximum": 2},
            {"type": "boolean"},
            {"type": "null"},
            {"enum": ["a", 1, None]},
            {"const": {"x": 1}},
            True,
            {},
        ]
    ),
    lambda inner: (
        st.builds(
            lambda properties, required: {
                "type": "object",
                "properties": properties,
                "required": [name for name in properties if name in required],
                "additionalProperties": False,
            },
            st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
            st.sets(st.sampled_from("abcd")),
        )
        | st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 3))
        | st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda parts: {"allOf": parts}, st.lists(inner, min_size=1, max_size=1))
    ),
    max_leaves=8,
)


@given(SCHEMAS.filter(lambda schema: isinstance(schema, dict)), st.text("0123456789abcdef", min_size=16, max_size=16))
def test_what_is_made_fits_whatever_its_schema_is_put_together_from(schema, digest):
    assert valid(schema, schema_of(schema).value(digest))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["object", "#", "#/a", "string", "("]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "$ref",
                    "anyOf",
                    "allOf",
                    "required",
                    "enum",
                    "pattern",
                    "minimum",
                    "not",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@examples(200)
@given(ANYTHING)
def test_no_schema_can_do_worse_than_be_refused(schema):
    try:
        found = schema_of(schema)
    except NoSchema:
        return
    try:
        made = found.value("0123456789abcdef")
    except NoValue:
        return
    assert found.fits(made)


@pytest.mark.parametrize("one", LITELLM, ids=lambda one: f"{one['model']}-{one['asks']}")
def test_what_litellm_sends_to_batch_jobs_is_answered_as_it_asks(one):
    model = resolve(one["model"], region="us-east-1", account="000000000000")
    body = one["modelInput"]
    said = json.dumps(ask(model.id, body))

    forced = one["asks"] in {"tools", "auto", "required", "named"}
    assert ("get_weather" in said) == forced
    if one["asks"] == "json_schema":
        assert ("json_tool_call" in said) == ("json_tool_call" in json.dumps(body))
        assert "age" in said


# ------------------------------------------------------------------ what Claude refuses

BOTH = "`temperature` and `top_p` cannot both be specified for this model."


@pytest.mark.parametrize(
    ("model_id", "refused"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", False),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", False),
        ("anthropic.claude-sonnet-4-20250514-v1:0", False),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", True),
        ("anthropic.claude-opus-4-5-20251101-v1:0", True),
        ("anthropic.claude-sonnet-4-6", True),
    ],
)
def test_from_claude_4_5_on_temperature_and_top_p_exclude_each_other(model_id, refused):
    both = {"inferenceConfig": {"temperature": 0.5, "topP": 0.9}}
    if refused:
        assert refusal(model_id, claude(temperature=0.5, top_p=0.9)).startswith(BOTH)
        assert refusal(model_id, converse(**both), "Converse").startswith(BOTH)
    else:
        assert ask(model_id, claude(temperature=0.5, top_p=0.9))
        assert ask(model_id, converse(**both), "Converse")
    assert ask(model_id, claude(temperature=0.5))
    assert ask(model_id, claude(top_p=0.9))


@pytest.mark.parametrize(
    "model_id", ["anthropic.claude-opus-4-7", "anthropic.claude-opus-5", "anthropic.claude-sonnet-5"]
)
def test_the_newest_claude_takes_no_sampling_parameter_at_all(model_id):
    for name, value in {"temperature": 0.5, "top_p": 0.9, "top_k": 5}.items():
        assert refusal(model_id, claude(**{name: value})) == f"`{name}` is deprecated for this model."
    assert "`topP`" not in refusal(model_id, converse(inferenceConfig={"topP": 0.9}), "Converse")
    assert ask(model_id, claude())


def test_opus_4_1_takes_one_of_both():
    both = claude(temperature=0.5, top_p=0.9)
    rules = ClaudeRules("anthropic.claude-opus-4-1-20250805-v1:0")
    with pytest.raises(Refused, match="cannot both be specified"):
        rules.check(10, both["temperature"], both["top_p"], None, None)
    ClaudeRules("anthropic.claude-opus-4-20250514-v1:0").check(10, both["temperature"], both["top_p"], None, None)


@pytest.mark.parametrize(
    ("model_id", "most"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", 4_096),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", 8_192),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", 64_000),
        ("anthropic.claude-opus-5", 128_000),
    ],
)
def test_more_tokens_than_the_model_answers_with_fail_the_record(model_id, most):
    assert ask(model_id, claude(max_tokens=most))
    said = f"The maximum tokens you requested exceeds the model limit of {most}."
    assert refusal(model_id, claude(max_tokens=most + 1)).startswith(said)
    assert refusal(model_id, converse(inferenceConfig={"maxTokens": most + 1}), "Converse").startswith(said)


def test_a_beta_lets_claude_3_7_answer_with_more():
    model_id = "anthropic.claude-3-7-sonnet-20250219-v1:0"
    assert ask(model_id, claude(max_tokens=128_000, anthropic_beta=["output-128k-2025-02-19"]))
    assert refusal(model_id, claude(max_tokens=128_000))


@pytest.mark.parametrize(
    ("thinking", "more", "said"),
    [
        ({"budget_tokens": 2000}, {}, "`max_tokens` must be greater than `thinking.budget_tokens`."),
        ({"budget_tokens": 3000}, {}, "`max_tokens` must be greater than `thinking.budget_tokens`."),
        ({"budget_tokens": 1023}, {}, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"),
        ({}, {}, "thinking.enabled.budget_tokens: Field required"),
        ({"budget_tokens": 1024}, {"temperature": 0.5}, "`temperature` may only be set to 1"),
        ({"budget_tokens": 1024}, {"top_k": 5}, "`top_k` must be unset"),
    ],
    ids=str,
)
def test_a_thinking_budget_that_does_not_fit_fails_the_record(thinking, more, said):
    enabled = {"type": "enabled", **thinking}
    assert refusal(CLAUDE, claude(thinking=enabled, **more)).startswith(said)
    if not more and "budget_tokens" in thinking:
        body = converse(inferenceConfig={"maxTokens": 2000}, additionalModelRequestFields={"thinking": enabled})
        assert refusal(CLAUDE, body, "Converse").startswith(said)


def test_a_thinking_budget_below_the_limit_is_fine_and_so_is_none():
    assert ask(CLAUDE, claude(thinking={"type": "enabled", "budget_tokens": 1999}))
    assert ask(CLAUDE, claude(thinking={"type": "disabled"}, temperature=0.5, top_k=5))


# ------------------------------------------------------------------ gpt-oss


def test_gpt_oss_thinks_aloud_and_its_limit_counts_that():
    (said,) = ask(GPT_OSS, chat())["choices"]
    content = said["message"]["content"]
    assert content.startswith("<reasoning>")
    assert "</reasoning>" in content
    assert prompt_digest(WHY) in content

    (cut,) = ask(GPT_OSS, chat(max_completion_tokens=5))["choices"]
    assert (cut["finish_reason"], cut["message"]["content"]) == ("length", content[:20])
    assert "<reasoning>" not in json.dumps(ask(QWEN, chat()))


@pytest.mark.parametrize(
    ("model_id", "invocation_type", "plain", "shaped", "schema"),
    [
        (CLAUDE, "InvokeModel", claude(), claude(tools=[claude_tool()]), CITY),
        (
            CLAUDE,
            "InvokeModel",
            claude(),
            claude(output_config={"format": {"type": "json_schema", "schema": PERSON}}),
            PERSON,
        ),
    ],
)
def test_tools_and_schemas_are_input_that_is_paid_for(model_id, invocation_type, plain, shaped, schema):
    before, after = (ask(model_id, body, invocation_type)["usage"]["input_tokens"] for body in (plain, shaped))
    size = len(json.dumps(schema, separators=(",", ":")))
    assert size // 4 <= after - before <= size // 4 + 3
