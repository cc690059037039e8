"""Amazon's Titan embeddings: Text V2, Text G1 and Multimodal G1; one text in, one vector out (contract section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from quarry_core.models import loose
from quarry_core.models.content import output_members
from quarry_core.models.embedding import Embeddings, whole_vector
from quarry_core.models.family import Answer, EmptyAnswer, Output
from quarry_core.models.inference import OneOf, Rule, YesNo

DIMENSIONS_DEFAULT = 1_024

_RULES: Mapping[str, Rule] = {"dimensions": OneOf((256, 512, 1_024)), "normalize": YesNo()}


class ByType(msgspec.Struct, frozen=True, gc=False, rename={"floats": "float"}):
    floats: list[float] | None = None


class Embedding(Output, frozen=True, gc=False):
    """`modelOutput`, as far as it is read; the names are the model's."""

    embedding: list[float] | None = None
    by_type: ByType | None = msgspec.field(default=None, name="embeddingsByType")
    input_tokens: int | None = msgspec.field(default=None, name="inputTextTokenCount")

    @classmethod
    def loosely(cls, found: object) -> Self:
        """As `Output.loosely`."""
        output = output_members(found)
        vectors = [output.get("embedding"), loose.members(output.get("embeddingsByType")).get("float")]
        return cls(embedding=whole_vector(vectors), input_tokens=loose.count(output.get("inputTextTokenCount")))


class Titan(Embeddings):
    """What the three have in common: the text's member, and the answer's form."""

    output_type: type[Output] = Embedding
    text_member = "inputText"

    def answer(self, output: Any) -> Answer:
        """The vector, from whichever of its two places holds it."""
        found: Embedding = output
        vector = found.embedding or (found.by_type.floats if found.by_type is not None else None)
        if not vector:
            raise EmptyAnswer("the model gave no embedding", input_tokens=found.input_tokens)
        return Answer(embedding=vector, input_tokens=found.input_tokens)


class TitanTextEmbeddings(Titan):
    """Titan Text Embeddings V2."""

    name: str = "titan-text-embeddings-v2"
    version: str = "1"
    rules: Mapping[str, Rule] = _RULES
    never: Mapping[str, str] = {"embeddingTypes": "results hold floats, and other types are not yet supported"}

    def record(self, text: str, given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "inputText": text,
            "dimensions": given.get("dimensions", DIMENSIONS_DEFAULT),
            "normalize": given.get("normalize", True),
        }


class TitanTextG1(Titan):
    """Titan Text Embeddings G1, which takes the text alone."""

    name: str = "titan-text-embeddings-g1"
    version: str = "1"
    rules: Mapping[str, Rule] = {}
    never: Mapping[str, str] = {"dimensions": "G1 makes vectors of 1,536 numbers and of no other length"}

    def record(self, text: str, given: Mapping[str, Any]) -> dict[str, Any]:
        del given
        return {"inputText": text}


class TitanMultimodal(Titan):
    """Titan Multimodal Embeddings G1, of a text."""

    name: str = "titan-multimodal-embeddings"
    version: str = "1"
    rules: Mapping[str, Rule] = {"dimensions": OneOf((256, 384, 1_024))}
    aliases: Mapping[str, str] = {"outputEmbeddingLength": "dimensions"}

    def record(self, text: str, given: Mapping[str, Any]) -> dict[str, Any]:
        length = given.get("dimensions", DIMENSIONS_DEFAULT)
        return {"inputText": text, "embeddingConfig": {"outputEmbeddingLength": length}}

    def check_body(self, body: Mapping[str, Any], model: str = "") -> None:
        if "inputImage" not in body:
            super().check_body(body, model)
