"""A task that waits for a run which somebody else sent."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from quarry_airflow import client
from quarry_airflow.outcome import fault, summary
from quarry_airflow.triggers import QuarryRunTrigger
from quarry_cli.errors import NoSuchRun


class QuarryRunSensor(BaseSensorOperator):  # type: ignore[misc]  # where Airflow is not installed, it is unknown
    """Wait until a run has ended, also if it has not arrived yet. The result is the operator's summary.

    Args:
        run_id: the whole id. Templated.
        env: a profile of `quarry config`. Templated.
        max_error_share: of the rows that may have an error, 0 to 1.
        deferrable: wait in the triggerer.
    """

    template_fields: Sequence[str] = ("run_id", "env")

    def __init__(
        self,
        *,
        run_id: str,
        env: str | None = None,
        max_error_share: float = 1.0,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.env = env
        self.max_error_share = max_error_share
        self.deferrable = deferrable

    def execute(self, context: Any) -> Any:
        if not self.deferrable:
            return super().execute(context)
        self.defer(
            trigger=QuarryRunTrigger(
                run_id=self.run_id,
                env=self.env,
                poll_interval_s=float(self.poke_interval),
                end_at_s=time.time() + float(self.timeout),
            ),
            method_name="execute_complete",
        )
        return None

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 Airflow's form
        """Called by Airflow when the trigger has told of the run."""
        if event["event"] != "ended":
            raise AirflowException(f"run {self.run_id} has not ended: {event.get('why') or event['event']}")
        return self._ended()

    def poke(self, context: Any) -> PokeReturnValue:  # noqa: ARG002 Airflow's form
        try:
            view = client.open_client(self.env).status(self.run_id)
        except NoSuchRun:
            return PokeReturnValue(is_done=False)
        if not view.state.terminal:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._ended())

    def _ended(self) -> dict[str, Any]:
        view = client.open_client(self.env).status(self.run_id)
        if why := fault(view, self.max_error_share):
            raise AirflowFailException(why)
        return summary(view)
