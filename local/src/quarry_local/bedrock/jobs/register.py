"""The register: every job since the start, the memory of client request tokens, the count of each pool.

Its methods never wait, so on the server's one event loop each is atomic: two Creates with one token make one job, and
a pool's count is exact at the moment of refusal. Nothing is ever forgotten (retention is not documented).
"""

import base64
import binascii
import logging
import math
import secrets
import string
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any

from quarry_local.bedrock.clock import SimulatedClock
from quarry_local.bedrock.errors import conflict, invalid, missing, no_access, quota_exceeded, too_many_tags
from quarry_local.bedrock.jobs.job import Job, Status
from quarry_local.bedrock.jobs.limits import quota_of
from quarry_local.bedrock.models.identity import behind, resolve
from quarry_local.bedrock.settings import LiveSettings

log = logging.getLogger(__name__)

_ID_CHARACTERS = string.ascii_lowercase + string.digits
_PAGE = 100  # what live answers without maxResults is not documented
_TAGS_MAX = 50  # the exception's text; the request's own maximum is 200 (contract section 1.2)


@dataclass(slots=True)
class Pool:
    active: int = 0
    peak_active: int = 0
    running: int = 0
    quota: int = 0
    refused: int = 0
    foreign: int = 0
    """How many of the active jobs are somebody else's."""


@dataclass(slots=True)
class Creates:
    total: int = 0
    by_token: int = 0
    token_mismatches: int = 0
    """Of these: how often the token came with another request than before."""


@dataclass(frozen=True, slots=True)
class Page:
    jobs: list[Job]
    next_token: str | None


