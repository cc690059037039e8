"""Nova Multimodal Embeddings: one vector for a text, an image, a video or an audio (contract section 4.2). Pure.

The answer's form is not in the contract; it is that of the model's page. It tells no tokens.
"""

from typing import Literal

import msgspec

from quarry_local.bedrock.families.answers import Answer, Answering, input_tokens_of
from quarry_local.bedrock.families.bodies import AnyObject, Source, check_source, malformed, reader
from quarry_local.bedrock.families.vectors import rendered

_Purpose = Literal[
    "GENERIC_INDEX",
    "GENERIC_RETRIEVAL",
    "TEXT_RETRIEVAL",
    "IMAGE_RETRIEVAL",
    "VIDEO_RETRIEVAL",
    "DOCUMENT_RETRIEVAL",
    "AUDIO_RETRIEVAL",
    "CLASSIFICATION",
    "CLUSTERING",
]


class _Text(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    truncationMode: Literal["NONE", "START", "END"]  # noqa: N815 - the API's name
    value: str | None = None
    source: Source | None = None


class _Media(msgspec.Struct, gc=False):
    format: str
    source: Source


class _Params(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    embeddingPurpose: _Purpose  # noqa: N815 - the API's name
    embeddingDimension: Literal[3072, 1024, 384, 256] = 3072  # noqa: N815 - the API's name
    text: _Text | None = None
    image: _Media | None = None
    video: _Media | None = None
    audio: _Media | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    taskType: Literal["SINGLE_EMBEDDING"]  # noqa: N815 - the API's name
    singleEmbeddingParams: _Params  # noqa: N815 - the API's name
    schemaVersion: str | None = None  # noqa: N815 - the API's name
    segmentedEmbeddingParams: AnyObject | None = None  # noqa: N815 - the API's name


def answering() -> Answering:
    read = reader(_Body)

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        body = read(model_input)
        if body.segmentedEmbeddingParams is not None:
            raise malformed("#/segmentedEmbeddingParams: not permitted for taskType SINGLE_EMBEDDING")
        kind, content, tokens = _content(body.singleEmbeddingParams)
        vector = rendered(content, body.singleEmbeddingParams.embeddingDimension)
        made = b'{"embeddings":[{"embeddingType":"%b","embedding":[%b]}]}' % (kind, vector)
        return Answer(made, tokens, 0)

    return answer


def _content(params: _Params) -> tuple[bytes, str, int]:
    """What is embedded: its kind, the text that stands for it, its tokens."""
    at = "#/singleEmbeddingParams"
    given = [name for name in ("text", "image", "video", "audio") if getattr(params, name) is not None]
    if len(given) != 1:
        raise malformed(f"{at}: exactly one of [text, image, video, audio] is expected")
    if text := params.text:
        if (text.value is None) == (text.source is None):
            raise malformed(f"{at}/text: exactly one of [value, source] is expected")
        if text.value is not None:
            if not text.value:
                raise malformed(f"{at}/text/value: expected minLength: 1, actual: 0")
            return b"TEXT", text.value, input_tokens_of(text.value)
    media: _Text | _Media = getattr(params, given[0])
    if media.source is None:
        raise AssertionError("a text without a value has a source")
    check_source(media.source, f"{at}/{given[0]}")
    where = media.source.bytes or (media.source.s3Location.uri if media.source.s3Location else "")
    return given[0].upper().encode(), where, 0
