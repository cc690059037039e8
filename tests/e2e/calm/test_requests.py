"""Other people's batch files, on real processes: each answer beside the id that its owner gave."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.e2e.user import CLAUDE

NOVA = "amazon.nova-lite-v1:0"


def its_answer(*texts: str) -> str:
    """What every answer of the simulated models to these texts, and only to them, ends with."""
    return f"[{hashlib.sha256(chr(10).join(texts).encode()).hexdigest()[:16]}]"


def chat(number: int, model: str) -> dict:
    """A line as OpenAI's guide has it; LiteLLM's has the name of its own deployment for the model."""
    return {
        "custom_id": f"request {number} / é",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": model,
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": f"Hello world {number}!"},
            ],
            "max_tokens": 1_000,
        },
    }


def plant(calm, key: str, records: list[dict]) -> str:
    body = "".join(json.dumps(one) + "\n" for one in records)
    calm.s3.put_object(Bucket=calm.bucket, Key=key, Body=body.encode())
    return f"s3://{calm.bucket}/{key}"


@pytest.mark.promise("S3")
def test_openais_and_litellms_batch_files_are_asked_by_converse_and_keep_their_ids(calm):
    first = [chat(number, "gpt-4o-mini") for number in range(150)]
    second = [chat(number, "bedrock-batch-claude") for number in range(150, 260)]
    uris = [plant(calm, "inputs/batches/openai.jsonl", first), plant(calm, "inputs/batches/litellm.jsonl", second)]
    manifest = {"s3_uri": uris, "job_name_prefix": "batches", "model_id": NOVA, "request_format": "openai"}

    run_id = calm.send(manifest)
    totals = calm.ended(run_id)

    assert totals["state"] == "SUCCEEDED", totals
    rows = calm.result(run_id).to_pylist()
    assert [row["custom_id"] for row in rows] == [one["custom_id"] for one in first + second]
    for number, row in enumerate(rows):
        assert row["response"].endswith(its_answer("You are a helpful assistant.", f"Hello world {number}!"))
    assert json.loads(rows[200]["body"]) == second[50]["body"]
    assert rows[0]["output_tokens"] > 0


def test_bedrocks_batch_file_is_sent_as_it_is(calm):
    records = [
        {
            "recordId": f"CALL{number:07d}",
            "modelInput": {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 500,
                "messages": [{"role": "user", "content": [{"type": "text", "text": f"Summarize call {number}"}]}],
            },
        }
        for number in range(120)
    ]
    # As LiteLLM writes it for a request with tools.
    records[7]["modelInput"] |= {
        "system": [{"type": "text", "text": "You are a helpful assistant."}],
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}],
    }
    uri = plant(calm, "inputs/bedrock.jsonl", records)

    run_id = calm.send({"s3_uri": uri, "job_name_prefix": "as-it-is", "model_id": CLAUDE})
    totals = calm.ended(run_id)

    assert totals["state"] == "SUCCEEDED", totals
    rows = calm.result(run_id).to_pylist()
    assert [row["recordId"] for row in rows] == [one["recordId"] for one in records]
    assert (rows[7]["stop_reason"], json.loads(rows[7]["response"])[0]["name"]) == ("tool_use", "f")
    texts = [(number, row["response"]) for number, row in enumerate(rows) if number != 7]
    assert all(text.endswith(its_answer(f"Summarize call {number}")) for number, text in texts)


@pytest.mark.parametrize(
    ("number", "bad", "sentence"),
    [
        (
            110,
            "request 3 / é",
            "data row 111 has the custom_id 'request 3 / é', which inputs/bad.jsonl: data row 4 has too",
        ),
        (7, "", "has the custom_id '', which is empty; give each request an id of its own"),
        (7, "a\u0007", "which holds the control character \\x07; take it out"),
    ],
)
def test_duplicates_and_bad_ids_are_named_and_nothing_is_sent(calm, number, bad, sentence):
    records = [chat(one, "gpt-4o-mini") for one in range(120)]
    records[number]["custom_id"] = bad
    uri = plant(calm, "inputs/bad.jsonl", records)

    run_id = calm.send({"s3_uri": uri, "job_name_prefix": "bad-ids", "model_id": CLAUDE})

    assert calm.ended(run_id)["state"] == "FAILED"
    assert sentence in calm.status(run_id)["error"]
    assert calm.jobs(run_id) == []