@dataclass(slots=True)
class Register:
    region: str
    account: str
    clock: SimulatedClock
    creates: Creates = field(default_factory=Creates)
    pools: dict[str, Pool] = field(default_factory=dict)
    seed: int | None = None
    """Where ids come from, for runs that repeat; from chance when None, so that no two simulators share an id."""
    suffered: Callable[[str], None] = lambda _: None
    """Is told the name of each fault that befell a request here."""
    _jobs: dict[str, Job] = field(default_factory=dict)
    _order: list[Job] = field(default_factory=list)
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)
    _names: dict[str, list[Job]] = field(default_factory=dict)

    def create(self, request: dict[str, Any], live: LiveSettings, *, foreign: bool = False) -> tuple[Job, bool]:
        """The job of this request, and whether it is a new one.

        Raises:
            ApiError: ValidationException, AccessDeniedException, ConflictException or ServiceQuotaExceededException.
        """
        # Whole milliseconds, as Get shows it: whoever filters by what was shown must not be told of a finer time.
        now = math.floor(self.clock.now() * 1000) / 1000
        token = request.get("clientRequestToken")
        known = self._tokens.get(token) if token else None
        if known and (live.token_window_s is None or now - known[1] < live.token_window_s):
            # "Ignored without error" (contract section 5).
            self.creates.total += 1
            self.creates.by_token += 1
            standing = self._jobs[known[0]]
            self._compare(standing, request, live)
            return standing, False
        if known:
            self.suffered("token_forgotten")
        home = {"region": self.region, "account": self.account}
        given = request["modelId"]
        meant = behind(given, live.application_profiles, **home)
        model = resolve(meant, **home, batch_models=live.batch_models)
        if meant != given:
            model = replace(
                model, arn=given
            )  # as what it was asked for; which of the two live AWS shows is not documented
        if model.id in live.models_without_access:
            raise no_access()
        tags = _tags_of(request)
        self._check_name(request["jobName"], live)
        pool = self.pools.setdefault(model.pool, Pool())
        pool.quota = quota_of(model.pool, live)
        if live.quota_mode == "refuse" and pool.active >= pool.quota:
            pool.refused += 1
            raise quota_exceeded(
                "You have reached the quota for the sum of in-progress and submitted batch inference jobs "
                f"for {model.pool}: {pool.quota}"
            )
        job_id = self._new_id(request["jobName"])
        arn = f"arn:aws:bedrock:{self.region}:{self.account}:model-invocation-job/{job_id}"
        job = Job(job_id, arn, request, model, submit_time=now, tags=tags, entered_at=now, foreign=foreign)
        self._jobs[job_id] = job
        self._order.append(job)
        self._names.setdefault(job.name, []).append(job)
        if token:
            self._tokens[token] = (job_id, now)
        self.creates.total += not foreign
        pool.active += 1
        pool.foreign += foreign
        pool.peak_active = max(pool.peak_active, pool.active)
        return job, True

    def _compare(self, standing: Job, request: dict[str, Any], live: LiveSettings) -> None:
        """What a known token with another request does is not documented: a bug of its sender in any case."""
        differ = sorted(
            name for name in {*standing.request, *request} if standing.request.get(name) != request.get(name)
        )
        if not differ:
            return
        self.creates.token_mismatches += 1
        log.warning("the client token of %s came back with another request: %s differ", standing.arn, ", ".join(differ))
        if live.token_mismatch == "conflict":  # noqa: S105 - no password
            raise conflict(f"The client request token was used for another request: {', '.join(differ)} differ")

    def _check_name(self, name: str, live: LiveSettings) -> None:
        """Whether a used name is refused is not documented; ConflictException is declared (contract section 5)."""
        standing = self._names.get(name, ())
        if live.names_refused == "ever" and standing:
            self.suffered("name_refused")
            raise conflict(f"A model invocation job with the name {name} exists already")
        if live.names_refused == "active" and any(job.active for job in standing):
            self.suffered("name_refused")
            raise conflict(f"A model invocation job with the name {name} is active")

    def _new_id(self, name: str) -> str:
        if self.seed is None:
            return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(12))
        drawn = blake2b(f"{self.seed}/id/{len(self._order)}/{name}".encode(), digest_size=12).digest()
        return "".join(_ID_CHARACTERS[byte % len(_ID_CHARACTERS)] for byte in drawn)

    def move(self, job: Job, to: Status, message: str | None = None) -> None:
        """Every change of a job's status comes through here, so that the pools' counts cannot drift."""
        pool = self.pools[job.model.pool]
        was_running = job.status is Status.IN_PROGRESS
        job.move(to, self.clock.now(), message)
        pool.running += (to is Status.IN_PROGRESS) - was_running
        if not job.active:
            pool.active -= 1
            pool.foreign -= job.foreign

    def has_capacity(self, job: Job, live: LiveSettings) -> bool:
        """Whether one more job of its pool may run; asked only where Create does not refuse."""
        if live.quota_mode == "refuse":
            return True
        pool = self.pools[job.model.pool]
        pool.quota = quota_of(job.model.pool, live)
        return pool.running < pool.quota

    def get(self, identifier: str) -> Job:
        """By ARN or id; a job's name is no identifier (contract section 1.3)."""
        job = self._jobs.get(identifier.rsplit("/", 1)[-1])
        if job is None or identifier not in {job.arn, job.id}:
            raise missing(f"Could not find a model invocation job with the identifier: {identifier}")
        return job

    def page(self, request: dict[str, Any], live: LiveSettings) -> Page:
        """One page of List. Newest first unless asked otherwise: the order is not documented."""
        ascending = request.get("sortOrder") == "Ascending"
        size = request.get("maxResults", _PAGE)
        first = _position(request["nextToken"], len(self._order)) if "nextToken" in request else None
        found: list[Job] = []
        for position, job in self._walk(first, ascending=ascending):
            if not _matches(job, request):
                continue
            # How soon List shows a job is not documented.
            if live.list_lag_s and self.clock.now() < job.submit_time + live.list_lag_s:
                self.suffered("list_lag")
                continue
            if len(found) == size:
                return Page(found, base64.urlsafe_b64encode(f"job:{position}".encode()).decode())
            found.append(job)
        return Page(found, None)

    def _walk(self, first: int | None, *, ascending: bool) -> Iterator[tuple[int, Job]]:
        # Jobs are only ever added, at the end, so a position stays good between two pages.
        if ascending:
            positions = range(first or 0, len(self._order))
        else:
            positions = range(len(self._order) - 1 if first is None else first, -1, -1)
        for position in positions:
            yield position, self._order[position]

    def tag(self, arn: str, tags: dict[str, str]) -> None:
        job = self.get(arn)
        _refuse_reserved(tags)
        if len(job.tags | tags) > _TAGS_MAX:
            raise too_many_tags(f"A resource has at most {_TAGS_MAX} tags", arn)
        job.tags.update(tags)

    def untag(self, arn: str, keys: list[str]) -> None:
        job = self.get(arn)
        for key in keys:
            job.tags.pop(key, None)

    def all(self) -> list[Job]:
        return list(self._order)

    def pool_figures(self, live: LiveSettings) -> dict[str, dict[str, int]]:
        return {name: asdict(pool) | {"quota": quota_of(name, live)} for name, pool in self.pools.items()}


def _tags_of(request: dict[str, Any]) -> dict[str, str]:
    tags = {tag["key"]: tag["value"] for tag in request.get("tags", ())}
    if len(tags) != len(request.get("tags", ())):
        raise invalid("Duplicate tag keys")
    _refuse_reserved(tags)
    if len(tags) > _TAGS_MAX:
        # TooManyTagsException is declared on TagResource only (contract section 1.2).
        raise invalid(f"A resource has at most {_TAGS_MAX} tags")
    return tags


def _refuse_reserved(tags: dict[str, str]) -> None:
    # General AWS behaviour, not read for Bedrock.
    if any(key.lower().startswith("aws:") for key in tags):
        raise invalid("Tag keys that begin with aws: are reserved")


def _matches(job: Job, request: dict[str, Any]) -> bool:
    return (
        ("statusEquals" not in request or job.status == request["statusEquals"])
        and ("nameContains" not in request or request["nameContains"] in job.name)
        and ("submitTimeAfter" not in request or job.submit_time > request["submitTimeAfter"])
        and ("submitTimeBefore" not in request or job.submit_time < request["submitTimeBefore"])
    )


def _position(token: str, count: int) -> int:
    try:
        kind, _, position = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        found = int(position)
    except (binascii.Error, ValueError):
        raise invalid("The nextToken is invalid") from None
    if kind != "job" or not 0 <= found < count:
        raise invalid("The nextToken is invalid")
    return found
