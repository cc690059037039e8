"""DAGs with our operator and sensor, run whole by Airflow's own `dag.test()` on a local stack."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from airflow.utils.state import DagRunState

from quarry_airflow.ids import run_id_of_task
from quarry_airflow.triggers import QuarryRunTrigger
from quarry_core.errors import Unknown


def summary_of(run, task_id):
    task = run.get_task_instance(task_id)
    return task.xcom_pull(task_ids=task_id)


@pytest.mark.parametrize("how", ["deferred", "waiting"])
def test_a_run_is_a_task_and_what_it_came_to_is_passed_on(ran, rows, client, how):
    run = ran(f"jokes_{how}", s3_uri=rows(120))

    assert run.state == DagRunState.SUCCESS
    seen = summary_of(run, "ask")
    assert (seen["state"], seen["rows"], seen["ok"]) == ("SUCCEEDED", 120, 120)
    assert seen["run_id"] == run_id_of_task(f"jokes_{how}", "ask", run.run_id, -1)
    assert summary_of(run, "wait") == seen
    assert len(client.table(seen["run_id"])) == 120
    # Numbers and names only: nothing of the rows, and no secret.
    assert set(seen) == {
        *("run_id", "state", "rows", "ok", "error", "errors", "input_tokens", "output_tokens", "dollars", "results_uri")
    }
    assert "topic" not in json.dumps(seen)


def test_a_task_that_is_tried_again_waits_for_the_same_run(ran, rows, client, monkeypatch):
    monkeypatch.delenv("QUARRY_TEST_DIED", raising=False)
    before = {line.run_id for line in client.runs(100)}

    run = ran("again", s3_uri=rows(110))

    assert run.state == DagRunState.SUCCESS
    assert run.get_task_instance("ask").try_number == 2
    assert {line.run_id for line in client.runs(100)} - before == {run_id_of_task("again", "ask", run.run_id, -1)}


def test_what_is_refused_fails_the_task_without_a_retry(ran, rows):
    run = ran("refused", s3_uri=rows(110))

    assert run.state == DagRunState.FAILED
    assert {(name, run.get_task_instance(name).state) for name in ("no_model", "own_id", "never")} == {
        *(("no_model", "failed"), ("own_id", "failed"), ("never", "failed"))
    }
    assert run.get_task_instance("no_model").try_number == run.get_task_instance("own_id").try_number == 1


def test_a_killed_task_cancels_its_run_if_it_is_asked_to(rows, client):
    manifest = {
        "job_name_prefix": "killed",
        "model_id": "anthropic.claude-3-haiku-20240307-v1:0",
        "s3_uri": rows(3_000),
        "prompt": "Tell me a joke about {topic}",
        "run_id": "killed",
        "max_records_per_job": 100,
    }
    client.submit(manifest)
    while not any(line.run_id == "killed" for line in client.runs(100)):
        time.sleep(0.1)

    for cancel in (False, True):
        trigger = QuarryRunTrigger(run_id="killed", env=None, poll_interval_s=1, end_at_s=0, cancel_on_kill=cancel)
        path, values = trigger.serialize()
        assert path == "quarry_airflow.triggers.QuarryRunTrigger"
        assert QuarryRunTrigger(**values).serialize() == (path, values)
        asyncio.run(trigger.on_kill())
        assert bool(client.status("killed").cancelled_at) == cancel
    assert client.wait("killed", every_s=0.5, timeout_s=100).state.value == "CANCELLED"


def test_a_wait_outlives_a_few_asked_times_that_fail_and_ends_after_many(monkeypatch):
    class Down:
        asked_times = 0

        def status(self, run_id):
            type(self).asked_times += 1
            raise Unknown("the line is cut")

    monkeypatch.setattr("quarry_airflow.triggers.open_client", lambda env: Down())
    trigger = QuarryRunTrigger(run_id="r", env=None, poll_interval_s=0, end_at_s=time.time() + 60)

    async def events():
        return [event.payload async for event in trigger.run()]

    assert asyncio.run(events()) == [{"run_id": "r", "event": "unreadable", "why": "the line is cut"}]
    assert Down.asked_times == 10
