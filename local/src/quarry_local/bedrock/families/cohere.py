"""Cohere: Embed v3 and v4, Command R and R+ (contract section 4.2). Pure.

No batch quota is listed for any of them, so Create refuses them unless the setting `batch_models` names them. Embed's
body carries no tokens; on demand they are a response header.
"""

from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from quarry_local.bedrock.families.answers import Answer, Answering, input_tokens_of, prompt_digest, say
from quarry_local.bedrock.families.bodies import Tokens, malformed, reader
from quarry_local.bedrock.families.vectors import rendered, vector

_InputType = Literal["search_document", "search_query", "classification", "clustering", "image"]
_Kind = Literal["float", "int8", "uint8", "binary", "ubinary"]
_Texts = Annotated[list[str], msgspec.Meta(min_length=1, max_length=96)]
_DIMENSIONS_V3 = 1024
_DIMENSIONS_V4 = 1536


class _EmbedV3(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    input_type: _InputType
    texts: _Texts | None = None
    images: Annotated[list[str], msgspec.Meta(min_length=1, max_length=1)] | None = None
    embedding_types: list[_Kind] | None = None
    truncate: Literal["NONE", "START", "END"] | None = None


class _Part(msgspec.Struct, gc=False):
    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: Any = None


class _Input(msgspec.Struct, gc=False):
    content: Annotated[list[_Part], msgspec.Meta(min_length=1)]


class _EmbedV4(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    input_type: _InputType
    texts: _Texts | None = None
    images: Annotated[list[str], msgspec.Meta(min_length=1, max_length=96)] | None = None
    inputs: Annotated[list[_Input], msgspec.Meta(min_length=1, max_length=96)] | None = None
    embedding_types: list[_Kind] | None = None
    output_dimension: Literal[256, 512, 1024, 1536] | None = None
    max_tokens: Tokens | None = None
    truncate: Literal["NONE", "LEFT", "RIGHT", "START", "END"] | None = None


class _Command(msgspec.Struct, gc=False):
    message: Annotated[str, msgspec.Meta(min_length=1)]
    chat_history: list[dict[str, Any]] | None = None
    preamble: str | None = None
    max_tokens: Tokens | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    p: Annotated[float, msgspec.Meta(ge=0.01, le=0.99)] | None = None
    k: Annotated[int, msgspec.Meta(ge=0, le=500)] | None = None


def embed() -> Answering:
    read = reader(_EmbedV3)

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        body = read(model_input)
        if (body.texts is None) == (body.images is None):
            raise malformed("#: exactly one of [texts, images] is expected")
        return _embedded(body.texts or body.images or [], body.texts, body.embedding_types, _DIMENSIONS_V3)

    return answer


def embed_v4() -> Answering:
    read = reader(_EmbedV4)

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        body = read(model_input)
        if sum(given is not None for given in (body.texts, body.images, body.inputs)) != 1:
            raise malformed("#: exactly one of [texts, images, inputs] is expected")
        mixed = ["\n".join(part.text or str(part.image_url) for part in one.content) for one in body.inputs or ()]
        contents = body.texts or body.images or mixed
        return _embedded(contents, body.texts, body.embedding_types, body.output_dimension or _DIMENSIONS_V4)

    return answer


def _embedded(contents: list[str], texts: list[str] | None, kinds: list[_Kind] | None, dimensions: int) -> Answer:
    head = b'{"id":"%b",' % prompt_digest("\n".join(contents)).encode()
    tail = b',"texts":%b}' % msgspec.json.encode(texts or [])
    tokens = sum(input_tokens_of(text) for text in texts or ())
    if kinds is None:
        vectors = b",".join(b"[%b]" % rendered(content, dimensions) for content in contents)
        return Answer(b'%b"response_type":"embeddings_floats","embeddings":[%b]%b' % (head, vectors, tail), tokens, 0)
    by_kind = {kind: [_as(kind, content, dimensions) for content in contents] for kind in kinds}
    rendered_kinds = msgspec.json.encode(by_kind)
    return Answer(b'%b"response_type":"embeddings_by_type","embeddings":%b%b' % (head, rendered_kinds, tail), tokens, 0)


def _as(kind: _Kind, content: str, dimensions: int) -> list[Any]:
    numbers = vector(content, dimensions)
    match kind:
        case "float":
            return list(msgspec.json.decode(b"[%b]" % rendered(content, dimensions)))
        case "binary":
            packed: list[Any] = (np.packbits(numbers > 0).astype(np.int16) - 128).tolist()
            return packed
        case "ubinary":
            unsigned: list[Any] = np.packbits(numbers > 0).tolist()
            return unsigned
        case _:
            whole = np.round(numbers / np.abs(numbers).max() * 127)
            shifted: list[Any] = (whole + 128 if kind == "uint8" else whole).astype(int).tolist()
            return shifted


def command() -> Answering:
    read = reader(_Command)

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        body = read(model_input)
        before = [str(turn.get("message", "")) for turn in body.chat_history or ()]
        said = say("\n".join([*([body.preamble] if body.preamble else []), *before, body.message]), body.max_tokens)
        rendered_answer = b'{"response_id":"%b","text":"%b","generation_id":"%b","finish_reason":"%b"}' % (
            said.digits[20:44],
            said.text,
            said.digits[40:64],
            b"MAX_TOKENS" if said.cut else b"COMPLETE",
        )
        return Answer(rendered_answer, said.input_tokens, said.output_tokens)

    return answer
