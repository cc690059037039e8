"""ListFoundationModels, GetFoundationModel and GetFoundationModelAvailability: the catalogue as AWS shows it. Pure.

Whether batch inference takes a model cannot be read from here: refused models are listed as ACTIVE too (contract
section 4.5). Names and inference types are live ones, which the service model's own maxima and enums do not hold.
"""

from collections.abc import Container
from typing import Any

from quarry_local.bedrock.errors import missing
from quarry_local.bedrock.models.catalogue import Entry, entries
from quarry_local.bedrock.models.identity import named


def list_models(request: dict[str, Any], region: str) -> dict[str, Any]:
    """All models that fit the filters; this operation has no pages."""
    shown = (_view(entry, region) for entry in entries().values())
    return {"modelSummaries": [model for model in shown if _fits(model, request)]}


def get_model(request: dict[str, Any], region: str, account: str) -> dict[str, Any]:
    """One model, by id or ARN.

    Raises:
        ApiError: ResourceNotFoundException; also for an inference profile, which is no foundation model.
    """
    return {"modelDetails": _view(_entry(request["modelIdentifier"], region, account), region)}


def availability(request: dict[str, Any], region: str, account: str, without_access: Container[str]) -> dict[str, Any]:
    """Whether the account may use one model. Of the four answers, those of an account that never subscribed to it.

    Args:
        without_access: ids of the models that it may not use.

    Raises:
        ApiError: ResourceNotFoundException, as by `get_model`.
    """
    model_id = request["modelId"]
    reported = "NOT_AVAILABLE" if _entry(model_id, region, account).id in without_access else "AVAILABLE"
    return {
        "modelId": model_id,
        "agreementAvailability": {"status": reported},
        "authorizationStatus": "AUTHORIZED",
        "entitlementAvailability": reported,
        "regionAvailability": "AVAILABLE",
    }


def model_arn(model_id: str, region: str) -> str:
    return f"arn:aws:bedrock:{region}::foundation-model/{model_id}"


def _entry(identifier: str, region: str, account: str) -> Entry:
    found = named(identifier, region=region, account=account)
    entry = entries().get(found.id) if found and not found.geography and not found.custom else None
    if entry is None:
        raise missing(f"Could not resolve the foundation model from the provided model identifier: {identifier}")
    return entry


def _view(entry: Entry, region: str) -> dict[str, Any]:
    by_profile_only = not entry.on_demand
    return {
        "modelArn": model_arn(entry.id, region),
        "modelId": entry.id,
        "modelName": entry.name,
        "providerName": entry.provider,
        "inputModalities": entry.input,
        "outputModalities": entry.output,
        "responseStreamingSupported": entry.streaming,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["INFERENCE_PROFILE"] if by_profile_only else ["ON_DEMAND"],
        "modelLifecycle": {"status": "LEGACY" if entry.legacy else "ACTIVE"},
    }


def _fits(model: dict[str, Any], request: dict[str, Any]) -> bool:
    return (
        ("byProvider" not in request or model["providerName"].lower() == request["byProvider"].lower())
        and ("byOutputModality" not in request or request["byOutputModality"] in model["outputModalities"])
        and ("byInferenceType" not in request or request["byInferenceType"] in model["inferenceTypesSupported"])
        and ("byCustomizationType" not in request or request["byCustomizationType"] in model["customizationsSupported"])
    )
