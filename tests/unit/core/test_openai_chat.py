"""A chat request becomes the Converse request that asks the same, or is refused by the path of what cannot be asked."""

from __future__ import annotations

import base64
import json

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.models.openai_chat import Untranslatable, converse_request
from quarry_local.bedrock.families.registry import answering
from quarry_local.bedrock.models.identity import resolve
from tests.examples import examples

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0"
JPEG = b"\xff\xd8\xff\xe0" + bytes(8)
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 "
GIF = b"GIF89a" + bytes(6)
CONVERSE = botocore.session.get_session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape


def data_url(image: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"


def asks(text: object = "Why?", **more: object) -> dict:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


def refused(body: object) -> str:
    with pytest.raises(Untranslatable) as error:
        converse_request(body)
    return str(error.value)


def valid(request: dict) -> dict:
    """The request, which Converse's own model takes; images are bytes there, and base64 in JSON."""
    faults = ParamValidator().validate({"modelId": "anthropic.claude", **request}, CONVERSE)
    assert not faults.has_errors(), faults.generate_report()
    return request


def test_a_question_becomes_a_message_of_blocks():
    assert valid(converse_request(asks())) == {"messages": [{"role": "user", "content": [{"text": "Why?"}]}]}


def test_a_conversation_keeps_its_turns_and_its_system_prompt_goes_to_its_place():
    body = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": ""}]},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi", "refusal": None, "annotations": [], "tool_calls": None},
            {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
        ]
    }

    assert valid(converse_request(body)) == {
        "system": [{"text": "Be brief."}, {"text": "Be kind."}],
        "messages": [
            {"role": "user", "content": [{"text": "Hello"}]},
            {"role": "assistant", "content": [{"text": "Hi"}]},
            {"role": "user", "content": [{"text": "Why?"}]},
        ],
    }


def test_neighbours_of_one_role_become_one_message():
    messages = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]

    assert converse_request({"messages": messages})["messages"] == [
        {"role": "user", "content": [{"text": "one"}, {"text": "two"}]}
    ]


def test_a_refusal_is_what_the_assistant_said():
    messages = [
        {"role": "user", "content": "Do it"},
        {"role": "assistant", "content": None, "refusal": "I will not."},
        {"role": "user", "content": "Please"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]

    said = converse_request({"messages": messages})["messages"]

    assert [one["content"][0]["text"] for one in said] == ["Do it", "I will not.", "Please", "No."]


@pytest.mark.parametrize(
    ("given", "config"),
    [
        ({"max_tokens": 100}, {"maxTokens": 100}),
        ({"max_completion_tokens": 100}, {"maxTokens": 100}),
        ({"max_tokens": 100, "max_completion_tokens": 100}, {"maxTokens": 100}),
        ({"max_tokens": 100.0}, {"maxTokens": 100}),
        ({"temperature": 0.2, "top_p": 1}, {"temperature": 0.2, "topP": 1}),
        ({"stop": "END"}, {"stopSequences": ["END"]}),
        ({"stop": ["END", "\n"]}, {"stopSequences": ["END", "\n"]}),
    ],
)
def test_parameters_have_converses_names(given, config):
    assert valid(converse_request(asks(**given)))["inferenceConfig"] == config


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": None, "stop": None, "max_tokens": None, "tools": None, "seed": None, "unheard_of": None},
        {"n": 1, "stream": False, "logprobs": False, "stop": []},
        {"frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "modalities": ["text"], "tools": []},
        {"response_format": {"type": "text"}},
        {"user": "u-1", "safety_identifier": "s", "metadata": {"a": "b"}, "store": True, "service_tier": "flex"},
        {"prompt_cache_key": "k", "prompt_cache_options": {"ttl": "30m"}, "prompt_cache_retention": "24h"},
    ],
)
def test_what_asks_for_nothing_else_is_let_be(given):
    assert converse_request(asks(**given)) == {"messages": [{"role": "user", "content": [{"text": "Why?"}]}]}


def test_a_schema_for_the_answer_goes_to_its_place_as_text():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    wanted = {"name": "place", "description": "Where", "schema": schema, "strict": True}

    request = converse_request(asks(response_format={"type": "json_schema", "json_schema": wanted}))

    form = valid(request)["outputConfig"]["textFormat"]
    sent = form["structure"]["jsonSchema"]
    assert (form["type"], sent["name"], sent["description"]) == ("json_schema", "place", "Where")
    assert json.loads(sent["schema"]) == schema


