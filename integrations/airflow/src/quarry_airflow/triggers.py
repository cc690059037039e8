"""Waiting for a run in Airflow's triggerer, where many waits share one process.

Only looks, and cancels if it is told to; what a run came to is read by the worker. A look that AWS does not answer is looked
again: only `FAILURES_MAX` in a row end the wait, and the run goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from quarry_airflow.client import open_client
from quarry_cli.errors import NoSuchRun
from quarry_core.errors import PortError

FAILURES_MAX = 10


class QuarryRunTrigger(BaseTrigger):  # type: ignore[misc]  # where Airflow is not installed, it is unknown
    """Looks at a run until it has ended.

    Args:
        run_id: the whole id.
        env: a profile of `quarry config`; None: the triggerer's variables.
        poll_interval_s: between two looks.
        end_at_s: seconds since 1970 at which the wait ends without the run.
        cancel_on_kill: cancel the run when the waiting task is killed.
    """

    def __init__(
        self, *, run_id: str, env: str | None, poll_interval_s: float, end_at_s: float, cancel_on_kill: bool = False
    ) -> None:
        super().__init__()
        self.run_id = run_id
        self.env = env
        self.poll_interval_s = poll_interval_s
        self.end_at_s = end_at_s
        self.cancel_on_kill = cancel_on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("run_id", "env", "poll_interval_s", "end_at_s", "cancel_on_kill")
        return "quarry_airflow.triggers.QuarryRunTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        failures = 0
        while True:
            try:
                view = await asyncio.to_thread(open_client(self.env).status, self.run_id)
                failures = 0
                if view.state.terminal:
                    yield TriggerEvent({"run_id": self.run_id, "event": "ended"})
                    return
            except NoSuchRun:
                pass  # it may not have arrived yet
            except (PortError, OSError) as error:
                failures += 1
                self.log.warning("run %s: look %d of %d failed: %s", self.run_id, failures, FAILURES_MAX, error)
                if failures >= FAILURES_MAX:
                    yield TriggerEvent({"run_id": self.run_id, "event": "unreadable", "why": str(error)})
                    return
            if time.time() >= self.end_at_s:
                yield TriggerEvent({"run_id": self.run_id, "event": "timeout"})
                return
            await asyncio.sleep(self.poll_interval_s)

    async def on_kill(self) -> None:
        """Called by Airflow 3.3 and later when the waiting task is killed, cleared or marked."""
        if not self.cancel_on_kill:
            return
        try:
            await asyncio.to_thread(open_client(self.env).cancel, self.run_id)
            self.log.info("run %s is cancelled", self.run_id)
        except Exception as error:  # the task ends all the same
            self.log.warning("run %s was not cancelled: %s", self.run_id, error)
