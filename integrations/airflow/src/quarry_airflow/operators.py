"""A task that is a run: it sends a manifest, waits, and fails if the run does.

Theory of operation. The run's id follows from the task instance (`ids`), so every try of it, and whoever clears it, is about
one run: the first sends the manifest, the others find it known and wait on. Waiting is deferred to the triggerer, which costs
no worker; `deferrable=False` waits in the worker. The manifest is sent as it is rendered; its `run_id` is ours.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from quarry_airflow import client
from quarry_airflow.ids import run_id_of_task
from quarry_airflow.outcome import fault, summary
from quarry_airflow.triggers import QuarryRunTrigger
from quarry_cli.errors import NotSubmitted, StillRunning

DAY_S = 86_400
POLL_INTERVAL_S = 60.0
# Bedrock gives a job up to a week.
WAIT_S = 7.0 * DAY_S
# What ends a deferred wait; Airflow would otherwise wait for ever for a trigger that is lost.
DEFER_GRACE_S = 3_600


class QuarryRunOperator(BaseOperator):  # type: ignore[misc]  # where Airflow is not installed, it is unknown
    """Send a manifest, and wait for its run.

    The result is a summary (run id, state, numbers of rows, tokens, dollars, the results' URI); no row goes into XCom.

    Args:
        manifest: an object, or JSON text: what `quarry submit` takes. Templated. Its `run_id` must not be given.
        env: a profile of `quarry config`; None: the variables of worker and triggerer. Templated.
        max_error_share: of the rows that may have an error, 0 to 1; beyond it the task fails, though the results stand.
        deferrable: wait in the triggerer.
        poll_interval_s: between two looks at the run.
        wait_s: until the task fails; the run goes on, and a retry waits for it again.
        cancel_on_kill: cancel the run when the task is killed. Its answers so far are kept, and paid for.
    """

    template_fields: Sequence[str] = ("manifest", "env")
    template_fields_renderers = {"manifest": "json"}  # noqa: RUF012 as Airflow's own operators have it

    def __init__(
        self,
        *,
        manifest: Mapping[str, Any] | str,
        env: str | None = None,
        max_error_share: float = 1.0,
        deferrable: bool = True,
        poll_interval_s: float = POLL_INTERVAL_S,
        wait_s: float = WAIT_S,
        cancel_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= max_error_share <= 1:
            raise ValueError(f"max_error_share is {max_error_share}: it is a share of the rows, 0 to 1")
        if poll_interval_s <= 0 or wait_s <= 0:
            raise ValueError("poll_interval_s and wait_s are numbers of seconds above 0")
        self.manifest = manifest
        self.env = env
        self.max_error_share = max_error_share
        self.deferrable = deferrable
        self.poll_interval_s = poll_interval_s
        self.wait_s = wait_s
        self.cancel_on_kill = cancel_on_kill
        self._run_id: str | None = None

    def execute(self, context: Any) -> dict[str, Any]:
        task = context["ti"]
        map_index = task.map_index if task.map_index is not None else -1
        run_id = run_id_of_task(task.dag_id, task.task_id, task.run_id, map_index)
        try:
            sent = client.open_client(self.env).submit(self._text(run_id))
        except NotSubmitted as error:
            # Another try would be refused in the same words.
            raise AirflowFailException(str(error)) from error
        self._run_id = run_id
        self.log.info("run %s %s", run_id, "is known: waiting for it" if sent.known else "is sent")
        if self.deferrable:
            self.defer(
                trigger=QuarryRunTrigger(
                    run_id=run_id,
                    env=self.env,
                    poll_interval_s=self.poll_interval_s,
                    end_at_s=time.time() + self.wait_s,
                    cancel_on_kill=self.cancel_on_kill,
                ),
                method_name="execute_complete",
            )
        try:
            client.open_client(self.env).wait(run_id, every_s=self.poll_interval_s, timeout_s=self.wait_s)
        except StillRunning as error:
            raise AirflowException(f"run {run_id} goes on after {self.wait_s:,.0f} s: {error}") from error
        return self._ended(run_id)

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 Airflow's form
        """Called by Airflow when the trigger has told of the run."""
        run_id = str(event["run_id"])
        if event["event"] == "timeout":
            raise AirflowException(
                f"run {run_id} goes on after {self.wait_s:,.0f} s: a retry of this task waits for it again"
            )
        if event["event"] != "ended":
            raise AirflowException(f"run {run_id} could not be read: {event.get('why')}")
        return self._ended(run_id)

    def on_kill(self) -> None:
        if self.cancel_on_kill and self._run_id is not None:
            client.open_client(self.env).cancel(self._run_id)

    def _text(self, run_id: str) -> str:
        given = json.loads(self.manifest) if isinstance(self.manifest, str) else dict(self.manifest)
        if not isinstance(given, dict):
            raise AirflowFailException("manifest: it is no JSON object")
        if "run_id" in given:
            raise AirflowFailException(
                "manifest: leave out run_id: it follows from the task, so that a retry finds its run"
            )
        return json.dumps({**given, "run_id": run_id}, ensure_ascii=False)

    def _ended(self, run_id: str) -> dict[str, Any]:
        view = client.open_client(self.env).status(run_id)
        if why := fault(view, self.max_error_share):
            # The run is at its end: another try would find it so again.
            raise AirflowFailException(why)
        return summary(view)
