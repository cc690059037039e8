"""The processes of the three services, several of each, and what befalls them at their port calls.

All calls of all processes are numbered in one row; the plan says what happens at a number. A process that crashes is
gone at once: its tasks are cancelled, its ports raise `Crash`, and a supervisor starts a fresh one a little later. One
that stalls does nothing at any port until its time is over, as under SIGSTOP: then it goes on with what it knew.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import quarry_collector.handler
import quarry_preprocessor.handler
import quarry_scheduler.handler
from quarry_core.errors import PortError
from quarry_core.service.consumer import every
from quarry_core.service.process import Parts
from tests.sim.loop import LoopClock, VirtualLoop
from tests.sim.offload import SteppedOffload, pause
from tests.world.faults import Crash, Faults
from tests.world.world import SimulatedWorld

Fault = Literal["refuse", "lose_reply", "crash_before", "crash_after", "stall"]
FAULTS: tuple[Fault, ...] = ("refuse", "lose_reply", "crash_before", "crash_after", "stall")
SERVICES = {
    "preprocessor": quarry_preprocessor.handler,
    "scheduler": quarry_scheduler.handler,
    "collector": quarry_collector.handler,
}
LATENCY_MAX_S = 0.05
CALLS_MAX = 60_000


class TooMuch(AssertionError):
    """A trial makes more calls than any should: somebody turns in a circle."""


# What a plan names: a call by its number among all, or `(name, n)`: the nth call of that name, or of that port.
At = int | tuple[str, int]


@dataclass
class Calls:
    """The calls of all processes in one row, the plan for them, and what of it was done."""

    asked: Mapping[At, Fault] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    injected: list[tuple[int, str, Fault]] = field(default_factory=list)
    lost_answers: int = 0  # of models that were asked on demand: what nobody heard is asked again
    unreached: dict[At, Fault] = field(default_factory=dict)  # of the plan, when nothing was to fail any more
    until_calm: int = 0  # calls

    def __post_init__(self) -> None:
        self.plan = {at: fault for at, fault in self.asked.items() if isinstance(at, int)}
        self._named = {at: fault for at, fault in self.asked.items() if not isinstance(at, int)}
        self._watched = {name for name, _ in self._named}
        self._counts = Counter[str]()

    def number(self, name: str) -> int:
        self.names.append(name)
        number = len(self.names)
        if number > CALLS_MAX:
            raise TooMuch(f"{CALLS_MAX} calls: {Counter(self.names[-1000:]).most_common(5)}")
        if self._watched:
            for known in (name, name.partition(".")[0]):
                if known in self._watched:
                    self._counts[known] += 1
                    if (fault := self._named.pop((known, self._counts[known]), None)) is not None:
                        self.plan.setdefault(number, fault)
        return number

    def calm(self) -> None:
        """Nothing more of the plan is done."""
        self.until_calm = len(self.names)
        numbered = {at: fault for at, fault in self.asked.items() if isinstance(at, int) and at > self.until_calm}
        self.unreached = {**numbered, **self._named}
        self.plan.clear()
        self._named.clear()


class Process(Faults):
    """One process of a service: its tasks, and how it reaches the world."""

    def __init__(self, fleet: Fleet, service: str, replica: int, life: int) -> None:
        super().__init__()
        self.injected = fleet.calls.injected
        self.fleet = fleet
        self.service = service
        self.replica = replica
        self.name = f"{service}/{replica}/{life}"
        self.stop = asyncio.Event()
        self.stalled_until_s = 0.0
        self.budget_usd: float | None = None  # of the month, as it was started with
        self._chance = random.Random(f"{fleet.seed} {self.name} latency")

    # ------------------------------------------------------------------ at each call

    @asynccontextmanager
    async def call(self, name: str, *args: Any) -> AsyncIterator[None]:
        await asyncio.sleep(self._chance.random() * LATENCY_MAX_S)
        await self.gate()
        number = self.before(name, args)
        if self._stalls(number, name):
            await self.gate()
            self._alive(name)
        try:
            yield
        except PortError:
            self.after(number, name, args)
            raise
        self.after(number, name, args)
        await self.gate()

    @contextmanager
    def blocking_call(self, name: str, *args: Any) -> Iterator[None]:
        if self.fleet.stepped:
            pause(self._chance.random() * LATENCY_MAX_S)
        number = self.before(name, args)
        if self._stalls(number, name):
            pause(self.fleet.stall_s)
        if (left_s := self.stalled_until_s - self.fleet.loop.time()) > 0:
            pause(left_s)
        self._alive(name)
        try:
            yield
        except PortError:
            self.after(number, name, args)
            raise
        self.after(number, name, args)

    async def gate(self) -> None:
        """Wait while the process pauses."""
        while (left_s := self.stalled_until_s - self.fleet.loop.time()) > 0:
            await asyncio.sleep(left_s)

    def before(self, name: str, args: tuple[Any, ...] = ()) -> int:
        self.plan = self.fleet.calls.plan
        return super().before(name, args)

    def after(self, number: int, name: str, args: tuple[Any, ...] = ()) -> None:
        lost = self.plan.get(number)
        if name == "runtime.ask" and lost in ("lose_reply", "crash_after"):
            self.fleet.calls.lost_answers += 1
        super().after(number, name, args)

    def _number(self, name: str) -> int:
        return self.fleet.calls.number(name)

    def _stalls(self, number: int, name: str) -> bool:
        if self.plan.get(number) != "stall":
            return False
        self.injected.append((number, name, "stall"))
        self.stalled_until_s = self.fleet.loop.time() + self.fleet.stall_s
        return True

    def _crash(self, number: int, name: str, kind: Any) -> None:
        self.crashed = True
        self.injected.append((number, name, kind))
        self.fleet.loop.call_soon(self.fleet.remove, self)
        raise Crash(f"call {number}, {name}: {kind}")

    # ------------------------------------------------------------------ its life

    def begin(self, parts: Parts) -> None:
        clock = self.clock
        for consumer in parts.consumers:
            self._own(consumer.run(self.stop))
        for timer in parts.timers:
            self._own(every(self.stop, clock, timer.every_s, timer.jitter, timer.work, timer.what))
        for work in parts.stopping:
            self._own(self._when_stopped(work))

    async def _when_stopped(self, work: Any) -> None:
        await self.stop.wait()
        await work()

    def _own(self, coro: Any) -> None:
        task = self.fleet.loop.create_task(coro)
        task.owner = self  # type: ignore[attr-defined]

    @property
    def clock(self) -> ProcessClock:
        chance = random.Random(f"{self.fleet.seed} {self.name} clock")
        ahead_s = chance.uniform(-self.fleet.skew_s, self.fleet.skew_s)
        up_s = chance.uniform(0, 1e6)
        return ProcessClock(self, f"{self.fleet.seed} {self.name}", self.fleet.ahead_s + ahead_s, up_s)


class ProcessClock(LoopClock):
    """A host's clock; nobody wakes while the process pauses."""

    def __init__(self, process: Process, seed: str, ahead_s: float, up_s: float) -> None:
        super().__init__(process.fleet.loop, seed, ahead_s=ahead_s, up_s=up_s)
        self._process = process

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._process.gate()


