"""The families Quarry can work with, by how the ids of their models begin."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from quarry_core.models.ai21 import Jamba
from quarry_core.models.anthropic import Anthropic
from quarry_core.models.by_converse import ByConverse
from quarry_core.models.cohere import CohereEmbed
from quarry_core.models.family import AnswerReader, Carrier, Family, ImageContent, Invocation, OutputMode
from quarry_core.models.identity import CUSTOM, HIDDEN, canonical_model
from quarry_core.models.inference import overridden
from quarry_core.models.invoked import INVOKED
from quarry_core.models.llama import Llama
from quarry_core.models.mistral import Mistral
from quarry_core.models.nova import Nova
from quarry_core.models.nova_embeddings import NovaEmbeddings
from quarry_core.models.open_weights import Gpt, OpenWeights, Reasoning
from quarry_core.models.titan import TitanMultimodal, TitanTextEmbeddings, TitanTextG1

_OPEN_WEIGHTS, _REASONING, _G1 = OpenWeights(), Reasoning(), TitanTextG1()
# By how the ids of their models begin; the longest beginning counts. What chats and stands under none is CONVERSE's.
FAMILIES: dict[str, Family] = {
    "anthropic.claude": Anthropic(),
    "amazon.nova": Nova(),
    "amazon.nova-2-multimodal-embeddings": NovaEmbeddings(),
    "amazon.titan-embed-text-v2": TitanTextEmbeddings(),
    "amazon.titan-embed-text-v1": _G1,
    "amazon.titan-embed-g1-text": _G1,
    "amazon.titan-embed-image": TitanMultimodal(),
    "cohere.embed": CohereEmbed(),
    "meta.llama": Llama(),
    "mistral.": Mistral(),
    "ai21.jamba": Jamba(),
    "openai.gpt-oss": _REASONING,
    "deepseek.v3": _REASONING,
    "openai.gpt": Gpt(),
    "deepseek.": _OPEN_WEIGHTS,
    "qwen.": _OPEN_WEIGHTS,
    "moonshot": _OPEN_WEIGHTS,
    "zai.": _OPEN_WEIGHTS,
    "minimax.": _OPEN_WEIGHTS,
    "google.gemma": _OPEN_WEIGHTS,
    "nvidia.nemotron": _OPEN_WEIGHTS,
}
CONVERSE: Family = ByConverse()
# Kinds of ARN that Bedrock itself runs no batch jobs on (contract section 1.6).
_NO_BATCH = ("provisioned-model/", "imported-model/", "custom-model-deployment/")
_ID = re.compile(r"[a-z0-9][a-z0-9-]*\.[A-Za-z0-9][A-Za-z0-9.:_-]*")
# What the ids of models that give no text have in them, and what these models do.
_NO_TEXT: Mapping[str, str] = {
    "embed": "makes embeddings of a kind that is not supported",
    "rerank": "ranks texts, and does not answer",
    "canvas": "makes images",
    "image": "makes images",
    "stability.": "makes images",
    "reel": "makes videos",
    "luma.": "makes videos",
    "sonic": "speaks, which batch inference does not do",
    "speech": "speaks, which batch inference does not do",
}
_ALIKE = 0.8


class UnsupportedModel(ValueError):
    """Quarry has no adapter for the model, or cannot tell which model it is."""


def family_of(model_id: str) -> Family:
    """The adapter for a model, named by short id, inference profile or ARN.

    Raises:
        UnsupportedModel: names the id, why, and what is supported.
    """
    base = _base(model_id)
    begun = [beginning for beginning in FAMILIES if base.startswith(beginning)]
    # Some models that give no text bear the name of a family that does.
    why = next((why for word, why in _NO_TEXT.items() if word in base), None)
    if begun and (why is None or FAMILIES[max(begun, key=len)].kind == "embedding"):
        return FAMILIES[max(begun, key=len)]
    if why is not None:
        remedy = "name a model that answers with text, or one of the embeddings of Titan, Nova and Cohere"
        raise UnsupportedModel(f"{model_id!r} {why}: {remedy}")
    near = _nearest(base)
    if near:
        raise UnsupportedModel(f"{model_id!r} is no model that is known: does it begin with {near}?")
    if _ID.fullmatch(base) is None:
        raise UnsupportedModel(
            f"{model_id!r} is no id of a model, which is its provider's name, a dot and its own, as in"
            " amazon.nova-lite-v1:0: `quarry models` lists what there is"
        )
    return CONVERSE


def _nearest(base: str) -> str:
    """The beginning of a family for which another is an error of typing, as far as that can be told; else empty."""
    provider = base.partition(".")[0]
    providers: dict[str, str] = {}
    for beginning in FAMILIES:
        name = beginning.partition(".")[0]
        providers[name] = f"{name}." if name in providers else beginning
    if provider not in providers:
        near = difflib.get_close_matches(provider.casefold(), providers, n=1, cutoff=_ALIKE)
        return providers[near[0]] if near else ""
    beginnings = [each for each in FAMILIES if each.startswith(f"{provider}.") and not each.endswith(".")]
    alike = [each for each in beginnings if difflib.SequenceMatcher(None, base[: len(each)], each).ratio() > 0.9]
    return alike[0] if alike else ""


def carriers_of(model_id: str) -> Mapping[OutputMode, Carrier]:
    """How a model can be asked for JSON, the usual way first. Raises UnsupportedModel."""
    return family_of(model_id).carriers(_base(model_id))


def image_content_of(model_id: str) -> ImageContent:
    """How a model is shown images.

    Raises:
        UnsupportedModel: as `family_of`.
        ValueError: it takes none; names the model and the remedy.
    """
    family = family_of(model_id)
    found = family.images(_base(model_id))
    if found is not None:
        return found
    if family.kind == "embedding":
        raise ValueError(
            f"{model_id} makes embeddings, of texts only here: name a model that answers, or leave images out"
        )
    raise ValueError(f"{model_id} takes text only: name a model that takes images, such as Nova Lite or Claude")


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
            f"{model_id!r} is an application inference profile, and which model it stands for was not looked up:"
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
    readers: tuple[AnswerReader, ...] = (*FAMILIES.values(), CONVERSE, INVOKED)
    for reader in readers:
        if reader.name == name:
            return reader
    raise UnsupportedModel(
        f"the run was accepted for the family {name!r}, which this release does not know:"
        " let the release end it that accepted it"
    )


def reader_of(model_id: str, sent_by: Invocation | None) -> AnswerReader:
    """What reads a model's answers.

    Args:
        model_id: of a supported family; with Converse, any that chats.
        sent_by: how Bedrock reads requests that somebody else wrote; None: they are the family's own.

    Raises:
        UnsupportedModel: as `family_of`.
    """
    if sent_by == "Converse":
        try:
            found = family_of(model_id)
        except UnsupportedModel:
            return CONVERSE
        return found if found.invocation == "Converse" else CONVERSE
    family = family_of(model_id)
    return family if sent_by is None else family.invoked


def check_ready(model_id: str, body: Mapping[str, Any]) -> None:
    """Refuse a `modelInput` for InvokeModel that somebody else wrote and that this model takes from nobody.

    Raises:
        UnsupportedModel: as `family_of`.
        ValueError: names the field and the remedy.
    """
    family_of(model_id).check_body(body, _base(model_id))


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
    family_of(model_id).check_inference(inference, _base(model_id), whole=whole)


def joined(model_id: str, prompts: Mapping[str, Any], manifests: Mapping[str, Any]) -> dict[str, Any]:
    """The prompt's parameters and the manifest's, which win, also where they say it by another word of the family.

    Raises:
        UnsupportedModel: as `family_of`.
    """
    return overridden(prompts, manifests, family_of(model_id).aliases)
