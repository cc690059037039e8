"""Model families: how a record is asked, how its answer is read, which pool and which limits hold. Pure."""

from quarry_core.models.family import (
    Answer,
    AnswerColumn,
    AnswerReader,
    Carrier,
    EmptyAnswer,
    Family,
    Kind,
    Output,
    OutputMode,
    Turn,
)
from quarry_core.models.identity import canonical_model, pool_of
from quarry_core.models.limits import ModelLimits, limits_of
from quarry_core.models.registry import (
    CONVERSE,
    FAMILIES,
    UnsupportedModel,
    carriers_of,
    check_converses,
    check_inference,
    check_ready,
    family_of,
    joined,
    makes_embeddings,
    reader_named,
    reader_of,
)

__all__ = [
    "CONVERSE",
    "FAMILIES",
    "Answer",
    "AnswerColumn",
    "AnswerReader",
    "Carrier",
    "EmptyAnswer",
    "Family",
    "Kind",
    "ModelLimits",
    "Output",
    "OutputMode",
    "Turn",
    "UnsupportedModel",
    "canonical_model",
    "carriers_of",
    "check_converses",
    "check_inference",
    "check_ready",
    "family_of",
    "joined",
    "limits_of",
    "makes_embeddings",
    "pool_of",
    "reader_named",
    "reader_of",
]
