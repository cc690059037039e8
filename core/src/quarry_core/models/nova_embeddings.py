"""Amazon Nova Multimodal Embeddings, of a text: one text in, one vector out.

Body and answer: AWS's page "Complete embeddings request and response schema" of Nova's user guide. No tokens come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from quarry_core.models import loose
from quarry_core.models.content import output_members
from quarry_core.models.embedding import Embeddings, whole_vector
from quarry_core.models.family import Answer, EmptyAnswer, Output, UnreadableOutput
from quarry_core.models.inference import OneOf, Rule, Word

_PURPOSES = (
    "GENERIC_INDEX",
    "GENERIC_RETRIEVAL",
    "TEXT_RETRIEVAL",
    "IMAGE_RETRIEVAL",
    "VIDEO_RETRIEVAL",
    "DOCUMENT_RETRIEVAL",
    "AUDIO_RETRIEVAL",
    "CLASSIFICATION",
    "CLUSTERING",
)
# As the page names them.
DIMENSIONS_DEFAULT = 3_072
_RULES: Mapping[str, Rule] = {
    "dimensions": OneOf((256, 384, 1_024, 3_072)),
    "purpose": Word(_PURPOSES),
    "truncate": Word(("NONE", "START", "END")),
}


class One(msgspec.Struct, frozen=True, gc=False):
    embedding: list[float] | None = None


class NovaEmbedded(Output, frozen=True, gc=False):
    """`modelOutput`, as far as it is read."""

    embeddings: list[One] | None = None

    @classmethod
    def loosely(cls, found: object) -> Self:
        """As `Output.loosely`."""
        output = output_members(found)
        several = output.get("embeddings")
        if not isinstance(several, list | None):
            raise UnreadableOutput("the embeddings are not a list")
        vector = whole_vector([loose.members(one).get("embedding") for one in several or ()])
        return cls([One(vector)])


class NovaEmbeddings(Embeddings):
    """The adapter. A text that is too long fails its record, unless `truncate` says otherwise."""

    name: str = "nova-multimodal-embeddings"
    version: str = "1"
    output_type: type[Output] = NovaEmbedded
    rules: Mapping[str, Rule] = _RULES
    aliases: Mapping[str, str] = {
        "embeddingDimension": "dimensions",
        "embeddingPurpose": "purpose",
        "truncationMode": "truncate",
    }

    def record(self, text: str, given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": {
                "embeddingPurpose": given.get("purpose", "GENERIC_INDEX"),
                "embeddingDimension": given.get("dimensions", DIMENSIONS_DEFAULT),
                "text": {"truncationMode": given.get("truncate", "NONE"), "value": text},
            },
        }

    def answer(self, output: Any) -> Answer:
        """The first vector: there is one for one text."""
        found: NovaEmbedded = output
        vector = found.embeddings[0].embedding if found.embeddings else None
        if not vector:
            raise EmptyAnswer("the model gave no embedding")
        return Answer(embedding=vector)

    def check_body(self, body: Mapping[str, Any], model: str = "") -> None:
        del model
        if not isinstance(body.get("singleEmbeddingParams"), Mapping):
            raise ValueError(  # noqa: TRY004 - one class for all refusals
                'singleEmbeddingParams is not there: give each record "taskType": "SINGLE_EMBEDDING" and its parameters'
            )
