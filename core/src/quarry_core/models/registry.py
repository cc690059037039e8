"""The families Quarry can work with, by how the ids of their models begin."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from quarry_core.models.anthropic import MAX_TOKENS_DEFAULT, Anthropic
from quarry_core.models.claude_rules import check_claude
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
        raise UnsupportedModel(f"{model_id!r}: Bedrock does not run batch jobs on a {model.partition('/')[0]}")
    base = model.removeprefix(CUSTOM)
    for beginning, family in FAMILIES.items():
        if base.startswith(beginning):
            return family
    known = ", ".join(f"{family.name} ({beginning}…)" for beginning, family in FAMILIES.items())
    near = [
        beginning
        for beginning in FAMILIES
        if difflib.get_close_matches(base[: len(beginning)].casefold(), [beginning], cutoff=0.8)
    ]
    guess = f"; does it begin with {near[0]}?" if near else ""
    raise UnsupportedModel(f"{model_id!r} is not of a supported model family{guess} (supported are: {known})")


def check_inference(model_id: str, inference: Mapping[str, Any], *, whole: bool = True) -> None:
    """Refuse parameters that the family does not take, or not from this model.

    Args:
        model_id: of a supported family.
        inference: parameters; of the manifest alone, or joined with the prompt's.
        whole: nothing else will be joined to them, so what is not there has its default.

    Raises:
        UnsupportedModel: as `family_of`.
        ValueError: names the parameter and the remedy.
    """
    family = family_of(model_id)
    family.check_inference(inference)
    if family.name == Anthropic.name:
        base = canonical_model(model_id).removeprefix(CUSTOM)
        check_claude(base, inference, MAX_TOKENS_DEFAULT if whole else None)
