"""Bedrock's batch jobs in memory. The test moves the statuses; nothing happens by itself.

What is not known of the real one is a setting, and the campaigns run over all of them: how long a client token is
remembered, whether a used name is refused, how long List lags behind Create (contract section 11).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from quarry_core.contract.job_request import check_job_name, check_request
from quarry_core.errors import Conflict, Missing, QuotaExceeded, Refused, Unknown
from quarry_core.models.identity import canonical_model
from quarry_core.ports import Job, JobRequest
from tests.world.clock import FakeClock
from tests.world.faults import Faults

ACTIVE = frozenset({"Submitted", "Validating", "Scheduled", "InProgress", "Stopping"})
REGION, ACCOUNT = "us-east-1", "123456789012"


@dataclass(slots=True)
class _Kept:
    job: Job
    request: JobRequest
    created_at: float
    place: int = 0  # among all jobs, the oldest first


@dataclass(slots=True)
class _Account:
    """With an index for each question that a port asks: the thousandth job costs what the first one did."""

    quota: int | None
    jobs: dict[str, _Kept] = field(default_factory=dict)
    running: dict[str, _Kept] = field(default_factory=dict)
    by_name: dict[str, dict[str, _Kept]] = field(default_factory=dict)
    by_token: dict[str, dict[str, _Kept]] = field(default_factory=dict)
    places: int = 0
    numbered: int = 0
    peak: int = 0
    lose_next: bool = False
    refuse_next: Exception | None = None
    refused_models: frozenset[str] = frozenset()
    watchers: list[Callable[[Job], None]] = field(default_factory=list)

    def keep(self, kept: _Kept) -> None:
        self.places += 1
        kept.place = self.places
        arn = kept.job.arn
        self.jobs[arn] = kept
        self.by_name.setdefault(kept.job.name, {})[arn] = kept
        self.by_token.setdefault(kept.request.client_token, {})[arn] = kept
        self._note(kept)

    def change(self, kept: _Kept, **changes: Any) -> None:
        kept.job = dataclasses.replace(kept.job, **changes)
        self._note(kept)

    def drop(self, kept: _Kept) -> None:
        arn = kept.job.arn
        for index in (self.jobs, self.running, self.by_name[kept.job.name], self.by_token[kept.request.client_token]):
            index.pop(arn, None)

    def active(self) -> list[_Kept]:
        """The oldest first."""
        return sorted(self.running.values(), key=lambda kept: kept.place)

    def _note(self, kept: _Kept) -> None:
        if kept.job.status in ACTIVE:
            self.running[kept.job.arn] = kept
        else:
            self.running.pop(kept.job.arn, None)


class FakeJobs:
    """Settings.

    quota: active jobs per model, whichever of its ids they name; None is no limit.
    token_memory_s: how long a client token returns its job; None is for ever, 0 is not at all.
    refuse_used_names: a name may be used once.
    list_lag_s: how long after Create a job is missing from List (Get knows it at once).
    """

    def __init__(
        self,
        clock: FakeClock,
        *,
        quota: int | None = None,
        token_memory_s: float | None = None,
        refuse_used_names: bool = False,
        list_lag_s: float = 0,
        faults: Faults | None = None,
    ) -> None:
        self.token_memory_s = token_memory_s
        self.refuse_used_names = refuse_used_names
        self.list_lag_s = list_lag_s
        self._clock = clock
        self._account = _Account(quota)
        self._faults = faults or Faults()

    def for_worker(self, faults: Faults) -> FakeJobs:
        """The same Bedrock, as another worker reaches it."""
        seen = copy.copy(self)
        seen._faults = faults
        return seen

    @property
    def refused_models(self) -> frozenset[str]:
        """Models of which no job is made."""
        return self._account.refused_models

    @refused_models.setter
    def refused_models(self, models: frozenset[str]) -> None:
        self._account.refused_models = models

    # ------------------------------------------------------------------ the port

    async def create(self, request: JobRequest) -> str:
        async with self._faults.call("jobs.create", request):
            try:
                check_request(request)
            except ValueError as error:
                raise Refused(f"creating {request.name}: {error}") from error
            if request.model_id in self.refused_models:
                raise Refused(f"creating {request.name}: access to {request.model_id} is denied")
            refusal, self._account.refuse_next = self._account.refuse_next, None
            if refusal is not None:
                raise refusal
            arn = self._created(request)
            if self._account.lose_next:
                self._account.lose_next = False
                raise Unknown(f"creating {request.name}: the reply was lost")
            return arn

    async def get(self, arn: str) -> Job:
        async with self._faults.call("jobs.get", arn):
            return self._kept(arn).job

    async def find(self, name: str) -> Sequence[Job]:
        check_job_name(name)
        async with self._faults.call("jobs.find", name):
            return self._listed(self._account.by_name.get(name, {}).values())

    async def active(self) -> Sequence[Job]:
        async with self._faults.call("jobs.active"):
            return self._listed(self._account.active())

    async def stop(self, arn: str) -> None:
        async with self._faults.call("jobs.stop", arn):
            if self._kept(arn).job.status in ACTIVE:
                self.move(arn, "Stopping")

    # ------------------------------------------------------------------ what a test may look at and do

    def set_quota(self, quota: int | None) -> None:
        """AWS changed its mind, for everybody."""
        self._account.quota = quota

    @property
    def all(self) -> Sequence[Job]:
        """Every job there ever was, oldest first."""
        return [kept.job for kept in self._account.jobs.values()]

    @property
    def running(self) -> Sequence[Job]:
        """Those of `all` that have not ended."""
        return [kept.job for kept in self._account.active()]

    @property
    def requests(self) -> Sequence[JobRequest]:
        """What each of `all` was created with."""
        return [kept.request for kept in self._account.jobs.values()]

    def request_of(self, arn: str) -> JobRequest:
        """What a job was created with."""
        return self._kept(arn).request

    def watch(self, created: Callable[[Job], None]) -> None:
        """From now on tell of each job that comes to be, whoever asked for it."""
        self._account.watchers.append(created)

    @property
    def peak(self) -> int:
        """The most jobs that were ever active at once."""
        return self._account.peak

    def restore(self, jobs: Iterable[tuple[Job, JobRequest]]) -> None:
        """These jobs and no others, oldest first; each was created when it says that it was submitted."""
        now, since = self._clock.now(), self._clock.monotonic()
        account = self._account
        for kept in list(account.jobs.values()):
            account.drop(kept)
        for job, request in jobs:
            account.keep(_Kept(job, request, since - (now - (job.submitted_at or now)).total_seconds()))
        account.numbered = len(account.jobs)
        account.peak = len(account.running)

    def move(self, arn: str, status: str) -> None:
        """The job is now at `status`."""
        self._account.change(self._kept(arn), status=status)

    def finish(
        self, arn: str, status: str = "Completed", *, message: str = "", success: int = 0, errors: int = 0
    ) -> None:
        """The job has ended, with these record counts."""
        self._account.change(
            self._kept(arn),
            status=status,
            message=message,
            ended_at=self._clock.now(),
            total_records=success + errors,
            processed_records=success + errors,
            success_records=success,
            error_records=errors,
        )

    def forget(self, arn: str) -> None:
        """Bedrock knows the job no more; for how long it remembers one is not documented."""
        self._account.drop(self._kept(arn))

    def lose_reply_once(self) -> None:
        """The next Create makes its job and is not heard back from."""
        self._account.lose_next = True

    def refuse_once(self, answer: Exception) -> None:
        """The next Create is answered with this, and makes no job."""
        self._account.refuse_next = answer

    def add_foreign(self, name: str, model_id: str, status: str = "InProgress") -> str:
        """A job that somebody else created. Gives its ARN."""
        uri = "s3://elsewhere/data"
        arn = self._add(JobRequest(name, f"foreign{name}", "", model_id, uri, uri, 24))
        self.move(arn, status)
        return arn

    def add_second(self, arn: str, **changes: str) -> str:
        """Another job of the same request, as where a client token was forgotten; `changes` to the request. Its ARN."""
        return self._add(dataclasses.replace(self._kept(arn).request, **changes))

    def tell_without(self, arn: str, *fields: str) -> None:
        """From now on Bedrock leaves these out of what it tells of the job, as its service model lets it."""
        self._account.change(self._kept(arn), **{field: None if field == "client_token" else "" for field in fields})

    # ------------------------------------------------------------------ inside

    def _created(self, request: JobRequest) -> str:
        for kept in self._account.by_token.get(request.client_token, {}).values():
            if self._remembers(kept):
                # "Ignored without error" (contract section 5), whatever else the request says.
                return kept.job.arn
        if self.refuse_used_names and self._account.by_name.get(request.name):
            raise Conflict(f"creating {request.name}: the name is used")
        pool = canonical_model(request.model_id)
        active = sum(canonical_model(kept.job.model_id) == pool for kept in self._account.running.values())
        if self._account.quota is not None and active >= self._account.quota:
            raise QuotaExceeded(f"creating {request.name}: {active} jobs of {request.model_id} are active")
        return self._add(request)

    def _remembers(self, kept: _Kept) -> bool:
        return self.token_memory_s is None or self._clock.monotonic() - kept.created_at < self.token_memory_s

    def _add(self, request: JobRequest) -> str:
        self._account.numbered += 1
        arn = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:model-invocation-job/{self._account.numbered:012d}"
        job = Job(
            arn=arn,
            name=request.name,
            status="Submitted",
            model_id=_live_model_id(request.model_id),
            input_uri=request.input_uri,
            output_uri=request.output_uri,
            client_token=request.client_token,
            role_arn=request.role_arn,
            submitted_at=self._clock.now(),
            total_records=0,
            processed_records=0,
            success_records=0,
            error_records=0,
        )
        self._account.keep(_Kept(job, request, self._clock.monotonic()))
        self._account.peak = max(self._account.peak, len(self._account.running))
        for created in self._account.watchers:
            created(job)
        return arn

    def _kept(self, arn: str) -> _Kept:
        if arn not in self._account.jobs:
            raise Missing(f"there is no job {arn}")
        return self._account.jobs[arn]

    def _listed(self, among: Iterable[_Kept]) -> list[Job]:
        now = self._clock.monotonic()
        return [kept.job for kept in among if kept.created_at + self.list_lag_s <= now]


def _live_model_id(model_id: str) -> str:
    """Get and List tell the ARN, whatever Create was told (contract section 1.3)."""
    if model_id.startswith("arn:"):
        return model_id
    if canonical_model(model_id).split(":", 1)[0] == model_id.split(":", 1)[0]:
        return f"arn:aws:bedrock:{REGION}::foundation-model/{model_id}"
    return f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{model_id}"
