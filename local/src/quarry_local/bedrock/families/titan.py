"""Titan Text Embeddings, V2 and G1: the bodies of their InvokeModel, and their answers (contract section 4.2). Pure."""

from hashlib import sha256

import msgspec

from quarry_local.bedrock.families.answers import Answer, Answering, Refused
from quarry_local.bedrock.families.bodies import malformed, reader
from quarry_local.bedrock.families.vectors import CHUNK, chunks, rendered

_DIMENSIONS = (1024, 512, 256)
# Titan's own limit, from the model's page.
_TOKENS_MAX = 8_192
# Without `normalize` the length is not 1; how long live vectors are is not documented.
_RAW_LENGTH = 7.5


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    inputText: str  # noqa: N815 - the API's name
    dimensions: int = 1024
    normalize: bool = True
    embeddingTypes: list[str] | None = None  # noqa: N815 - the API's name


class _BodyG1(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    inputText: str  # noqa: N815 - the API's name


_DIMENSIONS_G1 = 1536


def answering() -> Answering:
    read = reader(_Body)

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        body = read(model_input)
        text, dimensions = body.inputText, body.dimensions
        input_tokens = _tokens(text)
        if dimensions not in _DIMENSIONS:
            raise malformed(f"#/dimensions: {dimensions} is not a valid enum value")
        picks = sha256(text.encode()).digest()[: dimensions // CHUNK]
        floats, bits = chunks(dimensions, 1.0 if body.normalize else _RAW_LENGTH)
        types = body.embeddingTypes
        if types is None:
            vector = b",".join([floats[pick] for pick in picks])
            made = b'{"embedding":[%b],"inputTextTokenCount":%d}' % (vector, input_tokens)
            return Answer(made, input_tokens, 0)
        by_type: list[bytes] = []
        head = b""
        for kind in types:
            if kind == "float":
                vector = b",".join([floats[pick] for pick in picks])
                head = b'"embedding":[%b],' % vector
                by_type.append(b'"float":[%b]' % vector)
            elif kind == "binary":
                by_type.append(b'"binary":[%b]' % b",".join([bits[pick] for pick in picks]))
            else:
                raise malformed(f"#/embeddingTypes/0: {kind} is not a valid enum value")
        made = b'{%b"embeddingsByType":{%b},"inputTextTokenCount":%d}' % (head, b",".join(by_type), input_tokens)
        return Answer(made, input_tokens, 0)

    return answer


def answering_g1() -> Answering:
    """G1, whose body has one field only; no batch quota exists for it."""
    read = reader(_BodyG1)

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        text = read(model_input).inputText
        input_tokens = _tokens(text)
        body = b'{"embedding":[%b],"inputTextTokenCount":%d}' % (rendered(text, _DIMENSIONS_G1), input_tokens)
        return Answer(body, input_tokens, 0)

    return answer


def _tokens(text: str) -> int:
    if not text:
        raise malformed("#/inputText: expected minLength: 1, actual: 0")
    tokens = len(text) // 4 + 1
    if tokens > _TOKENS_MAX:
        raise Refused(
            400,
            "400 Bad Request: Too many input tokens. "
            f"Max input tokens: {_TOKENS_MAX}, request input token count: {tokens} ",
        )
    return tokens
