"""Which models take batch jobs, as far as Service Quotas' names (`quarry_core.models.quota_names`) tell. Pure.

ListFoundationModels says nothing of batch inference (contract section 4.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from quarry_core.models import canonical_model
from quarry_core.models.quota_names import BatchQuotas

SEEN_ON = "2026-11"


class Batch(StrEnum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Access(StrEnum):
    """Whether an account may use a model, as GetFoundationModelAvailability tells it."""

    YES = "yes"
    NOT_AUTHORIZED = "not authorized"
    NOT_HERE = "not in this region"
    PENDING = "the subscription is being created"
    NO_AGREEMENT = "no agreement"


# What somebody wrote down of Create, for models that no quota names: one account each, and it may change (contract 4.5).
_SEEN = {
    "anthropic.claude-opus-5": Batch.YES,
    "anthropic.claude-sonnet-4-6": Batch.YES,
    "moonshotai.kimi-k2.5": Batch.YES,
    "deepseek.v3.2": Batch.YES,
    "anthropic.claude-sonnet-5": Batch.NO,
    "anthropic.claude-fable-5-1": Batch.NO,
    "anthropic.claude-opus-4-7": Batch.NO,
    "anthropic.claude-opus-4-8": Batch.NO,
}
# Families in which no model ever had a batch quota.
_NEVER = ("cohere.", "ai21.", "amazon.titan-embed-text-v1", "amazon.titan-text-")


def takes_batch(model_id: str, model_name: str, quotas: BatchQuotas | None) -> tuple[Batch, str]:
    """Whether a model takes batch jobs in the region of the quotas, and how this is known.

    Args:
        model_id: a model's, or an inference profile's.
        model_name: as ListFoundationModels calls the model.
        quotas: None where they could not be read.
    """
    model = canonical_model(model_id)
    if quotas is not None and quotas.of(model_id, model_name) is not None:
        return Batch.YES, "Service Quotas names its batch jobs"
    if model in _SEEN:
        did = "took" if _SEEN[model] is Batch.YES else "refused"
        return _SEEN[model], f"Bedrock {did} a batch job of it ({SEEN_ON}, in another account)"
    if model.startswith(_NEVER):
        return Batch.NO, "no model of its family has ever had a batch quota"
    if quotas is None:
        return Batch.UNKNOWN, "Service Quotas could not be read"
    return Batch.UNKNOWN, "no batch quota names it; quotas for new models appear later"


def read_access(reported: Mapping[str, Any]) -> Access:
    """The first of the four answers that says no; what is not told counts as yes."""
    status = reported.get("agreementAvailability", {}).get("status", "AVAILABLE")
    if reported.get("authorizationStatus") == "NOT_AUTHORIZED":
        return Access.NOT_AUTHORIZED
    if reported.get("regionAvailability") == "NOT_AVAILABLE":
        return Access.NOT_HERE
    if status == "PENDING":
        return Access.PENDING
    if status != "AVAILABLE" or reported.get("entitlementAvailability") == "NOT_AVAILABLE":
        return Access.NO_AGREEMENT
    return Access.YES
