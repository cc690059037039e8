"""Amazon Nova's own body for InvokeModel (contract section 4.2). Pure.

Both spellings of the parameters are taken: `maxTokens`, and the older `max_new_tokens` that a saved live run used.
"""

from typing import Annotated

import msgspec

from quarry_local.bedrock.families import spec_tools
from quarry_local.bedrock.families.answers import Answer, Answering
from quarry_local.bedrock.families.bodies import AnyObject, Share, Tokens, reader
from quarry_local.bedrock.families.content import PLAIN, Message, Shape, System, conversed

_CACHE = b',"cacheReadInputTokenCount":0,"cacheWriteInputTokenCount":0'
# From the model's page.
_TopK = Annotated[int, msgspec.Meta(ge=0, le=128)]


class _Inference(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    maxTokens: Tokens | None = None  # noqa: N815 - the API's name
    max_new_tokens: Tokens | None = None
    temperature: Share | None = None
    topP: Share | None = None  # noqa: N815 - the API's name
    top_p: Share | None = None
    topK: _TopK | None = None  # noqa: N815 - the API's name
    top_k: _TopK | None = None
    stopSequences: list[str] | None = None  # noqa: N815 - the API's name
    reasoningConfig: AnyObject | None = None  # noqa: N815 - the API's name


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    messages: list[Message]
    system: list[System] | None = None
    inferenceConfig: _Inference | None = None  # noqa: N815 - the API's name
    schemaVersion: str | None = None  # noqa: N815 - the API's name
    toolConfig: AnyObject | None = None  # noqa: N815 - the API's name


def answering() -> Answering:
    read = reader(_Body)

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        body = read(model_input)
        shape = PLAIN if body.toolConfig is None else Shape(*spec_tools.tools_of(body.toolConfig))
        config = body.inferenceConfig
        tokens_max = (config.maxTokens or config.max_new_tokens) if config else None
        return conversed(body.system or (), body.messages, tokens_max, _CACHE, shape=shape)

    return answer
