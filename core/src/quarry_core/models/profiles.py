"""Application inference profiles: an ARN that says nothing of its model, so Bedrock is asked which one it stands for. Pure.

GetInferenceProfile names a foundation model in every region where the profile may answer. All of them are one model, or
nobody could say how it is asked and what it costs. Over several regions a profile costs what AWS's own profile of that
geography costs, so the model is named with it (an inference: an application profile is made of one of those, or of a model).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from quarry_core.models.identity import HIDDEN, canonical_model, geography_of

_FOUNDATION = re.compile(r"arn:aws(?:-[^:]+)?:bedrock:(?P<region>[a-z0-9-]*):[0-9]*:foundation-model/(?P<id>.+)")
# By how the names of all regions begin. Others cost what the model itself costs, as far as is known.
_GEOGRAPHIES = {"us-gov-": "us-gov", "us-": "us", "eu-": "eu", "ap-": "apac"}
MODELS_SHOWN_MAX = 3


class NoOneModel(ValueError):
    """What a profile names is no model, or several; the text says what to do."""


def is_application_profile(model_id: str) -> bool:
    """Whether an id is the ARN of an application inference profile."""
    return canonical_model(model_id).startswith(HIDDEN)


def model_behind(model_arns: Sequence[str]) -> str:
    """The model that a profile stands for: its id, with the geography if the profile spans several regions.

    Args:
        model_arns: of the foundation models that the profile routes to, as GetInferenceProfile names them.

    Raises:
        NoOneModel: they are of no model, or of several.
    """
    found = [match for arn in model_arns if (match := _FOUNDATION.fullmatch(arn))]
    names = sorted({canonical_model(match["id"]) for match in found})
    if not names or len(found) != len(model_arns):
        raise NoOneModel("it routes to no foundation model: name the model itself")
    if len(names) > 1:
        listed = ", ".join(names[:MODELS_SHOWN_MAX])
        raise NoOneModel(f"it routes to several models ({listed}): name one of them, or a profile of one model")
    regions = {match["region"] for match in found}
    if "" in regions:
        return f"global.{names[0]}"
    if len(regions) > 1:
        begun = [word for start, word in _GEOGRAPHIES.items() if all(region.startswith(start) for region in regions)]
        if begun and not geography_of(names[0]):
            return f"{begun[0]}.{names[0]}"
    return names[0]
