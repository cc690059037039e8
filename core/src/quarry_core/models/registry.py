"""The families Quarry can work with, by how the ids of their models begin."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from quarry_core.models.anthropic import MAX_TOKENS_DEFAULT, Anthropic
from quarry_core.models.claude_rules import check_claude
from quarry_core.models.converse import Converse
from quarry_core.models.family import AnswerReader, Family
from quarry_core.models.identity import CUSTOM, HIDDEN, canonical_model
from quarry_core.models.titan import TitanTextEmbeddings

FAMILIES: Mapping[str, Family] = {
    "anthropic.claude": Anthropic(),
    "amazon.titan-embed-text-v2": TitanTextEmbeddings(),
}
CONVERSE = Converse()
_READERS: Mapping[str, AnswerReader] = {CONVERSE.name: CONVERSE} | {family.name: family for family in FAMILIES.values()}
# What `check_claude` looks at.
_OF_CLAUDE = ("max_tokens", "temperature", "top_p", "top_k", "thinking")
# Kinds of ARN that Bedrock itself runs no batch jobs on (contract section 1.6).
_NO_BATCH = ("provisioned-model/", "imported-model/", "custom-model-deployment/")


class UnsupportedModel(ValueError):
    """Quarry has no adapter for the model, or cannot tell which model it is."""


def family_of(model_id: str) -> Family:
    """The adapter for a model, named by short id, inference profile or ARN.

    Raises:
        UnsupportedModel: names the id, why, and what is supported.
    """
    base = _base(model_id)
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


def makes_embeddings(model_id: str) -> bool:
    """Whether a model makes embeddings, as far as its id says so: the ids of all that Bedrock has do."""
    return "embed" in canonical_model(model_id)


def check_converses(model_id: str) -> None:
    """Refuse a model that cannot be asked by Converse, as far as its id tells: which model chats, only Bedrock knows.

    Raises:
        UnsupportedModel: names the id and why.
    """
    _base(model_id)
    if makes_embeddings(model_id):
        raise UnsupportedModel(f"{model_id!r} makes embeddings, and does not converse: name a model that chats")


def _base(model_id: str) -> str:
    """The model that an id names, or the one that a custom model was made of. Raises UnsupportedModel."""
    model = canonical_model(model_id)
    if model.startswith(HIDDEN):
        raise UnsupportedModel(
            f"{model_id!r}: application inference profiles hide their model and are not yet supported:"
            " name the model or a system-defined profile"
        )
    if model.startswith(_NO_BATCH):
        raise UnsupportedModel(f"{model_id!r}: Bedrock does not run batch jobs on a {model.partition('/')[0]}")
    return model.removeprefix(CUSTOM)


def reader_named(name: str) -> AnswerReader:
    """What reads the answers of a run, by the name that its pins have.

    Raises:
        UnsupportedModel: no adapter of this release has that name.
    """
    if name not in _READERS:
        raise UnsupportedModel(
            f"the run was accepted for the family {name!r}, which this release does not know:"
            " let the release end it that accepted it"
        )
    return _READERS[name]


def check_ready(model_id: str, body: Mapping[str, Any]) -> None:
    """Refuse a `modelInput` that somebody else wrote and that this model takes from nobody; a few cheap looks.

    Raises:
        UnsupportedModel: as `family_of`.
        ValueError: names the field and the remedy.
    """
    family = family_of(model_id)
    family.check_body(body)
    if family.name == Anthropic.name:
        given = {field: body[field] for field in _OF_CLAUDE if field in body}
        check_claude(canonical_model(model_id).removeprefix(CUSTOM), given, None)


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
