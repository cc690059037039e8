"""A manifest's way through the real services, on fakes."""

from __future__ import annotations

import pytest

from quarry_core.contract.states import RunState
from tests.world.world import TITAN, SimulatedWorld


@pytest.mark.promise("S3", "L2")
async def test_a_text_run_returns_every_row_once_with_its_answer():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=1200, max_records_per_job=100))

    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED
    result = world.result(run_id)
    assert result.column("topic").to_pylist() == [f"topic number {row}" for row in range(1200)]
    assert (
        result.column("response")[7].as_py() == "answer to: Tell me a joke about topic number 7 in less than 50 words."
    )
    assert len(world.jobs.all) == 12
    assert world.jobs.peak == 3


async def test_an_embedding_run_needs_no_prompt():
    world = SimulatedWorld()
    uri = world.csv(200, columns=("input_text", "note"))
    run_id = world.send({"s3_uri": uri, "job_name_prefix": "emb", "model_id": TITAN, "prompt_id": None})

    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED
    assert len(world.result(run_id).column("embedding")[0].as_py()) == 1024
