"""Amazon Titan Text Embeddings V2: one text in, one vector out (contract section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from quarry_core.models import loose
from quarry_core.models.family import Answer, AnswerColumn, EmptyAnswer, Kind, Output, UnreadableOutput
from quarry_core.models.inference import OneOf, Rule, YesNo, check_against

DIMENSIONS_DEFAULT = 1_024

_RULES: Mapping[str, Rule] = {"dimensions": OneOf((256, 512, 1_024)), "normalize": YesNo()}
_NEVER = {
    "inputText": "it is the dataset's column input_text",
    "embeddingTypes": "results hold floats, and other types are not yet supported",
    "model": "it is the manifest's model_id",
    "modelId": "it is the manifest's model_id",
}


class ByType(msgspec.Struct, frozen=True, gc=False, rename={"floats": "float"}):
    floats: list[float] | None = None


class Embedding(Output, frozen=True, gc=False):
    """`modelOutput`, as far as it is read; the names are the model's."""

    embedding: list[float] | None = None
    by_type: ByType | None = msgspec.field(default=None, name="embeddingsByType")
    input_tokens: int | None = msgspec.field(default=None, name="inputTextTokenCount")

    @classmethod
    def loosely(cls, found: object) -> Self:
        """As `Output.loosely`. A vector is whole or none: one element that is no number would shift all the others."""
        output = loose.members(found)
        vectors = [output.get("embedding"), loose.members(output.get("embeddingsByType")).get("float")]
        whole = next(filter(None, map(loose.numbers, vectors)), None)
        if whole is None and any(vectors):
            raise UnreadableOutput("the embedding is not a list of finite numbers")
        if not isinstance(found, dict):
            raise UnreadableOutput("modelOutput is not an object")
        return cls(embedding=whole, input_tokens=loose.count(output.get("inputTextTokenCount")))


class TitanTextEmbeddings:
    """The adapter."""

    name: str = "titan-text-embeddings-v2"
    version: str = "1"
    kind: Kind = "embedding"
    answer_column: AnswerColumn = "embedding"
    output_type: type[Output] = Embedding

    def body(self, text: str, *, system: str | None, inference: Mapping[str, Any]) -> dict[str, Any]:
        """One record's `modelInput`. Raises ValueError if there is a `system`: an embedding has none."""
        if system is not None:
            raise ValueError("system: an embedding model takes only a text, without a prompt")
        return {
            "inputText": text,
            "dimensions": inference.get("dimensions", DIMENSIONS_DEFAULT),
            "normalize": inference.get("normalize", True),
        }

    def check_inference(self, inference: Mapping[str, Any]) -> None:
        check_against(_RULES, _NEVER, inference, self.name)

    def check_body(self, body: Mapping[str, Any]) -> None:
        """The one member that each record needs."""
        if not isinstance(body.get("inputText"), str):
            raise ValueError('inputText is not a text: give each record its text, as "inputText": "…"')  # noqa: TRY004 - one class for all refusals

    def answer(self, output: Any) -> Answer:
        """The vector, from whichever of its two places holds it."""
        found: Embedding = output
        vector = found.embedding or (found.by_type.floats if found.by_type is not None else None)
        if not vector:
            raise EmptyAnswer("the model gave no embedding", input_tokens=found.input_tokens)
        return Answer(embedding=vector, input_tokens=found.input_tokens)
