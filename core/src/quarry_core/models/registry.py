"""The families Quarry can work with, by how the ids of their models begin."""

from __future__ import annotations

from collections.abc import Mapping

from quarry_core.models.anthropic import Anthropic
from quarry_core.models.family import Family
from quarry_core.models.identity import CUSTOM, HIDDEN, canonical_model
from quarry_core.models.titan import TitanTextEmbeddings

FAMILIES: Mapping[str, Family] = {
    "anthropic.claude": Anthropic(),
    "amazon.titan-embed-text-v2": TitanTextEmbeddings(),
}
# Kinds of ARN that Bedrock itself runs no batch jobs on (contract section 1.6).
_NO_BATCH = ("provisioned-model/", "imported-model/", "custom-model-deployment/")


class UnsupportedModel(ValueError):
    """Quarry has no adapter for the model, or cannot tell which model it is."""


def family_of(model_id: str) -> Family:
    """The adapter for a model, named by short id, inference profile or ARN.

    Raises:
        UnsupportedModel: names the id, why, and what is supported.
    """
    model = canonical_model(model_id)
    if model.startswith(HIDDEN):
        raise UnsupportedModel(
            f"{model_id!r}: application inference profiles hide their model and are not yet supported:"
            " name the model or a system-defined profile"
        )
    if model.startswith(_NO_BATCH):
        raise UnsupportedModel(f"{model_id!r}: Bedrock runs no batch jobs on a {model.partition('/')[0]}")
    base = model.removeprefix(CUSTOM)
    for beginning, family in FAMILIES.items():
        if base.startswith(beginning):
            return family
    known = ", ".join(f"{family.name} ({beginning}…)" for beginning, family in FAMILIES.items())
    raise UnsupportedModel(f"{model_id!r} is not of a supported model family; supported are: {known}")
