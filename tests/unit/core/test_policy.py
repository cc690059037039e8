"""What an environment allows: read strictly, and held against manifests."""

from __future__ import annotations

import pytest

from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.contract.policy import (
    POLICY_BYTES_MAX,
    PolicyError,
    limits_cost,
    read_policy,
    too_dear,
    too_large,
    too_many_runs,
    violations,
)

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
MANIFEST = {
    "s3_uri": "s3://data/inputs/a.csv",
    "job_name_prefix": "jokes",
    "model_id": HAIKU,
    "prompt_id": "joke_about_topic",
}


def found(policy: str, **changes) -> list[str]:
    manifest = {key: value for key, value in (MANIFEST | changes).items() if value is not None}
    return violations(read_manifest(manifest), read_policy(f"version: 1\n{policy}"))


def fields(policy: str, **changes) -> list[str]:
    return [each.partition(":")[0] for each in found(policy, **changes)]


# ------------------------------------------------------------------ reading


def test_without_a_policy_anything_is_allowed():
    assert read_policy(" \n") is None
    assert violations(read_manifest(MANIFEST), None) == []


def test_a_policy_that_names_nothing_allows_anything():
    assert found("") == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("models: [a]", "version: Field required"),
        ("version: 2", "version"),
        ("version: true", "version"),
        ("version: 1\nmodell: [a]", "modell: there is no such field"),
        ("version: 1\nmodels: a", "models"),
        ("version: 1\nmodels: ['']", "models.0"),
        ("version: 1\nmodels: [1]", "models.0"),
        ("version: 1\nrows_max: 0", "rows_max"),
        ("version: 1\nrows_max: '5'", "rows_max"),
        ("version: 1\nrows_max: 1_000", "rows_max"),
        ("version: 1\ncost_max_usd: -1", "cost_max_usd"),
        ("version: 1\nruns_max: true", "runs_max"),
        ("version: 1\ninline_prompts: yes", "inline_prompts"),
        ("version: 1\nsenders: {A: {rows: 1}}", "senders.A.rows: there is no such field"),
        ("version: 1\nsources: [inputs/]", "must begin with s3://"),
        ("version: 1\nsources: ['s3://*/x']", "must name one whole bucket"),
        ("version: 1\nsources: ['s3://data']", "must name one whole bucket"),
        ("version: 1\nmodels: [a", "QUARRY_POLICY"),
        ("version: 1\nversion: 1", "version"),
        ("- version", "fields and values"),
        ("just text", "fields and values"),
        ("version: 1\nmodels: &a [*a]", "QUARRY_POLICY"),
        (f"version: 1\n#{'x' * POLICY_BYTES_MAX}", f"more than {POLICY_BYTES_MAX} bytes"),
    ],
)
def test_a_policy_that_cannot_be_read_allows_nothing_and_says_where(text, why):
    with pytest.raises(PolicyError) as refused:
        read_policy(text)

    assert str(refused.value).startswith("QUARRY_POLICY: ")
    assert why in str(refused.value)


# ------------------------------------------------------------------ what is named


@pytest.mark.parametrize(
    ("allowed", "model", "ok"),
    [
        (HAIKU, HAIKU, True),
        ("anthropic.claude-3-haiku*", HAIKU, True),
        ("anthropic.claude-3-haiku*", f"us.{HAIKU}", True),
        ("us.anthropic.*", f"us.{HAIKU}", True),
        ("us.anthropic.*", HAIKU, False),
        ("us.anthropic.*", f"eu.{HAIKU}", False),
        ("anthropic.claude-3-haiku", HAIKU, False),
        ("anthropic.claude-3-sonnet*", HAIKU, False),
        ("*haiku*", HAIKU, True),
        ("anthropic.claude-?-haiku*", HAIKU, False),
        ("[a]nthropic*", HAIKU, False),
    ],
)
def test_a_model_is_allowed_by_its_id_or_its_base(allowed, model, ok):
    assert fields(f"models: ['{allowed}']", model_id=model) == ([] if ok else ["model_id"])


@pytest.mark.parametrize(
    ("uri", "ok"),
    [
        ("s3://data/inputs/a.csv", True),
        ("s3://data/inputs/", True),
        ("s3://data/inputs/**/*.csv", True),
        (["s3://data/inputs/a.csv", "s3://data/inputs/b.csv"], True),
        (["s3://data/inputs/a.csv", "s3://data/other/b.csv"], False),
        ("s3://data/inputs", False),
        ("s3://data/inp*/a.csv", False),
        ("s3://data/*/a.csv", False),
        ("s3://data/other/inputs/a.csv", False),
        ("s3://data/inputs/../secret.csv", True),  # a key of that very name: S3 knows no way up
        ("s3://data2/inputs/a.csv", False),
        ("s3://data-inputs/a.csv", False),
    ],
)
def test_a_source_is_allowed_if_all_that_it_may_name_is(uri, ok):
    assert fields("sources: ['s3://data/inputs/']", s3_uri=uri, format="csv") == ([] if ok else ["s3_uri"])


