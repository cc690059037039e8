"""Faults: everything that may go wrong on purpose, with its range, and the decisions that follow from it. Pure.

Each decision is drawn from the seed, the kind of fault and the name of what it befalls: a record by its job and id, a
job by its name, an event by its job and status, a request by its operation, what it is about, and how many such
came before it. So the same seed and the same requests suffer the same, in whatever order the machine gets to them, and
one fault more does not move the others.

Shares are parts of one, durations simulated seconds unless the description says otherwise. What has no fault set
behaves as the contract says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Annotated, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator

from quarry_local.bedrock.errors import ApiError, denied, internal, invalid, no_access, throttled
from quarry_local.bedrock.models.identity import UNSUPPORTED

Share = Annotated[float, Field(ge=0, le=1)]
JobFault = Literal["failed", "expired", "partial", "hung"]
CreateRefusal = Literal["unsupported_model", "pass_role", "access", "account"]
RecordFault = Literal["refused", "error", "empty", "truncated", "broken_json", "wrong_type", "corrupt", "missing"]
# New in the service model of Converse (contract section 12), and Claude's own.
StopReason = Literal["model_context_window_exceeded", "malformed_model_output", "malformed_tool_use"]

_JOB_SHARES: tuple[JobFault, ...] = ("failed", "expired", "partial", "hung")
FAILED_BY_FAULT = "The job failed (simulated)"


class Faults(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    record_error_share: Share = Field(0.0, description="share of records that fail, chosen by seed, job name, record")
    record_refused_share: Share = Field(
        0.0, description="share of records that fail with code 400 in every job, chosen by seed and record alone"
    )
    record_error_code: int = Field(500, ge=400, le=599, description="error code of the records that fail by share")
    record_error_code_form: Literal["number", "text"] = Field(
        "number", description="form of that code: a number in AWS's guide, a text in an AWS sample (contract 4.3)"
    )
    record_empty_share: Share = Field(0.0, description="share of records whose answer is well formed and says nothing")
    record_truncated_share: Share = Field(
        0.0, description="share of records whose answer is cut off with stop reason `max_tokens`: a success"
    )
    record_stop_reasons: dict[StopReason, Share] = Field(
        default_factory=dict, description="share of records whose answer is cut off with this stop reason: a success"
    )
    record_broken_json_share: Share = Field(
        0.0,
        description="share of records whose answer, where it is JSON, is broken off without a stop reason that says so;"
        " the input of a tool that is called is empty",
    )
    record_wrong_type_share: Share = Field(
        0.0, description="share of records of whose answer, where it is JSON, the first value is of another type"
    )
    line_corrupt_share: Share = Field(0.0, description="share of records whose output line is broken off, no JSON")
    line_missing_share: Share = Field(0.0, description="share of records that have no output line, though counted")

    job_failed_share: Share = Field(0.0, description="share of jobs that end Failed while they run")
    job_failed_output: bool = Field(False, description="whether such a job leaves the output of what it had done")
    job_expired_share: Share = Field(
        0.0, description="share of jobs that end Expired when they would begin, without waiting for their timeout"
    )
    job_partial_share: Share = Field(
        0.0, description="share of jobs that end PartiallyCompleted, without waiting for their timeout"
    )
    job_hung_share: Share = Field(0.0, description="share of jobs that hang in InProgress until their timeout")
    job_output_early: bool = Field(
        False,
        description="whether jobs write what they have done when that is half, and again at their end (contract 4.3)",
    )
    job_faults: dict[str, JobFault] = Field(
        default_factory=dict,
        description="faults by pattern of the job's name (`*`, `?`); the first that matches wins over the shares",
    )
    job_done_share: Share = Field(
        0.5, description="share of its records that a failing, partial or hung job has processed, always less than all"
    )

    throttled_share: Share = Field(0.0, description="share of requests answered 429 ThrottlingException, nothing done")
    throttled_by_operation: dict[str, Share] = Field(
        default_factory=dict, description="overrides, by operation (`CreateModelInvocationJob`)"
    )
    server_error_share: Share = Field(0.0, description="share of requests answered 500, nothing done")
    server_error_by_operation: dict[str, Share] = Field(default_factory=dict, description="overrides")
    reply_lost_share: Share = Field(
        0.0, description="share of requests whose work is done and whose connection is closed without a reply"
    )
    reply_lost_by_operation: dict[str, Share] = Field(default_factory=dict, description="overrides")
    reply_slow_share: Share = Field(0.0, description="share of requests answered late, after the work is done")
    reply_slow_by_operation: dict[str, Share] = Field(default_factory=dict, description="overrides")
    reply_slow_s: float = Field(1.0, ge=0, le=600, description="how late, in real seconds")

    create_refused: CreateRefusal | None = Field(
        None, description="why Create is refused, in the words of contract section 7; not refused when unset"
    )
    create_refused_share: Share = Field(1.0, description="share of Creates that are refused this way")

    quota_mode: Literal["refuse", "queue"] = Field(
        "refuse", description="above the quota: refuse Create, or let the job wait in Scheduled; sources disagree"
    )
    token_window_s: NonNegativeFloat | None = Field(
        28_800.0, description="how long a client request token is remembered; forever when null (not documented)"
    )
    token_mismatch: Literal["same", "conflict"] = Field(
        "same",
        description="a token that comes back with another request: the same job, or ConflictException (not documented);"
        " a warning and a count in either case",
    )
    names_refused: Literal["never", "active", "ever"] = Field(
        "never",
        description="ConflictException for the name of a job that is active, or that ever was (not documented)",
    )
    list_lag_s: NonNegativeFloat = Field(0.0, description="time before List shows a new job (not documented)")

    foreign_jobs: dict[str, NonNegativeInt] = Field(
        default_factory=dict,
        description="jobs of other users that take slots, by pool (the canonical base model id): how many at once",
    )
    foreign_job_s: PositiveFloat = Field(30.0, description="time that such a job stays active")
    foreign_pause_s: PositiveFloat = Field(
        5.0, description="time from its end, or from a refusal of it, to the next in its place"
    )

    events_lost_share: Share = Field(0.0, description="share of events that are never delivered (contract section 3)")
    events_doubled_share: Share = Field(0.0, description="share of events that are delivered twice")
    events_reordered_share: Share = Field(0.0, description="share of events that the job's next event overtakes")
    events_delay_s: NonNegativeFloat = Field(0.0, description="time from a change of status to its event")
    events_late_share: Share = Field(0.0, description="share of events that are delivered later than that")
    events_late_s: NonNegativeFloat = Field(30.0, description="how much later")
    events_early_share: Share = Field(
        0.0, description="share of jobs whose first event is delivered before Create is answered"
    )
    events_foreign_share: Share = Field(
        0.0, description="share of events followed by one of a job that nobody here created; its name has the same end"
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        """Of faults that exclude each other, no more than all can suffer."""
        for names in (
            (
                "record_error",
                "record_empty",
                "record_truncated",
                "record_broken_json",
                "record_wrong_type",
                "line_corrupt",
                "line_missing",
            ),
            ("job_failed", "job_expired", "job_partial", "job_hung"),
        ):
            more = sum(self.record_stop_reasons.values()) if "record_error" in names else 0.0
            if sum(getattr(self, f"{name}_share") for name in names) + more > 1 + 1e-9:
                raise ValueError(f"the shares of {', '.join(names)} are more than 1 in total")
        return self


def draw(seed: int, kind: str, name: str) -> float:
    """A number in [0, 1) that is always the same for these three."""
    digest = blake2b(f"{seed}/{kind}/{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    # 53 bits: all that a float holds below 1.
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def befalls(seed: int, kind: str, name: str, share: float) -> bool:
    """Whether this fault befalls what has this name: never for share 0, always for share 1."""
    return share > 0 and draw(seed, kind, name) < share


class RecordFates:
    """What befalls the records of one job; one draw a record, for it is asked millions of times."""

    def __init__(self, seed: int, job_name: str, faults: Faults) -> None:
        code: int | str = faults.record_error_code
        if faults.record_error_code_form == "text":
            code = str(code)
        self.error = msgspec.json.encode(
            {"errorCode": code, "errorMessage": "The model could not process the record (simulated)."}
        )
        self.refused = msgspec.json.encode(
            {"errorCode": 400, "errorMessage": "The model does not take the record (simulated)."}
        )
        self._key = f"{seed}/{job_name}".encode()[:64]
        self._key_always = f"{seed}".encode()[:64]
        self._refused_below = round(faults.record_refused_share * 2**64)
        self._below: list[tuple[int, RecordFault | StopReason]] = []
        shares: tuple[tuple[RecordFault | StopReason, float], ...] = (
            ("error", faults.record_error_share),
            ("empty", faults.record_empty_share),
            ("truncated", faults.record_truncated_share),
            ("corrupt", faults.line_corrupt_share),
            ("missing", faults.line_missing_share),
            # Last, so that the others befall the same records as ever.
            ("broken_json", faults.record_broken_json_share),
            ("wrong_type", faults.record_wrong_type_share),
        )
        reached = 0.0
        for fault, share in (*shares, *faults.record_stop_reasons.items()):
            if share > 0:
                reached += share
                self._below.append((round(min(reached, 1.0) * 2**64), fault))

    @property
    def calm(self) -> bool:
        """Whether nothing can befall any record."""
        return not (self._below or self._refused_below)

    def of(self, record_id: str) -> RecordFault | StopReason | None:
        name = record_id.encode("utf-8", "surrogatepass")
        if self._refused_below:
            always = blake2b(name, digest_size=8, salt=b"refused", key=self._key_always).digest()
            if int.from_bytes(always, "big") < self._refused_below:
                return "refused"
        drawn = int.from_bytes(blake2b(name, digest_size=8, salt=b"record", key=self._key).digest(), "big")
        for below, fault in self._below:
            if drawn < below:
                return fault
        return None


def job_fault(seed: int, job_name: str, faults: Faults) -> JobFault | None:
    """What is to befall a job of this name; fixed when the job is created."""
    for pattern, fault in faults.job_faults.items():
        if fnmatchcase(job_name, pattern):
            return fault
    shares = {
        "failed": faults.job_failed_share,
        "expired": faults.job_expired_share,
        "partial": faults.job_partial_share,
        "hung": faults.job_hung_share,
    }
    drawn, reached = draw(seed, "job", job_name), 0.0
    for kind in _JOB_SHARES:
        reached += shares[kind]
        if drawn < reached:
            return kind
    return None


@dataclass(frozen=True, slots=True)
class RequestFate:
    refused: ApiError | None = None
    """What is answered instead of doing the work."""
    slow_s: float = 0.0
    """Real seconds between the work and the reply."""
    reply_lost: bool = False

    @property
    def kinds(self) -> list[str]:
        """The faults by name, for the figures."""
        reported = [self.refused.code] if self.refused else []
        return reported + ["reply_slow"] * (self.slow_s > 0) + ["reply_lost"] * self.reply_lost


_CALM = RequestFate()


def request_fate(seed: int, operation: str, about: str, before: int, faults: Faults, role_arn: str = "") -> RequestFate:
    """What befalls a request.

    Args:
        seed: of the simulator.
        operation: the API's name for it.
        about: the job's name, or whatever else the request is about.
        before: how many requests of this operation were about the same before this one.
        faults: as they are set now.
        role_arn: of a Create, for the words of its refusal.
    """

    def suffers(kind: str, share: float, exceptions: Mapping[str, float]) -> bool:
        return befalls(seed, kind, f"{operation}/{about}/{before}", exceptions.get(operation, share))

    if suffers("throttled", faults.throttled_share, faults.throttled_by_operation):
        return RequestFate(throttled("Too many requests, please wait before trying again."))
    if suffers("server_error", faults.server_error_share, faults.server_error_by_operation):
        return RequestFate(internal("Internal server error"))
    if (
        operation == "CreateModelInvocationJob"
        and faults.create_refused
        and suffers("create_refused", faults.create_refused_share, {})
    ):
        return RequestFate(_refusal(faults.create_refused, role_arn))
    slow = suffers("reply_slow", faults.reply_slow_share, faults.reply_slow_by_operation)
    lost = suffers("reply_lost", faults.reply_lost_share, faults.reply_lost_by_operation)
    return RequestFate(None, faults.reply_slow_s if slow else 0.0, lost) if slow or lost else _CALM


def _refusal(kind: CreateRefusal, role_arn: str) -> ApiError:
    """Contract section 7, verbatim as far as it quotes; the words of `access` are not in it."""
    match kind:
        case "unsupported_model":
            return invalid(UNSUPPORTED)
        case "account":
            return invalid("Your account is not authorized to perform this action. Please create a support case")
        case "pass_role":
            account = role_arn.split(":")[4] if role_arn.count(":") > 4 else "000000000000"
            return denied(
                f"User: arn:aws:iam::{account}:user/submitter is not authorized to perform: iam:PassRole on resource: "
                f"{role_arn} because no identity-based policy allows the iam:PassRole action"
            )
        case "access":
            return no_access()
