"""An estimate as people read it: tokens and dollars as ranges, one line for each way to ask. Pure but for the tables."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from quarry_cli.client.submission.consent import usual_way
from quarry_cli.screen.plans import NOTE_CHARS_MAX, plan_lines
from quarry_cli.screen.wording import plain
from quarry_core.models.money import dollars
from quarry_core.planning.costs import Costs, Range
from quarry_core.planning.estimate import Estimate

_FROM = {
    "count_tokens": "counted by Bedrock on a sample",
    "history": "by what the model has counted here",
    "own_tokenizer": "estimated by the model's own tokenizer",
    "other_tokenizer": "estimated by another model's tokenizer",
    "given": "as you say",
    "max_tokens": "the bound is max_tokens",
    "none": "",
}
_WAYS = {"batch": "batch", "flex": "on demand, tier flex", "on_demand": "on demand"}
# What the ranges say better.
_SHOWN_AS_RANGES = ("tokens", "cost")


def estimate_lines(estimate: Estimate, costs: Costs) -> list[tuple[str, str]]:
    """Rows, shards and time of the plan, with the tokens as ranges."""
    lines = []
    for word, text in plan_lines(estimate):
        if word not in (*_SHOWN_AS_RANGES, "note"):
            lines.append((word, text))
    if costs.input_tokens is not None:
        lines.append(("tokens in", _tokens(costs.input_tokens, _FROM[costs.input_from or "none"])))
    if costs.output_tokens is not None and costs.output_tokens.high:
        lines.append(("tokens out", _tokens(costs.output_tokens, _FROM[costs.output_from])))
    return lines


def consent_lines(estimate: Estimate, costs: Costs) -> list[tuple[str, str]]:
    """What somebody has to know who is asked whether a call may be paid for: rows, jobs, time, dollars as the run would go."""
    kept = ("rows", "left out", "not sent", "shards", "time")
    lines = [(word, text) for word, text in plan_lines(estimate) if word in kept]
    way = usual_way(costs)
    if way is None:
        return [*lines, ("cost", "not known")]
    low, likely, high = (
        "not known" if each is None else dollars(each)
        for each in (way.dollars.low, way.dollars.likely, way.dollars.high)
    )
    amounts = f"{low} to {high}" if way.dollars.likely is None else f"about {likely} ({low} to {high})"
    bound = "; the most is what max_tokens allows" if costs.output_from == "max_tokens" else ""
    return [*lines, ("cost", f"{amounts}, {_WAYS[way.name]}, prices of {costs.prices_as_of}{bound}")]


def notes_of(estimate: Estimate, costs: Costs) -> list[str]:
    """What is to be said beside, each once."""
    noted = [note for note in estimate.notes if not note.startswith("no answer of this model")]
    return list(dict.fromkeys([*noted, *costs.notes]))


def estimate_table(estimate: Estimate, costs: Costs) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for word, text in estimate_lines(estimate, costs):
        table.add_row(Text(word, style="dim"), Text(plain(text, NOTE_CHARS_MAX)))
    return table


def ways_table(costs: Costs) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("asked", "low", "likely", "high", ""):
        table.add_column(title, justify="left" if title in ("asked", "") else "right")
    for way in costs.ways:
        cells = (way.dollars.low, way.dollars.likely, way.dollars.high)
        amounts = ["not known" if amount is None else dollars(amount) for amount in cells]
        table.add_row(_WAYS[way.name], *amounts, "this run" if way.usual else "", style="bold" if way.usual else "")
    return table


def _tokens(tokens: Range, source: str) -> str:
    between = f"{tokens.low:,.0f} to {tokens.high:,.0f}"
    text = between if tokens.likely is None else f"about {tokens.likely:,.0f} ({between})"
    return f"{text}, {source}" if source else text
