"""The command on fakes: the whole of Quarry in one process, and a connection to it for typer's runner.

While the command waits between two looks, the services work: `world.steps` says what happens at each wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from quarry_cli.client.api import Client
from quarry_cli.client.connections import Connections
from quarry_cli.main import app
from tests.unit.cli.runner import runner
from tests.world.world import BUCKET, SimulatedWorld


class WaitingClock:
    """The world's clock; whoever sleeps lets the services work meanwhile."""

    def __init__(self, command: Command) -> None:
        self._command = command

    def __getattr__(self, name):
        return getattr(self._command.world.clock, name)

    async def sleep(self, seconds: float) -> None:
        self._command.waited.append(seconds)
        await self._command.world.clock.sleep(seconds)
        for step in self._command.steps[:1]:
            self._command.steps.remove(step)
            await step()


class Command:
    """`quarry`, talking to a world of fakes."""

    def __init__(self) -> None:
        self.world = SimulatedWorld()
        self.steps: list[Callable[[], Awaitable[object]]] = []
        self.connects = 0
        self.connections: dict[str, Any] = {}  # more of what the connection knows
        self.waited: list[float] = []

    @contextlib.asynccontextmanager
    async def connect(self):
        self.connects += 1
        world = self.world
        known = {"objects": lambda: world.objects, "versions": lambda: world.objects} | self.connections
        yield Connections(
            table=world.table,
            queue=lambda: world.queues["manifests"],
            clock=WaitingClock(self),
            bucket=BUCKET,
            **known,
        )

    @property
    def client(self) -> Client:
        return Client(self.connect)

    def __call__(self, *args: str, given: str | None = None):
        return runner().invoke(app, list(args), obj=self.connect, input=given, env={"COLUMNS": "200"})

    def status(self, run_id: str) -> dict[str, Any]:
        result = self("status", run_id, "--json")
        assert result.exit_code == 0, result.output
        view: dict[str, Any] = json.loads(result.stdout)
        return view

    # ------------------------------------------------------------------ the world goes on

    def idle(self) -> None:
        asyncio.run(self.world.idle())

    def finish(self, run_id: str):
        return asyncio.run(self.world.run(run_id))

    def ended(self, rows: int = 300, **changes: object) -> str:
        """A run that is at its end."""
        run_id = self.world.send(self.world.joke(rows, **changes))
        self.finish(run_id)
        return run_id


@pytest.fixture
def quarry() -> Command:
    return Command()
