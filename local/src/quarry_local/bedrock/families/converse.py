"""Converse: one body for every chat model, when the job's `modelInvocationType` is Converse (contract section 4.2). Pure.

The ranges are those of the operation's model. `modelId` is no field of a record (contract section 4.1). In batch a record
with `toolConfig` fails, as one with the blocks of tools does; a structured output is given (contract section 4.1). Prompt
caching, a guardrail, a service tier and variables of a stored prompt are taken and do nothing.
"""

from typing import Annotated, Literal

import msgspec

from quarry_local.bedrock.families import spec_tools
from quarry_local.bedrock.families.answers import Answer, Answering, Refused
from quarry_local.bedrock.families.bodies import AnyObject, Share, Tokens, reader, unsupported
from quarry_local.bedrock.families.claude_rules import ClaudeRules
from quarry_local.bedrock.families.content import Message, Shape, System, conversed
from quarry_local.bedrock.families.images import sees
from quarry_local.bedrock.models.identity import Model


class _Inference(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    maxTokens: Tokens | None = None  # noqa: N815 - the API's name
    temperature: Share | None = None
    topP: Share | None = None  # noqa: N815 - the API's name
    stopSequences: Annotated[list[str], msgspec.Meta(max_length=2500)] | None = None  # noqa: N815 - the API's name


_NO_CONFIG = _Inference()


class _Tier(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["priority", "default", "flex", "reserved"]


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    messages: list[Message]
    system: list[System] | None = None
    inferenceConfig: _Inference | None = None  # noqa: N815 - the API's name
    additionalModelRequestFields: AnyObject | None = None  # noqa: N815 - the API's name
    additionalModelResponseFieldPaths: list[str] | None = None  # noqa: N815 - the API's name
    requestMetadata: dict[str, str] | None = None  # noqa: N815 - the API's name
    promptVariables: dict[str, AnyObject] | None = None  # noqa: N815 - the API's name
    performanceConfig: AnyObject | None = None  # noqa: N815 - the API's name
    serviceTier: _Tier | None = None  # noqa: N815 - the API's name
    guardrailConfig: AnyObject | None = None  # noqa: N815 - the API's name
    toolConfig: AnyObject | None = None  # noqa: N815 - the API's name
    outputConfig: AnyObject | None = None  # noqa: N815 - the API's name


def answering(model: Model, *, batch: bool = True) -> Answering:
    """Args: the model, whose rules hold for Claude; and whether a record is answered or a call on demand."""
    read = reader(_Body)
    blind = not sees(model.id)
    rules = ClaudeRules(model.id) if model.family == "anthropic" else None

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        body = read(model_input)
        if body.toolConfig is not None and batch:
            raise unsupported("Tool use")
        if blind and any(block.image is not None for message in body.messages for block in message.content):
            raise Refused(400, "This model doesn't support the image field. Remove image and try again.")
        config = body.inferenceConfig or _NO_CONFIG
        if rules is not None:
            more = body.additionalModelRequestFields or {}
            top_k = more.get("top_k")
            thinking = more.get("thinking")
            rules.check(
                config.maxTokens,
                config.temperature,
                config.topP,
                top_k if isinstance(top_k, int) else None,
                thinking if isinstance(thinking, dict) else None,
            )
        tools, choice = ([], "none") if body.toolConfig is None else spec_tools.tools_of(body.toolConfig)
        schema = None if body.outputConfig is None else spec_tools.format_of(body.outputConfig)
        shape = Shape(tools, choice, schema)
        return conversed(body.system or (), body.messages, config.maxTokens, shape=shape, tool_blocks=not batch)

    return answer


def refusing() -> Answering:
    """For a model that does not converse. Every record fails: Validating does not look at the body."""

    def answer(_model_input: bytes | msgspec.Raw) -> Answer:
        raise Refused(400, "This action doesn't support the model that you provided. Try again with a chat model.")

    return answer
