"""Prompts: templates, columns, files."""

import importlib.resources

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.prompts import (
    PROMPT_BYTES_MAX,
    MissingColumn,
    Placeholder,
    PromptError,
    TemplateError,
    check_columns,
    check_prompt_id,
    columns_of,
    load_prompt,
    parse_template,
)
from quarry_core.models import family_of

NAMES = st.text(st.characters(blacklist_characters="{}\"'!:", blacklist_categories=("Z", "C")), min_size=1, max_size=12)
LITERALS = st.text(max_size=20)

# --------------------------------------------------------------------------- templates


def test_a_template_is_literals_and_placeholders_in_order():
    template = parse_template("Compare {a} with {b}, then {a} again.")
    assert template.parts == (
        "Compare ",
        Placeholder("a"),
        " with ",
        Placeholder("b"),
        ", then ",
        Placeholder("a"),
        " again.",
    )
    assert columns_of(template) == ("a", "b")
    assert template.placeholders == ("a", "b", "a")
    assert template.literals == ("Compare ", " with ", ", then ", " again.")


def test_doubled_braces_are_braces():
    template = parse_template('Answer as {{"joke": "…"}} about {topic}{{}}')
    assert template.render({"topic": "cars"}) == 'Answer as {"joke": "…"} about cars{}'


def test_braces_around_a_placeholder_are_told_apart():
    assert parse_template("{{{topic}}}").render({"topic": "cars"}) == "{cars}"


def test_a_value_is_never_read_as_a_template():
    assert parse_template("{a}{b}").render({"a": "{b}", "b": "}}{{"}) == "{b}}}{{"


def test_column_names_may_have_spaces_dots_and_dashes():
    assert columns_of(parse_template("{First name}{a.b}{c-d}{e_f}{größe}")) == (
        "First name",
        "a.b",
        "c-d",
        "e_f",
        "größe",
    )


@given(st.lists(st.tuples(LITERALS, NAMES), min_size=1, max_size=5), LITERALS)
def test_what_is_escaped_comes_back_as_it_was(pairs, tail):
    text = "".join(
        literal.replace("{", "{{").replace("}", "}}") + "{" + name.replace("|", "||") + "}" for literal, name in pairs
    ) + tail.replace("{", "{{").replace("}", "}}")
    template = parse_template(text)
    values = {name: f"<{name}>" for _, name in pairs}
    assert template.render(values) == "".join(literal + values[name] for literal, name in pairs) + tail
    assert len(template.literals) == len(template.placeholders) + 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Tell me about {topic", r"'\{' at line 1, character 15 is not closed.*write \{\{ and \}\}"),
        ("one\ntwo }", r"'\}' at line 2, character 5 closes nothing.*write \}\}"),
        ("{topic}}", r"character 8 closes nothing"),
        ("Say {}", r"character 5 holds no name"),
        ("Say { }", "holds no name"),
        ("{a!r}", r"conversions.*write \{a\}"),
        ("{a:>10}", r"formats.*write \{a\}"),
        ('{"answer": 1} {topic}', r"character 1 holds .* not a column name.*JSON, write \{\{ and \}\}"),
        ('{\n "answer": 1} {topic}', "JSON"),
        ('{"a": {"b": 1}}', "not closed.*JSON"),
        ("{ topic }", r"with a space beside the name: write \{topic\}, and if the column is called that, rename it"),
        ("no placeholder at all", "no placeholder"),
        ("", "no placeholder"),
        ("{{topic}}", "no placeholder"),
        ("{" + "x" * 300 + "}", "more than 255 characters"),
        ("{x}" * 201, "201 placeholders"),
        ("{x}" + "y" * 200_000, "characters, more than"),
    ],
)
def test_a_malformed_template_is_refused_with_the_place_and_the_remedy(text, words):
    with pytest.raises(TemplateError, match=words):
        parse_template(text)


