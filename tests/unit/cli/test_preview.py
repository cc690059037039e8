"""`quarry preview` shows what would be sent of the first rows, and leaves no trace."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from quarry_core.contract.names import input_key
from tests.world.images import png
from tests.world.world import BUCKET, TITAN

NOVA = "amazon.nova-lite-v1:0"
PROMPT = {
    "template": "Say {topic}",
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "Say cars"}, {"role": "assistant", "content": "Cars."}],
    "nulls": {"topic": "skip"},
}


@pytest.fixture
def previewer(quarry, monkeypatch):
    """The command in an environment whose region it knows, with three slots."""
    quarry.connections |= {"region": "us-east-1"}
    monkeypatch.setenv("QUARRY_JOB_QUOTA", "3")
    return quarry


def manifest(quarry, topics: list, **more: object) -> dict:
    uri = quarry.world.parquet(pa.table({"topic": topics}))
    return {"job_name_prefix": "look", "model_id": NOVA, "s3_uri": uri, "prompt": PROMPT} | more


def shown(quarry, sent: dict, *options: str) -> dict:
    result = quarry("preview", "-", "--json", *options, given=json.dumps(sent))
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


async def test_what_is_shown_is_what_is_sent(previewer):
    sent = manifest(previewer, [f"topic {n}" for n in range(200)])
    found = shown(previewer, sent, "--rows", "5")
    world = previewer.world
    assert not world.jobs.all
    run_id = world.send(sent)
    await world.idle()

    lines = [json.loads(line) for line in world.objects.bodies[input_key(run_id, "00000")].splitlines()[:5]]
    assert [each["modelInput"] for each in found["records"]] == [line["modelInput"] for line in lines]
    assert [each["row"] for each in found["records"]] == [0, 1, 2, 3, 4]
    assert found["invocation"] == "Converse"
    assert found["estimate"]["rows_source"] == 200


def test_rows_that_would_fail_are_named_with_the_reason_and_not_shown(previewer):
    topics = [None, "a", None, *["b"] * 300]
    result = previewer("preview", "-", "--rows", "1", "--look", "250", given=json.dumps(manifest(previewer, topics)))

    assert result.exit_code == 0, result.stderr
    assert "row 1, " in result.stdout
    assert '"text": "Say a"' in result.stdout
    assert "of the first 250 rows, 2 would not be sent:" in result.stdout
    assert "  row 2: SKIPPED: the column 'topic' is null in this row, and the prompt skips such rows" in result.stdout
    assert f"all of s3://{BUCKET}/inputs/rows.parquet, {NOVA}:" in result.stdout
    assert "303" in result.stdout


def test_a_text_cannot_pass_for_a_command_of_the_terminal(previewer):
    result = previewer("preview", "-", given=json.dumps(manifest(previewer, ["a\x1b[2Jb"] * 100)))
    assert "\x1b" not in result.stdout


def test_embeddings_and_ready_requests_are_shown_too(previewer):
    world = previewer.world
    uri = world.csv(100, columns=("input_text",))
    found = shown(previewer, {"job_name_prefix": "e", "model_id": TITAN, "s3_uri": uri}, "--rows", "1")
    assert found["records"][0]["modelInput"].keys() == {"inputText", "dimensions", "normalize"}

    line = {"modelInput": {"messages": [{"role": "user", "content": [{"text": "x"}]}]}}
    world.objects.plant("inputs/ready.jsonl", (json.dumps(line) + "\n").encode() * 100)
    ready = {"job_name_prefix": "r", "model_id": NOVA, "s3_uri": f"s3://{BUCKET}/inputs/ready.jsonl"}
    found = shown(previewer, ready, "--rows", "1")
    assert found["records"] == [{"row": 0, "size_bytes": found["records"][0]["size_bytes"], **line}]
    assert found["invocation"] == "InvokeModel"


def test_what_would_be_refused_is_refused_in_the_same_words(previewer):
    prompt = PROMPT | {"template": "Say {topik}", "nulls": {}}
    result = previewer("preview", "-", given=json.dumps(manifest(previewer, ["x"] * 100, prompt=prompt)))
    assert result.exit_code == 2
    assert "did you mean 'topic'?" in result.stderr


def test_python_can_preview_too(previewer):
    found = previewer.client.preview(manifest(previewer, ["x"] * 100), rows=1)
    assert [each.row for each in found.first.records] == [0]


def test_images_are_read_and_their_base64_is_shown_by_its_beginning(previewer):
    world = previewer.world
    world.objects.plant("a.png", png(30, 20, fill=500), "photos")
    photos = ["s3://photos/a.png"] * 150 + ["s3://photos/none.png"]
    uri = world.parquet(pa.table({"photo": ["s3://photos/none.png", *photos]}))
    sent = {"job_name_prefix": "look", "model_id": NOVA, "s3_uri": uri, "prompt": "What?", "images": "photo"}

    found = shown(previewer, sent, "--rows", "1")

    (record,) = found["records"]
    image, text = record["modelInput"]["messages"][0]["content"]
    assert (record["row"], text) == (1, {"text": "What?"})
    assert image["image"]["format"] == "png"
    assert image["image"]["source"]["bytes"].startswith("iVBORw0KGgo")
    assert image["image"]["source"]["bytes"].endswith("characters of base64)")
    assert record["size_bytes"] > 700
    # Each row costs a request, so fewer are looked at than of texts.
    assert found["rows_looked_at"] == 100
    assert [(one["row"], one["code"]) for one in found["unsent"]] == [(0, "IMAGE_MISSING")]
