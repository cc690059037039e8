"""The table of prices, and what a model's tokens come to."""

from __future__ import annotations

import pytest

from quarry_core.models import canonical_model, family_of
from quarry_core.models.prices import price_of, table

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
OLD_HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
ACCOUNT = "123456789012"


def test_tokens_cost_their_batch_price():
    price = price_of(HAIKU)
    assert price is not None
    assert price.dollars(2_000_000, 0) == pytest.approx(1.0)
    assert price.dollars(0, 2_000_000) == pytest.approx(5.0)
    assert price.dollars(1_951_382, 405_633) == pytest.approx(0.975691 + 1.0140825)


@pytest.mark.parametrize(
    ("model_id", "factor"),
    [
        (f"global.{HAIKU}", 1.0),
        (f"us.{HAIKU}", 1.1),
        (f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:inference-profile/eu.{HAIKU}", 1.1),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}", 1.0),
    ],
)
def test_a_geographic_profile_costs_what_its_geography_costs(model_id, factor):
    assert price_of(model_id).input == pytest.approx(0.5 * factor)
    assert price_of(model_id).output == pytest.approx(2.5 * factor)


def test_where_a_model_costs_the_same_everywhere_its_profiles_do_too():
    assert price_of(f"us.{OLD_HAIKU}") == price_of(OLD_HAIKU)


@pytest.mark.parametrize(
    "model_id",
    [
        "anthropic.claude-of-next-year-v1:0",
        f"sa.{HAIKU}",  # a geography whose surcharge is not known
        f"arn:aws:bedrock:us-east-1:{ACCOUNT}:custom-model/{HAIKU}/abcdefghijkl",
        f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/abcdefghijkl",
    ],
)
def test_what_is_not_in_the_table_has_no_price(model_id):
    assert price_of(model_id) is None


def test_every_line_names_its_source_and_a_model_that_quarry_works_with():
    for model, line in table().models.items():
        assert line.source in table().sources
        assert canonical_model(model) == model
        assert family_of(model)
    assert {line.source for line in table().models.values()} == set(table().sources)