@pytest.mark.parametrize(("image", "name"), [(PNG, "png"), (JPEG, "jpeg"), (GIF, "gif"), (WEBP, "webp")])
@pytest.mark.parametrize("claimed", ["image/png", "image/jpg", "application/octet-stream"])
def test_an_image_is_what_its_bytes_are_whatever_its_address_claims(image, name, claimed):
    parts = [
        {"type": "text", "text": "What is it?", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": data_url(image, claimed), "detail": "low"}},
    ]

    blocks = converse_request(asks(parts))["messages"][0]["content"]

    assert blocks[0] == {"text": "What is it?"}
    assert blocks[1]["image"]["format"] == name
    assert base64.b64decode(blocks[1]["image"]["source"]["bytes"]) == image


def image(url: object, **more: object) -> dict:
    return asks([{"type": "image_url", "image_url": {"url": url, **more}}])


TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
REFUSALS = [
    ([], "body is not an object"),
    ({"model": "x"}, "body.messages is not a list of messages: give at least one"),
    ({"messages": []}, "body.messages is not a list of messages: give at least one"),
    ({"messages": ["hello"]}, "body.messages.0 is not an object"),
    ({"messages": [{"content": "x"}]}, "body.messages.0.role is null: known are system, developer, user and assistant"),
    ({"messages": [{"role": ["user"], "content": "x"}]}, 'body.messages.0.role is ["user"]: known are'),
    ({"messages": [{"role": "system", "content": "x"}]}, "body.messages: a conversation begins with a message of the"),
    (
        {"messages": [{"role": "assistant", "content": "x"}]},
        "body.messages: a conversation begins with a message of the user",
    ),
    (
        {"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]},
        "body.messages.1: Converse has its system prompt before all messages: move this one to the front",
    ),
    (
        {"messages": [{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "1", "content": "y"}]},
        'body.messages.1.role is "tool": batch inference refuses tools',
    ),
    (
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{"id": "1"}]}]},
        "body.messages.1.tool_calls: batch inference refuses tools",
    ),
    ({"messages": [{"role": "user", "content": "x", "name": "Ann"}]}, "body.messages.0.name: Converse has no names"),
    (
        {"messages": [{"role": "user", "content": "x", "mood": "bad"}]},
        "body.messages.0.mood: is no field of a message: leave it out",
    ),
    (asks(""), "body.messages.0.content has an empty text, which Bedrock refuses"),
    (asks([]), "body.messages.0.content has an empty text, which Bedrock refuses"),
    (asks([{"type": "text", "text": ""}]), "body.messages.0.content has an empty text"),
    (asks(None), "body.messages.0.content is neither a text nor a list of parts"),
    (asks(7), "body.messages.0.content is neither a text nor a list of parts"),
    (asks(["x"]), "body.messages.0.content.0.type is null: only text has a place here"),
    (asks([{"type": "text", "text": 7}]), "body.messages.0.content.0.text is not a text"),
    (asks([{"type": "text", "text": "x", "bold": True}]), "body.messages.0.content.0.bold: Converse has no place"),
    (
        asks([{"type": "input_audio", "input_audio": {}}]),
        'body.messages.0.content.0.type is "input_audio": text and images are supported, nothing else yet',
    ),
    (
        {"messages": [{"role": "system", "content": [{"type": "image_url"}]}]},
        'body.messages.0.content.0.type is "image_url": only text has a place here',
    ),
    (
        image("https://example.com/a.png"),
        "body.messages.0.content.0.image_url.url is no data: URL, and Bedrock fetches nothing: put the image in",
    ),
    (image(None), "body.messages.0.content.0.image_url.url is not a text"),
    (image("data:image/png,rawbytes"), "body.messages.0.content.0.image_url.url is not in base64"),
    (image("data:image/png;base64,%%%"), "body.messages.0.content.0.image_url.url is not base64 ("),
    (image(data_url(b"<svg/>", "image/svg+xml")), "image_url.url holds none of PNG, JPEG, GIF and WebP"),
    (image(data_url(PNG), size=3), "body.messages.0.content.0.image_url.size: Converse has no place for it"),
    (asks(max_tokens=0), "body.max_tokens must be a whole number from 1 on, not 0"),
    (asks(max_tokens=True), "body.max_tokens must be a whole number from 1 on, not true"),
    (asks(max_tokens="9"), 'body.max_tokens must be a whole number from 1 on, not "9"'),
    (asks(max_tokens=9.5), "body.max_tokens must be a whole number from 1 on, not 9.5"),
    (asks(max_tokens=1, max_completion_tokens=2), "body.max_completion_tokens and body.max_tokens differ"),
    (asks(temperature=1.5), "body.temperature must be a number from 0 to 1, as Converse has it, not 1.5"),
    (asks(top_p="1"), 'body.top_p must be a number from 0 to 1, as Converse has it, not "1"'),
    (asks(stop=[""]), "body.stop must be a text, or a list of up to 2500 texts, that are not empty"),
    (asks(stop={"a": 1}), "body.stop must be a text"),
    (asks(n=2), "body.n: each request has one answer: repeat the line, with a custom_id of its own"),
    (asks(stream=True), "body.stream: batch inference does not stream: leave it out"),
    (asks(seed=0), "body.seed: Converse has no place for it: leave it out"),
    (asks(logprobs=True), "body.logprobs: Converse has no place for it: leave it out"),
    (asks(frequency_penalty=0.5), "body.frequency_penalty: Converse has no place for it"),
    (asks(frequency_penalty=False), "body.frequency_penalty: Converse has no place for it"),
    (asks(reasoning_effort="low"), "body.reasoning_effort: Converse has no place for it"),
    (
        asks(tools=[TOOL]),
        "body.tools: batch inference refuses tools in requests of this form: send them in the model's own form",
    ),
    (asks(response_format={"type": "json_object"}), "body.response_format: Converse has no JSON mode without a schema"),
    (asks(response_format="json"), "body.response_format.type must be text or json_schema, not null"),
    (asks(response_format={"type": "xml"}), 'body.response_format.type must be text or json_schema, not "xml"'),
    (
        asks(response_format={"type": "json_schema", "json_schema": {"name": "x"}}),
        "body.response_format.json_schema.schema is not an object",
    ),
    (
        asks(response_format={"type": "json_schema", "json_schema": {"schema": {}, "title": "x"}}),
        "body.response_format.json_schema.title: Converse has no place for it",
    ),
    (
        asks(response_format={"type": "json_schema", "json_schema": {"schema": {}, "name": 3}}),
        "body.response_format.json_schema.name is not a text",
    ),
    (asks(max_token=9), "body.max_token: is no field of a chat request; did you mean max_tokens?"),
    (asks(**{"top\nk": 9}), "body.top\\nk: is no field of a chat request"),
    (asks(zzz=9), "body.zzz: is no field of a chat request: leave it out"),
]


