"""What Claude's newer models refuse of a body that older ones take, and how much each model writes at most. Pure.

A record that asks for it fails at Bedrock, and so does every other of the run: each is a 400 in a job that is
`Completed` (contract section 2, trap 1). A model that stands in no table here is not held against it, since newer
ones come faster than tables; what a table says of versions is said of those that are numbered so.

Sources, read 2026-11-30:

* `temperature` and `top_p`: the Bedrock user guide's page on Claude's Messages API names Sonnet 4.5 and Haiku 4.5
  ("either ... but not both"); live refusals of Opus 4.1 (open-webui/pipelines#546), Haiku 4.5
  (aws-samples/bedrock-access-gateway#191), Opus 4.6 (iOfficeAI/gemini-cli-pro#38) and contract section 12.
* no sampling parameters at all: AWS's model card of Opus 4.7 (by aws-samples/bedrock-chat#1102), and
  `supports_sampling_params: false` of Opus 4.7 and later, Sonnet 5 and Haiku 5.5 in LiteLLM 1.110.2's table.
* most tokens: the same table's `max_output_tokens` of Bedrock's ids; 3.7 Sonnet by the user guide's page on it.
* structured outputs: the user guide's page on them (Haiku, Sonnet and Opus 4.5 and later); tools: its page on Claude's
  tool use (Claude 3 and later), and contract section 4.1 for batches.
* thinking: the user guide's page on extended thinking (models from 3.7 on; a budget under `max_tokens`; no change
  of temperature, top_p or top_k), and its refusal by Bedrock (anthropics/claude-code#8756).
* effort, adaptive thinking, and which models take no budget any more: LiteLLM's table again (`supports_output_config`,
  `supports_adaptive_thinking`, `supports_legacy_thinking`, and its ceilings of `effort` on Bedrock).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

AS_OF = "2026-11"
# The first version that refuses, by line; `opus 4.1` stands before the rest of its generation.
_NOT_BOTH_FROM = {"opus": (4, 1), "sonnet": (4, 5), "haiku": (4, 5)}
_NO_SAMPLING_FROM = {"opus": (4, 7), "sonnet": (5, 0), "haiku": (5, 5)}
_EFFORT_FROM = {"opus": (4, 5), "sonnet": (4, 6), "haiku": (5, 5)}
_XHIGH_FROM = {"opus": (4, 7), "sonnet": (5, 0), "haiku": (5, 5)}
_MAX_FROM = {"opus": (4, 6), "sonnet": (4, 6), "haiku": (5, 5)}
_ADAPTIVE_FROM = {"opus": (4, 6), "sonnet": (4, 6), "haiku": (5, 5)}
# The version that thinks by `effort` alone, without a budget.
_NO_BUDGET_FROM = {"opus": (4, 7), "sonnet": (5, 0), "haiku": (5, 5)}
_SAMPLING = ("temperature", "top_p", "top_k")
_NO_THINKING = (
    "anthropic.claude-3-haiku-",
    "anthropic.claude-3-sonnet-",
    "anthropic.claude-3-opus-",
    "anthropic.claude-3-5-",
)
# Older than all that is numbered by line.
_OLD = ("anthropic.claude-3-", "anthropic.claude-v", "anthropic.claude-instant")
_NO_TOOLS = ("anthropic.claude-v", "anthropic.claude-instant")
_NO_SCHEMAS = (*_OLD, "anthropic.claude-sonnet-4-2", "anthropic.claude-opus-4-2", "anthropic.claude-opus-4-1")

# Tokens of one answer, thinking included; by the beginning of the model's id, the longest that fits.
TOKENS_MAX: Mapping[str, int] = {
    "anthropic.claude-3-haiku-": 4_096,
    "anthropic.claude-3-sonnet-": 4_096,
    "anthropic.claude-3-opus-": 4_096,
    # 4,096 in the table, 8,192 by Anthropic: the larger, so that nothing is refused that works.
    "anthropic.claude-3-5-sonnet-": 8_192,
    "anthropic.claude-3-5-haiku-": 8_192,
    "anthropic.claude-3-7-sonnet-": 128_000,
    "anthropic.claude-sonnet-4-2": 64_000,
    "anthropic.claude-opus-4-2": 32_000,
    "anthropic.claude-opus-4-1": 32_000,
    "anthropic.claude-sonnet-4-5": 64_000,
    "anthropic.claude-haiku-4-5": 64_000,
    "anthropic.claude-opus-4-5": 64_000,
    # 64,000 in the table, 128,000 for the API of the same generation: the larger again.
    "anthropic.claude-sonnet-4-6": 128_000,
    "anthropic.claude-opus-4-6": 128_000,
    "anthropic.claude-opus-4-7": 128_000,
    "anthropic.claude-opus-4-8": 128_000,
    "anthropic.claude-sonnet-5": 128_000,
    "anthropic.claude-opus-5": 128_000,
    "anthropic.claude-haiku-5-5": 128_000,
    "anthropic.claude-fable-5": 128_000,
}
# A minor version has one digit or two; eight are a date.
_VERSION = re.compile(
    r"anthropic\.claude-(?P<line>opus|sonnet|haiku)-(?P<major>\d{1,2})(?:-(?P<minor>\d{1,2}))?(?![0-9])"
)


def tokens_max(model: str) -> int | None:
    """Most tokens that a model writes into one answer; None if it is not known here."""
    known = [beginning for beginning in TOKENS_MAX if model.startswith(beginning)]
    return TOKENS_MAX[max(known, key=len)] if known else None


def follows_schemas(model: str) -> bool:
    """Whether Bedrock enforces a JSON Schema on a model's answers."""
    return not model.startswith(_NO_SCHEMAS)


