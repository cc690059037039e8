"""Faults by plan: what goes wrong at which of a worker's port calls.

One `Faults` belongs to one worker and is shared by all its fakes, so the calls of a run are numbered in one row, from
1. The plan says what happens at a number. Kinds: `refuse` (not done, and told so), `lose_reply` (done, but told that
nobody knows), `crash_before` and `crash_after` (the process is gone; from then on all of its ports raise `Crash`, so
that no `finally` can tidy up for it).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

from quarry_core.errors import PortError, Throttled, Unknown

Kind = Literal["refuse", "lose_reply", "crash_before", "crash_after"]
KINDS: tuple[Kind, ...] = ("refuse", "lose_reply", "crash_before", "crash_after")


class Crash(BaseException):
    """The worker's process is gone. Not an Exception: it must slip through every handler."""


class Faults:
    """`calls` are the names of all calls so far; `injected` those at which the plan did something."""

    def __init__(self, plan: Mapping[int, Kind] | None = None) -> None:
        self.plan = dict(plan or {})
        self.calls: list[str] = []
        self.injected: list[tuple[int, str, Kind]] = []
        self.crashed = False

    def before(self, name: str, args: tuple[Any, ...] = ()) -> int:
        """A call begins. Gives its number; raises `Throttled` or `Crash` if it is not to be done."""
        self._alive(name)
        number = self._number(name)
        match self.plan.get(number):
            case "refuse":
                self.injected.append((number, name, "refuse"))
                raise Throttled(f"call {number}, {name}: refused by plan")
            case "crash_before":
                self._crash(number, name, "crash_before")
        return number

    def after(self, number: int, name: str, args: tuple[Any, ...] = ()) -> None:
        """A call was done or answered. Raises `Unknown` or `Crash` if the worker is not to hear of it."""
        self._alive(name)
        match self.plan.get(number):
            case "lose_reply":
                self.injected.append((number, name, "lose_reply"))
                raise Unknown(f"call {number}, {name}: reply lost by plan")
            case "crash_after":
                self._crash(number, name, "crash_after")

    @asynccontextmanager
    async def call(self, name: str, *args: Any) -> AsyncIterator[None]:
        """Wraps what an asynchronous fake does; also the point at which other tasks may go first."""
        await asyncio.sleep(0)
        with self.blocking_call(name, *args):
            yield

    @contextmanager
    def blocking_call(self, name: str, *args: Any) -> Iterator[None]:
        """The same for a synchronous port."""
        number = self.before(name, args)
        try:
            yield
        except PortError:
            self.after(number, name, args)  # an answer can be lost like any other reply
            raise
        self.after(number, name, args)

    def _number(self, name: str) -> int:
        self.calls.append(name)
        return len(self.calls)

    def _alive(self, name: str) -> None:
        if self.crashed:
            raise Crash(f"{name}: this worker has crashed")

    def _crash(self, number: int, name: str, kind: Kind) -> None:
        self.injected.append((number, name, kind))
        self.crashed = True
        raise Crash(f"call {number}, {name}: {kind}")
