"""Bedrock's models in memory: they answer at once, what `bedrock.answer` says, unless a test wants otherwise."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from quarry_core.errors import Missing, Refused, Unknown
from quarry_core.models import UnsupportedModel, family_of, is_application_profile
from quarry_core.ports import RuntimeRequest
from tests.world.bedrock import answered
from tests.world.faults import Faults

Fate = Callable[[RuntimeRequest, int], Exception | None]


@dataclass(slots=True)
class _Models:
    asked: list[RuntimeRequest] = field(default_factory=list)
    answered: list[RuntimeRequest] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0


class FakeRuntime:
    """Settings, for all workers.

    fate: what becomes of the n-th request, counted from 1: an exception that it is answered with; None is an answer.
    before: awaited with each request and its number, before it is answered.
    denied: access to the models is.
    tiers: which service tiers there are, besides the default one.
    answerer: what a model says to a body, by the form in which it is asked; else it repeats the prompt.
    """

    def __init__(self, faults: Faults | None = None) -> None:
        self._faults = faults or Faults()
        self._models = _Models()
        self.fate: Fate = lambda request, number: None
        self.before: Callable[[RuntimeRequest, int], Awaitable[None]] | None = None
        self.denied = False
        self.tiers: frozenset[str] = frozenset({"flex"})
        self.answerer: Callable[[dict, str | None], dict] = answered

    def for_worker(self, faults: Faults) -> FakeRuntime:
        other = copy.copy(self)
        other._faults = faults
        return other

    async def ask(self, request: RuntimeRequest) -> bytes:
        self._models.in_flight += 1
        try:
            if self.before is not None:
                await self.before(request, len(self._models.asked) + 1)
            async with self._faults.call("runtime.ask", request.model_id):
                return self._answer(request)
        finally:
            self._models.peak = max(self._models.peak, self._models.in_flight)
            self._models.in_flight -= 1

    @property
    def asked(self) -> Sequence[RuntimeRequest]:
        """Every request there ever was, oldest first."""
        return self._models.asked

    @property
    def answered(self) -> Sequence[RuntimeRequest]:
        """Of these, the ones that were answered, heard or not: they are paid."""
        return self._models.answered

    @property
    def peak(self) -> int:
        """The most requests that were ever in flight at once."""
        return self._models.peak

    def _answer(self, request: RuntimeRequest) -> bytes:
        self._models.asked.append(request)
        doing = f"asking {request.model_id}"
        if self.denied:
            raise Refused(f"{doing}: AccessDeniedException: no access to the model", "AccessDeniedException")
        fate = self.fate(request, len(self._models.asked))
        if fate is not None:
            raise fate
        try:
            if not is_application_profile(request.model_id):
                family_of(request.model_id)
        except UnsupportedModel as error:
            raise Missing(f"{doing}: {error}") from error
        if request.tier is not None and request.tier not in self.tiers:
            raise Refused(f"{doing}: ValidationException: the tier is not supported", "ValidationException")
        try:
            body = json.loads(request.body)
            found = self.answerer(body, request.form)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise Refused(f"{doing}: ValidationException: {error!r}", "ValidationException") from error
        self._models.answered.append(request)
        return json.dumps(found).encode()


def timed_out(request: RuntimeRequest) -> Unknown:
    return Unknown(f"asking {request.model_id}: ModelTimeoutException: try your request again")
