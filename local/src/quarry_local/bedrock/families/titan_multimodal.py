"""Titan Multimodal Embeddings G1: text, an image, or both in one vector (contract section 4.2). Pure."""

from typing import Literal

import msgspec

from quarry_local.bedrock.families.answers import Answer, Answering, Refused, input_tokens_of
from quarry_local.bedrock.families.bodies import check_base64, malformed, reader
from quarry_local.bedrock.families.vectors import rendered

# Titan's own limit, from the model's page.
_TOKENS_MAX = 256


class _Config(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    outputEmbeddingLength: Literal[1024, 384, 256] = 1024  # noqa: N815 - the API's name


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    inputText: str | None = None  # noqa: N815 - the API's name
    inputImage: str | None = None  # noqa: N815 - the API's name
    embeddingConfig: _Config | None = None  # noqa: N815 - the API's name


def answering() -> Answering:
    read = reader(_Body)

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        body = read(model_input)
        text, image = body.inputText, body.inputImage
        if not text and not image:
            raise malformed("#: at least one of [inputText, inputImage] is expected")
        if image:
            check_base64(image, "#/inputImage")
        # An image alone has no text to count.
        tokens = input_tokens_of(text) if text else 0
        if tokens > _TOKENS_MAX:
            raise Refused(
                400,
                "400 Bad Request: Too many input tokens. "
                f"Max input tokens: {_TOKENS_MAX}, request input token count: {tokens} ",
            )
        dimensions = body.embeddingConfig.outputEmbeddingLength if body.embeddingConfig else 1024
        vector = rendered(f"{text or ''}\n{image}" if image else text or "", dimensions)
        made = b'{"embedding":[%b],"inputTextTokenCount":%d,"message":null}' % (vector, tokens)
        return Answer(made, tokens, 0)

    return answer
