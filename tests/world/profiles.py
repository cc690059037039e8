"""Bedrock's application inference profiles in memory."""

from __future__ import annotations

from quarry_core.errors import Missing
from quarry_core.ports import InferenceProfile


class FakeProfiles:
    """`known`: profiles by ARN, or the exception with which one is answered. `asked`: every ARN that was asked for."""

    def __init__(self) -> None:
        self.known: dict[str, InferenceProfile | Exception] = {}
        self.asked: list[str] = []

    def make(self, name: str, model: str, *regions: str, status: str = "ACTIVE") -> str:
        """A profile of a model in these regions; its ARN."""
        arn = f"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/{name}"
        models = tuple(f"arn:aws:bedrock:{region}::foundation-model/{model}" for region in regions or ("us-east-1",))
        self.known[arn] = InferenceProfile(models, status)
        return arn

    async def get(self, arn: str) -> InferenceProfile:
        self.asked.append(arn)
        found = self.known.get(arn)
        if found is None:
            raise Missing(f"reading {arn}: ResourceNotFoundException")
        if isinstance(found, Exception):
            raise found
        return found
