"""What a run costs, in ranges: how sure each figure is follows from what it is known from, and nothing is invented."""

from __future__ import annotations

import pytest

from quarry_core.planning.costs import Counted, costs_of
from quarry_core.planning.estimate import Estimate, TokenEstimate

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"  # 0.125 in, 0.625 out


def estimate(**changes) -> Estimate:
    tokens = TokenEstimate(tokenizer="claude2", own=False, records=100, mean=100.0, spread=0.0, uncertainty=0.0)
    plain = {
        "model_id": CLAUDE,
        "source_uri": "s3://b/k.csv",
        "rows_source": 1_000,
        "rows_planned": 1_000,
        "shards": 1,
        "shard_rows_max": 1_000,
        "slots": 1,
        "waves": 1,
        "input_bytes": 1,
        "tokens": tokens,
        "input_tokens": 100_000,
        "output_tokens": 50_000,
        "output_from": "history",
        "factor_records": 100,
    }
    return Estimate(**(plain | changes))


def tokens(**changes) -> TokenEstimate:
    return estimate().tokens.model_copy(update=changes)


@pytest.mark.parametrize(
    ("changes", "source", "share"),
    [
        ({}, "history", 0.05),
        ({"factor_records": 0}, "other_tokenizer", 0.25),
        ({"factor_records": 0, "tokens": tokens(own=True)}, "own_tokenizer", 0.15),
        ({"tokens": tokens(uncertainty=0.1)}, "history", 0.25),
        ({"tokens": tokens(uncertainty=0.9)}, "history", 1.0),
    ],
)
def test_input_is_as_sure_as_what_it_is_known_from(changes, source, share):
    costs = costs_of(estimate(**changes))

    assert costs.input_from == source
    assert costs.input_tokens.likely == 100_000
    assert costs.input_tokens.low == pytest.approx(100_000 * (1 - share), abs=1)
    assert costs.input_tokens.high == pytest.approx(100_000 * (1 + share), abs=1)


def test_what_bedrock_counted_wins_over_history():
    costs = costs_of(estimate(input_factor=3.0), counted=Counted(records=10, tokens=1_500, estimated=1_000.0))

    assert (costs.input_from, costs.input_tokens.likely) == ("count_tokens", 150_000)


def test_rows_that_are_not_sent_cost_nothing():
    assert costs_of(estimate(rows_unsent=400)).input_tokens.likely == 60_000


def test_without_history_the_bound_is_the_high_and_nothing_is_likely():
    costs = costs_of(estimate(output_from="max_tokens", output_tokens=1_000_000))

    assert (costs.output_tokens.low, costs.output_tokens.likely, costs.output_tokens.high) == (1_000, None, 1_000_000)
    assert costs.ways[0].dollars.likely is None
    assert any("--answer-tokens" in note for note in costs.notes)


def test_who_asks_may_say_how_long_an_answer_is_but_not_beyond_the_bound():
    bound = estimate(output_from="max_tokens", output_tokens=40_000)

    assert costs_of(bound, answer_tokens=30).output_tokens.likely == 30_000
    assert costs_of(bound, answer_tokens=30).output_tokens.high == 37_500
    assert costs_of(bound, answer_tokens=90).output_tokens.high == 40_000
    assert costs_of(estimate(), answer_tokens=90).output_tokens.likely == 90_000


def test_each_way_has_its_price_and_one_is_the_runs():
    costs = costs_of(estimate())
    dollars = {way.name: way.dollars.likely for way in costs.ways}

    assert dollars == {"batch": pytest.approx(0.04375), "on_demand": pytest.approx(0.0875)}
    assert [way.name for way in costs.ways if way.usual] == ["batch"]
    for way in costs.ways:
        assert way.dollars.low < way.dollars.likely < way.dollars.high


def test_flex_stands_where_the_model_has_it_and_costs_what_batch_costs():
    costs = costs_of(estimate(model_id="deepseek.v3.2", on_demand_rows=1_000))
    ways = {way.name: way for way in costs.ways}

    assert ways["flex"].dollars == ways["batch"].dollars
    assert ways["on_demand"].dollars.likely == pytest.approx(2 * ways["batch"].dollars.likely)
    assert [way.name for way in costs.ways if way.usual] == ["flex"]


def test_embeddings_answer_no_tokens():
    costs = costs_of(estimate(model_id="amazon.titan-embed-text-v2:0", output_tokens=0, output_from="none"))

    assert costs.output_tokens.high == 0
    assert costs.ways[0].dollars.likely == pytest.approx(0.001)


def test_what_has_no_price_or_no_text_has_no_dollars():
    assert costs_of(estimate(model_id="cohere.command-r-v1:0")).ways == ()
    unknown = costs_of(estimate(tokens=None, input_tokens=None))
    assert (unknown.input_tokens, unknown.input_from, unknown.ways) == (None, None, ())
