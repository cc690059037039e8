"""Which family answers for a model. To add one: a module beside `claude.py`, and a case here."""

from typing import assert_never

from quarry_local.bedrock.families import (
    chat,
    claude,
    cohere,
    converse,
    llama,
    mistral,
    nova,
    nova_embeddings,
    titan,
    titan_multimodal,
)
from quarry_local.bedrock.families.answers import Answering
from quarry_local.bedrock.models.identity import EMBEDDINGS, Family, Model


def answering(model: Model, invocation_type: str = "InvokeModel", *, batch: bool = True) -> Answering:
    """What turns a `modelInput` for this model into its answer.

    Args:
        model: as `models.resolve` found it.
        invocation_type: the job's `modelInvocationType`: Converse has one body for every model that chats.
        batch: whether a record is answered, or a call on demand, which Converse lets call tools.
    """
    if invocation_type == "Converse":
        return converse.refusing() if model.family in EMBEDDINGS else converse.answering(model, batch=batch)
    family: Family = model.family
    match family:
        case "anthropic":
            return claude.answering(model)
        case "nova":
            return nova.answering()
        case "nova-embeddings":
            return nova_embeddings.answering()
        case "titan-text-v1":
            return titan.answering_g1()
        case "titan-text-v2":
            return titan.answering()
        case "titan-multimodal":
            return titan_multimodal.answering()
        case "llama":
            return llama.answering()
        case "mistral-text":
            return mistral.answering()
        case "mistral-chat":
            return chat.mistral(model)
        case "openai-chat":
            return chat.openai(model)
        case "jamba":
            return chat.jamba(model)
        case "cohere-embed":
            return cohere.embed()
        case "cohere-embed-v4":
            return cohere.embed_v4()
        case "cohere-command":
            return cohere.command()
        case _:
            assert_never(family)
