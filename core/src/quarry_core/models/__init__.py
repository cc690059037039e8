"""Model families: how a record is asked, how its answer is read, which pool and which limits hold. Pure."""

from quarry_core.models.family import Answer, AnswerColumn, EmptyAnswer, Family, Kind, Output
from quarry_core.models.identity import canonical_model, pool_of
from quarry_core.models.limits import ModelLimits, limits_of
from quarry_core.models.registry import FAMILIES, UnsupportedModel, check_inference, family_of

__all__ = [
    "FAMILIES",
    "Answer",
    "AnswerColumn",
    "EmptyAnswer",
    "Family",
    "Kind",
    "ModelLimits",
    "Output",
    "UnsupportedModel",
    "canonical_model",
    "check_inference",
    "family_of",
    "limits_of",
    "pool_of",
]
