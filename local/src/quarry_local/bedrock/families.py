"""Which family answers for a model. To add one: a module beside `claude.py`, and a case here."""

from typing import assert_never

from quarry_local.bedrock import claude, titan
from quarry_local.bedrock.answers import Answering
from quarry_local.bedrock.models import Family, Model


def answering(model: Model) -> Answering:
    """What turns a `modelInput` for this model into its answer."""
    family: Family = model.family
    match family:
        case "anthropic":
            return claude.answering(model)
        case "titan-text-v2":
            return titan.answering()
        case _:
            assert_never(family)