def test_datasets_of_the_hub_are_allowed_by_owner_or_name():
    hub = {"s3_uri": None, "dataset_id": "squad/plain"}
    assert fields("sources: ['s3://data/']", **hub) == ["dataset_id"]
    assert fields("sources: ['hf://squad/*']", **hub) == []
    assert fields("sources: ['hf://squad/plain2']", **hub) == ["dataset_id"]


def test_prompts_are_allowed_by_their_id_and_then_none_of_ones_own():
    own = {"prompt_id": None, "prompt": {"template": "Tell {topic}"}}
    assert fields("prompts: ['joke_*']") == []
    assert fields("prompts: ['poem_*']") == ["prompt_id"]
    assert fields("prompts: ['joke_*']", **own) == ["prompt"]
    assert fields("prompts: ['joke_*']\ninline_prompts: true", **own) == []
    assert fields("inline_prompts: false", **own) == ["prompt"]
    assert fields("inline_prompts: false") == []


def test_requests_that_are_ready_bring_prompts_too():
    ready = {"prompt_id": None, "request_format": "openai", "s3_uri": "s3://data/a.jsonl"}
    assert fields("inline_prompts: false", **ready) == ["request_format"]
    assert fields("inline_prompts: true", **ready) == []


def test_tags_that_must_be_there_are_named():
    assert found("tags_required: [team, cost]", tags={"team": "a"}) == [
        "tags: cost must be given here, and is not (QUARRY_POLICY)"
    ]
    assert fields("tags_required: [team]", tags={"team": ""}) == []


def test_all_that_is_not_allowed_is_said_at_once():
    policy = "models: [x]\nsources: ['s3://other/']\nprompts: [y]\ntags_required: [team]"
    assert fields(policy) == ["model_id", "s3_uri", "prompt_id", "tags"]


# ------------------------------------------------------------------ how much

LIMITED = read_policy(
    """
version: 1
rows_max: 1000
cost_max_usd: 5.5
runs_max: 2
senders:
  "AROABATCH:*": {rows_max: 50000, runs_max: 10}
  "AIDAANNA": {cost_max_usd: 100}
"""
)


def test_a_senders_own_limits_stand_above_everybodys():
    assert too_large(LIMITED, "AIDABEN", 1_001).startswith("rows: the run has 1,001 rows")
    assert too_large(LIMITED, "AIDABEN", 1_000) == ""
    assert too_large(LIMITED, "AROABATCH:night", 50_000) == ""
    assert too_large(LIMITED, "AROABATCH:night", 50_001)
    assert too_dear(LIMITED, "AROABATCH:night", 6.0), "what it does not name is everybody's"
    assert "costs about $5.501, and at most $5.500 is allowed here" in too_dear(LIMITED, "AROABATCH:night", 5.501)
    assert too_dear(LIMITED, "AIDAANNA", 99.0) == ""
    assert too_large(LIMITED, "AIDAANNA", 1_001)


def test_an_unknown_sender_has_everybodys_limits():
    assert too_large(LIMITED, "", 1_001)
    assert "an unknown sender has 2 open runs" in too_many_runs(LIMITED, "", ["", "", "AIDABEN"])


def test_sessions_of_one_role_are_one_sender():
    others = ["AROAX:a", "AROAX:b", "AROAY:a", "AIDABEN"]
    assert "AROAX:c has 2 open runs, and at most 2" in too_many_runs(LIMITED, "AROAX:c", others)
    assert too_many_runs(LIMITED, "AROAY:c", others) == ""
    assert too_many_runs(LIMITED, "AROABATCH:x", ["AROABATCH:y"] * 9) == ""


def test_what_has_no_price_is_not_guessed():
    assert "its model has no price here" in too_dear(LIMITED, "AIDABEN", None)
    assert too_dear(read_policy("version: 1"), "AIDABEN", None) == ""
    assert limits_cost(LIMITED, "")
    assert not limits_cost(read_policy("version: 1"), "")
    assert not limits_cost(None, "")


def test_none_may_be_allowed_again_for_one_sender():
    policy = read_policy("version: 1\nrows_max: 5\nsenders: {AIDAANNA: {rows_max: null}}")
    assert too_large(policy, "AIDAANNA", 10**9) == ""
    assert too_large(policy, "AIDABEN", 6)
