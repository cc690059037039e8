"""Quarry's runs in Apache Airflow.

`operators.QuarryRunOperator` sends a manifest and waits for its run, `sensors.QuarryRunSensor` waits for one that somebody
else sent, and `adapter.BedrockBatchAdapter` lets `@task.llm_batch` of the common.ai provider work on Amazon Bedrock.
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """What Airflow lists of this package."""
    return {
        "package-name": "quarry-batch-airflow",
        "name": "Quarry",
        "description": "Large-scale LLM batch work on Amazon Bedrock.",
    }
