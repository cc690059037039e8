"""Meta Llama, by Converse, which puts the model's chat template around the messages.

The longest answer that each Llama on Bedrock writes: AWS's page on its parameters (`max_gen_len`).
"""

from __future__ import annotations

from collections.abc import Mapping

from quarry_core.models.by_converse import ALIASES, RULES, ByConverse
from quarry_core.models.inference import Rule, Whole

_RULES: Mapping[str, Rule] = {**RULES, "max_tokens": Whole(1, 8_192)}


class Llama(ByConverse):
    """The adapter."""

    name: str = "llama"
    version: str = "1"
    rules: Mapping[str, Rule] = _RULES
    aliases: Mapping[str, str] = {**ALIASES, "max_gen_len": "max_tokens"}
