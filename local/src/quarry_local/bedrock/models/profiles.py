"""ListInferenceProfiles and GetInferenceProfile: the system's own profiles, and the account's. Pure.

A profile is listed where it can be called from. Application profiles are made by a setting, and not by
CreateInferenceProfile, which batch work does not call.
"""

import base64
import binascii
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from quarry_local.bedrock.errors import invalid, missing
from quarry_local.bedrock.models.catalogue import Entry, catalogue, entries, serves
from quarry_local.bedrock.models.foundation_models import model_arn
from quarry_local.bedrock.models.identity import named

NOTHING: Mapping[str, str] = MappingProxyType({})
_PAGE = 100  # what live answers without maxResults is not documented
_MADE = "2024-08-26T00:00:00Z"  # live profiles have several dates; nobody should read them
_WORDS = {"global": "Global", "apac": "APAC", "us-gov": "US-GOV"}


def list_profiles(
    request: dict[str, Any], region: str, account: str, own: Mapping[str, str] = NOTHING
) -> dict[str, Any]:
    """One page; of one type, where `typeEquals` says so, and else the system's and then the account's own.

    Raises:
        ApiError: ValidationException, for a nextToken that is none.
    """
    wanted = request.get("typeEquals")
    found: list[dict[str, Any]] = []
    if wanted != "APPLICATION":
        found += [_view(entry, geography, region, account) for entry, geography in _served(region)]
    if wanted != "SYSTEM_DEFINED":
        found += [_own_view(name, target, region, account) for name, target in sorted(own.items())]
    first = _position(request["nextToken"], len(found)) if "nextToken" in request else 0
    following = first + request.get("maxResults", _PAGE)
    page: dict[str, Any] = {"inferenceProfileSummaries": found[first:following]}
    if following < len(found):
        page["nextToken"] = base64.urlsafe_b64encode(f"profile:{following}".encode()).decode()
    return page


def get_profile(request: dict[str, Any], region: str, account: str, own: Mapping[str, str] = NOTHING) -> dict[str, Any]:
    """One profile, by id or ARN.

    Args:
        own: the account's application profiles: the last part of each one's ARN, to what it was made of.

    Raises:
        ApiError: ResourceNotFoundException.
    """
    identifier = request["inferenceProfileIdentifier"]
    for name, target in own.items():
        if identifier in {name, _own_arn(name, region, account)}:
            return _own_view(name, target, region, account)
    found = named(identifier, region=region, account=account)
    if found and found.geography:
        for entry, geography in _served(region):
            shown = _view(entry, geography, region, account)
            if identifier in {shown["inferenceProfileId"], shown["inferenceProfileArn"]}:
                return shown
    raise missing(f"The inference profile {identifier} was not found")


def targets(geography: str, region: str) -> list[str]:
    """The regions that a profile called from `region` may route to."""
    # The global profiles' own regions are not listed anywhere that was read.
    return [region] if geography == "global" else catalogue().geographies[geography]


def _served(region: str) -> list[tuple[Entry, str]]:
    geographies = [name for name in (*catalogue().geographies, "global") if serves(name, region)]
    return [(entry, geography) for entry in entries().values() if entry.profiles for geography in geographies]


def _view(entry: Entry, geography: str, region: str, account: str) -> dict[str, Any]:
    profile = f"{geography}.{entry.id}"
    routed = targets(geography, region)
    return {
        "inferenceProfileName": f"{_WORDS.get(geography, geography.upper())} {entry.provider} {entry.name}",
        "description": f"Routes requests to {entry.provider} {entry.name} in {', '.join(routed)}.",
        "createdAt": _MADE,
        "updatedAt": _MADE,
        "inferenceProfileArn": f"arn:aws:bedrock:{region}:{account}:inference-profile/{profile}",
        "models": [{"modelArn": model_arn(entry.id, target)} for target in routed],
        "inferenceProfileId": profile,
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def _own_arn(name: str, region: str, account: str) -> str:
    return f"arn:aws:bedrock:{region}:{account}:application-inference-profile/{name}"


def _own_view(name: str, target: str, region: str, account: str) -> dict[str, Any]:
    """An application profile: it routes to where what it was made of routes to."""
    made_of = named(target, region=region, account=account)
    geography = made_of.geography if made_of else None
    routed = targets(geography, region) if geography else [region]
    model = made_of.id if made_of else target
    return {
        "inferenceProfileName": name,
        "createdAt": _MADE,
        "updatedAt": _MADE,
        "inferenceProfileArn": _own_arn(name, region, account),
        "models": [{"modelArn": model_arn(model, each)} for each in routed],
        "inferenceProfileId": name,
        "status": "ACTIVE",
        "type": "APPLICATION",
    }


def _position(token: str, count: int) -> int:
    try:
        kind, _, position = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        found = int(position)
    except (binascii.Error, ValueError):
        raise invalid("The nextToken is invalid") from None
    if kind != "profile" or not 0 <= found < count:
        raise invalid("The nextToken is invalid")
    return found
