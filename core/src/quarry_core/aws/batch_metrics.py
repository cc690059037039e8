"""What CloudWatch says of all batch jobs of the account, by model: namespace `AWS/Bedrock/Batch`.

Sources: a blog of AWS's (2025-09-18, on monitoring batch inference) tells of records pending, of input and output tokens processed per minute,
and, for Claude, of tokens pending, by model. Of the metrics' names two are seen in public code; none of it is in AWS's
reference, and nothing of it was seen live. So this asks by `SEARCH`, which finds nothing where a name is another, reads the
model from whichever of two spellings the dimension has, and leaves out what it cannot place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from quarry_core.aws.calls import Calls
from quarry_core.models import canonical_model
from quarry_core.ports import BatchLoad

NAMESPACE = "AWS/Bedrock/Batch"
PERIOD_S = 300
LOOKED_BACK = timedelta(minutes=20)
PAGES_MAX = 10
# Our name by CloudWatch's.
NAMES: Mapping[str, str] = {
    "NumberOfRecordsPendingProcessing": "records_pending",
    "NumberOfTokensPendingProcessing": "tokens_pending",
    "NumberOfInputTokensProcessedPerMinute": "input_tokens_per_minute",
    "NumberOfOutputTokensProcessedPerMinute": "output_tokens_per_minute",
}
LABEL = "${PROP('Dim.ModelId')}|${PROP('Dim.modelId')}"


class CloudWatchBatchMetrics:
    """The newest values of the last twenty minutes, of one account in one region."""

    def __init__(self, aws: Calls) -> None:
        self._aws = aws

    async def by_model(self) -> Mapping[str, BatchLoad]:
        """By canonical model; a model of which nothing is told is left out. Raises PortError."""
        now = self._aws.clock.now()
        request = {
            "MetricDataQueries": [
                {
                    "Id": ours,
                    "Expression": f"SEARCH('Namespace=\"{NAMESPACE}\" MetricName=\"{theirs}\"', 'Average', {PERIOD_S})",
                    "Label": LABEL,
                }
                for theirs, ours in NAMES.items()
            ],
            "StartTime": now - LOOKED_BACK,
            "EndTime": now,
            "ScanBy": "TimestampDescending",
        }
        found: dict[str, dict[str, float]] = {}
        more: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            answer = await self._aws.call(
                "cloudwatch", "get_metric_data", {**request, **more}, doing="reading batch metrics"
            )
            for result in answer.get("MetricDataResults", []):
                _note(found, result)
            if not answer.get("NextToken"):
                break
            more = {"NextToken": answer["NextToken"]}
        return {model: BatchLoad(**values) for model, values in found.items()}


def _note(found: dict[str, dict[str, float]], result: Mapping[str, Any]) -> None:
    name, values = str(result.get("Id", "")), result.get("Values") or ()
    # A model's id has a dot; what stands for a dimension that is not there has none.
    models = [part for part in str(result.get("Label", "")).split("|") if "." in part]
    if name not in NAMES.values() or not models or not values or not math.isfinite(values[0]) or values[0] < 0:
        return
    here = found.setdefault(canonical_model(models[0]), {})
    # Several series of one model, as of its inference profiles, add up.
    here[name] = here.get(name, 0.0) + float(values[0])
