"""DAGs as users write them. What a run is about comes with it, as `conf`, so that one file serves all tests."""

from __future__ import annotations

import datetime as dt
import os

import pydantic
from airflow.providers.common.ai.operators.llm_batch import LLMBatchOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException

from quarry_airflow.operators import QuarryRunOperator
from quarry_airflow.sensors import QuarryRunSensor

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
JOKES = {
    "job_name_prefix": "{{ dag.dag_id }}",
    "model_id": MODEL,
    "s3_uri": "{{ dag_run.conf['s3_uri'] }}",
    "prompt": "Tell me a joke about {topic}",
}


class Joke(pydantic.BaseModel):
    setup: str
    laughs: int


for deferrable in (True, False):
    with DAG(f"jokes_{'deferred' if deferrable else 'waiting'}", schedule=None, start_date=START):
        asked = QuarryRunOperator(task_id="ask", manifest=JOKES, deferrable=deferrable, poll_interval_s=0.5)
        waited = QuarryRunSensor(
            task_id="wait",
            run_id="{{ ti.xcom_pull(task_ids='ask')['run_id'] }}",
            deferrable=deferrable,
            poke_interval=0.5,
        )
        asked >> waited


class Dies(QuarryRunOperator):
    """Its worker dies once, after the manifest is sent."""

    def _ended(self, run_id):
        if not os.environ.get("QUARRY_TEST_DIED"):
            os.environ["QUARRY_TEST_DIED"] = run_id
            raise AirflowException("the worker is gone")
        return super()._ended(run_id)


with DAG("again", schedule=None, start_date=START):
    Dies(task_id="ask", manifest=JOKES, deferrable=False, poll_interval_s=0.5, retries=1, retry_delay=dt.timedelta(0))

with DAG("refused", schedule=None, start_date=START):
    QuarryRunOperator(task_id="no_model", manifest={**JOKES, "model_id": "no.such-model"}, retries=3)
    QuarryRunOperator(task_id="own_id", manifest={**JOKES, "run_id": "mine"}, retries=3)
    QuarryRunSensor(task_id="never", run_id="none-such", poke_interval=0.2, timeout=1)

for kind in (str, Joke):
    with DAG(f"batch_{kind.__name__}", schedule=None, start_date=START):
        LLMBatchOperator(
            task_id="ask",
            requests=[{"prompt": f"a joke about {number}", "params": {"temperature": 0.2}} for number in range(110)],
            result_path="{{ dag_run.conf['result_path'] }}",
            llm_conn_id="quarry",
            model_id=f"bedrock:{MODEL}",
            system_prompt="Be short.",
            output_type=kind,
            poll_interval=30,
            deferrable=False,
        )
