"""Which records are asked again, and how often: the manifest's `record_errors`. Pure.

The one place that says which errors another attempt may fix. A record's attempts are the run's rounds: in the first all
records are asked, in the next those that `goes_again` names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

ATTEMPTS_MAX = 10
ATTEMPTS = 3
MODEL_ERROR = "MODEL_ERROR"

RetryCode = Literal[
    "MODEL_ERROR",
    "THROTTLED",
    "NO_ANSWER",
    "MISSING",
    "NOT_PROCESSED",
    "EXPIRED",
    "JOB_FAILED",
    "CORRUPT_ANSWER",
    "EMPTY_ANSWER",
    "INVALID_OUTPUT",
]


class Retryable(NamedTuple):
    """An error code of rows. `by_default`: asked again unless the manifest says otherwise."""

    by_default: bool
    why: str


# Every code that is not here stays as it is: the record was never sent, or Bedrock refuses the run's every record.
RETRYABLE: Mapping[RetryCode, Retryable] = {
    "MODEL_ERROR": Retryable(True, "only with one of Bedrock's transient codes, below"),
    "THROTTLED": Retryable(True, "asked on demand, and Bedrock answered each time that it has no room"),
    "NO_ANSWER": Retryable(True, "asked on demand, and each call timed out or broke"),
    "MISSING": Retryable(True, "the job completed without a line for the record"),
    "NOT_PROCESSED": Retryable(True, "the job ran out of time before the record; not if somebody stopped the job"),
    "EXPIRED": Retryable(False, "no job began in time, after its repeats; the next may wait as long"),
    "JOB_FAILED": Retryable(False, "the job failed, after its repeats; its message cannot be classified"),
    "CORRUPT_ANSWER": Retryable(False, "paid for; the next answer may be as unreadable"),
    "EMPTY_ANSWER": Retryable(False, "paid for; a model that says nothing mostly means it"),
    "INVALID_OUTPUT": Retryable(False, "paid for; the next answer may fit the output schema"),
}
BY_DEFAULT = tuple(code for code, each in RETRYABLE.items() if each.by_default)

# Bedrock's codes of single records that are worth another attempt. A batch record's `errorCode` is a number in AWS's guide and
# a text in an AWS sample (contract section 4.3), so both are here: the numbers are the HTTP statuses that botocore's model of
# bedrock-runtime gives these exceptions, and the gateway's own, which botocore retries too. AWS's own agent toolkit retries
# just these exceptions (contract section 9); ModelNotReadyException is marked as retryable by the service model.
TRANSIENT: Mapping[str, str] = {
    "408": "the model took too long (ModelTimeoutException)",
    "429": "throttled (ThrottlingException), or the model is not ready (ModelNotReadyException)",
    "500": "a fault of the service (InternalServerException)",
    "502": "a gateway's answer",
    "503": "the service has no capacity (ServiceUnavailableException)",
    "504": "a gateway's answer: a timeout",
    "InternalServerException": "as 500",
    "ModelNotReadyException": "as 429",
    "ModelTimeoutException": "as 408",
    "ServiceUnavailableException": "as 503",
    "ThrottlingException": "as 429",
}


class RecordErrors(BaseModel):
    """The manifest's `record_errors`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retry: tuple[RetryCode, ...] | None = Field(
        None,
        description="Error codes whose records are asked again, instead of the default ones; an empty list asks none"
        " again.",
    )
    max_attempts: Annotated[int, Field(strict=True, ge=1, le=ATTEMPTS_MAX)] = Field(
        ATTEMPTS, description="How often a record is asked at most, the first time included."
    )

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError('must be an object: {"retry": ["MODEL_ERROR", "MISSING"], "max_attempts": 3}')  # noqa: TRY004 pydantic's way
        return value

    @property
    def codes(self) -> tuple[RetryCode, ...]:
        return BY_DEFAULT if self.retry is None else tuple(code for code in RETRYABLE if code in self.retry)


class RecordRetries(BaseModel):
    """`record_errors` as a run pins it. A run of an earlier release pins none: nothing of it goes again."""

    model_config = ConfigDict(frozen=True)

    codes: tuple[str, ...] = ()
    max_attempts: int = 1

    def after(self, round_number: int) -> frozenset[str]:
        """The codes whose records go from this round to the next; none from the last round."""
        return frozenset(self.codes) if round_number < self.max_attempts else frozenset()


def goes_again(code: str, message: str, codes: Iterable[str]) -> bool:
    """Whether an error row's record is asked again.

    Args:
        code: its error code.
        message: its message; of a MODEL_ERROR it begins with Bedrock's own code and a colon.
        codes: what the run asks again.
    """
    if code not in codes:
        return False
    return code != MODEL_ERROR or message.partition(":")[0].strip() in TRANSIENT
