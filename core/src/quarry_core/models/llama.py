"""Meta Llama, by Converse, which puts the model's chat template around the messages.

The longest answer that each Llama on Bedrock writes: AWS's page on its parameters (`max_gen_len`).
"""

from __future__ import annotations

from collections.abc import Mapping

from quarry_core.models.by_converse import ALIASES, RULES, ByConverse
from quarry_core.models.inference import Rule, Whole

_RULES: Mapping[str, Rule] = {**RULES, "max_tokens": Whole(1, 8_192)}

# Of Llama 3 only 3.2 11B and 90B see; all of Llama 4 do.
_TEXT_ONLY = (
    "meta.llama2",
    "meta.llama3-8b",
    "meta.llama3-70b",
    "meta.llama3-1-",
    "meta.llama3-2-1b",
    "meta.llama3-2-3b",
    "meta.llama3-3-",
)


class Llama(ByConverse):
    """The adapter."""

    name: str = "llama"
    version: str = "1"
    rules: Mapping[str, Rule] = _RULES
    text_only: tuple[str, ...] = _TEXT_ONLY
    aliases: Mapping[str, str] = {**ALIASES, "max_gen_len": "max_tokens"}
