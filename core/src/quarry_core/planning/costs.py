"""What a planned run costs, low, likely and high, by each way that Bedrock can be asked. Pure.

Theory of operation. The plan says how many records there are and about how many LLM tokens each has (`estimate`). How far
that may be off depends on what it is known from, best first: records that CountTokens counted, what the model has counted
here, the model's own tokenizer, another's. Answers are known from what the model has answered here, or from whoever asks;
before that only their bound is. So `likely` may be unknown where `high` is sure, and nobody invents it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from quarry_core.models import makes_embeddings
from quarry_core.models.money import DOLLARS_DIGITS
from quarry_core.models.on_demand import FLEX, tier_of
from quarry_core.models.prices import Price, on_demand_price_of, price_of, table
from quarry_core.planning.estimate import Estimate

# How far the input tokens may be off beside what a sample misses, as shares: docs/planning.md has the measurements.
COUNTED_SHARE = 0.05
HISTORY_SHARE = 0.05
OWN_TOKENIZER_SHARE = 0.15
OTHER_TOKENIZER_SHARE = 0.25
# How far the mean length of answers may be from that of earlier runs: an assumption, for sums tell no spread.
ANSWERS_SHARE = 0.25

InputFrom = Literal["count_tokens", "history", "own_tokenizer", "other_tokenizer"]
OutputFrom = Literal["history", "given", "max_tokens", "none"]
WayName = Literal["batch", "flex", "on_demand"]


@dataclass(frozen=True, slots=True)
class Counted:
    """Of a few records: LLM tokens as CountTokens counts them, and as they were estimated."""

    records: int
    tokens: int
    estimated: float


class Range(BaseModel):
    """`likely` is None where nothing but the bounds is known."""

    model_config = ConfigDict(frozen=True)

    low: float
    likely: float | None
    high: float


class Way(BaseModel):
    """US dollars of the whole run, asked this way. `usual`: the way that the run would go."""

    model_config = ConfigDict(frozen=True)

    name: WayName
    dollars: Range
    usual: bool


class Costs(BaseModel):
    """What `quarry estimate --json` prints as `costs`. None where tokens, or the model's price, are not known."""

    model_config = ConfigDict(frozen=True)

    records: int
    input_tokens: Range | None
    input_from: InputFrom | None
    output_tokens: Range | None
    output_from: OutputFrom
    ways: tuple[Way, ...]
    prices_as_of: str
    notes: tuple[str, ...] = ()


def costs_of(estimate: Estimate, *, counted: Counted | None = None, answer_tokens: int | None = None) -> Costs:
    """Put a plan's figures into ranges, and dollars on them.

    Args:
        estimate: of the plan.
        counted: a few of its records, counted by the model.
        answer_tokens: about how long an answer is, from whoever asks; it wins over history.
    """
    records = estimate.rows_planned - estimate.rows_unsent
    source, tokens_in = _input(estimate, records, counted)
    output_from, tokens_out = _output(estimate, records, answer_tokens)
    notes = []
    if output_from == "max_tokens":
        notes.append(
            "no answer of this model has been counted here yet, so output tokens are known by their bound alone: lower"
            " max_tokens, or say --answer-tokens"
        )
    ways: list[Way] = []
    if tokens_in is not None and tokens_out is not None:
        usual = _usual(estimate)
        for name, price in _prices(estimate.model_id).items():
            ways.append(Way(name=name, dollars=_dollars(price, tokens_in, tokens_out), usual=name == usual))
    if not ways and tokens_in is not None:
        notes.append(f"the table of prices has no {estimate.model_id}: no cost is estimated")
    return Costs(
        records=records,
        input_tokens=tokens_in,
        input_from=source,
        output_tokens=tokens_out,
        output_from=output_from,
        ways=tuple(ways),
        prices_as_of=table().as_of,
        notes=tuple(notes),
    )


def _input(estimate: Estimate, records: int, counted: Counted | None) -> tuple[InputFrom | None, Range | None]:
    tokens = estimate.tokens
    if tokens is None:
        return None, None
    source: InputFrom
    factor = estimate.input_factor
    if counted is not None and counted.records and counted.estimated > 0:
        source, share, factor = "count_tokens", COUNTED_SHARE, counted.tokens / counted.estimated
    elif estimate.factor_records:
        source, share = "history", HISTORY_SHARE
    elif tokens.own:
        source, share = "own_tokenizer", OWN_TOKENIZER_SHARE
    else:
        source, share = "other_tokenizer", OTHER_TOKENIZER_SHARE
    likely = tokens.mean * factor * records
    off = min(share + 2 * tokens.uncertainty, 1.0)
    return source, Range(low=round(likely * (1 - off)), likely=round(likely), high=round(likely * (1 + off)))


def _output(estimate: Estimate, records: int, answer_tokens: int | None) -> tuple[OutputFrom, Range | None]:
    if makes_embeddings(estimate.model_id):
        return "none", Range(low=0, likely=0, high=0)
    known = estimate.output_tokens
    if known is None:
        return "none", None
    source: OutputFrom
    bound = known if estimate.output_from == "max_tokens" else None
    likely, source = known, "history"
    if answer_tokens is not None:
        source, likely = "given", answer_tokens * records if bound is None else min(answer_tokens * records, bound)
    elif bound is not None:
        return "max_tokens", Range(low=records, likely=None, high=bound)
    high = likely * (1 + ANSWERS_SHARE)
    return source, Range(
        low=round(likely * (1 - ANSWERS_SHARE)), likely=likely, high=round(high if bound is None else min(high, bound))
    )


def _usual(estimate: Estimate) -> WayName:
    if not estimate.on_demand_rows:
        return "batch"
    return "flex" if tier_of(estimate.model_id) == FLEX else "on_demand"


def _prices(model_id: str) -> dict[WayName, Price]:
    batch, on_demand = price_of(model_id), on_demand_price_of(model_id)
    flex = on_demand_price_of(model_id, FLEX) if tier_of(model_id) == FLEX else None
    known: tuple[tuple[WayName, Price | None], ...] = (("batch", batch), ("flex", flex), ("on_demand", on_demand))
    return {name: price for name, price in known if price is not None}


def _dollars(price: Price, tokens_in: Range, tokens_out: Range) -> Range:
    def of(inside: float | None, outside: float | None) -> float | None:
        if inside is None or outside is None:
            return None
        return round((inside * price.input + outside * price.output) / 1_000_000, DOLLARS_DIGITS)

    low, high = of(tokens_in.low, tokens_out.low), of(tokens_in.high, tokens_out.high)
    assert low is not None
    assert high is not None
    return Range(low=low, likely=of(tokens_in.likely, tokens_out.likely), high=high)
