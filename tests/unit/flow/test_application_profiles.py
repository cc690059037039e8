"""Application inference profiles: looked up when the manifest arrives, pinned, asked by their ARN."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quarry_core.contract.states import RunState
from quarry_core.errors import Refused, Throttled, Unknown
from quarry_core.models.prices import price_of
from quarry_core.ports import InferenceProfile
from quarry_scheduler.ownership import differences
from tests.world.world import CLAUDE, TITAN, SimulatedWorld

NOVA = "amazon.nova-lite-v1:0"
US = ("us-east-1", "us-east-2", "us-west-2")


@pytest.mark.parametrize(
    ("model", "form", "family"),
    [(CLAUDE, None, "anthropic"), (NOVA, "Converse", "nova"), ("qwen.qwen3-32b-v1:0", "Converse", "open-weights")],
)
async def test_a_run_by_a_profile_is_one_of_its_model_and_bedrock_is_told_the_profile(model, form, family):
    world = SimulatedWorld()
    arn = world.profiles.make("a1b2c3d4e5f6", model)
    run_id = world.send(world.joke(rows=100, model_id=arn))

    totals = await world.run(run_id)

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 100)
    [job] = world.jobs.all
    request = world.jobs.request_of(job.arn)
    assert (request.model_id, request.invocation_type) == (arn, form)
    run = await world.ledger.run(run_id)
    assert (run.pins.family, run.pins.model_id, run.pins.model) == (family, arn, model)
    assert run.pins.pool == f"us-east-1#{model}", "its jobs count in the quota of the model"
    assert world.profiles.asked == [arn], "once, and then it is pinned"
    price = price_of(model)
    dollars = price.dollars(totals.input_tokens, totals.output_tokens)
    assert world.report(run_id)["cost"]["dollars"] == pytest.approx(dollars, rel=0.01)
    assert world.report(run_id)["model_id"] == arn


async def test_few_rows_are_asked_on_demand_by_the_profile():
    world = SimulatedWorld()
    arn = world.profiles.make("few", "qwen.qwen3-32b-v1:0")
    run_id = world.send(world.joke(rows=40, model_id=arn))

    assert (await world.run(run_id)).ok == 40
    assert {request.model_id for request in world.runtime.asked} == {arn}
    assert {request.tier for request in world.runtime.asked} == {"flex"}, "which the model has"


async def test_an_embedding_profile_and_one_of_llama_4_have_their_models_form_and_limits():
    world = SimulatedWorld()
    arn = world.profiles.make("emb", TITAN)
    uri = world.csv(100, columns=("input_text",))
    run_id = world.send({"s3_uri": uri, "job_name_prefix": "emb", "model_id": arn, "prompt_id": None})
    assert (await world.run(run_id)).ok == 100

    scout = world.profiles.make("scout", "meta.llama4-scout-17b-instruct-v1:0")
    assert (await world.run(world.send(world.joke(rows=50, model_id=scout)))).ok == 50
    assert [job.total_records for job in world.jobs.all] == [100, 50]


@pytest.mark.parametrize(
    ("model", "regions", "meant"),
    [
        (NOVA, US, "us.amazon.nova-lite-v1:0"),
        (NOVA, ("eu-central-1", "eu-west-1"), "eu.amazon.nova-lite-v1:0"),
        (NOVA, ("us-east-1", "eu-west-1"), NOVA),
        (NOVA, ("us-east-1", ""), "global.amazon.nova-lite-v1:0"),
        ("deepseek.v3.2", US, "us.deepseek.v3.2"),
    ],
)
async def test_over_several_regions_it_costs_what_the_profile_of_the_geography_costs(model, regions, meant):
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=40, model_id=world.profiles.make("p", model, *regions)))
    await world.run(run_id)
    assert (await world.ledger.run(run_id)).pins.model == meant


ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/p"
FOUNDATION = "arn:aws:bedrock:us-east-1::foundation-model/"


@pytest.mark.parametrize(
    ("found", "changes", "sentence"),
    [
        (None, {}, f"model_id: there is no inference profile {ARN}: `aws bedrock list-inference-profiles"),
        (
            Refused("reading: AccessDeniedException", "AccessDeniedException"),
            {},
            f"model_id: the inference profile {ARN} may not be read, so its model is not known: let the preprocessor's",
        ),
        (InferenceProfile((FOUNDATION + NOVA,), "CREATING"), {}, "is CREATING, not ACTIVE: wait until it is"),
        (InferenceProfile((), "ACTIVE"), {}, "cannot be used: it routes to no foundation model: name the model itself"),
        (
            InferenceProfile((FOUNDATION + NOVA, FOUNDATION + CLAUDE), "ACTIVE"),
            {},
            f"it routes to several models ({NOVA}, {CLAUDE}): name one of them",
        ),
        (
            InferenceProfile((FOUNDATION + "stability.sd3-large-v1:0",), "ACTIVE"),
            {},
            "model_id: 'stability.sd3-large-v1:0' makes images",
        ),
        (
            InferenceProfile((FOUNDATION + CLAUDE,), "ACTIVE"),
            {"inference": {"maxTokens": 5}},
            "inference: ",
        ),
        (
            InferenceProfile((FOUNDATION + TITAN,), "ACTIVE"),
            {},
            "makes embeddings of the column input_text; leave prompt_id",
        ),
        (None, {"model_id": ARN.replace("us-east-1", "eu-west-1")}, "model_id: the ARN is of the region eu-west-1"),
        (None, {"model_id": ARN + "/x y"}, "model_id: "),
    ],
)
async def test_a_profile_that_cannot_be_used_is_refused_on_arrival(found, changes, sentence):
    world = SimulatedWorld()
    if found is not None:
        world.profiles.known[ARN] = found
    run_id = world.send(world.joke(rows=40, **{"model_id": ARN, **changes}))

    totals = await world.run(run_id)

    assert totals.state is RunState.FAILED
    assert sentence in totals.message, totals.message
    print(totals.message)
    assert not world.jobs.all
    assert not world.runtime.asked


@pytest.mark.parametrize("error", [Throttled("slow down"), Unknown("timed out")])
async def test_without_an_answer_the_manifest_waits(error):
    world = SimulatedWorld()
    arn = world.profiles.make("p", NOVA)
    profile, world.profiles.known[arn] = world.profiles.known[arn], error
    run_id = world.send(world.joke(rows=40, model_id=arn))
    await world.idle()
    assert await world.ledger.run(run_id) is None

    world.profiles.known[arn] = profile
    world.clock.advance(900)
    assert (await world.run(run_id)).ok == 40


@pytest.mark.parametrize("returned", [ARN, FOUNDATION + NOVA, NOVA])
async def test_a_job_of_ours_is_known_whichever_way_bedrock_returns_its_model(returned):
    world = SimulatedWorld()
    await world.run(world.send(world.joke(rows=100, model_id=world.profiles.make("p", NOVA))))
    [job] = world.jobs.all
    request = world.jobs.request_of(job.arn)
    assert differences(replace(job, model_id=returned), request) == []
    assert differences(replace(job, model_id=FOUNDATION + CLAUDE), request) == ["model_id"]
