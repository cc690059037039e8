"""The command on fakes: the whole of Quarry in one process, and a connection to it for typer's runner.

While the command waits between two looks, the services work: `house.steps` says what happens at each wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from quarry_cli.client.api import Client
from quarry_cli.client.connections import Doors
from quarry_cli.main import app
from tests.world.house import BUCKET, House


class WaitingClock:
    """The house's clock; whoever sleeps lets the services work meanwhile."""

    def __init__(self, command: Command) -> None:
        self._command = command

    def __getattr__(self, name):
        return getattr(self._command.house.clock, name)

    async def sleep(self, seconds: float) -> None:
        self._command.waited.append(seconds)
        await self._command.house.clock.sleep(seconds)
        for step in self._command.steps[:1]:
            self._command.steps.remove(step)
            await step()


class Command:
    """`quarry`, talking to a house of fakes."""

    def __init__(self) -> None:
        self.house = House()
        self.steps: list[Callable[[], Awaitable[object]]] = []
        self.connections = 0
        self.doors: dict[str, Any] = {}  # more of what the connection knows
        self.waited: list[float] = []

    @contextlib.asynccontextmanager
    async def connect(self):
        self.connections += 1
        house = self.house
        yield Doors(
            table=house.table,
            queue=lambda: house.queues["manifests"],
            objects=lambda: house.objects,
            clock=WaitingClock(self),
            bucket=BUCKET,
            **self.doors,
        )

    @property
    def client(self) -> Client:
        return Client(self.connect)

    def __call__(self, *args: str, given: str | None = None):
        return CliRunner().invoke(app, list(args), obj=self.connect, input=given, env={"COLUMNS": "200"})

    def status(self, run_id: str) -> dict[str, Any]:
        result = self("status", run_id, "--json")
        assert result.exit_code == 0, result.output
        view: dict[str, Any] = json.loads(result.stdout)
        return view

    # ------------------------------------------------------------------ the world goes on

    def quiet(self) -> None:
        asyncio.run(self.house.quiet())

    def finish(self, run_id: str):
        return asyncio.run(self.house.run(run_id))

    def ended(self, rows: int = 300, **changes: object) -> str:
        """A run that is at its end."""
        run_id = self.house.send(self.house.joke(rows, **changes))
        self.finish(run_id)
        return run_id


@pytest.fixture
def quarry() -> Command:
    return Command()
