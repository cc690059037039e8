"""Any model that chats, asked by Converse: one body for all of them (contract section 4.2).

This is the family of each model that no other one claims, and what the families build on that only name their models'
words. What Converse has no field for goes into `additionalModelRequestFields`, where a family knows the model's own
name for it, or the user gives it as it is.

Ranges: the service model's (botocore 1.44.5, bedrock-runtime, InferenceConfiguration).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quarry_core.images.header import ImageFormat
from quarry_core.images.limits import ImageLimits
from quarry_core.models.claude_rules import follows_schemas
from quarry_core.models.converse import Converse
from quarry_core.models.family import AnswerReader, Carrier, ImageContent, Invocation, OutputMode, Turn
from quarry_core.models.inference import Fields, Number, Rule, Stops, Whole, as_list, check_against, plainly
from quarry_core.models.invoked import INVOKED

# Sent where nothing else is asked for: without it a model may write its most, which reserves as much of the quota.
MAX_TOKENS_DEFAULT = 1_024
MORE = "additionalModelRequestFields"
_RULES: Mapping[str, Rule] = {
    "max_tokens": Whole(1, 1_000_000),
    "temperature": Number(0, 1),
    "top_p": Number(0, 1),
    "stop": Stops(2_500),
    MORE: Fields(16_384),
}
RULES = _RULES
ALIASES: Mapping[str, str] = {
    "maxTokens": "max_tokens",
    "topP": "top_p",
    "stopSequences": "stop",
    "stop_sequences": "stop",
}
_PLACES = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP", "stop": "stopSequences"}
_NO_TOOLS = "batch inference refuses tools in requests by Converse"
NEVER = {
    "system": "it is the prompt's own field `system`",
    "messages": "they are made from the prompt's template, and examples are its own field `messages`",
    "model": "it is the manifest's model_id",
    "modelId": "it is the manifest's model_id",
    "stream": "batch inference does not stream",
    "toolConfig": _NO_TOOLS,
    "tools": _NO_TOOLS,
    "tool_choice": _NO_TOOLS,
}

# Besides Claude: the providers of open-weight models that AWS's user guide names on its page on structured output.
_FOLLOW_SCHEMAS = (
    "openai.",
    "qwen.",
    "deepseek.",
    "mistral.",
    "google.gemma",
    "nvidia.",
    "minimax.",
    "moonshot",
)


_IMAGES = ImageLimits()


def _block(kind: ImageFormat, data: str) -> dict[str, Any]:
    return {"image": {"format": kind, "source": {"bytes": data}}}


class ByConverse(Converse):
    """The adapter. A family of its own says in `rules`, `aliases` and `more` what its models know besides.

    Attributes:
        text_only: how the ids of models begin that are known to take no images (LiteLLM 1.110.2 and AWS's table of models;
            where they differ or are silent, a model is asked, and Bedrock's own refusal costs nothing).
    """

    version: str = "2"
    invocation: Invocation = "Converse"
    rules: Mapping[str, Rule] = _RULES
    aliases: Mapping[str, str] = ALIASES
    text_only: tuple[str, ...] = ()

    @property
    def invoked(self) -> AnswerReader:
        """InvokeModel answers in the model's own form."""
        return INVOKED

    def body(
        self, text: str, *, system: str | None, inference: Mapping[str, Any], turns: Sequence[Turn] = ()
    ) -> dict[str, Any]:
        given = plainly(inference, self.aliases)
        more = {**self.more(given), **given.get(MORE, {})}
        config = self.config(given)
        body: dict[str, Any] = {"inferenceConfig": config} if config else {}
        if more:
            # In one order, whatever order the manifest had: the same run must write the same bytes.
            body[MORE] = {key: more[key] for key in sorted(more)}
        if system is not None:
            body["system"] = [{"text": system}]
        said = [*turns, Turn("user", text)]
        body["messages"] = [{"role": turn.role, "content": [{"text": turn.text}]} for turn in said]
        return body

    def config(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """`inferenceConfig`; the parameters are by the words of `rules`."""
        given = {"max_tokens": MAX_TOKENS_DEFAULT, **given}
        config = {_PLACES[name]: given[name] for name in _PLACES if name in given}
        if "stop" in given:
            config["stopSequences"] = as_list(given["stop"])
        return config

    def more(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the model knows of `given` and Converse has no field for, by the model's own names."""
        del given
        return {}

    def check_inference(self, inference: Mapping[str, Any], model: str = "", *, whole: bool = True) -> None:
        del whole
        never = NEVER if "effort" in self.rules else {**NEVER, "effort": _no_effort(self.name)}
        check_against(self.rules, never, inference, self.name, self.aliases)
        given = plainly(inference, self.aliases)
        for name in self.more(given):
            if name in given.get(MORE, {}):
                raise ValueError(f"inference: {MORE}.{name} is set by another parameter too: give one of them")
        if model:
            self.check_model(given, model)

    def check_model(self, given: Mapping[str, Any], model: str) -> None:
        """Refuse parameters that one model of the family does not take; by the words of `rules`. Raises ValueError."""

    def carriers(self, model: str) -> Mapping[OutputMode, Carrier]:
        """`outputConfig.textFormat` where Bedrock enforces it, else words: a batch fails records with `toolConfig`."""
        follows = follows_schemas(model) if model.startswith("anthropic.") else model.startswith(_FOLLOW_SCHEMAS)
        return {"native": "text_format", "instruction": "prompt"} if follows else {"instruction": "prompt"}

    def images(self, model: str) -> ImageContent | None:
        return None if model.startswith(self.text_only) else ImageContent(_IMAGES, _block)

    def own_form(self, body: dict[str, Any]) -> dict[str, Any]:
        """What Converse has beside its own fields stands among the model's own."""
        own = {name: value for name, value in body.items() if name != MORE}
        for name, value in body.get(MORE, {}).items():
            there = own.get(name)
            own[name] = {**there, **value} if isinstance(there, dict) and isinstance(value, dict) else value
        return own

    def check_body(self, body: Mapping[str, Any], model: str = "") -> None:
        del model
        no_claude(body)
        if "inferenceConfig" in body:
            raise ValueError(
                "inferenceConfig belongs to Converse, and the requests are sent by InvokeModel: write the model's own form"
            )
        if not {"messages", "prompt", "message"} & body.keys():
            raise ValueError('neither messages nor prompt is there: write the model\'s own form, as "messages": […]')


def no_claude(body: Mapping[str, Any]) -> None:
    """Refuse a body that was written for Claude. Raises ValueError."""
    if "anthropic_version" in body:
        raise ValueError("anthropic_version belongs to Claude's form: write the form of the model that model_id names")


def _no_effort(family: str) -> str:
    return f"no field for it is known of {family}; if the model has one, give it in {MORE}"
