"""Models whose own form is OpenAI's: gpt-oss and GPT, Qwen, DeepSeek, Kimi, GLM, MiniMax, Gemma, Nemotron; by Converse.

`effort` (LiteLLM 1.110.2, which calls Bedrock so): `reasoning_effort` for gpt-oss and DeepSeek V3, `reasoning.effort` for
GPT; no name for it is known of the others. GPT-6 takes no sampling parameters (`supports_sampling_params` there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quarry_core.models.by_converse import ALIASES, RULES, ByConverse
from quarry_core.models.content import Texts, text_answer
from quarry_core.models.family import Answer
from quarry_core.models.inference import Rule, Word
from quarry_core.models.reasoning import without_reasoning

_EFFORTS = ("low", "medium", "high")
_GPT_EFFORTS = ("none", *_EFFORTS, "xhigh", "max")
_NO_SAMPLING = "openai.gpt-6"


_TEXT_ONLY = (
    "openai.gpt-oss",
    "deepseek.",
    "qwen.qwen3-2",
    "qwen.qwen3-3",
    "qwen.qwen3-coder",
    "qwen.qwen3-next",
    "zai.glm-4.7",
    "zai.glm-5",
    "minimax.minimax-m2",
    "moonshot.kimi-k2-thinking",
    "moonshotai.kimi-k2-thinking",
    "nvidia.nemotron-nano-3-",
    "nvidia.nemotron-nano-9b",
    "nvidia.nemotron-super-3-",
)


class OpenWeights(ByConverse):
    """The adapter of those of which no name for `effort` is known."""

    name: str = "open-weights"
    version: str = "1"
    text_only: tuple[str, ...] = _TEXT_ONLY
    aliases: Mapping[str, str] = {**ALIASES, "max_completion_tokens": "max_tokens", "reasoning_effort": "effort"}

    def answer(self, output: Any) -> Answer:
        """As Converse's; reasoning at the beginning of the text is no part of the answer either."""
        answer = super().answer(output)
        text = without_reasoning(answer.text or "")
        counts = (answer.input_tokens, answer.output_tokens)
        return text_answer(text, answer.stop_reason, *counts, place=" behind its reasoning")

    def texts(self, outputs: Sequence[Any]) -> Texts | None:
        """As Converse's, and as `answer`."""
        said = super().texts(outputs)
        return None if said is None else said._replace(texts=[without_reasoning(text or "") for text in said.texts])


class Reasoning(OpenWeights):
    """gpt-oss and DeepSeek V3."""

    name: str = "open-weights-reasoning"
    rules: Mapping[str, Rule] = {**RULES, "effort": Word(_EFFORTS)}

    def more(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"reasoning_effort": given["effort"]} if "effort" in given else {}


class Gpt(OpenWeights):
    """GPT-5 and later."""

    name: str = "gpt"
    rules: Mapping[str, Rule] = {**RULES, "effort": Word(_GPT_EFFORTS)}

    def more(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"reasoning": {"effort": given["effort"]}} if "effort" in given else {}

    def check_model(self, given: Mapping[str, Any], model: str) -> None:
        sampling = [name for name in ("temperature", "top_p") if name in given]
        if sampling and model.startswith(_NO_SAMPLING):
            raise ValueError(f"inference: {model} does not accept {sampling[0]} (as of 2026-11): leave it out")
