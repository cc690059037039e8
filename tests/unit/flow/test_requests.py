"""Ready requests as a source: Bedrock's form by InvokeModel, OpenAI's by Converse, each answer beside its own id."""

from __future__ import annotations

import gzip
import json

import pytest

from quarry_core.contract.names import input_key
from quarry_core.contract.states import RunState
from tests.world.world import BUCKET, CLAUDE, TITAN, SimulatedWorld

NOVA = "amazon.nova-lite-v1:0"


def chat(number: int, **more: object) -> dict:
    body = {"model": CLAUDE, "messages": [{"role": "user", "content": f"Question {number}?"}], "max_tokens": 20}
    return {"custom_id": f"row {number}", "method": "POST", "url": "/v1/chat/completions", "body": body} | more


def record(number: int, **more: object) -> dict:
    content = [{"type": "text", "text": f"Question {number}?"}]
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 20,
        "messages": [{"role": "user", "content": content}],
    }
    return {"recordId": f"row-{number}", "modelInput": body} | more


def plant(world: SimulatedWorld, records: list[dict], key: str = "inputs/requests.jsonl") -> str:
    world.objects.plant(key, "".join(json.dumps(one) + "\n" for one in records).encode())
    return f"s3://{BUCKET}/{key}"


def manifest(world: SimulatedWorld, records: list[dict], **more: object) -> dict:
    return {"job_name_prefix": "ready", "model_id": CLAUDE, "s3_uri": plant(world, records)} | more


async def refused(world: SimulatedWorld, sent: dict) -> str:
    run_id = world.send(sent)
    await world.idle()
    totals = await world.totals(run_id)
    assert totals.state is RunState.FAILED
    assert not world.jobs.all
    return totals.message


async def test_openais_requests_are_asked_by_converse_and_answered_by_their_own_ids():
    world = SimulatedWorld()
    run_id = world.send(manifest(world, [chat(number) for number in range(250)]))

    assert (await world.run(run_id)).state is RunState.SUCCEEDED

    rows = world.result(run_id).to_pylist()
    assert [row["custom_id"] for row in rows] == [f"row {number}" for number in range(250)]
    assert [row["response"] for row in rows] == [f"answer to: Question {number}?" for number in range(250)]
    assert [json.loads(row["body"]) for row in rows] == [chat(number)["body"] for number in range(250)]
    assert {request.invocation_type for request in world.jobs.requests} == {"Converse"}
    assert rows[0]["input_tokens"] is not None


async def test_bedrocks_requests_are_sent_as_they_are():
    world = SimulatedWorld()
    records = [record(number) for number in range(120)]
    del records[7]["recordId"]
    run_id = world.send(manifest(world, records))
    await world.idle()
    (job,) = world.jobs.requests
    sent = [json.loads(line) for line in world.objects.bodies[input_key(run_id, "00000")].splitlines()]

    assert (await world.run(run_id)).state is RunState.SUCCEEDED

    assert [line["modelInput"] for line in sent] == [one["modelInput"] for one in records]
    assert job.invocation_type == "InvokeModel"
    rows = world.result(run_id).to_pylist()
    assert [row["recordId"] for row in rows] == [one.get("recordId") for one in records]
    assert [row["response"] for row in rows] == [f"answer to: Question {number}?" for number in range(120)]


async def test_a_model_of_any_family_can_be_asked_by_converse():
    world = SimulatedWorld()
    sent = manifest(world, [chat(number) for number in range(100)], model_id=NOVA, request_format="openai")

    assert (await world.run(world.send(sent))).state is RunState.SUCCEEDED


async def test_embeddings_can_be_asked_for_by_ready_requests():
    world = SimulatedWorld()
    records = [{"recordId": str(n), "modelInput": {"inputText": f"text {n}", "dimensions": 256}} for n in range(100)]
    sent = manifest(world, records, model_id=TITAN, request_format="bedrock")
    run_id = world.send(sent)

    assert (await world.run(run_id)).state is RunState.SUCCEEDED
    assert {len(vector) for vector in world.result(run_id)["embedding"].to_pylist()} == {256}


async def test_a_request_that_cannot_be_sent_is_an_error_row_with_its_field_and_its_id():
    world = SimulatedWorld()
    records = [chat(number) for number in range(130)]
    records[3]["body"]["seed"] = 7
    records[90]["body"]["messages"][0]["content"] = [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]
    run_id = world.send(manifest(world, records))

    totals = await world.run(run_id)

    assert (totals.ok, totals.error) == (128, 2)
    bad = [row for row in world.result(run_id).to_pylist() if row["status"] == "error"]
    assert [(row["custom_id"], row["error_code"]) for row in bad] == [("row 3", "BAD_VALUE"), ("row 90", "BAD_VALUE")]
    assert bad[0]["error_message"] == "body.seed: Converse has no place for it: leave it out"
    assert bad[1]["error_message"].startswith("body.messages.0.content.0.image_url.url is no data: URL")