def calls_tools(model: str) -> bool:
    """Whether a model can be made to call a tool."""
    return not model.startswith(_NO_TOOLS)


def check_claude(model: str, inference: Mapping[str, Any], max_tokens_default: int | None) -> None:
    """Refuse parameters that each stand for themselves, and not together or not with this model.

    Args:
        model: as `canonical_model` names it.
        inference: has passed the family's own check.
        max_tokens_default: what is sent where `inference` has none; None: not known yet, a prompt may give it.

    Raises:
        ValueError: names the parameters, the model, and what to leave out.
    """
    most, asked = tokens_max(model), inference.get("max_tokens", max_tokens_default)
    if most is not None and asked is not None and asked > most:
        raise ValueError(
            f"inference: max_tokens is {asked}, and {model} writes at most {most} tokens (as of {AS_OF}): set it to {most}"
            " or less"
        )
    sampling = [name for name in _SAMPLING if name in inference]
    if sampling and _from(model, _NO_SAMPLING_FROM):
        it = "it" if len(sampling) == 1 else "them"
        raise ValueError(f"inference: {model} does not accept {' or '.join(sampling)} (as of {AS_OF}): leave {it} out")
    if "temperature" in inference and "top_p" in inference and _from(model, _NOT_BOTH_FROM):
        raise ValueError(
            f"inference: {model} refuses temperature and top_p together (as of {AS_OF}): leave one of them out"
        )
    effort = inference.get("effort")
    if effort is not None:
        _check_effort(model, effort)
    thinking = inference.get("thinking")
    if thinking is not None and thinking["type"] == "adaptive" and _before(model, _ADAPTIVE_FROM):
        raise ValueError(
            f"inference: {model} does not decide itself how long it thinks (as of {AS_OF}):"
            ' set thinking to {"type": "enabled", "budget_tokens": N}'
        )
    if thinking is not None and thinking["type"] == "enabled":
        if _from(model, _NO_BUDGET_FROM):
            raise ValueError(
                f"inference: {model} takes no budget for thinking (as of {AS_OF}):"
                ' set thinking to {"type": "adaptive"}, and effort'
            )
        _check_thinking(model, thinking["budget_tokens"], asked, inference)


def _check_effort(model: str, effort: str) -> None:
    if _before(model, _EFFORT_FROM):
        raise ValueError(f"inference: {model} does not know effort (as of {AS_OF}): leave effort out")
    for word, first in (("xhigh", _XHIGH_FROM), ("max", _MAX_FROM)):
        if effort == word and _before(model, first):
            raise ValueError(
                f"inference: {model} does not know the effort {word} (as of {AS_OF}): set effort to high or less"
            )


def _check_thinking(model: str, budget: int, max_tokens: int | None, inference: Mapping[str, Any]) -> None:
    if model.startswith(_NO_THINKING):
        raise ValueError(f"inference: {model} does not support thinking: leave thinking out")
    if max_tokens is not None and budget >= max_tokens:
        raise ValueError(
            f"inference: thinking.budget_tokens is {budget}, and must be less than max_tokens, which is {max_tokens}"
        )
    changed = [name for name in _SAMPLING if name in inference and (name, inference[name]) != ("temperature", 1)]
    if changed:
        raise ValueError(f"inference: {' and '.join(changed)} cannot be set together with thinking: leave one out")


def _before(model: str, first: Mapping[str, tuple[int, int]]) -> bool:
    """Whether a model is known to be older than `first`; one without a version in its name is not."""
    if model.startswith(_OLD):
        return True
    return _VERSION.match(model) is not None and not _from(model, first)


def _from(model: str, first: Mapping[str, tuple[int, int]]) -> bool:
    version = _VERSION.match(model)
    if version is None:
        return False
    return (int(version["major"]), int(version["minor"] or 0)) >= first[version["line"]]
