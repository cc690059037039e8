"""The services hold manifests against the environment's policy, whoever sent them and however."""

from __future__ import annotations

import json

import pytest

from tests.world.world import CLAUDE, SimulatedWorld

BEN = "AROAXXXXXXXXXXXXXXXXX:ben"


def world_of(policy: str, **changes) -> SimulatedWorld:
    return SimulatedWorld(policy=f"version: 1\n{policy}", **changes)


async def test_a_manifest_that_names_what_is_not_allowed_is_refused_and_all_of_it_is_said():
    world = world_of("models: ['amazon.*']\ntags_required: [team]\nsources: ['s3://world/inputs/']")
    run_id = world.send(world.joke())
    await world.idle()

    totals = await world.totals(run_id)
    assert (totals.state, totals.code, totals.step) == ("FAILED", "REFUSED", "arrive")
    assert totals.message == (
        f"model_id: {CLAUDE} is not allowed here; allowed are amazon.* (QUARRY_POLICY);"
        " tags: team must be given here, and is not (QUARRY_POLICY)"
    )
    assert world.jobs.all == []


async def test_what_is_allowed_runs_to_its_end():
    world = world_of("models: ['anthropic.*']\nsources: ['s3://world/inputs/']\nprompts: ['joke_*']\nrows_max: 300")
    run_id = world.send(world.joke())

    assert (await world.run(run_id)).state == "SUCCEEDED"


async def test_requests_are_refused_that_are_ready_though_the_manifest_does_not_say_so():
    world = world_of("inline_prompts: false")
    line = {
        "recordId": "R1",
        "modelInput": {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": []},
    }
    world.objects.plant("inputs/r.jsonl", (json.dumps(line) + "\n").encode() * 100)
    manifest = world.joke(s3_uri="s3://world/inputs/r.jsonl")
    del manifest["prompt_id"]
    run_id = world.send(manifest)
    await world.idle()

    assert "requests that are ready" in (await world.totals(run_id)).message


async def test_too_many_rows_are_refused_before_anything_is_paid_for():
    world = world_of("rows_max: 299")
    run_id = world.send(world.joke(), sender=BEN)
    await world.idle()

    totals = await world.totals(run_id)
    assert (totals.state, totals.code, totals.step) == ("FAILED", "REFUSED", "count")
    assert totals.message.startswith("rows: the run has 300 rows, and at most 299 are allowed here")
    assert world.jobs.all == []
    fewer = world.send(world.joke(max_records_total=299, run_id="fewer"))
    assert (await world.run(fewer)).state == "SUCCEEDED"


async def test_so_are_too_many_dollars():
    world = world_of("cost_max_usd: 0.0001")
    run_id = world.send(world.joke())
    await world.idle()

    totals = await world.totals(run_id)
    assert (totals.state, totals.step) == ("FAILED", "count")
    assert "rows: the run costs about $0.19, and at most $0.0001 is allowed here" in totals.message
    dear = world_of("cost_max_usd: 1000")
    assert (await dear.run(dear.send(dear.joke()))).state == "SUCCEEDED"


async def test_a_dry_run_costs_nothing_and_may_be_of_any_size():
    world = world_of("rows_max: 1\ncost_max_usd: 0.0001")
    run_id = world.send(world.joke(dry_run=True))

    assert (await world.run(run_id)).state == "SUCCEEDED"


async def test_a_sender_with_too_many_open_runs_is_refused_and_may_come_back():
    world = world_of("runs_max: 1")
    first = world.send(world.joke(run_id="first"), sender=BEN)
    await world.idle()
    second = world.send(world.joke(run_id="second"), sender="AROAXXXXXXXXXXXXXXXXX:again")
    other = world.send(world.joke(run_id="other"), sender="AIDAANNA")
    await world.idle()

    refused = await world.totals(second)
    assert (refused.state, refused.code) == ("FAILED", "REFUSED")
    assert "has 1 open runs, and at most 1 are allowed here" in refused.message
    assert (await world.totals(other)).state == "RUNNING"
    await world.run(first)
    third = world.send(world.joke(run_id="third"), sender=BEN)
    assert (await world.run(third)).state == "SUCCEEDED"


async def test_a_manifest_that_comes_twice_is_not_refused_for_its_own_run():
    world = world_of("runs_max: 1")
    run_id = world.send(world.joke(run_id="same"), sender=BEN)
    world.send(world.joke(run_id="same"), sender=BEN)

    assert (await world.run(run_id)).state == "SUCCEEDED"


@pytest.mark.parametrize("text", ["models: [x", "version: 1\nmodell: [x]"])
def test_a_service_does_not_start_with_a_policy_that_cannot_be_read(text, monkeypatch, capsys):
    from quarry_core.service import process
    from quarry_preprocessor import handler

    known = SimulatedWorld().settings
    for name in ("env", "region", "table", "bucket", "bedrock_role_arn"):
        monkeypatch.setenv(f"QUARRY_{name.upper()}", getattr(known, name))
    for name in ("MANIFEST", "SLICES", "SCHEDULER", "COLLECTOR"):
        monkeypatch.setenv(f"QUARRY_{name}_QUEUE_URL", f"https://queue/{name}")
    monkeypatch.setenv("QUARRY_POLICY", text)

    assert process.main("preprocessor", handler.build, handler.QUEUES) == 2
    assert "QUARRY_POLICY" in capsys.readouterr().err