async def test_what_else_stands_in_the_lines_comes_back():
    world = SimulatedWorld()
    records = [chat(number) | ({"tags": [number]} if number == 5 else {}) for number in range(100)]
    run_id = world.send(manifest(world, records))
    await world.run(run_id)

    others = world.result(run_id)["other"].to_pylist()
    assert [one for one in others if one is not None] == ['{"tags":[5]}']


async def test_parts_of_requests_read_back_as_they_are():
    world = SimulatedWorld()
    run_id = world.send(manifest(world, [chat(number) for number in range(100)]))
    await world.run(run_id)

    schema = world.part(run_id, "00000").schema
    assert schema.names[:3] == ["custom_id", "body", "response"]


async def test_two_requests_of_one_id_are_refused_before_anything_is_sent():
    world = SimulatedWorld()
    records = [chat(number) for number in range(150)]
    records[120]["custom_id"] = "row 17"

    reason = await refused(world, manifest(world, records))

    assert reason == (
        "inputs/requests.jsonl: data row 121 has the custom_id 'row 17', which inputs/requests.jsonl: data row 18 has"
        " too; give each request an id of its own"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"custom_id": ""}, "data row 6 (byte 1045) has the custom_id '', which is empty"),
        ({"custom_id": 6}, "has the custom_id 6, which is no text; put it into double quotes"),
        ({"url": "/v1/embeddings"}, 'has the url "/v1/embeddings"; only /v1/chat/completions is supported'),
    ],
)
async def test_a_line_that_is_no_request_refuses_the_run(change, sentence):
    world = SimulatedWorld()
    records = [chat(number) for number in range(100)]
    records[5] |= change

    assert sentence in await refused(world, manifest(world, records))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"request_format": "openai", "prompt_id": "x"}, "prompt_id: the source holds ready requests, in which all"),
        ({"request_format": "openai", "prompt": "Say {x}"}, "prompt: the source holds ready requests"),
        ({"request_format": "openai", "inference": {"max_tokens": 3}}, "inference: the source holds ready requests"),
        ({"inference": {"max_tokens": 3}}, "inference: the source holds ready requests"),
        ({"request_format": "OpenAI"}, "request_format: "),
        ({"request_format": "openai", "system": "Be brief."}, "system: unknown key"),
        ({"request_format": "openai", "csv": {"delimiter": ";"}}, "csv: ready requests are JSONL: leave csv out"),
        (
            {"request_format": "openai", "s3_uri": f"s3://{BUCKET}/in/t.csv"},
            "ready requests are JSONL, and the source is a table",
        ),
        ({"request_format": "openai", "model_id": TITAN}, "model_id: 'amazon.titan-embed-text-v2:0' makes embeddings"),
        ({"model_id": "cohere.rerank-v3-5:0"}, "model_id: 'cohere.rerank-v3-5:0' ranks texts, and does not answer"),
    ],
)
async def test_a_manifest_that_says_more_than_its_requests_is_refused(more, sentence):
    world = SimulatedWorld()

    assert sentence in await refused(world, manifest(world, [chat(number) for number in range(100)], **more))


async def test_a_table_without_a_prompt_is_refused_with_what_was_seen():
    world = SimulatedWorld()

    reason = await refused(world, manifest(world, [{"id": number, "text": "x"} for number in range(100)]))

    assert reason.startswith("prompt_id: a text model needs exactly one of prompt_id and prompt, or a source of ready")
    assert "has the keys id, text, and is neither Bedrock" in reason


async def test_requests_of_the_other_form_are_refused_by_their_first_line():
    world = SimulatedWorld()
    sent = manifest(world, [record(number) for number in range(100)], request_format="openai")

    assert "data row 1 (byte 0) has no body; give each line its request, as body" in await refused(world, sent)


# --------------------------------------------------------------------------- several files


def packed(records: list[dict], members: int = 2) -> bytes:
    """As several tools write it: one member of gzip behind the other."""
    lines = ["".join(json.dumps(one) + "\n" for one in records[place::members]) for place in range(members)]
    return b"".join(gzip.compress(part.encode()) for part in lines)


async def test_a_folder_of_compressed_files_is_one_list_of_requests():
    world = SimulatedWorld()
    world.objects.plant("inputs/batch/a.jsonl.gz", packed([chat(number) for number in range(90)], members=1))
    world.objects.plant("inputs/batch/b.jsonl", "".join(json.dumps(chat(n)) + "\n" for n in range(90, 150)).encode())
    sent = {"job_name_prefix": "ready", "model_id": CLAUDE, "s3_uri": f"s3://{BUCKET}/inputs/batch/"}
    run_id = world.send(sent)

    assert (await world.run(run_id)).state is RunState.SUCCEEDED

    rows = world.result(run_id).to_pylist()
    assert [row["custom_id"] for row in rows] == [f"row {number}" for number in range(150)]
    assert [row["response"] for row in rows] == [f"answer to: Question {number}?" for number in range(150)]


