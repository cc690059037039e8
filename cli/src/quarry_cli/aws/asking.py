"""Asking AWS: each thing once, within bounds, and in a person's words where it does not answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from quarry_cli.aws.answers import for_people, out_of_reach
from quarry_cli.aws.finding import NotKnown
from quarry_cli.settings import ClientSettings
from quarry_core.errors import Missing, PortError, Refused, credentials_fault
from quarry_core.ports import Clock

REQUESTS_MAX = 400
AT_ONCE_MAX = 8
PAGES_MAX = 60

Answer = Mapping[str, Any]


class Ask(Protocol):
    """One read-only request to AWS. Raises PortError."""

    async def __call__(self, service: str, operation: str, parameters: Mapping[str, Any]) -> Answer: ...


class Asking:
    """Asks AWS, each thing once: two checks that ask the same share one answer, or one refusal.

    Raises from every method:
        PortError: AWS's answer.
        NotKnown: more than `REQUESTS_MAX` were asked.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._answers: dict[str, asyncio.Task[Answer]] = {}
        self._at_once = asyncio.Semaphore(AT_ONCE_MAX)

    async def __call__(self, service: str, operation: str, **parameters: Any) -> Answer:
        key = json.dumps([service, operation, parameters], sort_keys=True)
        if key not in self._answers:
            if len(self._answers) >= REQUESTS_MAX:
                raise NotKnown(f"more than {REQUESTS_MAX} requests would be needed")
            self._answers[key] = asyncio.ensure_future(self._one(service, operation, parameters))
        return await asyncio.shield(self._answers[key])

    async def _one(self, service: str, operation: str, parameters: Mapping[str, Any]) -> Answer:
        async with self._at_once:
            return await self._ask(service, operation, parameters)

    async def found(self, service: str, operation: str, **parameters: Any) -> Answer | None:
        """None where the thing is not there."""
        try:
            return await self(service, operation, **parameters)
        except Missing:
            return None

    async def pages(self, service: str, operation: str, result: str, token: str, **parameters: Any) -> list[Any]:
        """All pages; `token` is the member of answer and request that goes on."""
        found: list[Any] = []
        more: dict[str, Any] = {}
        for _ in range(PAGES_MAX):
            answer = await self(service, operation, **parameters, **more)
            found += answer.get(result, [])
            if not answer.get(token):
                return found
            more = {token: answer[token]}
        raise NotKnown(f"{service} {operation}: more than {PAGES_MAX} pages")


def skew_of(answer: Answer, clock: Clock) -> float | None:
    """Local time minus the time in an answer's Date header, in seconds; both are whole seconds at best."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        there = parsedate_to_datetime(str(date))
    except ValueError:  # none, or what a proxy put there
        return None
    if there.tzinfo is None:
        there = there.replace(tzinfo=UTC)
    now: datetime = clock.now()
    return (now - there).total_seconds()


def reason(error: PortError) -> str:
    """Why something could not be read, in few words."""
    if isinstance(error, Refused) and error.denied:
        return f"not allowed to read it ({error})"
    if out_of_reach(error) and credentials_fault(error) != "invalid":  # AWS's own words tell a clock or a region apart
        return str(for_people(error, ClientSettings()))
    return f"{type(error).__name__}: {error}"
