"""Model families: which a model is of, what they send, what they read."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.models import (
    CONVERSE,
    FAMILIES,
    EmptyAnswer,
    ModelLimits,
    UnsupportedModel,
    canonical_model,
    family_of,
    limits_of,
    pool_of,
)

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"


def read(model_id: str, output: object):
    family = family_of(model_id)
    return family.answer(msgspec.json.decode(json.dumps(output).encode(), type=family.output_type))


# --------------------------------------------------------------------------- identity


@pytest.mark.parametrize(
    "model_id",
    [
        HAIKU,
        "anthropic.claude-3-haiku-20240307-v1",
        "anthropic.claude-3-haiku-20240307-v1:0:48k",
        f"us.{HAIKU}",
        f"eu.{HAIKU}",
        f"apac.{HAIKU}",
        f"us-gov.{HAIKU}",
        f"global.{HAIKU}",
        f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}",
        f"arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/{HAIKU}",
        f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{HAIKU}",
    ],
)
def test_every_way_to_name_a_model_names_one_pool(model_id):
    assert pool_of("us-east-1", model_id) == f"us-east-1#{HAIKU}"
    assert family_of(model_id).name == "anthropic"


def test_the_regions_have_pools_of_their_own():
    assert pool_of("eu-west-1", HAIKU) != pool_of("us-east-1", HAIKU)


@pytest.mark.parametrize(
    "model_id",
    [
        "anthropic.claude-sonnet-4-6",
        "anthropic.claude-v2:1",
        "deepseek.v3.2",
        "moonshotai.kimi-k2.5",
        "meta.llama4-scout-17b-instruct-v1:0",
    ],
)
def test_a_plain_id_is_canonical_already(model_id):
    assert canonical_model(model_id) == model_id
    assert canonical_model(f"us.{model_id}") == model_id


def test_custom_models_share_a_pool_with_each_other_and_not_with_their_base():
    arn = "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.titan-embed-text-v2:0:8k/"
    assert canonical_model(arn + "abcdefghijkl") == canonical_model(arn + "zyxwvutsrqpo") == f"custom-model/{TITAN}"
    assert canonical_model(arn + "abcdefghijkl") != canonical_model(TITAN)
    assert family_of(arn + "abcdefghijkl") is family_of(TITAN)


@given(st.text(max_size=80))
def test_any_text_at_all_has_a_pool_and_canonical_is_canonical(text):
    assert canonical_model(canonical_model(text)) == canonical_model(text)


@pytest.mark.parametrize(
    ("model_id", "sentence"),
    [
        ("cohere.rerank-v3-5:0", "ranks texts, and does not answer"),
        ("stability.sd3-5-large-v1:0", "makes images"),
        ("amazon.nova-canvas-v1:0", "makes images"),
        ("amazon.nova-reel-v1:0", "makes videos"),
        ("amazon.nova-sonic-v1:0", "speaks, which batch inference does not do"),
        ("twelvelabs.marengo-embed-2-7-v1:0", "makes embeddings of a kind that is not supported"),
        ("antropic.claude-3-haiku-20240307-v1:0", r"does it begin with anthropic\.claude\?"),
        ("anthropic.claud-3-haiku-20240307-v1:0", r"does it begin with anthropic\.claude\?"),
        ("amazn.nova-lite-v1:0", r"does it begin with amazon\.\?"),
        ("gpt-4o", "is no id of a model, which is its provider's name, a dot and its own"),
    ],
)
def test_a_model_that_gives_no_text_or_is_mistyped_is_refused_with_what_it_is(model_id, sentence):
    with pytest.raises(UnsupportedModel, match=sentence):
        family_of(model_id)


def test_an_application_inference_profile_says_no_family_by_itself():
    with pytest.raises(UnsupportedModel, match="which model it stands for was not looked up"):
        family_of("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6")


@pytest.mark.parametrize("kind", ["provisioned-model", "imported-model", "custom-model-deployment"])
def test_kinds_of_model_without_batch_are_refused_by_kind(kind):
    with pytest.raises(UnsupportedModel, match=f"does not run batch jobs on a {kind}"):
        family_of(f"arn:aws:bedrock:us-east-1:123456789012:{kind}/abcdefghijkl")


def test_limits_are_those_of_the_contract():
    assert limits_of(HAIKU) == ModelLimits(100, 50_000, 1_000_000_000, 5_000_000_000)
    assert limits_of("us.meta.llama4-scout-17b-instruct-v1:0").records_min == 50


def test_families_have_names_of_their_own():
    families = {id(family): family for family in (*FAMILIES.values(), CONVERSE)}
    assert len({family.name for family in families.values()}) == len(families)


# --------------------------------------------------------------------------- Anthropic


def test_claude_is_asked_with_both_required_fields():
    assert family_of(HAIKU).body("hi", system=None, inference={}) == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }


def test_claude_is_asked_with_the_inference_parameters_and_the_system_prompt():
    body = family_of(HAIKU).body("hi", system="be brief", inference={"temperature": 0.5, "max_tokens": 7})
    assert (body["system"], body["temperature"], body["max_tokens"]) == ("be brief", 0.5, 7)


def test_the_order_of_inference_parameters_does_not_change_the_bytes():
    bodies = [
        family_of(HAIKU).body("hi", system=None, inference=inference)
        for inference in ({"top_p": 0.5, "temperature": 1}, {"temperature": 1, "top_p": 0.5})
    ]
    assert json.dumps(bodies[0]) == json.dumps(bodies[1])


def test_claudes_text_blocks_are_joined_and_thinking_is_left_out():
    output = {
        "id": "msg_1",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "text", "text": "one "},
            {"type": "some_later_kind", "text": "not an answer"},
            {"type": "text", "text": "two"},
        ],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 12, "output_tokens": 3, "cache_read_input_tokens": 0},
    }
    answer = read(HAIKU, output)
    assert (answer.text, answer.stop_reason, answer.input_tokens, answer.output_tokens) == (
        "one two",
        "end_turn",
        12,
        3,
    )
    assert answer.embedding is None


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    "output",
    [
        {},
        {"content": None},
        {"content": []},
        {"content": [{"type": "text", "text": ""}]},
        {"content": [{"type": "text"}]},
        {"content": [{"type": "thinking", "thinking": "hm"}]},
    ],
)
def test_a_claude_output_without_text_is_an_empty_answer_that_was_paid_for(output):
    paid = {"stop_reason": "refusal", "usage": {"input_tokens": 9, "output_tokens": 1}}
    with pytest.raises(EmptyAnswer, match="refusal") as caught:
        read(HAIKU, output | paid)
    assert (caught.value.stop_reason, caught.value.input_tokens, caught.value.output_tokens) == ("refusal", 9, 1)
    with pytest.raises(EmptyAnswer):
        read(HAIKU, output)


def test_an_answer_without_counts_is_an_answer():
    assert read(HAIKU, {"content": [{"type": "text", "text": "x"}]}).input_tokens is None


@pytest.mark.parametrize(
    ("inference", "words"),
    [
        ({"temperature": 1.5}, "temperature must be a number from 0 to 1, not 1.5"),
        ({"temperature": True}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": 10**400}, "temperature must be a number from 0 to 1, not 1000"),
        ({"temperature": "0.5"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens must be a whole number from 1"),
        ({"max_tokens": 10.0}, "max_tokens"),
        ({"top_k": 501}, "top_k"),
        ({"stop_sequences": 7}, "stop_sequences must be a string, or a list"),
        ({"stop_sequences": [" "]}, "not blank"),
        ({"stop_sequences": [json.loads('"\\ud800"')]}, "stop_sequences must be"),
        ({"maxTokens": 5}, "did you mean max_tokens"),
        ({"temprature": 1}, "did you mean temperature"),
        ({"zzz": 1}, "'zzz' is not a parameter of anthropic"),
        ({"tools": []}, "tools cannot be set here: batch inference does not support tool calling"),
        ({"model": "x"}, "model_id"),
        ({"thinking": {}}, "thinking must be"),
    ],
)
def test_a_wrong_claude_parameter_is_refused_by_name_with_the_remedy(inference, words):
    with pytest.raises(ValueError, match=words):
        family_of(HAIKU).check_inference(inference)


def test_right_claude_parameters_pass():
    family_of(HAIKU).check_inference(
        {"max_tokens": 1, "temperature": 0, "top_p": 1, "top_k": 500, "stop_sequences": ["\n\nHuman:"]}
    )


def test_a_very_long_wrong_value_is_cut_in_the_message():
    with pytest.raises(ValueError, match="max_tokens") as caught:
        family_of(HAIKU).check_inference({"max_tokens": "9" * 100_000})
    assert len(str(caught.value)) < 300


# --------------------------------------------------------------------------- Titan


def test_titan_is_asked_with_its_defaults_or_with_what_is_given():
    body = family_of(TITAN).body
    assert body("hi", system=None, inference={}) == {"inputText": "hi", "dimensions": 1024, "normalize": True}
    assert body("hi", system=None, inference={"dimensions": 256, "normalize": False}) == {
        "inputText": "hi",
        "dimensions": 256,
        "normalize": False,
    }


def test_titan_takes_no_system_prompt():
    with pytest.raises(ValueError, match="system"):
        family_of(TITAN).body("hi", system="be brief", inference={})


@pytest.mark.parametrize(
    "output",
    [
        {"embedding": [0.5, 1], "inputTextTokenCount": 4},
        {"embeddingsByType": {"float": [0.5, 1], "binary": [1, 0]}, "inputTextTokenCount": 4},
        {"embedding": [], "embeddingsByType": {"float": [0.5, 1]}, "inputTextTokenCount": 4},
    ],
)
def test_titans_vector_is_read_from_either_of_its_places(output):
    answer = read(TITAN, output)
    assert (answer.embedding, answer.input_tokens, answer.output_tokens) == ([0.5, 1.0], 4, None)


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    "output",
    [
        {},
        {"embedding": []},
        {"embedding": None},
        {"embeddingsByType": {"binary": [1]}},
        {"embeddingsByType": {"float": []}},
    ],
)
def test_a_titan_output_without_a_vector_is_an_empty_answer(output):
    with pytest.raises(EmptyAnswer):
        read(TITAN, output)


@pytest.mark.parametrize(
    ("inference", "words"),
    [
        ({"dimensions": 300}, "one of 256, 512, 1024"),
        ({"dimensions": True}, "dimensions"),
        ({"dimensions": 256.0}, "dimensions"),
        ({"normalize": 1}, "true or false"),
        ({"dimension": 256}, "did you mean dimensions"),
        ({"embeddingTypes": ["float"]}, "not yet supported"),
    ],
)
def test_a_wrong_titan_parameter_is_refused_by_name_with_the_remedy(inference, words):
    with pytest.raises(ValueError, match=words):
        family_of(TITAN).check_inference(inference)
