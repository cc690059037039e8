"""Model identifiers: which model is meant, which pool it counts in, what Get shows for it. Pure.

A model is named by its id, by a geographic or global inference profile, or by either's ARN; all of them share one
quota, the pool; custom models of one base share another (contract sections 1.6 and 5). The id's pattern is no proof
that a model exists, so only models of the catalogue are taken, and the rest gets the words that live AWS uses.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from quarry_local.bedrock.errors import ApiError, invalid
from quarry_local.bedrock.models.catalogue import Entry, Family, Limits, catalogue, entries, serves

__all__ = ["CUSTOM", "EMBEDDINGS", "UNKNOWN", "UNSUPPORTED", "Family", "Model", "Named", "behind", "named", "resolve"]

# Contract section 7, verbatim.
UNSUPPORTED = "Batch inference is not supported for the requested model"

# The words of on-demand calls.
UNKNOWN = "The provided model identifier is invalid."

_PROFILE = re.compile(r"(?P<geography>us-gov|us|eu|apac|jp|au|ca|global)\.(?P<id>.+\..+)")
_ARN = re.compile(
    r"arn:aws(?:-[^:]+)?:bedrock:(?P<region>[a-z0-9-]+):(?P<account>\d{12})?:"
    r"(?P<kind>foundation-model|inference-profile|custom-model)/(?P<id>.+)"
)
_APPLICATION = re.compile(
    r"arn:aws(?:-[^:]+)?:bedrock:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):application-inference-profile/(?P<id>.+)"
)
CUSTOM = "custom-model/"
NO_LIMITS = Limits()
EMBEDDINGS: frozenset[Family] = frozenset(
    {"nova-embeddings", "titan-text-v1", "titan-text-v2", "titan-multimodal", "cohere-embed", "cohere-embed-v4"}
)


@dataclass(frozen=True, slots=True)
class Model:
    pool: str
    arn: str
    family: Family
    limits: Limits = NO_LIMITS
    profile: str | None = None
    """The inference profile's id, when the model was named by one."""
    id: str = ""
    """The foundation model's id; the pool's name unless the model is a custom one."""


@dataclass(frozen=True, slots=True)
class Named:
    """An identifier taken apart: the foundation model's id and how it was named."""

    id: str
    arn: str
    geography: str | None = None
    """Of the inference profile; None when the model was named directly."""
    custom: bool = False


def named(identifier: str, *, region: str, account: str) -> Named | None:
    """What an identifier names, whether or not such a model exists; None for another region's and for unknown forms."""
    arn = _ARN.fullmatch(identifier)
    if arn is None:
        profile = _PROFILE.fullmatch(identifier)
        if profile:
            shown = f"arn:aws:bedrock:{region}:{account}:inference-profile/{identifier}"
            return Named(_base(profile["id"]), shown, profile["geography"])
        return Named(_base(identifier), f"arn:aws:bedrock:{region}::foundation-model/{identifier}")
    if arn["region"] != region:
        return None
    match arn["kind"]:
        case "foundation-model":
            return Named(_base(arn["id"]), identifier)
        case "custom-model":
            return Named(_base(arn["id"].partition("/")[0]), identifier, custom=True)
        case _:
            profile = _PROFILE.fullmatch(arn["id"])
            return Named(_base(profile["id"]), identifier, profile["geography"]) if profile else None


def behind(identifier: str, profiles: Mapping[str, str], *, region: str, account: str) -> str:
    """What an application inference profile stands for, a model's id or a profile's; any other identifier as it is.

    Args:
        profiles: the account's application profiles: the last part of each one's ARN, to what it was made of.
    """
    found = _APPLICATION.fullmatch(identifier)
    if found is None or (found["region"], found["account"]) != (region, account):
        return identifier
    return profiles.get(found["id"], identifier)


def resolve(model_id: str, *, region: str, account: str, batch_models: Mapping[str, Family] | None = None) -> Model:
    """The model that `model_id` names, if batch inference takes it here.

    Args:
        batch_models: further models that batch inference supports, by id, with their families.

    Raises:
        ApiError: ValidationException; its message tells a model that AWS refuses from one that the catalogue does not
            know, which says nothing about AWS.
    """
    found = named(model_id, region=region, account=account)
    if found is None:
        raise _unsupported()
    added = (batch_models or {}).get(found.id)
    entry = entries().get(found.id)
    if added is None and entry is None:
        # ARNs of other kinds name models that batch inference takes nowhere.
        raise _unsupported() if found.id.startswith("arn:") else _unknown(found.id)
    if added is None and entry is not None and not _takes_batch(entry, found, region):
        raise _unsupported()
    family = added or (entry.family if entry else None)
    if family is None:
        raise AssertionError("an unknown model was refused above")
    limits = entry.limits if entry else NO_LIMITS
    if found.custom:
        return Model(CUSTOM + found.id, found.arn, family, limits, id=found.id)
    profile = found.arn.rsplit("/", 1)[-1] if found.geography else None
    return Model(found.id, found.arn, family, limits, profile=profile, id=found.id)


def _takes_batch(entry: Entry, found: Named, region: str) -> bool:
    if not entry.batch:
        return False
    if found.custom:
        return entry.custom
    if found.geography:
        return entry.profiles and serves(found.geography, region)
    return entry.regions is None or region in entry.regions


def _base(name: str) -> str:
    """The id without a context length (`:0:200k`) and with the `:0` that may be left out."""
    words = name.split(":")
    if len(words) == 1 and f"{name}:0" in entries():
        return f"{name}:0"
    return ":".join(words[:2])


def _unknown(model_id: str) -> ApiError:
    return invalid(
        f"{UNKNOWN} The simulated Bedrock's catalogue, read on {catalogue().read_on}, does not know {model_id[:200]}; "
        "if batch inference takes it, name it in the setting batch_models."
    )


def _unsupported() -> ApiError:
    return invalid(UNSUPPORTED)
