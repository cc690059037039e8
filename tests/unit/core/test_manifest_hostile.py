"""Manifests that a hostile sender, or a careless one, sends: always a sentence, never an exception."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quarry_core.contract.json_text import NotAnObject, parse_object
from quarry_core.contract.manifest import FIELDS, ManifestError
from quarry_core.contract.manifest_identity import canonical_json, manifest_hash, run_id_of
from quarry_core.contract.manifest_reading import REFUSAL_BYTES_MAX, read_manifest
from quarry_core.contract.manifest_schema import manifest_schema
from quarry_core.text import visible

GOOD = {
    "job_name_prefix": "t",
    "model_id": "anthropic.claude-3-haiku-20240307-v1:0",
    "s3_uri": "s3://a-bucket/rows.csv",
    "prompt": "Say: {text}",
}
HALF = "\ud83d"
TEXT = st.text(st.characters(codec=None, categories=None), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(sorted(FIELDS)) | TEXT


def sentence_of(read, data, error):
    """What a reader says of it; None if it takes it."""
    try:
        read(data)
    except error as refused:
        return str(refused)
    return None


def refusal(data):
    with pytest.raises(ManifestError) as refused:
        read_manifest(data)
    reported = str(refused.value)
    assert visible(reported) == reported
    assert len(reported.encode()) <= REFUSAL_BYTES_MAX
    return reported


@given(st.dictionaries(KEYS, JSON, max_size=6))
@example({"vpc": {"subnet_ids": {}, "security_group_ids": HALF}})
@example({"prompt": {"template": [HALF]}, "tags": {HALF: None, "aws:x": 1}})
def test_any_object_is_a_manifest_or_a_sentence_and_has_a_run_id_and_a_hash(changes):
    for data in (changes, GOOD | changes):
        assert run_id_of(data, "m")
        assert manifest_hash(data)
        canonical_json(data).encode()
        sentence = sentence_of(read_manifest, data, ManifestError)
        assert sentence is None or (sentence and visible(sentence) == sentence)
        assert len((sentence or "").encode()) <= REFUSAL_BYTES_MAX


@given(TEXT | JSON.map(json.dumps))
def test_any_text_is_an_object_or_a_sentence(text):
    sentence = sentence_of(parse_object, text, NotAnObject)
    assert sentence is None or (sentence and visible(sentence) == sentence)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({HALF: 1}, "\\ud83d: the key holds half of a surrogate pair"),
        ({f"abc{HALF}": 1}, "abc\\ud83d: the key holds half"),
        ({"prompt": f"cut {HALF} {{text}}"}, "prompt: character 5 is half of a surrogate pair"),
        ({"prompt": {"template": f"{HALF}{{text}}"}}, "prompt.template: character 1 is half"),
        ({"prompt": {"template": "{text}", "system": HALF}}, "prompt.system: "),
        ({"s3_uri": f"s3://a-bucket/{HALF}.csv"}, "s3_uri: character 15 is half"),
        ({"tags": {"team": HALF}}, "tags.team: "),
        ({"tags": {HALF: "x"}}, "tags.\\ud83d: the key"),
        ({"run_id": HALF}, "run_id: "),
        ({"prompt_id": HALF, "prompt": None}, "prompt_id: "),
        ({"model_id": f"anthropic.claude{HALF}"}, "model_id: "),
        ({"job_name_prefix": HALF}, "job_name_prefix: "),
        ({"output_kms_key": HALF}, "output_kms_key: "),
        ({"vpc": {"subnet_ids": ["s", HALF], "security_group_ids": ["g"]}}, "vpc.subnet_ids.1: "),
        ({"inference": {"stop_sequences": [HALF]}}, "inference.stop_sequences.0: "),
        ({"inference": {HALF: 1}}, "inference.\\ud83d: the key"),
        ({"input_bucket_owner": HALF}, "input_bucket_owner: "),
    ],
)
def test_half_a_surrogate_pair_is_refused_wherever_it_stands_and_the_field_is_named_once(change, field):
    reported = refusal(json.loads(json.dumps(GOOD | change)))

    assert field in reported
    assert "send whole characters" in reported
    assert reported.count("half of a surrogate pair") == 1


def test_a_whole_pair_is_a_character_as_any_other():
    data = json.loads(json.dumps(GOOD | {"prompt": "whole \U0001f600 {text}"}))

    assert read_manifest(data).prompt is not None


def test_half_a_pair_is_hashed_and_stored_as_the_escape_that_was_sent():
    data = json.loads(r'{"a": "\ud83d", "b": "\\ud83d"}')

    stored = canonical_json(data)

    assert stored == r'{"a":"\ud83d","b":"\\ud83d"}'
    assert json.loads(stored) == data
    assert manifest_hash(data) != manifest_hash({"a": "\\ud83d", "b": "\\ud83d"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"job_name_prefix": "a\x00b"}, "job_name_prefix: holds the control character \\x00"),
        ({"job_name_prefix": "a\n"}, "job_name_prefix: holds the control character \\n"),
        ({"s3_uri": "s3://a-bucket/a\x00.csv"}, "s3_uri: holds the control character \\x00"),
        ({"s3_uri": "s3://a-bucket/a\x7f.csv"}, "s3_uri: holds the control character \\x7f"),
        ({"tags": {"a\tb": "c"}}, "tags: holds the control character \\t"),
        ({"tags": {"a": "b\x1b[2J"}}, "tags: holds the control character \\x1b"),
        ({"run_id": "a\n"}, "run_id"),
        ({"prompt": None, "prompt_id": "a\x00"}, "prompt_id"),
        ({"model_id": "anthropic.claude-3\x00"}, "model_id"),
        ({"vpc": {"subnet_ids": ["a\x00"], "security_group_ids": ["g"]}}, "vpc.subnet_ids"),
        ({"output_kms_key": "alias/\x00"}, "output_kms_key"),
        ({"input_bucket_owner": "123456789012\n"}, "input_bucket_owner"),
    ],
)
def test_what_names_something_in_aws_has_no_control_character(change, message):
    assert message in refusal(GOOD | change)


@pytest.mark.parametrize("key", ["aws:cloudformation:stack-name", "AWS:x", "Aws:"])
def test_a_tag_that_only_aws_may_write_is_refused(key):
    assert "does not begin with aws:" in refusal(GOOD | {"tags": {key: "x"}})


def test_null_is_unset_for_every_optional_field_at_every_depth():
    nulls = {name: None for name, field in FIELDS.items() if not field.is_required()}
    given = {name: GOOD[name] for name in ("prompt", "s3_uri")}
    assert read_manifest(GOOD | nulls | given) == read_manifest(GOOD)

    nested = {
        "prompt": {"template": "Say: {text}", "system": None, "version": None, "description": None, "inference": None},
        "inference": {"temperature": None},
        "tags": {"unset": None},
        "vpc": None,
    }
    assert read_manifest(GOOD | nested) == read_manifest(GOOD)


@pytest.mark.parametrize("name", ["job_name_prefix", "model_id"])
def test_null_for_a_required_field_is_no_value(name):
    assert f"{name}: it is required" in refusal(GOOD | {name: None})


def test_the_schema_allows_what_is_read():
    schema = manifest_schema()
    for shape in (schema, *schema["$defs"].values()):
        for name, field in shape["properties"].items():
            optional = name not in shape.get("required", ())
            assert ({"type": "null"} in field.get("anyOf", ())) == optional, name


def test_the_run_id_is_of_the_json_as_it_was_sent():
    assert run_id_of(GOOD, "m") != run_id_of(GOOD | {"tags": None}, "m")
    assert run_id_of("{}", "m") != run_id_of("{ }", "m")


@pytest.mark.promise("S9")
def test_a_manifest_of_thousands_of_unknown_keys_is_refused_in_a_bounded_sentence():
    data = GOOD | {f"key number {number} " + "x" * 30: None for number in range(4_000)}
    assert len(json.dumps(data)) > 191_000

    reported = refusal(data)

    assert "key number 0" in reported
    assert "there are more" in reported
    assert "unknown key" in refusal(GOOD | {"k" * 200_000: 1})


def test_a_manifest_of_thousands_of_wrong_values_is_refused_in_a_bounded_sentence():
    reported = refusal(GOOD | {"vpc": {"subnet_ids": list(range(30_000)), "security_group_ids": {}}})

    assert "vpc.subnet_ids.0: must be text in double quotes" in reported
    assert "there are more" in reported


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tags": []}, "tags: must be an object"),
        ({"inference": 1}, "inference: must be an object"),
        ({"vpc": "x"}, "vpc: must be an object"),
        ({"s3_uri": 5}, "s3_uri: must be text in double quotes"),
        ({"vpc": {"subnet_ids": "s", "security_group_ids": ["g"]}}, "vpc.subnet_ids: must be a list"),
        ({"vpc": {"subnet_ids": ["s"], "security_group_ids": ["g"], "subnets": []}}, "vpc.subnets: unknown key"),
        ({"s3_uri": "s3://a-bucket/rows.cvs"}, "did you mean .csv?"),
        ({"s3_uri": "s3://a-bucket/" + "ä" * 600 + ".csv"}, "S3 takes at most 1024"),
        ({"input_bucket_owner": 123456789012}, "input_bucket_owner: must be text in double quotes"),
        ({"input_bucket_owner": "12345"}, "input_bucket_owner"),
        ({"x\x1b[2J": 1}, "x\\x1b[2J: unknown key"),
        ({"inference": {"a": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}, "nested 36 deep"),
    ],
)
def test_wrong_values_are_reported_in_words_of_json(change, message):
    assert message in refusal(GOOD | change)
