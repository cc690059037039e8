"""What Service Quotas allows of batch jobs, by model (contract section 5).

Three lists, a page at a time: AWS's defaults, over them what the account has, and the models' names, by which alone a
quota says whose it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quarry_core.aws.calls import Calls
from quarry_core.models import canonical_model
from quarry_core.models.quota_names import SERVICE, BatchQuotas, Limit

PAGES_MAX = 60


class ServiceQuotas:
    """The quotas of one account in one region."""

    def __init__(self, aws: Calls) -> None:
        self._aws = aws

    async def jobs_at_once(self) -> Mapping[str, int]:
        listed = [
            *await self._pages("list_aws_default_service_quotas"),
            *await self._pages("list_service_quotas"),
        ]
        quotas = BatchQuotas(listed)
        answer = await self._aws.call("bedrock", "list_foundation_models", {}, doing="listing models")
        found: dict[str, int] = {}
        for model in answer.get("modelSummaries", []):
            model_id = str(model.get("modelId", ""))
            known = quotas.of(model_id, str(model.get("modelName", "")))
            if known is not None and Limit.JOBS in known.limits:
                found[canonical_model(model_id)] = int(known.limits[Limit.JOBS].value)
        return found

    async def _pages(self, operation: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        more: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            request = {"ServiceCode": SERVICE, **more}
            answer = await self._aws.call("service-quotas", operation, request, doing="reading quotas")
            found += answer.get("Quotas", [])
            if not answer.get("NextToken"):
                break
            more = {"NextToken": answer["NextToken"]}
        return found
