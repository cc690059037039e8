"""What an ended shard comes to: an outcome for every record, or the whole job once more. Pure.

Theory of operation. The output of the job has been read, and each record it tells about has its outcome. `decide` says
what becomes of the rest: they are given one error code that names the reason, or, where the output tells nothing at
all, the job is asked again. It is decided from counts only, so any worker that reads the same output decides the same.

A job is repeated only if no record of it was told about, for what was told about was paid for and would be paid
for again; and only so often, for the message of a failed job cannot be classified (contract section 7). A
stopped job is never repeated: somebody stopped it, and meant it. Of a cancelled run nothing is.

Every ending is salvaged, and ok + error = rows, always (promises S3 and S10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import assert_never

import msgspec

from quarry_core.contract.states import JobStatus

REPEATS_MAX = 2
EXAMPLES_MAX = 3
EXAMPLE_CHARS_MAX = 300
BEDROCK_MESSAGE_CHARS_MAX = 2_048  # contract section 1.3


class ErrorCode(StrEnum):
    """Why a record has no answer: the whole vocabulary."""

    MODEL_ERROR = "MODEL_ERROR"  # Bedrock gave an error for this record; the message begins with Bedrock's own code
    EMPTY_ANSWER = "EMPTY_ANSWER"  # the model answered, with nothing in it
    CORRUPT_ANSWER = "CORRUPT_ANSWER"  # there is a line for the record, and it cannot be read as the family's answer
    INVALID_OUTPUT = "INVALID_OUTPUT"  # the model answered, and the answer does not fit the output schema
    MISSING = "MISSING"  # the job completed, and has no line for the record
    NOT_PROCESSED = "NOT_PROCESSED"  # the job ran out of time or was stopped before the record's turn
    EXPIRED = "EXPIRED"  # the job never began
    JOB_FAILED = "JOB_FAILED"
    CANCELLED = "CANCELLED"  # the run was cancelled before the record was answered
    REFUSED = "REFUSED"  # Bedrock refused to create the job, or to answer the model's caller on demand
    THROTTLED = "THROTTLED"  # asked on demand as often as allowed, and Bedrock said "not now" to the last
    NO_ANSWER = "NO_ANSWER"  # asked on demand as often as allowed, and the last timed out or broke
    NULL_INPUT = "NULL_INPUT"  # never sent: a column that the prompt needs is null, NaN or infinite
    SKIPPED = "SKIPPED"  # never sent: the prompt skips rows without a value in this column, and that is no error
    BAD_VALUE = "BAD_VALUE"  # never sent: a value that the prompt needs is there, and has no text
    BAD_IMAGE = "BAD_IMAGE"  # never sent: an image is none, is of no format that models take, or is cut off
    IMAGE_MISSING = "IMAGE_MISSING"  # never sent: there is no object where an image should be
    IMAGE_DENIED = "IMAGE_DENIED"  # never sent: the preprocessor's role may read others of the bucket, not this one
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"  # never sent: an image has more bytes or pixels than the model takes
    TOO_LARGE = "TOO_LARGE"  # never sent: one record alone is larger than Bedrock takes
    BELOW_MINIMUM = "BELOW_MINIMUM"  # never sent: fewer records than the smallest job
    INTERNAL_ERROR = "INTERNAL_ERROR"  # Quarry failed at the shard again and again; the run's reason says how


class NotEnded(ValueError):
    """The job is not at an end, or in a status that this code does not know: there is nothing to settle yet."""


class NotConserved(Exception):
    """Rows would be lost or doubled: nothing may be published (promise S3)."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An ended shard, as `decide` needs to see it.

    `status` and `message` are Bedrock's, None where no job was made; then `refused` or `below_minimum` says why.
    `rows` counts all rows of the shard, `unsent` those that never went into the job's input, `reported` the sent ones that
    the output tells about: an answer, an error, or a line that bears the record's id and cannot be read.
    `attempt` counts from 1. `on_demand`: its records were asked one by one. `error_code` is set where Quarry itself ended the shard, with `message` as its reason.
    `cancelled` says that its run is cancelled, by whom and when.
    """

    attempt: int
    rows: int
    unsent: int = 0
    reported: int = 0
    status: str | None = None
    message: str = ""
    refused: bool = False
    below_minimum: bool = False
    error_code: str = ""
    on_demand: bool = False
    cancelled: str = ""


class Settle(msgspec.Struct, frozen=True):
    """Give every record that has no outcome yet this error, and publish."""

    code: ErrorCode
    message: str


class Repeat(msgspec.Struct, frozen=True):
    """Ask the whole job again, as attempt + 1; `reason` is for people."""

    reason: str


Decision = Settle | Repeat


def decide(ended: Ended, repeats_max: int = REPEATS_MAX) -> Decision:
    """Say what becomes of the records that the output does not tell about.

    Raises:
        NotEnded: the job is not at an end.
        NotConserved: more rows are unsent or told about than there are.
    """
    if ended.unsent + ended.reported > ended.rows:
        raise NotConserved(f"{ended.unsent} unsent + {ended.reported} reported are more than {ended.rows} rows")
    if ended.error_code:
        return Settle(ErrorCode(ended.error_code), ended.message)
    if ended.below_minimum:
        return Settle(ErrorCode.BELOW_MINIMUM, _said("fewer records than the smallest batch job allows", ended.message))
    if ended.refused:
        refused = "Bedrock refused to answer on demand" if ended.on_demand else "Bedrock refused to create the job"
        return Settle(ErrorCode.REFUSED, _said(refused, ended.message))
    if ended.on_demand:
        return Settle(ErrorCode.MISSING, _said("no answer on demand stands for this record", ended.message))
    try:
        status = JobStatus(ended.status or "")
    except ValueError:
        raise NotEnded(f"status {ended.status!r} is not a final status known to this release") from None
    match status:
        case JobStatus.COMPLETED:
            rest = Settle(ErrorCode.MISSING, _said("the job completed without a line for this record", ended.message))
        case JobStatus.PARTIALLY_COMPLETED:
            rest = Settle(ErrorCode.NOT_PROCESSED, _said("the job ran out of time before this record", ended.message))
        case JobStatus.EXPIRED:
            rest = Settle(ErrorCode.EXPIRED, _said("the job expired before it started", ended.message))
        case JobStatus.FAILED:
            rest = Settle(ErrorCode.JOB_FAILED, _said("the job failed", ended.message))
        case JobStatus.STOPPED:
            if ended.cancelled:
                return Settle(ErrorCode.CANCELLED, _said(ended.cancelled, ended.message))
            return Settle(ErrorCode.NOT_PROCESSED, _said("the job was stopped before this record", ended.message))
        case (
            JobStatus.SUBMITTED
            | JobStatus.VALIDATING
            | JobStatus.SCHEDULED
            | JobStatus.IN_PROGRESS
            | JobStatus.STOPPING
        ):
            raise NotEnded(f"a job that is {status} has not ended")
        case _:
            assert_never(status)
    nothing_came_out = ended.reported == 0 and ended.unsent < ended.rows
    if nothing_came_out and ended.cancelled:
        return Settle(ErrorCode.CANCELLED, f"{ended.cancelled}; {rest.message}")
    if nothing_came_out and ended.attempt <= repeats_max:
        return Repeat(f"{status}, and no record has a line: {rest.message}")
    return rest


def _said(ours: str, bedrocks: str) -> str:
    return f"{ours}: {bedrocks[:BEDROCK_MESSAGE_CHARS_MAX]}" if bedrocks else ours


class Example(msgspec.Struct, frozen=True):
    record_id: str
    message: str


class Seen(msgspec.Struct, frozen=True):
    """What the output held that was not simply one line for one record of ours.

    `duplicated` lines spoke again of a record that had its line; `unexpected` ones bear an id that was never sent in
    this job; `corrupt` ones could not be read (of these, the ones whose id is known became CORRUPT_ANSWER).
    """

    lines: int = 0
    duplicated: int = 0
    unexpected: int = 0
    corrupt: int = 0
    unexpected_ids: tuple[str, ...] = ()  # at most EXAMPLES_MAX, as are the heads of corrupt lines
    corrupt_heads: tuple[str, ...] = ()


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one settled shard; it travels with the outcome and is added up in the report."""

    rows: int
    ok: int
    errors: Mapping[str, int] = {}  # by code, only codes that occurred
    input_tokens: int = 0
    output_tokens: int = 0
    examples: Mapping[str, tuple[Example, ...]] = {}  # by code, the first in row order, at most EXAMPLES_MAX each
    seen: Seen = Seen()
    # Likewise, of the records whose error is not their end: they are to be asked again. `errors` does not count them.
    again: Mapping[str, int] = {}
    again_examples: Mapping[str, tuple[Example, ...]] = {}

    @property
    def error(self) -> int:
        return sum(self.errors.values())

    @property
    def records_again(self) -> int:
        return sum(self.again.values())

    @property
    def final(self) -> Settlement:
        """The account if nothing of it goes again: those errors stand."""
        if not self.again:
            return self
        return msgspec.structs.replace(
            self,
            errors=_sums(self.errors, self.again),
            examples=_examples(self.examples, self.again_examples),
            again={},
            again_examples={},
        )

    @property
    def plain(self) -> bool:
        """Every row has its answer, and the output held nothing else: rows and tokens are the whole account."""
        return self.ok == self.rows and not (self.seen.duplicated or self.seen.unexpected or self.seen.corrupt)


