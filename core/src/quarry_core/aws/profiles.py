"""Bedrock's inference profiles: which models one routes to."""

from __future__ import annotations

from quarry_core.aws.calls import Calls
from quarry_core.ports import InferenceProfile


class BedrockProfiles:
    """The inference profiles of one account in one region."""

    def __init__(self, aws: Calls) -> None:
        self._aws = aws

    async def get(self, arn: str) -> InferenceProfile:
        request = {"inferenceProfileIdentifier": arn}
        answer = await self._aws.call("bedrock", "get_inference_profile", request, doing=f"reading {arn}")
        models = tuple(str(each["modelArn"]) for each in answer["models"] if each.get("modelArn"))
        return InferenceProfile(models, str(answer["status"]))
