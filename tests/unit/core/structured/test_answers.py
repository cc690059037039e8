"""From what a model said to the values of a row: found, validated, or refused with where and why."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.models import EmptyAnswer, UnsupportedModel, reader_named
from quarry_core.structured.answers import Answers, InvalidOutput
from quarry_core.structured.blocks import structured_reader
from quarry_core.structured.read import ANSWER_BYTES_MAX
from quarry_core.structured.schema import SchemaError, read_schema
from quarry_core.structured.validate import compiled

SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "enum": ["a", "b"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "count": {"type": "integer"},
        "on": {"type": "string", "format": "date"},
    },
    "required": ["kind", "score"],
}
ANSWERS = Answers(read_schema(SCHEMA))
GOOD = '{"kind": "a", "score": 0.5}'


def values(text, stop_reason="end_turn"):
    return json.loads(ANSWERS.payload(text, stop_reason))


def why(text, stop_reason="end_turn") -> str:
    with pytest.raises(InvalidOutput) as invalid:
        ANSWERS.payload(text, stop_reason)
    return str(invalid.value)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\ufeff  {GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}```",
        f"Sure! Here is the JSON you asked for:\n\n```json\n{GOOD}\n```\nLet me know if {{anything}} is wrong.",
        f"The fields are {{kind, score}}: {GOOD}",
        f'First I thought {{"kind": "b", "score": 1}}, but it is {GOOD}',
        f'{GOOD} was my answer, and {{"note": "this is none"}}',
        f"<reasoning>Either {{a}} or {{b}}.</reasoning>{GOOD}",
    ],
)
def test_json_is_found_in_a_text(text):
    assert values(text) == ["a", 0.5, None, None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I cannot answer that.", "there is no JSON object in the answer"),
        ("[1, 2]", "there is no JSON object in the answer"),
        ('{"kind": "a", "score": 0.', "the answer is not JSON: it ends in the middle"),
        ('{"kind": "a', "the answer is not JSON: it ends in the middle"),
        (f'{GOOD} and also {{"kind": "b", "sc', "the answer is not JSON: it ends in the middle"),
        ('{"kind": "a" "score": 0.5}', "the answer is not JSON: Expecting ',' delimiter at character 14"),
        ('{"kind": "a", "score": NaN}', "NaN is no JSON number"),
        ('{"kind": "a", "score": 1e999}', "Number out of range"),
        ('{"kind": "c", "score": 0.5}', '/kind: "c" is not one of'),
        ('{"kind": "a", "score": "high"}', '/score: "high" is not of type "number"'),
        ('{"kind": "a", "score": 2}', "/score: 2 is greater than the maximum of 1"),
        ('{"kind": "a", "score": true}', '/score: true is not of type "number"'),
        ('{"kind": "a"}', '"score" is a required property'),
        ('{"kind": "a", "score": 1, "count": 4.9}', '/count: 4.9 is not of type "integer"'),
        ('{"kind": "a", "score": 1, "count": 9223372036854775808}', "/count: is beyond 64 bits"),
        ('{"kind": "a", "score": 1, "on": "2026-02-30"}', '/on: "2026-02-30" is not a "date"'),
        ('{"x":' * 20_000, "the answer is not JSON: it is nested too deep"),
        ('{"kind": "a", "score": 0.5, "x": "' + "y" * ANSWER_BYTES_MAX + '"}', f"at most {ANSWER_BYTES_MAX} are read"),
    ],
)
def test_what_does_not_fit_is_refused_with_where_and_why(text, said):
    assert said in why(text)


def test_an_answer_that_was_cut_off_is_told_the_remedy():
    assert why('{"kind": "a', "max_tokens").endswith("it was cut off (max_tokens): raise max_tokens")
    assert "raise max_tokens" not in why('{"kind": "a')


def test_the_first_reasons_are_given_and_none_is_long():
    text = json.dumps({"kind": "z" * 5_000, "score": "x", "count": "y", "on": "w"})
    assert why(text).endswith("; and more")
    assert len(why(text)) < 1_000


def test_big_numbers_are_exact():
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 10**30}, "j": {}}}
    answers = Answers(read_schema(schema))
    payload = answers.payload('{"n": 123456789012345678901234567890, "j": 12345678901234567890123}', None)
    (number, text) = (column[0].as_py() for column in answers.arrays([payload]))
    assert (int(number), text) == (123456789012345678901234567890, "12345678901234567890123")


def test_a_schema_that_cannot_be_compiled_is_refused_by_its_path():
    with pytest.raises(SchemaError, match=r'properties/a/pattern: "\(" is not a "regex": correct it'):
        compiled(read_schema({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}))


@given(st.text(alphabet=st.sampled_from('{}[]":,ab01 \\\n`'), max_size=60))
def test_no_text_does_more_than_be_refused(text):
    try:
        ANSWERS.payload(text, None)
    except InvalidOutput as error:
        assert str(error)  # noqa: PT017 - either is right


# ------------------------------------------------------------------ where it stands in an output


def claude(*blocks, stop_reason="end_turn"):
    usage = {"input_tokens": 7, "output_tokens": 9}
    return {"content": list(blocks), "stop_reason": stop_reason, "usage": usage, "id": "x"}


def converse(*blocks, stop_reason="end_turn"):
    usage = {"inputTokens": 7, "outputTokens": 9}
    return {
        "output": {"message": {"role": "assistant", "content": list(blocks)}},
        "stopReason": stop_reason,
        "usage": usage,
    }


TEXT, TOOL = (
    {"type": "text", "text": GOOD},
    {"type": "tool_use", "id": "t", "name": "answer", "input": json.loads(GOOD)},
)
SPEC = {"toolUse": {"toolUseId": "t", "name": "answer", "input": json.loads(GOOD)}}


@pytest.mark.parametrize("loosely", [False, True])
@pytest.mark.parametrize(
    ("family", "output"),
    [
        ("anthropic", claude(TEXT)),
        ("anthropic", claude({"type": "thinking", "thinking": "…"}, TEXT)),
        ("anthropic", claude({"type": "text", "text": "I call it."}, TOOL, stop_reason="tool_use")),
        ("anthropic", claude({**TOOL, "name": "other"}, TEXT)),
        ("converse", converse({"text": GOOD})),
        ("converse", converse({"reasoningContent": {"reasoningText": {"text": "…"}}}, {"text": GOOD})),
        ("converse", converse({"text": "I call it."}, SPEC, stop_reason="tool_use")),
    ],
)
def test_an_answer_is_read_from_text_or_from_our_tool(family, output, loosely):
    reader = structured_reader(reader_named(family))
    if loosely:
        found = reader.output_type.loosely(output)
    else:
        found = msgspec.json.decode(json.dumps(output), type=reader.output_type)
    answer = reader.answer(found)
    assert values(answer.text) == ["a", 0.5, None, None]
    assert (answer.input_tokens, answer.output_tokens) == (7, 9)
    assert reader.name == family


@pytest.mark.parametrize("family", ["anthropic", "converse"])
@pytest.mark.parametrize("content", [None, [], "", {}, [None], [{"type": "text"}], [{"text": " "}], [{"toolUse": 3}]])
def test_what_says_nothing_is_empty_and_paid_for(family, content):
    reader = structured_reader(reader_named(family))
    output = claude(stop_reason="refusal") if family == "anthropic" else converse(stop_reason="refusal")
    if family == "anthropic":
        output["content"] = content
    else:
        output["output"]["message"]["content"] = content
    found = reader.output_type.loosely(output)
    if content == [{"text": " "}] and family == "converse":
        return  # white space is what it says
    with pytest.raises(EmptyAnswer, match="stop reason: refusal") as empty:
        reader.answer(found)
    assert empty.value.output_tokens == 9


def test_other_families_are_read_as_ever():
    reader = reader_named("titan-text-embeddings-v2")
    assert structured_reader(reader) is reader
    with pytest.raises(UnsupportedModel):
        reader_named("none")
