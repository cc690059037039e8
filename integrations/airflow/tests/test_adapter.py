"""`@task.llm_batch` of the real provider on Bedrock: found by its entry point, run whole by `dag.test()`."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from airflow.providers.common.ai.batch.dispatch import get_adapter_class
from airflow.providers.common.ai.batch.output_schema import build_output_spec
from airflow.providers.common.ai.exceptions import LLMBatchLimitExceededError
from airflow.utils.state import DagRunState

from quarry_airflow.adapter import BedrockBatchAdapter
from quarry_airflow.ids import run_id_of_batch

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"


def requests_of(count):
    return [{"prompt": f"a joke about {number}", "params": {"temperature": 0.2}} for number in range(count)]


def asked():
    return {"model": MODEL, "output_spec": build_output_spec(str), "idempotency_key": "k" * 16, "max_tokens": 100}


def test_it_is_found_by_its_entry_point():
    assert get_adapter_class("quarry", f"bedrock:{MODEL}") is BedrockBatchAdapter
    assert get_adapter_class("pydanticai", f"bedrock:{MODEL}") is BedrockBatchAdapter


@pytest.mark.parametrize("kind", ["str", "Joke"])
def test_a_batch_of_the_real_operator_lands_on_bedrock(ran, tmp_path, kind):
    run = ran(f"batch_{kind}", result_path=tmp_path.as_uri())

    assert run.state == DagRunState.SUCCESS
    landed = [json.loads(line) for file in tmp_path.rglob("*.jsonl") for line in file.read_text().splitlines()]
    assert sorted(row["index"] for row in landed) == list(range(110))
    assert {row["status"] for row in landed} == {"success"}
    for row in landed:
        if kind == "Joke":
            assert set(row["output"]) == {"setup", "laughs"}
        else:
            assert isinstance(row["output"], str)
            assert row["output"]


def test_a_batch_that_was_sent_and_not_noted_is_found_by_its_name(stack, client):
    adapter, requests = BedrockBatchAdapter(), requests_of(105)
    begun = dt.datetime.now(dt.UTC).isoformat()
    assert adapter.find_orphaned_batch("k" * 16, "fingerprint", begun) is None

    sent = adapter.submit(requests, input_fingerprint="fingerprint", **asked())
    again = adapter.submit(requests, input_fingerprint="fingerprint", **asked())

    assert sent == again
    assert sent.batch_id == run_id_of_batch("k" * 16, "fingerprint", 1)
    client.wait(sent.batch_id, every_s=0.5, timeout_s=90)
    assert adapter.find_orphaned_batch("k" * 16, "fingerprint", begun) == sent.batch_id
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
    assert adapter.find_orphaned_batch("k" * 16, "fingerprint", later) is None
    state = adapter.get_batch(sent.batch_id)
    assert (state.status, dict(state.counts)["succeeded"]) == ("completed", 105)
    assert sorted(item.index for item in adapter.iter_results(sent.batch_id)) == list(range(105))


def test_a_batch_that_is_cancelled_says_so_and_the_next_one_is_another_run(stack, client):
    adapter, requests = BedrockBatchAdapter(), requests_of(3_000)
    first = adapter.submit(requests, input_fingerprint="cancelled", **asked()).batch_id
    while adapter.get_batch(first).counts is None:
        pass

    adapter.cancel_batch(first)

    client.wait(first, every_s=0.5, timeout_s=90)
    assert adapter.get_batch(first).status == "cancelled"
    assert {item.provider_status for item in adapter.iter_results(first)} <= {"success", "cancelled"}
    assert adapter.submit(requests, input_fingerprint="cancelled", **asked()).batch_id != first


def test_limits_and_models_are_refused_before_anything_is_sent():
    adapter = BedrockBatchAdapter()
    with pytest.raises(LLMBatchLimitExceededError, match="one run has one model"):
        adapter.validate_requests([{"prompt": "a", "model": "bedrock:other"}], **asked())
    adapter.max_requests = 2
    with pytest.raises(LLMBatchLimitExceededError, match="at most 2 requests"):
        adapter.validate_requests(requests_of(3), **asked())
    adapter.max_requests, adapter.max_payload_bytes = 10, 300
    with pytest.raises(LLMBatchLimitExceededError, match="which request 2 of 3 passes"):
        adapter.validate_requests(requests_of(3), **asked())