class Fleet:
    """All processes. `replicas`: of each service.

    skew_s: how wrong a host's wall clock may be, either way; ahead_s: how far it is after `EPOCH` when all begins.
    """

    def __init__(
        self,
        world: SimulatedWorld,
        loop: VirtualLoop,
        *,
        seed: int | str,
        plan: Mapping[At, Fault],
        replicas: int,
        stall_s: float,
        restart_s: float,
        skew_s: float,
        stepped: bool,
        ahead_s: float = 0.0,
    ) -> None:
        self.world = world
        self.loop = loop
        self.seed = seed
        self.calls = Calls(plan)
        self.stall_s = stall_s
        self.skew_s = skew_s
        self.ahead_s = ahead_s
        self.stepped = stepped
        self._restart_s = restart_s
        self._replicas = replicas
        self._starts = Counter[str]()
        self.processes: dict[tuple[str, int], Process] = {}
        self._all: list[Process] = []
        self._offloads: list[SteppedOffload] = []
        self.crashes = 0

    def start(self) -> None:
        for service in SERVICES:
            for replica in range(self._replicas):
                self._begin(service, replica)

    def _begin(self, service: str, replica: int) -> None:
        self._starts[f"{service}/{replica}"] += 1
        process = Process(self, service, replica, self._starts[f"{service}/{replica}"])
        offload = SteppedOffload(stepped=self.stepped)
        self._offloads.append(offload)
        world = self.world.process_world(process, clock=process.clock, offload=offload)
        process.budget_usd = world.settings.budget_usd
        self.processes[service, replica] = process
        self._all.append(process)
        process.begin(SERVICES[service].build(world))

    def remove(self, process: Process) -> None:
        """A process has crashed: nothing of it goes on, and a fresh one comes."""
        self.crashes += 1
        self.loop.end_tasks_of(process)
        self.loop.call_later(self._restart_s, self._begin, process.service, process.replica)

    def restart(self, service: str, replica: int) -> None:
        """SIGTERM, and a fresh process beside the one that drains."""
        self.processes[service, replica].stop.set()
        self._begin(service, replica)

    async def deploy(self, apart_s: float, **settings: object) -> None:
        """Start each process anew with these settings, one after the other; what has crashed comes with them by itself."""
        self.world.settings = self.world.settings.model_copy(update=settings)
        for service, replica in list(self.processes):
            await asyncio.sleep(apart_s)
            if not self.processes[service, replica].crashed:
                self.restart(service, replica)

    def close(self) -> None:
        """End all threads: whatever they still want, their ports are shut."""
        for process in self._all:
            process.crashed = True
        for offload in self._offloads:
            offload.close()

    def calm(self) -> None:
        """Nothing goes wrong any more."""
        self.calls.calm()
        for process in self.processes.values():
            process.stalled_until_s = min(process.stalled_until_s, self.loop.time() + self.stall_s)
