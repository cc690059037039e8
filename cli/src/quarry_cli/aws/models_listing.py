"""What models a region has: foundation models and inference profiles, and of each what can be known without using it.

Two lists and the quotas' names, whatever the number of models; access is asked for only on demand, once for each model
and for at most `ACCESS_MAX` of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from quarry_cli.aws.asking import Asking
from quarry_cli.aws.finding import NotKnown
from quarry_cli.aws.models_quotas import Access, read_access, takes_batch
from quarry_core.errors import PortError
from quarry_core.models import NoOneModel, UnsupportedModel, canonical_model, family_of, model_behind
from quarry_core.models.quota_names import SERVICE, BatchQuotas

ACCESS_MAX = 50
Known = Literal["yes", "no", "unknown"]


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """A model or a profile.

    Attributes:
        id: what a manifest's `model_id` takes.
        family: Quarry's adapter; None: Quarry cannot prompt it.
        batch: whether batch inference takes it here; `why` says how this is known.
        access: whether the account may use it; None if it was not asked.
        regions: where a profile may send its requests.
        legacy: AWS is going to take the model away.
    """

    id: str
    name: str
    provider: str
    kind: Literal["model", "profile"]
    family: str | None
    batch: Known
    why: str
    access: Known | None = None
    regions: list[str] = []
    legacy: bool = False

    def matches(self, text: str) -> bool:
        wanted = text.casefold()
        return any(wanted in word.casefold() for word in (self.id, self.name, self.provider, self.family or ""))


async def list_models(asking: Asking, text: str = "", *, access: bool = False) -> list[ModelLine]:
    """Models, then profiles, each in the order of ids, that have `text` in id, name, provider or family.

    Args:
        access: ask for each model whether the account may use it.

    Raises:
        PortError: Bedrock does not list its models.
        NotKnown: `access` of more than `ACCESS_MAX` models, or too many pages.
    """
    message = await asking("bedrock", "list_foundation_models")
    models = {str(each["modelId"]): each for each in message["modelSummaries"]}
    profiles = await asking.pages(
        "bedrock", "list_inference_profiles", "inferenceProfileSummaries", "nextToken", maxResults=100
    )
    quotas = await _quotas(asking)
    by_model = {canonical_model(model_id): each for model_id, each in models.items()}
    lines = [_model(model, quotas) for _, model in sorted(models.items())]
    lines += [
        _profile(profile, by_model, quotas) for profile in sorted(profiles, key=lambda each: each["inferenceProfileId"])
    ]
    found = [line for line in lines if line.matches(text)]
    return await _with_access(asking, found) if access else found


async def _quotas(asking: Asking) -> BatchQuotas | None:
    try:
        pages = [
            await asking.pages("service-quotas", operation, "Quotas", "NextToken", ServiceCode=SERVICE)
            for operation in ("list_aws_default_service_quotas", "list_service_quotas")
        ]
    except PortError:
        return None  # each line then says that they could not be read
    return BatchQuotas([quota for page in pages for quota in page])


def _model(model: Mapping[str, Any], quotas: BatchQuotas | None) -> ModelLine:
    model_id, name = str(model["modelId"]), str(model.get("modelName", ""))
    batch, why = takes_batch(model_id, name, quotas)
    if model.get("inferenceTypesSupported") == ["INFERENCE_PROFILE"]:
        why += "; perhaps only through a profile"
    return ModelLine(
        id=model_id,
        name=name,
        provider=str(model.get("providerName", "")),
        kind="model",
        family=_family(model_id),
        batch=batch.value,
        why=why,
        legacy=model.get("modelLifecycle", {}).get("status") == "LEGACY",
    )


def _profile(
    profile: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]], quotas: BatchQuotas | None
) -> ModelLine:
    profile_id, arns = str(profile["inferenceProfileId"]), [str(each["modelArn"]) for each in profile["models"]]
    # An application's profile hides its model behind its own name; its member says which it is.
    member = canonical_model(arns[0]) if arns else canonical_model(profile_id)
    model = models.get(member, {})
    batch, why = takes_batch(member, str(model.get("modelName", "")), quotas)
    application = profile.get("type") == "APPLICATION"
    return ModelLine(
        id=str(profile["inferenceProfileArn"]) if application else profile_id,
        name=str(profile.get("inferenceProfileName", "")),
        provider=str(model.get("providerName", "")),
        kind="profile",
        family=_family_behind(arns) if application else _family(profile_id),
        batch=batch.value,
        why=why,
        regions=sorted({arn.split(":")[3] for arn in arns if arn.count(":") >= 5} - {""}),
        legacy=model.get("modelLifecycle", {}).get("status") == "LEGACY",
    )


def _family(model_id: str) -> str | None:
    try:
        return family_of(model_id).name
    except UnsupportedModel:
        return None


def _family_behind(model_arns: Sequence[str]) -> str | None:
    try:
        return _family(model_behind(model_arns))
    except NoOneModel:
        return None


async def _with_access(asking: Asking, lines: Sequence[ModelLine]) -> list[ModelLine]:
    models = list(dict.fromkeys(canonical_model(line.id) for line in lines if ":application-" not in line.id))
    if len(models) > ACCESS_MAX:
        raise NotKnown(
            f"access would be checked for {len(models)} models, one by one: narrow the text to at most {ACCESS_MAX}"
        )
    answers = await asyncio.gather(*(_access(asking, model) for model in models))
    known = dict(zip(models, answers, strict=True))
    return [msgspec.structs.replace(line, access=_words(known.get(canonical_model(line.id)))) for line in lines]


def _words(access: Access | None) -> Known:
    if access is None or access is Access.PENDING:
        return "unknown"
    return "yes" if access is Access.YES else "no"


async def _access(asking: Asking, model: str) -> Access | None:
    try:
        return read_access(await asking("bedrock", "get_foundation_model_availability", modelId=model))
    except PortError:
        return None
