"""What templates can say besides a value: defaults, JSON, examples, and what becomes of rows without a value."""

import json

import pyarrow as pa
import pytest
from pydantic import ValidationError

from quarry_core.contract.prompts import (
    MissingColumn,
    Placeholder,
    Prompt,
    PromptError,
    TemplateError,
    check_columns,
    load_prompt,
    parse_template,
    template_of,
)
from quarry_core.models import family_of
from quarry_core.rendering.encode import Encoder

CLAUDE = family_of("anthropic.claude-3-haiku-20240307-v1:0")
NOVA = family_of("amazon.nova-lite-v1:0")


def encoder(prompt: dict, family=CLAUDE) -> Encoder:
    found = Prompt.model_validate(prompt)
    turns = [(said.role, each) for said, each in zip(found.messages, found.examples, strict=True)]
    return Encoder(family, parse_template(found.template), found.system, turns=turns, nulls=found.nulls)


def asked(prompt: dict, columns: dict, family=CLAUDE):
    """The last message of each record by its row, and what was not sent."""
    batch = pa.record_batch(columns)
    found = encoder(prompt, family).encode(batch, "00000", 0)
    lines = [json.loads(line) for line in found.data.splitlines()]
    texts = {int(line["recordId"][5:]): line["modelInput"]["messages"][-1]["content"][0]["text"] for line in lines}
    assert encoder(prompt, family).count_unsent(batch) == len(found.unsent)
    return texts, [(one.row, one.code, one.message) for one in found.unsent]


# --------------------------------------------------------------------------- the language


@pytest.mark.parametrize(
    ("text", "placeholder"),
    [
        ("{a}", Placeholder("a")),
        ("{a|none}", Placeholder("a", "none")),
        ("{a|}", Placeholder("a", "")),
        ("{a|b|c}", Placeholder("a", "b|c")),
        ('{a|"x": 1}', Placeholder("a", '"x": 1')),
        ("{a:json}", Placeholder("a", None, as_json=True)),
        ("{a:json|null}", Placeholder("a", "null", as_json=True)),
        ("{a||b}", Placeholder("a|b")),
        ("{a::b}", Placeholder("a:b")),
        ("{a::json}", Placeholder("a:json")),
        ("{a||b::c:json|x}", Placeholder("a|b:c", "x", as_json=True)),
        ("{two words}", Placeholder("two words")),
    ],
)
def test_a_placeholder_has_a_column_and_may_have_a_default_and_a_form(text, placeholder):
    assert parse_template(text).slots == (placeholder,)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "{a:d}",
            r"formats \(:fmt\) other than :json are not supported, write \{a\}, and :: for a : in a column's name",
        ),
        ("{a!r}", r"conversions \(!r\)"),
        ("{|x}", "holds no name before '|'"),
        ("{:json}", "holds no name before ':'"),
        ("{a |x}", r"with a space beside the name: write \{a\}"),
        ('{"a": 1}', "for braces, as in JSON, write {{ and }}"),
        ("{a|" + "x" * 1001 + "}", "has a default of more than 1000 characters"),
    ],
)
def test_a_placeholder_that_says_something_else_is_refused_with_the_remedy(text, sentence):
    with pytest.raises(TemplateError, match=sentence):
        parse_template(text)


def test_a_column_that_has_a_bar_in_its_name_is_never_taken_for_a_default():
    template = parse_template("{a|b}")
    check_columns(template, ["a"])
    with pytest.raises(MissingColumn, match=r"write \{a\|\|b\} for the column, or rename it"):
        check_columns(template, ["a", "a|b"])
    check_columns(parse_template("{a||b}"), ["a|b"])


# --------------------------------------------------------------------------- values


def test_a_default_stands_where_there_is_no_value_and_only_there():
    texts, unsent = asked({"template": "{n|none}/{t|-}"}, {"n": [1.5, None, float("nan")], "t": ["", None, "x"]})
    assert texts == {0: "1.5/", 1: "none/-", 2: "none/x"}
    assert unsent == []


def test_a_default_does_not_hide_a_value_that_cannot_be_written():
    bad = pa.array([b"ok", b"\xff", None]).cast(pa.binary())
    column = pa.Array.from_buffers(pa.string(), 3, bad.buffers())
    texts, unsent = asked({"template": "{t|none}"}, {"t": column})
    assert texts == {0: "ok", 2: "none"}
    assert [(row, code) for row, code, _ in unsent] == [(1, "BAD_VALUE")]


