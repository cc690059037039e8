"""The canary of a run: one shard that is asked alone before the others, and what it must not exceed. Pure.

The first shard is it. What its answers come to is judged by `planning.canary`; until then, and after an answer of no, nothing
else of the run is admitted.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler

# A run of more shards than this has a canary unless its manifest says otherwise.
CANARY_ABOVE_SHARDS = 10
# Rows of a canary whose manifest does not say: enough for shares that are sure to a few percent, and cheap.
CANARY_ROWS = 1_000
CANARY_ROWS_MAX = 50_000
CANARY_SHARD = "00000"
MAX_ERROR_SHARE = 0.1
MAX_TRUNCATED_SHARE = 0.2

OnFail = Literal["hold", "fail"]


class Canary(BaseModel):
    """What the first shard must not exceed before the others are asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=CANARY_ROWS_MAX,
        description=f"Rows of the canary, at least the model's smallest job; by default {CANARY_ROWS:,}.",
    )
    max_error_share: float = Field(
        MAX_ERROR_SHARE,
        ge=0,
        le=1,
        description="The largest share of its rows that may have an error, 0 to 1; rows that the prompt skips are none.",
    )
    max_truncated_share: float = Field(
        MAX_TRUNCATED_SHARE,
        ge=0,
        le=1,
        description="The largest share of its answers that may be cut off at max_tokens; set 1 if they are meant to be.",
    )
    max_cost_usd: float | None = Field(
        None, gt=0, description="The most that the whole run may cost in US dollars, as the canary projects it."
    )
    on_fail: OnFail = Field(
        "hold", description="hold: wait for `quarry approve`; fail: end FAILED. The canary's rows are kept either way."
    )

    @property
    def wanted(self) -> bool:
        return self.rows != 0


# What `false` stands for in a manifest.
NO_CANARY = Canary.model_construct(rows=0)


def read_canary(value: Any, handler: ValidatorFunctionWrapHandler) -> Canary:
    """`true` is a canary with the default limits, `false` none."""
    if value is False:
        return NO_CANARY
    canary: Canary = handler({} if value is True else value)
    return canary


class CanaryState(StrEnum):
    """Where a run's canary is; a run without one has none of these."""

    WAITING = "waiting"  # its answers are not judged yet
    PASSED = "passed"
    EXCEEDED = "exceeded"  # the run is held, or fails
    APPROVED = "approved"  # somebody let the run go on


class HoldKind(StrEnum):
    """Why a run is held."""

    CANARY = "canary"
    BUDGET = "budget"  # its own
    MONTH = "month"  # the environment's, of the calendar month
