"""Converse: one body for every chat model, when the job's `modelInvocationType` is Converse (contract section 4.2). Pure.

The ranges are those of the operation's model. `modelId` is no field of a record (contract section 4.1). Tool use and
structured output are documented as not supported in batch; prompt caching, a guardrail, a service tier and variables of a
stored prompt are taken and do nothing.
"""

from typing import Annotated, Literal

import msgspec

from quarry_local.bedrock.answers import Answer, Answering, Refused
from quarry_local.bedrock.bodies import AnyObject, Share, Tokens, reader, unsupported
from quarry_local.bedrock.messages import Message, System, conversed


class _Inference(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    maxTokens: Tokens | None = None  # noqa: N815 - the API's name
    temperature: Share | None = None
    topP: Share | None = None  # noqa: N815 - the API's name
    stopSequences: Annotated[list[str], msgspec.Meta(max_length=2500)] | None = None  # noqa: N815 - the API's name


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


def answering() -> Answering:
    read = reader(_Body)

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        body = read(model_input)
        if body.toolConfig is not None:
            raise unsupported("Tool use")
        if body.outputConfig is not None:
            raise unsupported("Structured output")
        config = body.inferenceConfig
        return conversed(body.system or (), body.messages, config.maxTokens if config else None)

    return answer


def refusing() -> Answering:
    """For a model that does not converse. Every record fails: Validating does not look at the body."""

    def answer(_model_input: bytes | msgspec.Raw) -> Answer:
        raise Refused(400, "This action doesn't support the model that you provided. Try again with a chat model.")

    return answer
