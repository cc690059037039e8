"""Amazon Nova, by Converse.

`top_k` and the reasoning of Nova 2 stand in `additionalModelRequestFields` (promptfoo#6531, inspect_ai#3939: Nova
refuses `top_k` at the top of it); with the effort `high` Nova refuses `maxTokens` (inspect_ai#3767) and sampling.

A schema is asked for by a tool that must be called, which is what Nova's user guide advises (its page on tool choice); no
page names another way. A batch takes tools by InvokeModel, whose form for Nova is that of Converse (contract 4.1, 4.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quarry_core.models.by_converse import ALIASES, RULES, ByConverse, no_claude
from quarry_core.models.family import AnswerReader, Carrier, OutputMode
from quarry_core.models.inference import Rule, Whole, Word

_RULES: Mapping[str, Rule] = {**RULES, "top_k": Whole(0, 128), "effort": Word(("low", "medium", "high"))}
_REASONS = "amazon.nova-2"


class Nova(ByConverse):
    """The adapter. InvokeModel answers in the form of Converse."""

    name: str = "nova"
    version: str = "1"
    rules: Mapping[str, Rule] = _RULES
    text_only: tuple[str, ...] = ("amazon.nova-micro",)
    aliases: Mapping[str, str] = {**ALIASES, "topK": "top_k", "max_new_tokens": "max_tokens"}

    @property
    def invoked(self) -> AnswerReader:
        return self

    def carriers(self, model: str) -> Mapping[OutputMode, Carrier]:
        """A forced tool, or words."""
        del model
        return {"tool": "tool_config", "instruction": "prompt"}

    def config(self, given: Mapping[str, Any]) -> dict[str, Any]:
        config = super().config(given)
        if given.get("effort") == "high":
            config.pop("maxTokens")
        return config

    def more(self, given: Mapping[str, Any]) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if "top_k" in given:
            more["inferenceConfig"] = {"topK": given["top_k"]}
        if "effort" in given:
            more["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": given["effort"]}
        return more

    def check_inference(self, inference: Mapping[str, Any], model: str = "", *, whole: bool = True) -> None:
        super().check_inference(inference, model, whole=whole)
        if inference.get("effort") == "high":
            names = {self.aliases.get(key, key): key for key in inference}
            for name in ("max_tokens", "temperature", "top_p"):
                if name in names:
                    raise ValueError(
                        f"inference: Nova refuses {names[name]} beside the effort high: leave {names[name]} out,"
                        " or set effort to medium"
                    )

    def check_model(self, given: Mapping[str, Any], model: str) -> None:
        if "effort" in given and not model.startswith(_REASONS):
            raise ValueError(f"inference: {model} does not reason, Nova 2 does: leave effort out")

    def check_body(self, body: Mapping[str, Any], model: str = "") -> None:
        del model
        no_claude(body)
        if not isinstance(body.get("messages"), list):
            raise ValueError('messages is not there: add "messages": […]')  # noqa: TRY004 - one class for all refusals
