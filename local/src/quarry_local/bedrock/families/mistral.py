"""Mistral's older models: `prompt` in, `outputs` without tokens out (contract section 4.2). Pure.

The chat models' form stands in `chat`.
"""

from typing import Annotated

import msgspec

from quarry_local.bedrock.families.answers import Answer, Answering, say
from quarry_local.bedrock.families.bodies import Share, malformed, reader

# Ranges from the model's page.
_GENERATED_DEFAULT = 512


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    prompt: str
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=8192)] = _GENERATED_DEFAULT
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0, le=200)] | None = None
    stop: Annotated[list[str], msgspec.Meta(max_length=10)] | None = None


def answering() -> Answering:
    read = reader(_Body)

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        body = read(model_input)
        if not body.prompt:
            raise malformed("#/prompt: expected minLength: 1, actual: 0")
        said = say(body.prompt, body.max_tokens)
        stop = b"length" if said.cut else b"stop"
        rendered = b'{"outputs":[{"text":"%b","stop_reason":"%b"}]}' % (said.text, stop)
        return Answer(rendered, said.input_tokens, said.output_tokens)

    return answer
