"""What Service Quotas' names tell of batch jobs: which quota is which model's. Pure.

AWS links no quota to a model's id (contract section 5). What can be read is the quotas' names, and those have traps,
which is why they are matched to their ends:

* they use a model's marketing name, often without its provider, sometimes with a version that the model's own lacks;
* "Records per batch inference job for X" is a part of "Minimum number of records per batch inference job for X", and
  "Claude 3.5 Sonnet" the beginning of "Claude 3.5 Sonnet v2";
* "(in GB)" stands in the middle or at the end;
* a model that takes batch jobs may be missing: newer ones lag behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from quarry_core.models.identity import canonical_model

SERVICE = "bedrock"


class Limit(StrEnum):
    """The quotas of one model that matter to batch jobs."""

    RECORDS_MIN = "minimum records per job"
    RECORDS_MAX = "records per job"
    FILE_RECORDS_MAX = "records per input file"
    FILE_GB = "input file size in GB"
    JOB_GB = "job size in GB"
    JOBS = "jobs at once"


_NAMES = {
    Limit.RECORDS_MIN: r"minimum number of records per batch inference job for (?P<model>.+)",
    Limit.RECORDS_MAX: r"records per batch inference job for (?P<model>.+)",
    Limit.FILE_RECORDS_MAX: r"records per input file per batch inference job for (?P<model>.+)",
    Limit.FILE_GB: r"batch inference input file size (?:\(in gb\) )?for (?P<model>.+?)(?: \(in gb\))?",
    Limit.JOB_GB: r"batch inference job size (?:\(in gb\) )?for (?P<model>.+?)(?: \(in gb\))?",
    Limit.JOBS: r"sum of in-progress and submitted batch inference jobs using a base model for (?P<model>.+)",
}
_PATTERNS = {limit: re.compile(pattern, re.IGNORECASE) for limit, pattern in _NAMES.items()}

# Where the quotas call a model otherwise than the model calls itself.
_CALLED = {
    "meta.llama4-scout-17b-instruct-v1:0": "Llama 4 Scout",
    "meta.llama4-maverick-17b-instruct-v1:0": "Llama 4 Maverick",
    "mistral.mistral-small-2402-v1:0": "Mistral Small",
    "mistral.mistral-large-2407-v1:0": "Mistral Large 2 (24.07)",
    "qwen.qwen3-32b-v1:0": "Qwen3 32B",
    "qwen.qwen3-235b-a22b-2507-v1:0": "Qwen3 235B",
    "qwen.qwen3-coder-30b-a3b-v1:0": "Qwen3 Coder 30B",
    "qwen.qwen3-coder-480b-a35b-v1:0": "Qwen3 Coder 480B",
    "deepseek.v3-v1:0": "DeepSeek v3",
}
_PROVIDERS = ("anthropic", "amazon", "meta", "mistral ai", "openai", "google", "moonshot ai", "ai21 labs", "cohere")


@dataclass(frozen=True, slots=True)
class Quota:
    code: str
    value: float
    adjustable: bool


@dataclass(frozen=True, slots=True)
class ModelQuotas:
    """The batch quotas under one marketing name."""

    name: str
    limits: dict[Limit, Quota] = field(default_factory=dict)


class BatchQuotas:
    """The batch quotas of one region.

    Args:
        listed: quotas as Service Quotas tells them, the stronger later: AWS's defaults, then what is applied.
    """

    def __init__(self, listed: Iterable[Mapping[str, Any]]) -> None:
        self._by_name: dict[str, ModelQuotas] = {}
        for quota in listed:
            name = str(quota.get("QuotaName", "")) if "Value" in quota else ""  # one that failed has an ErrorReason
            for limit, pattern in _PATTERNS.items():
                if match := pattern.fullmatch(name.strip()):
                    found = self._by_name.setdefault(_plain(match["model"]), ModelQuotas(match["model"]))
                    found.limits[limit] = Quota(
                        str(quota.get("QuotaCode", "")), float(quota["Value"]), bool(quota.get("Adjustable"))
                    )

    def __iter__(self) -> Iterator[ModelQuotas]:
        return iter(self._by_name.values())

    def of(self, model_id: str, model_name: str) -> ModelQuotas | None:
        """The quotas of a model; None if no quota's name is the model's."""
        called = _CALLED.get(canonical_model(model_id), model_name)
        return self._by_name.get(_plain(called)) if called else None


def _plain(name: str) -> str:
    """A marketing name without provider, version 1, and anything that is no letter or digit."""
    words = name.casefold()
    for provider in _PROVIDERS:
        words = words.removeprefix(f"{provider} ")
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\s+v1$", "", words))
