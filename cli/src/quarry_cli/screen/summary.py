"""The end of `quarry run`: which model, which rows, how many tokens, what it cost, where it is. Pure."""

from __future__ import annotations

from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.client.submission.one_call import Sent
from quarry_cli.screen.wording import dollars, plain
from quarry_core.models.aliases import alias_table

MODEL_CHARS_MAX = 300


def model_of(sent: Sent) -> str:
    """`us.anthropic.claude-haiku-4-5-20251001-v1:0 (haiku, by the aliases of 2026-11-30)`."""
    named = plain(sent.model_id, MODEL_CHARS_MAX)
    return f"{named} ({plain(sent.alias)}, by the aliases of {alias_table().as_of})" if sent.alias else named


def source_of(sent: Sent) -> str:
    if not sent.files:
        return ", ".join(plain(uri) for uri in sent.source)
    files = "1 file" if sent.files == 1 else f"{sent.files:,} files"
    there = sent.files - sent.uploaded
    if not there:
        return f"{files}, uploaded"
    return f"{files}, {there:,} of them in the bucket already" if sent.uploaded else f"{files}, in the bucket already"


def tokens_of(view: RunView) -> str:
    if view.spent is None:
        return "none"
    return f"{view.spent.input_tokens:,} in, {view.spent.output_tokens:,} out"


def cost_of(view: RunView, *, simulated: bool) -> str:
    """What the tokens cost. What a simulated Bedrock counts is nothing that anybody pays."""
    spent = view.spent
    if spent is None:
        return "$0"
    if spent.dollars is None:
        known = f"not known: the table of prices of {spent.prices_as_of} does not have the model"
        return f"$0, for Bedrock is simulated here ({known})" if simulated else known
    amount = f"{dollars(spent.dollars)} by the prices of {spent.prices_as_of}"
    return f"$0, for Bedrock is simulated here; as many tokens of the real one cost {amount}" if simulated else amount
