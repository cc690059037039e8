"""What a person wrote into a prompt leaves the ledger some time after the run's end; that the id was used is not forgotten."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from quarry_core.contract.states import RunState
from quarry_core.ledger.keys import run_key, text_key, totals_key
from tests.world.world import TITAN, SimulatedWorld

SECRET = "only between us"


def written(world: SimulatedWorld) -> dict[tuple[str, str], str]:
    """Every item of the ledger, as text, by its key."""
    return {key: json.dumps(item, default=str) for key, item in world.table.items.items()}


def a_run(world: SimulatedWorld, **more: object) -> str:
    prompt = {"template": f"{{topic}}: {SECRET}", "system": f"System: {SECRET}"}
    inference = {"stop_sequences": [SECRET]}
    return world.send({**world.joke(rows=200), "prompt_id": None, "prompt": prompt, "inference": inference, **more})


def expire(world: SimulatedWorld, at_s: float) -> None:
    """What DynamoDB does with items whose time has come."""
    for key, item in list(world.table.items.items()):
        if item.get("expires_at", at_s + 1) <= at_s:
            del world.table.items[key]


async def test_a_prompt_stays_as_long_as_its_run_is_open_and_goes_days_after_its_end():
    world = SimulatedWorld()
    run_id = a_run(world)
    await world.idle()
    assert [key for key, item in written(world).items() if SECRET in item] == [text_key(run_id)]
    assert "expires_at" not in world.table.items[text_key(run_id)]
    world.clock.advance(86_400)

    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED
    days_s = world.settings.prompt_text_days * 86_400
    ended_s = datetime.fromisoformat(totals.ended_at).timestamp()
    assert world.table.items[text_key(run_id)]["expires_at"] == int(ended_s + days_s)
    assert SECRET in str(await world.ledger.run(run_id))
    expire(world, ended_s + days_s - 1)
    assert text_key(run_id) in world.table.items
    expire(world, ended_s + days_s)
    assert [key for key, item in written(world).items() if SECRET in item] == []
    assert {run_key(run_id), totals_key(run_id)} <= set(world.table.items)


async def test_the_id_of_a_run_whose_prompt_is_gone_is_still_known():
    world = SimulatedWorld()
    run_id = a_run(world)
    first = await world.run(run_id)
    jobs = len(world.jobs.all)
    expire(world, 1e12)

    assert a_run(world, run_id=run_id, s3_uri=world.csv(5)) == run_id
    await world.idle()

    assert await world.ledger.totals(run_id) == first
    assert len(world.jobs.all) == jobs
    assert len(world.queues["manifests"].dead) == 1


async def test_the_prompt_of_a_run_that_is_refused_after_it_was_accepted_goes_as_well():
    world = SimulatedWorld()
    run_id = world.send({**world.joke(rows=200), "prompt_id": None, "prompt": {"template": f"{{absent}} {SECRET}"}})

    totals = await world.run(run_id)

    assert totals.state is RunState.FAILED
    assert world.table.items[text_key(run_id)]["expires_at"] > 0


@pytest.mark.parametrize("manifest", [{"model_id": TITAN, "prompt_id": None}, {"model_id": "no-such-model"}])
async def test_a_run_without_a_prompt_or_refused_at_once_leaves_no_text(manifest):
    world = SimulatedWorld()
    uri = world.csv(200, columns=("input_text", "note"))
    run_id = world.send({"s3_uri": uri, "job_name_prefix": "emb", "prompt_id": "joke_about_topic", **manifest})

    await world.run(run_id)

    assert text_key(run_id) not in world.table.items


async def test_a_long_prompt_of_odd_characters_is_kept_to_the_last_of_them():
    """Other texts in the ledger are cut and made visible; this one is sent to the model."""
    world = SimulatedWorld()
    system = "\u2028\ufeff\x7f line\n" * 5_000
    run_id = a_run(world, prompt={"template": "{topic}", "system": system})
    await world.idle()

    run = await world.ledger.run(run_id)

    assert run is not None
    assert run.pins is not None
    assert run.pins.prompt is not None
    assert run.pins.prompt.system == system
    assert (await world.run(run_id)).state is RunState.SUCCEEDED
