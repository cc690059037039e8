"""Titan Text Embeddings V2: the body of its InvokeModel, and its answer (contract section 4.2). Pure.

A vector is put together from chunks of 32 numbers, each picked by one byte of the text's hash out of 256 that are made
and rendered once. All chunks of one size have the same length, so every vector has length 1 however they are
combined; two texts share a chunk as often as chance has it. Rendering a vector is then one join.
"""

from functools import cache
from hashlib import sha256

import msgspec
import numpy as np

from quarry_local.bedrock.answers import Answer, Answering, Refused

_CHUNK = 32
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


_DECODER = msgspec.json.Decoder(_Body)


@cache
def _chunks(dimensions: int, normalize: bool) -> tuple[list[bytes], list[bytes]]:
    """256 rendered chunks, as floats and as bits."""
    drawn = np.random.default_rng(dimensions).standard_normal((256, _CHUNK))
    length = (1.0 if normalize else _RAW_LENGTH) * np.sqrt(_CHUNK / dimensions)
    scaled = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True) * length).astype(np.float32)
    floats = [",".join(str(value) for value in chunk).encode() for chunk in scaled]
    bits = [",".join("1" if value > 0 else "0" for value in chunk).encode() for chunk in scaled]
    return floats, bits


def answering() -> Answering:
    decode = _DECODER.decode

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        try:
            body = decode(model_input)
        except msgspec.MsgspecError:
            raise diagnose(bytes(model_input)) from None
        text, dimensions = body.inputText, body.dimensions
        if not text:
            raise _malformed("#/inputText: expected minLength: 1, actual: 0")
        if dimensions not in _DIMENSIONS:
            raise _malformed(f"#/dimensions: {dimensions} is not a valid enum value")
        input_tokens = len(text) // 4 + 1
        if input_tokens > _TOKENS_MAX:
            raise Refused(
                400,
                "400 Bad Request: Too many input tokens. "
                f"Max input tokens: {_TOKENS_MAX}, request input token count: {input_tokens} ",
            )
        picks = sha256(text.encode()).digest()[: dimensions // _CHUNK]
        floats, bits = _chunks(dimensions, body.normalize)
        types = body.embeddingTypes
        if types is None:
            vector = b",".join([floats[pick] for pick in picks])
            rendered = b'{"embedding":[%b],"inputTextTokenCount":%d}' % (vector, input_tokens)
            return Answer(rendered, input_tokens, 0)
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
                raise _malformed(f"#/embeddingTypes/0: {kind} is not a valid enum value")
        rendered = b'{%b"embeddingsByType":{%b},"inputTextTokenCount":%d}' % (head, b",".join(by_type), input_tokens)
        return Answer(rendered, input_tokens, 0)

    return answer


def diagnose(model_input: bytes) -> Refused:
    """Why a body is not a Titan request, in the words of Amazon's schema check."""
    try:
        body = msgspec.json.decode(model_input)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _malformed("#: the body is not valid JSON")
    if not isinstance(body, dict):
        return _malformed("#: expected type: JSONObject")
    if "inputText" not in body:
        return _malformed("#: required key [inputText] not found")
    for field in body:
        if field not in _Body.__struct_fields__:
            return _malformed(f"#: extraneous key [{field}] is not permitted")
    try:
        msgspec.convert(body, _Body)
    except msgspec.ValidationError as wrong:
        return _malformed(str(wrong))
    return _malformed("#: the body is not valid")


def _malformed(why: str) -> Refused:
    return Refused(400, f"Malformed input request: {why}, please reformat your input and try again.")