@pytest.mark.parametrize(("body", "sentence"), REFUSALS, ids=[sentence[:50] for _, sentence in REFUSALS])
def test_what_cannot_be_asked_is_refused_by_its_path(body, sentence):
    assert refused(body).startswith(sentence) or sentence in refused(body)


@pytest.mark.parametrize("model_id", ["amazon.nova-lite-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"])
def test_the_simulated_bedrock_answers_what_is_translated(model_id):
    body = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "What?"}, *image(data_url(PNG))["messages"][0]["content"]],
            },
            {"role": "assistant", "content": "A dot."},
            {"role": "user", "content": "Where?"},
        ],
        "max_tokens": 100,
        "temperature": 0.1,
        "stop": "END",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        },
    }

    model = resolve(model_id, region="us-east-1", account="123456789012")
    answer = answering(model, "Converse")(json.dumps(converse_request(body)).encode())

    said = json.loads(answer.body)["output"]["message"]["content"][0]["text"]
    assert isinstance(json.loads(said), dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["messages", "max_tokens", "temperature", "stop", "response_format", "tools", "n", "model", "user", "new"]
)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool", 3]), "content": JSON}),
    max_size=3,
)


@given(body=st.dictionaries(FIELDS, JSON, max_size=4), messages=MESSAGES | JSON)
@examples(200)
def test_whatever_stands_in_a_body_it_is_translated_or_refused_by_name(body, messages):
    reported, request = "", None
    try:
        request = converse_request({**body, "messages": messages})
    except Untranslatable as error:
        reported = str(error)

    if request is None:
        assert reported.startswith("body")
    else:
        assert request["messages"][0]["role"] == "user"
        json.dumps(request)
