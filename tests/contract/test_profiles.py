"""The port Profiles, on the fake and on the simulated Bedrock; and a request on demand by the profile's ARN."""

from __future__ import annotations

import json

import pytest

from quarry_core.aws.client import Aws
from quarry_core.aws.profiles import BedrockProfiles
from quarry_core.aws.runtime import BedrockRuntime
from quarry_core.errors import Missing
from quarry_core.models import family_of, model_behind
from quarry_core.ports import RuntimeRequest
from quarry_local.bedrock.server import SimulatedBedrock
from quarry_local.bedrock.settings import Settings
from tests.world.profiles import FakeProfiles
from tests.world.runtime import FakeRuntime

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"


@pytest.fixture(params=["fake", "aws"])
async def world(request, tmp_path, monkeypatch):
    """Both ports, and the ARNs of a profile of a model and of one over a geography."""
    if request.param == "fake":
        profiles = FakeProfiles()
        arns = profiles.make("one", CLAUDE), profiles.make("us", CLAUDE, "us-east-1", "us-east-2", "us-west-2")
        yield profiles, FakeRuntime(), arns
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    simulated = SimulatedBedrock(Settings(store=tmp_path, _env_prefix="NOT_SET_"))
    async with (
        simulated as url,
        Aws(region="us-east-1", endpoint_urls={"bedrock": url, "bedrock-runtime": url}) as reached,
    ):
        simulated.change_settings({"application_profiles": {"one": CLAUDE, "us": f"us.{CLAUDE}"}})
        listed = await reached.call(
            "bedrock", "list_inference_profiles", {"typeEquals": "APPLICATION"}, doing="listing"
        )
        one, over_us = (each["inferenceProfileArn"] for each in listed["inferenceProfileSummaries"])
        yield BedrockProfiles(reached), BedrockRuntime(reached), (one, over_us)


async def test_a_profile_tells_its_models_and_that_it_is_active(world):
    profiles, _, (one, over_us) = world
    found = await profiles.get(one)
    assert (found.status, model_behind(found.model_arns)) == ("ACTIVE", CLAUDE)
    assert model_behind((await profiles.get(over_us)).model_arns) == f"us.{CLAUDE}"


async def test_a_profile_that_is_not_there_is_missing(world):
    profiles, _, (one, _) = world
    with pytest.raises(Missing):
        await profiles.get(f"{one}not")


async def test_a_record_is_asked_by_the_profiles_arn(world):
    _, runtime, arns = world
    family = family_of(CLAUDE)
    body = json.dumps(family.body("hello there", system=None, inference={"max_tokens": 50})).encode()
    for arn in arns:
        assert b"content" in await runtime.ask(RuntimeRequest(arn, "InvokeModel", body))
