"""Reasoning that a model writes into its answer, before it: it is no part of the answer. Pure.

gpt-oss opens its text with `<reasoning>` (contract section 12), and so does Kimi K2 Thinking (by LiteLLM 1.110.2's
reader for it). Only a block at the very beginning is taken for it: further on, it is what the model says.
"""

from __future__ import annotations

_OPENS, _CLOSES = "<reasoning>", "</reasoning>"


def without_reasoning(text: str) -> str:
    """The text behind the reasoning; empty if the model was cut off before it had begun to answer."""
    begun = text.lstrip()
    if not begun.startswith(_OPENS):
        return text
    return begun.partition(_CLOSES)[2].lstrip()
