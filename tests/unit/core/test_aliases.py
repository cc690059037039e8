"""Short names of models: each means one id, which is known, supported and priced; what is no name gets the nearest."""

from __future__ import annotations

import pytest

from quarry_core.models import canonical_model, family_of
from quarry_core.models.aliases import UnknownAlias, alias_table, model_named
from quarry_core.models.prices import price_of

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.mark.parametrize("alias", alias_table().aliases)
def test_every_alias_means_a_model_that_is_supported_and_priced(alias):
    line = alias_table().aliases[alias]

    named = model_named(alias, "us-east-1")

    assert named.alias == alias
    assert canonical_model(named.model_id) == canonical_model(line.model) == line.model
    assert family_of(named.model_id)
    assert price_of(named.model_id) is not None
    assert line.source in alias_table().sources


@pytest.mark.parametrize(
    ("alias", "region", "model_id"),
    [
        ("haiku", "us-west-2", f"us.{HAIKU}"),
        ("haiku", "eu-central-1", f"eu.{HAIKU}"),
        ("haiku", "ap-northeast-1", f"global.{HAIKU}"),
        (" HAIKU ", "us-east-1", f"us.{HAIKU}"),
        ("nova-2-lite", "ap-south-1", "apac.amazon.nova-2-lite-v1:0"),
        ("nova-lite", "", "amazon.nova-lite-v1:0"),
    ],
)
def test_where_a_profile_is_needed_it_is_that_of_the_region(alias, region, model_id):
    assert model_named(alias, region).model_id == model_id


@pytest.mark.parametrize("region", ["us-gov-west-1", "eu-west-1", ""])
def test_an_alias_without_a_profile_for_the_region_is_refused_with_those_that_are_known(region):
    with pytest.raises(UnknownAlias, match=r"name the profile's id \(us\.meta\.llama3-3-70b-instruct-v1:0\)"):
        model_named("llama-3.3-70b", region)


@pytest.mark.parametrize(
    "model_id",
    [
        HAIKU,
        f"us.{HAIKU}",
        "anthropic.claude-opus-5",
        "deepseek.v3.2",
        "zai.glm-5",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
    ],
)
def test_an_id_is_itself(model_id):
    assert model_named(model_id, "us-east-1").model_id == model_id
    assert model_named(model_id, "us-east-1").alias == ""


@pytest.mark.parametrize(("name", "near"), [("haiky", "haiku"), ("sonet", "sonnet"), ("haiku-4.6", "haiku-4.5")])
def test_what_is_no_name_gets_the_nearest_and_its_model(name, near):
    with pytest.raises(UnknownAlias) as raised:
        model_named(name, "us-east-1")

    assert f"{near} ({alias_table().aliases[near].model})" in str(raised.value)


def test_a_hostile_name_is_shown_escaped_and_short():
    with pytest.raises(UnknownAlias) as raised:
        model_named("\x1b[2J" + "x" * 10_000, "us-east-1")

    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 1_500
