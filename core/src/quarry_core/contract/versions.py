"""Versions of a dataset: the results of a run, and of each retry of its error rows. Pure.

A retry is a run of its own over the same shards. What was answered before is carried over, some of the rows with an error are
asked again, and its results are the next version of the dataset: whole, under a name of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from quarry_core.contract.record_errors import RETRYABLE, goes_again

# How often the errors of one run are asked again; each time a whole version of its dataset is kept.
VERSIONS_MAX = 999
SKIPPED = "SKIPPED"

# What a retry asks again unless it is told otherwise, beside the codes of `RETRYABLE` under their conditions.
ANSWERABLE: Mapping[str, str] = {
    "REFUSED": "access, quota or the model's lifecycle may have been put right since",
    "CANCELLED": "it was never asked to the end",
    "INTERNAL_ERROR": "Quarry failed, and not the record",
    "BELOW_MINIMUM": "pooled over all shards there may be enough for a job",
    "IMAGE_MISSING": "the object may be there by now; it is looked for again",
    "IMAGE_DENIED": "it may be readable by now; it is tried again",
}


class RetryOf(BaseModel):
    """Of a run that is a retry: of what, and which of its rows are asked again.

    Attributes:
        root: the run whose dataset it is: its first version.
        base: the run whose results are carried over: the newest version when the retry was asked for.
        version: of the dataset, that this run makes; from 2.
        codes: the error codes that are asked again; empty: those that another attempt may answer.
        every: every row with an error.
    """

    model_config = ConfigDict(frozen=True)

    root: str
    base: str
    version: int
    codes: tuple[str, ...] = ()
    every: bool = False

    def chooses(self, code: str | None, message: str | None) -> bool:
        """Whether a row with this error code and message, or none, is asked again."""
        if not code or code == SKIPPED:
            return False  # a row that the prompt skips has no error
        if self.every:
            return True
        if self.codes:
            return code in self.codes
        return code in ANSWERABLE or goes_again(code, message or "", RETRYABLE)