@given(st.text(st.sampled_from('{}a!:"\n '), max_size=30))
def test_any_text_is_a_template_or_a_template_error(text):
    try:
        template = parse_template(text)
    except TemplateError:
        return
    assert all(column.strip() == column != "" for column in columns_of(template))


# --------------------------------------------------------------------------- columns


def test_columns_that_are_there_pass():
    check_columns(parse_template("{topic}"), ["id", "topic"])


def test_a_missing_column_is_named_with_the_nearest_there_is():
    with pytest.raises(MissingColumn, match=r"no column 'topic'; did you mean 'Topics'\? \(it has 'id', 'Topics'\)"):
        check_columns(parse_template("{topic}"), ["id", "Topics"])


def test_a_missing_column_with_nothing_near_names_what_there_is():
    with pytest.raises(MissingColumn, match=r"no column 'topic' \(it has 'x'\)"):
        check_columns(parse_template("{topic}"), ["x"])


def test_a_thousand_columns_are_not_all_listed():
    with pytest.raises(MissingColumn, match="and 980 more") as caught:
        check_columns(parse_template("{topic}"), [f"c{number}" for number in range(1_000)])
    assert len(str(caught.value)) < 400


# --------------------------------------------------------------------------- files


def test_a_prompt_file_is_read_whole():
    data = b"""
template: Tell me about {topic}
system: Be brief {not a placeholder}
version: 2
description: tells
inference: {max_tokens: 5}
"""
    prompt = load_prompt(data, "tell-1")
    assert prompt.template == "Tell me about {topic}"
    assert prompt.system == "Be brief {not a placeholder}"
    assert (prompt.version, prompt.description, prompt.inference) == ("2", "tells", {"max_tokens": 5})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"template: '{a}'\ntemplte: x", "templte is not a field of a prompt; did you mean template"),
        (b"system: x", "template is missing"),
        (b"template: no placeholder", "prompt 'p': template: the template has no placeholder"),
        (b"template: [1]", "template: "),
        (b"- template", "mapping"),
        (b"", "mapping"),
        (b"template: 'x", "not YAML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"template: !!python/object/apply:os.getcwd []", "template: YAML tags .* are not supported"),
        (b"template: '{a}'\nsystem: !!binary aGk=", "system: YAML tags"),
        (b"template: '{a}'\ntemplate: '{b}'", "template: the key appears twice"),
        (b"template: '{a}'\ninference: {top_k: 1, top_k: 2}", "inference.top_k: the key appears twice"),
        (b"template: '{a}'\n---\ntemplate: '{b}'", "several YAML documents"),
        (b"template: '{a}'\n? [x]\n: 1", "a key must be a word"),
        (b"template: {topic}", "template: "),
        (b"a: &a [x]\ntemplate: '{a}'\ninference: {b: *a}", "aliases"),
        (b"template: " + b"[" * 50_000, "nested more than 10 deep"),
        (b"template: '{a}'\nversion: 2026-13-45", "version: 2026-13-45 is a date to some readers of YAML"),
        (b"template: '{a}'\ninference: 5", "inference: "),
        (b"template: '{a}'\nsystem: ''", "system: "),
    ],
)
def test_a_prompt_file_that_cannot_be_used_is_refused_by_name(data, words):
    with pytest.raises(PromptError, match=words):
        load_prompt(data, "p")


