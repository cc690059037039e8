"""A model of which Bedrock creates no job."""

from __future__ import annotations

from dataclasses import dataclass

from quarry_core.ports import Item


@dataclass(frozen=True, slots=True)
class RefusedModel:
    """A model of which Bedrock creates no job: since when it is known, in its words. `at` is ISO 8601 in UTC.

    It counts until `expires_at` (seconds since the epoch), or until somebody makes it forgotten.
    """

    region: str
    model_id: str
    at: str
    message: str
    run_id: str
    expires_at: int
    forgotten_at: str = ""
    forgotten_by: str = ""

    def counts(self, now_s: float) -> bool:
        """Whether a run of the model is refused. DynamoDB deletes what has expired some time later."""
        return not self.forgotten_at and now_s < self.expires_at


def read_refused_model(item: Item) -> RefusedModel:
    return RefusedModel(**{name: item[name] for name in RefusedModel.__slots__ if name in item})
