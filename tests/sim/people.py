"""What people ask of runs while a simulation goes on, in the way of the command: without faults.

What was drawn (`Scenario.controls`) comes at its moment; what a run is past refuses it, and what has not arrived yet is waited for. One
operator looks after the runs that are held, or they would be for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from quarry_cli.client.changes import budget, control, retrying, share
from quarry_cli.client.connections import Connections
from quarry_cli.client.pools import limits
from quarry_cli.errors import NoSuchRun, NotControlled, NotRetried, RunEnded
from quarry_core.contract.messages import Wakeup
from tests.sim.aws import SimulatedAws
from tests.sim.scenario import Control, Scenario
from tests.sim.watch import TERMINAL, Watch
from tests.world.world import BUCKET, CLAUDE

T = TypeVar("T")
TRIES_MAX = 20
RETRY_TRIES_MAX = 1_000


class People:
    """
    Attributes:
        done: what was asked and done, by action.
        retries: runs that ask errors again, and of which run.
        waiting: retries that are still to be begun, or found to be none.
    """

    def __init__(
        self,
        aws: SimulatedAws,
        scenario: Scenario,
        watch: Watch,
        look_every_s: float,
        deploy: Callable[[float | None], Awaitable[None]],
    ) -> None:
        """`deploy` starts the services anew with another budget for the month, in US dollars or none."""
        self.done = Counter[str]()
        self.retries: dict[str, str] = {}
        self.waiting = sum(each.action == "retry" for each in scenario.controls)
        self._aws = aws
        self._scenario = scenario
        self._watch = watch
        self._look_every_s = look_every_s
        self._deploy = deploy
        self._chance = random.Random(f"{scenario.name} operator")

    def come(self, start: Callable[[object], object]) -> None:
        """`start` makes a task of a coroutine."""
        for each in self._scenario.controls:
            start(self._control(each))
        budgets = any(each.action == "budget" for each in self._scenario.controls)
        if budgets or any(each.more for each in self._scenario.work) or self._scenario.month_usd is not None:
            start(self._operate())

    async def _control(self, each: Control) -> None:
        await asyncio.sleep(each.after_s)
        if each.action == "retry":
            await self._retry(each.run_id)
        elif each.action in ("set", "budget"):
            await self._set(each)
        elif each.action == "limit":
            await limits.set_limit(self.connections(), CLAUDE, each.limit, "as drawn")
            self.done["limit"] += 1
        elif each.action == "month":
            self.done["month"] += 1
            await self._deploy(each.budget_usd)
        else:
            await self._act(each)

    async def _act(self, each: Control) -> None:
        act = {"cancel": control.cancel, "pause": control.pause, "resume": control.resume}[each.action]
        for _ in range(TRIES_MAX):
            with contextlib.suppress(NoSuchRun, NotControlled):
                done = await act(self.connections(), each.run_id)
                if done.changed or each.action != "resume":
                    self.done[each.action] += 1
                    return  # else whoever is to pause it has not come to it yet
            await asyncio.sleep(self._look_every_s)

    async def _set(self, each: Control) -> None:
        for _ in range(TRIES_MAX):
            try:
                if each.action == "set":
                    await share.set_share(self.connections(), each.run_id, each.admission_class, each.weight)
                else:
                    await budget.set_budget(self.connections(), each.run_id, each.budget_usd)
            except RunEnded:
                return
            except NoSuchRun:
                await asyncio.sleep(self._look_every_s)
            else:
                self.done[each.action] += 1
                return

    async def _retry(self, run_id: str) -> None:
        """Every row with an error is asked again, once the run has ended."""
        for _ in range(RETRY_TRIES_MAX):
            if self._watch.states.get(run_id) in TERMINAL:
                break
            await asyncio.sleep(self._look_every_s)
        with contextlib.suppress(NoSuchRun, NotRetried), _in_turn():
            begun = await retrying.begin(self.connections(), run_id, every=True)
            self.retries[begun.run_id] = run_id
            self.done["retry"] += 1
        self.waiting -= 1

    async def _operate(self) -> None:
        """Let runs that are held for long enough go on, or cancel them."""
        operator, since_s = self._scenario.operator, dict[str, float]()
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._look_every_s)
            held = dict(sorted(self._watch.held.items()))
            since_s = {run_id: since_s.get(run_id, loop.time()) for run_id in held}
            for run_id, kind in held.items():
                if loop.time() - since_s[run_id] < operator.held_s:
                    continue
                self.done[f"{kind} held"] += 1
                with contextlib.suppress(NotControlled, RunEnded):
                    if self._chance.random() >= operator.lets_go_on:
                        await control.cancel(self.connections(), run_id)
                    elif kind == "canary":
                        await control.approve(self.connections(), run_id)
                    elif kind == "month":
                        if self._aws.settings.budget_usd != operator.month_usd:
                            await self._deploy(operator.month_usd)
                    else:
                        await budget.set_budget(self.connections(), run_id, None)

    def connections(self) -> Connections:
        return Connections(
            table=self._aws.table,
            queue=lambda: self._aws.queues["manifests"],
            objects=lambda: self._aws.objects,
            clock=self._aws.clock,
            bucket=BUCKET,
            region=self._aws.settings.region,
            wake=self._wake if self._scenario.operator.wakes else None,
        )

    async def _wake(self, queue: str, wakeup: Wakeup) -> bool:
        self._aws.queues[queue].put(wakeup.body())
        return True


@contextlib.contextmanager
def _in_turn() -> Iterator[None]:
    """The command reads parts in a thread, beside which virtual time would run on: here it reads them in its turn."""

    async def aside(work: Callable[[], T]) -> T:
        return work()

    before = retrying.aside
    retrying.aside = aside  # type: ignore[attr-defined]  # imported there, not made there
    try:
        yield
    finally:
        retrying.aside = before  # type: ignore[attr-defined]  # likewise