async def test_the_members_of_a_compressed_file_are_all_read():
    world = SimulatedWorld()
    world.objects.plant("inputs/r.jsonl.gz", packed([chat(number) for number in range(120)], members=3))
    sent = {"job_name_prefix": "ready", "model_id": CLAUDE, "s3_uri": f"s3://{BUCKET}/inputs/r.jsonl.gz"}
    run_id = world.send(sent)
    await world.run(run_id)

    assert sorted(world.result(run_id)["custom_id"].to_pylist()) == sorted(f"row {number}" for number in range(120))


def two_files(world: SimulatedWorld) -> dict:
    plant(world, [chat(number) for number in range(100)], "inputs/batch/a.jsonl")
    uri = plant(world, [chat(number) for number in range(200, 260)] + [chat(41)], "inputs/batch/b.jsonl")
    return {"job_name_prefix": "ready", "model_id": CLAUDE, "s3_uri": uri.replace("b.jsonl", "*.jsonl")}


TWICE = (
    "inputs/batch/b.jsonl: data row 61 has the custom_id 'row 41', which inputs/batch/a.jsonl: data row 42 has too; give"
    " each request an id of its own"
)


async def test_an_id_that_stands_in_two_files_is_refused_naming_both():
    world = SimulatedWorld()

    assert await refused(world, two_files(world)) == TWICE


async def test_a_worker_that_goes_on_behind_another_holds_all_ids_against_each_other():
    world = SimulatedWorld()
    sent = two_files(world)
    run_id = world.send(sent)
    await world.idle()
    first = {key: body for key, body in world.objects.bodies.items() if "/counts/" in key}
    assert first

    again = SimulatedWorld()
    for key, body in first.items():
        again.objects.plant(key, body)
    two_files(again)
    assert again.send(sent) == run_id
    await again.idle()

    assert (await again.totals(run_id)).message == TWICE


async def test_other_models_that_requests_name_are_told_in_the_report():
    world = SimulatedWorld()
    records = [chat(number) for number in range(100)]
    records[50]["body"]["model"] = "gpt-4o-mini"
    run_id = world.send(manifest(world, records))
    await world.run(run_id)

    notes = world.report(run_id)["estimate"]["notes"]
    assert f"requests name another model in their body (gpt-4o-mini): all were sent to {CLAUDE}" in notes


async def test_the_estimate_goes_by_what_the_requests_ask_for():
    world = SimulatedWorld()
    records = [chat(number) for number in range(100)]
    for one in records[:50]:
        one["body"] |= {"max_tokens": None, "max_completion_tokens": 40}
    run_id = world.send(manifest(world, records))
    await world.run(run_id)

    estimate = world.report(run_id)["estimate"]
    assert estimate["output_tokens"] == 50 * 40 + 50 * 20
    # "Question 7?" is a handful of LLM tokens; its JSON would be dozens.
    assert estimate["input_tokens"] < 100 * 15


# --------------------------------------------------------------------------- a choice of rows and columns


async def test_the_requests_themselves_can_be_left_out_of_the_result():
    world = SimulatedWorld()
    run_id = world.send(manifest(world, [chat(number) for number in range(120)], columns=["custom_id"]))

    assert (await world.run(run_id)).state is RunState.SUCCEEDED
    part = world.part(run_id, "00000")
    assert part.schema.names[:2] == ["custom_id", "response"]
    assert part["response"].to_pylist()[7] == "answer to: Question 7?"


async def test_requests_are_chosen_as_rows_are():
    world = SimulatedWorld()
    records = [chat(number) for number in range(400)]
    records[3]["body"]["seed"] = 1
    sent = manifest(world, records, where="custom_id <> 'row 5'", sample={"rows": 200}, columns=["custom_id"])
    run_id = world.send(sent)
    totals = await world.run(run_id)

    rows = world.result(run_id).to_pylist()
    assert (len(rows), totals.ok + totals.error) == (200, 200)
    assert "row 5" not in {row["custom_id"] for row in rows}
    assert all(
        row["response"] == f"answer to: Question {row['custom_id'][4:]}?" for row in rows if row["status"] == "ok"
    )
    assert world.report(run_id)["estimate"]["output_tokens"] == totals.ok * 20


async def test_a_column_that_requests_have_not_is_named():
    world = SimulatedWorld()
    records = [chat(number) for number in range(100)]

    assert "columns: the dataset has no column 'model'" in await refused(
        world, manifest(world, records, columns=["model"])
    )