@pytest.mark.parametrize(
    "bent",
    ["1_000", "0o17", "017", "0x1F", "0b101", "1:30", "1:30:00.5", ".inf", "-.INF", ".nan", "1_0.5", "yes", "No", "on",
     "OFF", "2026-01-01", "9" * 40, "08", "1e999", "="],
)  # fmt: skip
def test_a_value_that_yaml_bends_is_refused_by_the_name_of_its_field(bent):
    for field in ("version", "system", "description"):
        if bent != "1e999":
            with pytest.raises(PromptError, match=rf"prompt 'p': {field}: .* some readers of YAML"):
                load_prompt(f"template: '{{a}}'\n{field}: {bent}".encode(), "p")
    with pytest.raises(PromptError, match=r"inference\.max_tokens: "):
        load_prompt(f"template: '{{a}}'\ninference: {{max_tokens: {bent}}}".encode(), "p")
    with pytest.raises(PromptError, match=r"inference\.stop_sequences\.0: "):
        load_prompt(f"template: '{{a}}'\ninference:\n  stop_sequences:\n  - {bent}".encode(), "p")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1000", 1000), ("-5", -5), ("+5", 5), ("0", 0), ("0.5", 0.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("true", True),
     ("False", False), ("'1_000'", "1_000"), ("y", "y"), ("a: b", {"a": "b"})],
)  # fmt: skip
def test_a_value_that_everybody_reads_alike_is_taken(written, meant):
    flow = f"{{{written}}}" if ":" in written else written
    prompt = load_prompt(f"template: '{{a}}'\ninference: {{x: {flow}}}".encode(), "p")
    assert prompt.inference == {"x": meant}
    assert type(prompt.inference["x"]) is type(meant)


def test_null_is_unset_in_a_prompt_file():
    assert load_prompt(b"template: '{a}'\nsystem: ~\nversion:\ndescription: null", "p").system is None


def test_a_number_in_a_field_of_text_is_the_text_as_it_is_written():
    prompt = load_prompt(b"template: '{a}'\nversion: 1.10\ndescription: 007b", "p")
    assert (prompt.version, prompt.description) == ("1.10", "007b")


def test_a_prompt_file_may_not_be_large():
    with pytest.raises(PromptError, match="more than 262144 bytes"):
        load_prompt(b" " * (PROMPT_BYTES_MAX + 1), "p")


@pytest.mark.parametrize("prompt_id", ["", "a/b", "..", "a b", "é", "x" * 65, "a.yaml", "a\n"])
def test_a_prompt_id_that_could_leave_its_folder_is_refused(prompt_id):
    with pytest.raises(ValueError, match="prompt_id"):
        check_prompt_id(prompt_id)
    with pytest.raises(ValueError, match="prompt_id"):
        load_prompt(b"template: '{a}'", prompt_id)


def test_a_prompt_id_is_returned():
    assert check_prompt_id("joke_about-Topic2") == "joke_about-Topic2"


@pytest.mark.parametrize(
    ("prompt_id", "column"),
    [("joke_about_topic", "topic"), ("question_answering", "source"), ("sentiment_classifier", "text")],
)
def test_the_shipped_prompts_need_the_columns_that_are_documented(prompt_id, column):
    shipped = importlib.resources.files("quarry_core") / "shipped_prompts" / f"{prompt_id}.yaml"
    prompt = load_prompt(shipped.read_bytes(), prompt_id)
    assert columns_of(parse_template(prompt.template)) == (column,)
    family_of("anthropic.claude-3-haiku-20240307-v1:0").check_inference(prompt.inference)


def test_every_shipped_prompt_can_be_loaded():
    folder = importlib.resources.files("quarry_core") / "shipped_prompts"
    files = [file for file in folder.iterdir() if file.name.endswith(".yaml")]
    assert len(files) == 3
    for file in files:
        prompt = load_prompt(file.read_bytes(), file.name.removesuffix(".yaml"))
        assert prompt.description
        assert set(yaml.safe_load(file.read_text())) <= set(type(prompt).model_fields)


@pytest.mark.parametrize("column", [" topic", "topic ", 'top"ic', "topi{c}"])
def test_a_column_that_no_template_can_name_is_not_suggested(column):
    with pytest.raises(MissingColumn) as refused:
        check_columns(parse_template("{topic}"), ["id", column])

    assert "did you mean" not in str(refused.value)
    assert f"{column!r} is a name that no prompt can write: rename the column in the source" in str(refused.value)
