"""The table of docs/models.md: each cell that says how is run from the manifest to the rows; each "no" has its reason.

The columns InvokeModel, Converse and Tools are run by `test_families`, for every model that the table names; here it is held
that none is left out, and the columns Structured, Images and On demand are run.
"""

from __future__ import annotations

import json
from base64 import b64encode

import pyarrow as pa
import pytest
from tools.pages.family_table import COLUMNS, MODELS, NOTES, rows

from quarry_core.contract.states import RunState
from quarry_core.models import BY_INVOKE_MODEL, carriers_of, family_of
from quarry_core.models.on_demand import tier_of
from tests.unit.flow.test_families import CALLERS, CHAT, OWN_FORM_NOT_KNOWN, VECTORS, answers, plant, world_of
from tests.world.images import png

TABLE = rows()
CHATTING = [model for row in TABLE if row.family.kind == "text" for model in row.models]
EMBEDDING = [model for row in TABLE if row.family.kind == "embedding" for model in row.models]
SCHEMA = ["word: string", "count: integer", "kind: a | b"]
FEW = 20
NOVA = "amazon.nova-lite-v1:0"


def test_every_family_stands_in_the_table_and_every_no_has_a_reason_with_its_source():
    assert {row.family.name for row in TABLE} == set(MODELS)
    for row in TABLE:
        assert set(row.cells) == set(COLUMNS)
        for column, cell in row.cells.items():
            our_choice = column == "Images" and row.family.kind == "embedding"
            assert cell.how or our_choice or "(" in NOTES[cell.note], f"{row.family.name}: no source"


def test_what_is_asked_by_invoke_model_converse_and_tools_is_run_for_every_model_of_the_table():
    assert set(CHATTING) <= set(CHAT)
    assert set(EMBEDDING) <= set(VECTORS)
    for row in TABLE:
        known = row.family.kind == "text" and not set(row.models) & OWN_FORM_NOT_KNOWN
        assert bool(row.cells["InvokeModel"].how) is (known or row.family.kind == "embedding")
        assert bool(row.cells["Tools"].how) is bool(set(row.models) & set(CALLERS))


@pytest.mark.parametrize(("model", "mode"), [(model, mode) for model in CHATTING for mode in carriers_of(model)])
async def test_every_model_that_chats_makes_the_same_columns_in_each_of_its_ways(model, mode):
    world = world_of(model)
    uri = plant(world, [{"topic": f"topic {n}"} for n in range(100)])
    prompt = {"template": "About {topic}", "inference": {"max_tokens": 900}}
    asked = {"s3_uri": uri, "prompt": prompt, "output_schema": SCHEMA, "output_mode": mode}
    run_id = world.send({"job_name_prefix": "t", "model_id": model, **asked})

    totals = await world.run(run_id)

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 100), totals.message
    found = world.result(run_id)
    assert [str(found.schema.field(name).type) for name in ("word", "count", "kind")] == ["string", "int64", "string"]
    assert set(found["kind"].to_pylist()) <= {"a", "b"}
    by_converse = not model.startswith("anthropic.") and carriers_of(model)[mode] not in BY_INVOKE_MODEL
    assert ({request.invocation_type for request in world.jobs.requests} == {"Converse"}) is by_converse


@pytest.mark.parametrize("model", [*CHATTING, *EMBEDDING])
async def test_every_model_is_asked_on_demand(model):
    world = world_of(model)
    embeds = model in EMBEDDING
    column = "input_text" if embeds else "topic"
    uri = plant(world, [{column: f"topic {n}"} for n in range(FEW)])
    prompt = {} if embeds else {"prompt": {"template": "Say {topic}", "inference": {"max_tokens": 400}}}
    run_id = world.send({"job_name_prefix": "t", "model_id": model, "s3_uri": uri, **prompt})

    totals = await world.run(run_id)

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, FEW), totals.message
    assert not world.jobs.all
    assert {request.tier for request in world.runtime.asked} == {tier_of(model)}
    found = world.result(run_id).to_pylist()
    if embeds:
        assert len({json.dumps(row["embedding"]) for row in found}) == FEW
    else:
        assert answers(found, [f"Say topic {n}" for n in range(FEW)])


@pytest.mark.parametrize("model", [model for row in TABLE if row.cells["Images"].how for model in row.models])
async def test_every_model_that_sees_is_shown_an_image_and_every_other_is_refused_on_arrival(model):
    world = world_of(model)
    table = pa.table({"topic": [f"topic {n}" for n in range(FEW)], "photo": [png(8 + n) for n in range(FEW)]})
    asked = {"prompt": {"template": "Say {topic}", "inference": {"max_tokens": 400}}, "images": "photo"}
    run_id = world.send({"job_name_prefix": "t", "model_id": model, "s3_uri": world.parquet(table), **asked})

    totals = await world.run(run_id)

    if family_of(model).images(model) is None:
        assert totals.state is RunState.FAILED
        assert totals.message.startswith("images: ")
        assert not world.runtime.asked
        return
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, FEW), totals.message
    bodies = [request.body for request in world.runtime.asked]
    assert all(b64encode(png(8 + n)) in b"".join(bodies) for n in range(FEW))


async def test_an_image_and_a_forced_tool_go_together():
    world = world_of(NOVA)
    table = pa.table({"photo": [png(8 + n % 9) for n in range(100)]})
    asked = {"prompt": "What is to be seen?", "images": "photo", "output_schema": SCHEMA, "output_mode": "tool"}
    run_id = world.send({"job_name_prefix": "t", "model_id": NOVA, "s3_uri": world.parquet(table), **asked})

    totals = await world.run(run_id)

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 100), totals.message
    assert {request.invocation_type for request in world.jobs.requests} == {"InvokeModel"}
