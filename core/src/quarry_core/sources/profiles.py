"""The model behind an application inference profile, looked up once, when a manifest arrives; the run's pins keep it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quarry_core.contract.manifest import ManifestError
from quarry_core.errors import Missing, Refused
from quarry_core.models import NoOneModel, is_application_profile, model_behind
from quarry_core.ports import Profiles

_ACTIVE = "ACTIVE"
# As the service model has it; what is longer or otherwise is told by the manifest's own checks.
_ARN = re.compile(
    r"arn:aws(?:-[^:]+)?:bedrock:(?P<region>[a-z0-9-]{1,20}):[0-9]{12}:application-inference-profile/[a-z0-9]{1,64}"
)


class ProfileNotReadable(ManifestError):
    """The profile may not be read from here: whether there is such a one is not known."""


async def look_up_model(profiles: Profiles, data: object, region: str) -> str:
    """The model that a manifest's `model_id` stands for; empty if it names its model itself, or is of another region.

    Args:
        data: the manifest, as it came; whatever it is.
        region: of the environment.

    Raises:
        ProfileNotReadable: the caller lacks the right to.
        ManifestError: there is no such profile, or no one model behind it; the text says what to do.
        PortError: Bedrock gave no answer.
    """
    arn = _model_id(data)
    found = _ARN.fullmatch(arn) if is_application_profile(arn) else None
    if found is None or found["region"] != region:
        return ""
    try:
        profile = await profiles.get(arn)
    except Missing as error:
        raise ManifestError(
            f"model_id: there is no inference profile {arn}: `aws bedrock list-inference-profiles --type-equals"
            f" APPLICATION --region {region}` lists what there is"
        ) from error
    except Refused as error:
        if not error.denied:
            raise ManifestError(
                f"model_id: Bedrock does not show the inference profile {arn}: name the model instead ({error})"
            ) from error
        raise ProfileNotReadable(
            f"model_id: the inference profile {arn} may not be read, so its model is not known: let the preprocessor's role"
            " call bedrock:GetInferenceProfile on it (Terraform: application_profiles), or name the model"
        ) from error
    if profile.status != _ACTIVE:
        raise ManifestError(
            f"model_id: the inference profile {arn} is {profile.status}, not {_ACTIVE}: wait until it is, or name the model"
        )
    try:
        return model_behind(profile.model_arns)
    except NoOneModel as error:
        raise ManifestError(f"model_id: {arn} cannot be used: {error}") from error


def _model_id(data: object) -> str:
    members: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    named = members.get("model_id")
    return named.strip() if isinstance(named, str) else ""
