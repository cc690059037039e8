"""What Claude's models refuse of a whole run is refused on arrival."""

from __future__ import annotations

import pytest

from quarry_core.contract.manifest import ManifestError
from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.models import check_inference
from quarry_core.models.claude_rules import TOKENS_MAX, tokens_max

HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
SONNET_4_5 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS_4_5 = "anthropic.claude-opus-4-5-20251101-v1:0"
BOTH = {"temperature": 0.5, "top_p": 0.9}
TAKES_BOTH = (
    HAIKU_3,
    "anthropic.claude-3-7-sonnet-20250219-v1:0",
    "anthropic.claude-sonnet-4-20250514-v1:0",
    "anthropic.claude-opus-4-20250514-v1:0",
    "anthropic.claude-something-new-v1:0",
    "anthropic.claude-instant-v1",
)
TAKES_ONE = (
    SONNET_4_5,
    "anthropic.claude-opus-4-1-20250805-v1:0",
    "global.anthropic.claude-haiku-4-5-20251001-v1:0",
    OPUS_4_5,
    "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-opus-4-6-v1",
    "arn:aws:bedrock:us-east-1:123456789012:custom-model/anthropic.claude-sonnet-4-5-20250929-v1:0:200k/abcdefghijkl",
)
TAKES_NONE = (
    "us.anthropic.claude-opus-4-7",
    "anthropic.claude-sonnet-5",
    "anthropic.claude-opus-5",
    "anthropic.claude-haiku-5-5",
    "anthropic.claude-opus-6-20270101-v1:0",
)


@pytest.mark.parametrize("model", TAKES_BOTH)
def test_older_and_unknown_models_are_not_held_against_temperature_and_top_p(model):
    check_inference(model, BOTH)


@pytest.mark.parametrize("model", TAKES_ONE)
def test_temperature_and_top_p_together_are_refused_by_claude_4_5_and_later(model):
    with pytest.raises(ValueError, match=r"refuses temperature and top_p together .* leave one of them out"):
        check_inference(model, BOTH)
    for name, value in BOTH.items():
        check_inference(model, {name: value, "top_k": 5})


@pytest.mark.parametrize("model", TAKES_NONE)
@pytest.mark.parametrize("given", [{"temperature": 1}, {"top_p": 0.9}, {"top_k": 5}])
def test_the_newest_models_take_no_sampling_parameter_at_all(model, given):
    [name] = given
    with pytest.raises(ValueError, match=f"does not accept {name} .*: leave it out"):
        check_inference(model, given)
    check_inference(model, {"max_tokens": 100})


def test_max_tokens_over_the_models_own_are_refused():
    check_inference(HAIKU_3, {"max_tokens": 4_096})
    with pytest.raises(ValueError, match=r"max_tokens is 4097, and anthropic.claude-3-haiku-.* at most 4096 tokens"):
        check_inference(HAIKU_3, {"max_tokens": 4_097})
    with pytest.raises(ValueError, match="at most 64000"):
        check_inference(SONNET_4_5, {"max_tokens": 64_001})
    check_inference("anthropic.claude-something-new-v1:0", {"max_tokens": 999_999})


def test_the_longest_beginning_that_fits_is_the_model():
    assert tokens_max("anthropic.claude-opus-4-20250514-v1:0") == 32_000
    assert tokens_max("anthropic.claude-opus-4-1-20250805-v1:0") == 32_000
    assert tokens_max("anthropic.claude-opus-4-5-20251101-v1:0") == 64_000
    assert tokens_max("anthropic.claude-opus-44-20300101-v1:0") is None
    assert all(beginning.startswith("anthropic.claude-") for beginning in TOKENS_MAX)


def thinking(budget):
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (SONNET_4_5, thinking(4_000) | {"max_tokens": 4_000}, "must be less than max_tokens, which is 4000"),
        (SONNET_4_5, thinking(4_000), "must be less than max_tokens, which is 1024"),
        (SONNET_4_5, thinking(1_023), "with N at least 1024"),
        (SONNET_4_5, thinking("4000"), "with N at least 1024"),
        (SONNET_4_5, thinking(True), "with N at least 1024"),
        (SONNET_4_5, {"thinking": {"type": "on"}}, "thinking must be"),
        (SONNET_4_5, {"thinking": {"type": "disabled", "budget_tokens": 5}}, "thinking must be"),
        (SONNET_4_5, {"thinking": 4_000}, "thinking must be"),
        (SONNET_4_5, thinking(2_000) | {"max_tokens": 4_000, "top_k": 5}, "top_k cannot be set together with thinking"),
        (SONNET_4_5, thinking(2_000) | {"max_tokens": 4_000, "temperature": 0.5}, "temperature cannot be set"),
        (HAIKU_3, thinking(2_000) | {"max_tokens": 4_000}, "does not support thinking"),
    ],
)
def test_a_thinking_budget_that_bedrock_refuses_is_refused(model, given, message):
    with pytest.raises(ValueError, match=message):
        check_inference(model, given)


def test_a_thinking_budget_under_max_tokens_passes():
    check_inference(SONNET_4_5, thinking(2_000) | {"max_tokens": 4_000, "temperature": 1})
    check_inference(SONNET_4_5, {"thinking": {"type": "disabled"}, "temperature": 0.5})


GOOD = {"job_name_prefix": "t", "model_id": SONNET_4_5, "s3_uri": "s3://a-bucket/rows.csv"}


def test_a_prompts_parameters_count_as_the_manifests():
    prompt = {"template": "{text}", "inference": {"top_p": 0.9, "max_tokens": 5_000}}

    with pytest.raises(ManifestError, match="refuses temperature and top_p together"):
        read_manifest(GOOD | {"prompt": prompt, "inference": {"temperature": 0.5}})
    read_manifest(GOOD | {"prompt": prompt | {"inference": {"max_tokens": 5_000}}, "inference": thinking(2_000)})


def test_what_a_stored_prompt_may_still_give_is_not_judged_before_it_is_read():
    read_manifest(GOOD | {"prompt_id": "p", "inference": thinking(2_000)})
    with pytest.raises(ManifestError, match="refuses temperature and top_p together"):
        read_manifest(GOOD | {"prompt_id": "p", "inference": BOTH})