def test_values_are_written_as_json_where_the_template_says_so():
    columns = {
        "text": ['say "hi"\n', None],
        "number": [7, None],
        "flag": [True, None],
        "list": [["a", None], None],
        "day": pa.array([0, None], pa.date32()),
        "kind": pa.array(["x", None]).dictionary_encode(),
    }
    template = ",".join(f"{{{name}:json|null}}" for name in columns)
    texts, _ = asked({"template": template}, columns)
    assert json.loads(f"[{texts[0]}]") == ['say "hi"\n', 7, True, ["a", None], "1970-01-01", "x"]
    assert texts[1] == ",".join(["null"] * len(columns))


def test_json_does_not_make_a_value_of_none():
    columns = {"t": ["x", None], "n": [1.5, float("nan")], "l": pa.array([[1], None])}
    for column in columns:
        texts, unsent = asked({"template": f"{{{column}:json}}"}, columns)
        assert list(texts) == [0]
        assert [(row, code) for row, code, _ in unsent] == [(1, "NULL_INPUT")]


def test_one_column_may_stand_in_several_forms():
    texts, unsent = asked({"template": "{a} {a:json} {a|-}"}, {"a": ["x", None]})
    assert texts == {0: 'x "x" x'}
    assert unsent == [(1, "NULL_INPUT", "the column 'a' is null in this row")]


def test_a_row_without_a_value_is_an_error_or_empty_or_skipped_as_the_prompt_says():
    prompt = {"template": "{a}{b}{c}", "nulls": {"a": "error", "b": "empty", "c": "skip"}}
    rows = {"a": ["1", None, "1", "1", None], "b": ["2", "2", None, "2", "2"], "c": ["3", "3", "3", None, None]}
    texts, unsent = asked(prompt, rows)
    assert texts == {0: "123", 2: "13"}
    skipped = "the column 'c' is null in this row, and the prompt skips such rows"
    assert unsent == [
        (1, "NULL_INPUT", "the column 'a' is null in this row"),
        (3, "SKIPPED", skipped),
        (4, "SKIPPED", skipped),
    ]


# --------------------------------------------------------------------------- examples


@pytest.mark.parametrize("family", [CLAUDE, NOVA])
def test_examples_stand_before_the_template_with_values_of_the_same_row(family):
    prompt = {
        "system": "Be brief, {not a placeholder}.",
        "template": "Classify: {text}",
        "messages": [
            {"role": "user", "content": "Classify: {example|nothing} {{x}}"},
            {"role": "assistant", "content": "good"},
        ],
    }
    batch = pa.record_batch({"text": ["{example}", "b"], "example": ["<0>", None]})
    lines = encoder(prompt, family).encode(batch, "00000", 0).data.splitlines()
    said = [
        [(turn["role"], turn["content"][0]["text"]) for turn in json.loads(line)["modelInput"]["messages"]]
        for line in lines
    ]
    assert said == [
        [("user", "Classify: <0> {x}"), ("assistant", "good"), ("user", "Classify: {example}")],
        [("user", "Classify: nothing {x}"), ("assistant", "good"), ("user", "Classify: b")],
    ]
    assert list(encoder(prompt, family).texts(batch))[1] == "Classify: nothing {x}\ngood\nClassify: b"
    assert template_of(Prompt.model_validate(prompt)).placeholders == ("example", "text")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"messages": [{"role": "assistant", "content": "x"}]}, "message 1 has the role assistant, .* it must be user"),
        ({"messages": [{"role": "user", "content": "x"}]}, "add the assistant's answer to it"),
        ({"messages": [{"role": "system", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": " "}]}, "is blank: a model refuses messages without a text"),
        ({"messages": [{"role": "user", "content": "{"}]}, "is not closed"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "name"),
        ({"nulls": {"b": "skip"}}, "nulls: no placeholder has the column 'b'"),
        ({"nulls": {"topik": "skip"}}, "did you mean 'topic'"),
        ({"nulls": {"topic": "drop"}}, "'error', 'empty' or 'skip'"),
        ({"template": "{topic|x}", "nulls": {"topic": "skip"}}, r"'topic' has a default too, \{topic\|x\}"),
    ],
)
def test_a_prompt_that_contradicts_itself_is_refused_with_the_remedy(more, sentence):
    with pytest.raises(ValidationError, match=sentence):
        Prompt.model_validate({"template": "{topic}"} | more)


def test_prompt_files_have_the_same_fields():
    text = """
template: "{text:json}"
messages:
  - role: user
    content: "{example|none}"
  - role: assistant
    content: 1
nulls:
  text: skip
"""
    prompt = load_prompt(text.encode(), "x")
    assert [said.content for said in prompt.messages] == ["{example|none}", "1"]
    assert prompt.nulls == {"text": "skip"}
    with pytest.raises(PromptError, match=r"messages\.0\.rol is not a field of a message \(known: role, content\)"):
        load_prompt(b"template: '{a}'\nmessages: [{rol: user, content: x, role: user}]", "x")
