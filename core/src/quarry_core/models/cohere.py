"""Cohere Embed v3 and v4: one text in, one vector out (contract section 4.2). No tokens come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from quarry_core.models.content import output_members
from quarry_core.models.embedding import Embeddings, whole_vector
from quarry_core.models.family import Answer, EmptyAnswer, Output, UnreadableOutput
from quarry_core.models.inference import OneOf, Rule, Word

# v4's own words for the ends are LEFT and RIGHT; it takes both.
_RULES: Mapping[str, Rule] = {
    "input_type": Word(("search_document", "search_query", "classification", "clustering")),
    "truncate": Word(("NONE", "START", "END")),
    "dimensions": OneOf((256, 512, 1_024, 1_536)),
}
_V4 = "cohere.embed-v4"


class CohereEmbedded(Output, frozen=True, gc=False):
    """`modelOutput`, as far as it is read: vectors, or vectors by their type."""

    embeddings: list[list[float]] | dict[str, list[list[float]]] | None = None

    @classmethod
    def loosely(cls, found: object) -> Self:
        """As `Output.loosely`."""
        output = output_members(found)
        several = output.get("embeddings")
        if isinstance(several, dict):
            several = several.get("float")
        if not isinstance(several, list | None):
            raise UnreadableOutput("the embeddings are not a list")
        vector = whole_vector(several or ())
        return cls(None if vector is None else [vector])


class CohereEmbed(Embeddings):
    """The adapter. A text that is too long fails its record, unless `truncate` says otherwise."""

    name: str = "cohere-embed"
    version: str = "1"
    output_type: type[Output] = CohereEmbedded
    rules: Mapping[str, Rule] = _RULES
    never: Mapping[str, str] = {
        "embedding_types": "results hold floats, and other types are not yet supported",
        "images": "only texts are embedded",
    }
    aliases: Mapping[str, str] = {"output_dimension": "dimensions"}

    def record(self, text: str, given: Mapping[str, Any]) -> dict[str, Any]:
        record: dict[str, Any] = {
            "texts": [text],
            "input_type": given.get("input_type", "search_document"),
            "embedding_types": ["float"],
            "truncate": given.get("truncate", "NONE"),
        }
        if "dimensions" in given:
            record["output_dimension"] = given["dimensions"]
        return record

    def answer(self, output: Any) -> Answer:
        """The first vector of floats: there is one for one text."""
        found: CohereEmbedded = output
        several = found.embeddings.get("float") if isinstance(found.embeddings, dict) else found.embeddings
        if not several or not several[0]:
            raise EmptyAnswer("the model gave no embedding")
        return Answer(embedding=several[0])

    def check_model(self, given: Mapping[str, Any], model: str) -> None:
        if "dimensions" in given and not model.startswith(_V4):
            raise ValueError(
                f"inference: {model} makes vectors of 1,024 numbers and of no other length: leave dimensions out"
            )

    def check_body(self, body: Mapping[str, Any], model: str = "") -> None:
        del model
        texts = body.get("texts")
        if not isinstance(texts, list) or len(texts) != 1:
            raise ValueError('texts is not a list of one text: give each record its text, as "texts": ["…"]')
        if "input_type" not in body:
            raise ValueError('input_type is not there: add "input_type": "search_document"')