def check_conservation(account: Settlement, rows: int) -> None:
    """Hold `ok + error + again = rows` against the number of rows that the plan gave the shard. Raises NotConserved."""
    if account.rows != rows or account.ok + account.error + account.records_again != rows:
        raise NotConserved(
            f"{account.ok} ok + {account.error} error + {account.records_again} again of {account.rows} are not"
            f" {rows} rows"
        )


def add_up(accounts: Sequence[Settlement]) -> Settlement:
    """One account over many; examples are the first ones in the order given."""
    return Settlement(
        rows=sum(account.rows for account in accounts),
        ok=sum(account.ok for account in accounts),
        errors=_sums(*(account.errors for account in accounts)),
        input_tokens=sum(account.input_tokens for account in accounts),
        output_tokens=sum(account.output_tokens for account in accounts),
        examples=_examples(*(account.examples for account in accounts)),
        again=_sums(*(account.again for account in accounts)),
        again_examples=_examples(*(account.again_examples for account in accounts)),
        seen=Seen(
            lines=sum(account.seen.lines for account in accounts),
            duplicated=sum(account.seen.duplicated for account in accounts),
            unexpected=sum(account.seen.unexpected for account in accounts),
            corrupt=sum(account.seen.corrupt for account in accounts),
            unexpected_ids=tuple(each for account in accounts for each in account.seen.unexpected_ids)[:EXAMPLES_MAX],
            corrupt_heads=tuple(each for account in accounts for each in account.seen.corrupt_heads)[:EXAMPLES_MAX],
        ),
    )


def _sums(*counts: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in counts:
        for code, count in each.items():
            found[code] = found.get(code, 0) + count
    return found


def _examples(*every: Mapping[str, tuple[Example, ...]]) -> dict[str, tuple[Example, ...]]:
    found: dict[str, tuple[Example, ...]] = {}
    for each in every:
        for code, some in each.items():
            found[code] = (*found.get(code, ()), *some)[:EXAMPLES_MAX]
    return found
