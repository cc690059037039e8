"""Prompts with examples, defaults and policies, from the manifest to the rows; and skipped rows are no errors."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from quarry_core.contract.names import input_key, prompt_key
from quarry_core.contract.states import RunState
from tests.world.world import SimulatedWorld

NOVA = "amazon.nova-lite-v1:0"
FILE = """
template: "Say {topic:json} in {tone|a plain tone}"
system: Be brief.
messages:
  - {role: user, content: "Say cars, as {tone|nobody} would"}
  - {role: assistant, content: Cars.}
nulls:
  topic: skip
"""


async def test_a_prompt_file_with_all_of_it_is_asked_and_skipped_rows_are_no_errors():
    world = SimulatedWorld()
    world.objects.plant(prompt_key("tones"), FILE.encode())
    topics = [None if row % 10 == 0 else f'"{row}"' for row in range(200)]
    table = pa.table({"topic": topics, "tone": [None if row % 2 else "verse" for row in range(200)]})
    sent = {"job_name_prefix": "t", "model_id": NOVA, "s3_uri": world.parquet(table), "prompt_id": "tones"}
    run_id = world.send(sent)
    await world.idle()
    lines = [json.loads(line) for line in world.objects.bodies[input_key(run_id, "00000")].splitlines()]

    totals = await world.run(run_id)

    said = [[turn["content"][0]["text"] for turn in line["modelInput"]["messages"]] for line in lines[:2]]
    assert said == [
        ["Say cars, as nobody would", "Cars.", 'Say "\\"1\\"" in a plain tone'],
        ["Say cars, as verse would", "Cars.", 'Say "\\"2\\"" in verse'],
    ]
    assert (totals.state, totals.ok, totals.error) == (RunState.SUCCEEDED, 180, 20)
    rows = world.result(run_id).to_pylist()
    assert [row["status"] for row in rows] == ["skipped" if row % 10 == 0 else "ok" for row in range(200)]
    assert {row["error_code"] for row in rows} == {None, "SKIPPED"}
    assert world.report(run_id)["errors"]["SKIPPED"]["rows"] == 20


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ({"template": "{topic}", "messages": [{"role": "user", "content": "x"}]}, "add the assistant's answer to it"),
        ({"template": "{topic}", "nulls": {"topik": "skip"}}, "nulls: no placeholder has the column 'topik'"),
        ({"template": "{topic}", "nulls": {"topic": "drop"}}, "'error', 'empty' or 'skip'"),
        ({"template": "{topic:upper}"}, "other than :json are not supported"),
        ({"template": "{topic}", "messages": [{"role": "user", "content": "{tpic}"}, {"role": "assistant", "content": "y"}]},
         "the dataset has no column 'tpic'; did you mean 'topic'?"),
    ],
)  # fmt: skip
async def test_a_prompt_that_cannot_be_asked_ends_the_run_with_the_remedy(prompt, sentence):
    world = SimulatedWorld()
    manifest = world.joke(rows=100, prompt=prompt)
    del manifest["prompt_id"]
    run_id = world.send(manifest)
    await world.idle()
    totals = await world.totals(run_id)
    assert totals.state is RunState.FAILED
    assert sentence in totals.message


async def test_a_run_without_an_answer_names_its_errors_and_not_the_more_rows_that_were_skipped():
    world = SimulatedWorld()
    prompt = {"template": "{topic} {tone}", "nulls": {"topic": "skip"}}
    table = pa.table(
        {"topic": [None] * 150 + ["t"] * 50, "tone": pa.array([None] * 200, pa.string())},
        schema=pa.schema({"topic": pa.string(), "tone": pa.string()}),
    )
    sent = {"job_name_prefix": "t", "model_id": NOVA, "s3_uri": world.parquet(table), "prompt": prompt}

    totals = await world.run(world.send(sent))

    assert totals.state is RunState.FAILED
    assert "50 rows end with NULL_INPUT: the column 'tone' is null in this row" in totals.message


async def test_a_run_of_which_every_row_is_skipped_says_so():
    world = SimulatedWorld()
    prompt = {"template": "{topic}", "nulls": {"topic": "skip"}}
    table = pa.table({"topic": pa.array([None] * 200, pa.string())})
    sent = {"job_name_prefix": "t", "model_id": NOVA, "s3_uri": world.parquet(table), "prompt": prompt}

    totals = await world.run(world.send(sent))

    assert totals.state is RunState.FAILED
    assert not world.jobs.all
