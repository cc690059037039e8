"""The catalogue of the simulated Bedrock: which models batch inference takes, what discovery shows of them."""

import re
from typing import Any

import pytest

from quarry_local.bedrock.api.checks import Checks
from quarry_local.bedrock.errors import ApiError
from quarry_local.bedrock.families.registry import answering
from quarry_local.bedrock.jobs.limits import own_limits, quota_of
from quarry_local.bedrock.models.catalogue import catalogue, entries, serves
from quarry_local.bedrock.models.foundation_models import get_model, list_models
from quarry_local.bedrock.models.identity import UNKNOWN, UNSUPPORTED, resolve
from quarry_local.bedrock.models.profiles import get_profile, list_profiles
from quarry_local.bedrock.settings import LiveSettings

ACCOUNT = "123456789012"
HOME: dict[str, Any] = {"region": "us-east-1", "account": ACCOUNT}
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
REFUSED = (
    "anthropic.claude-sonnet-5",
    "us.anthropic.claude-sonnet-5",
    "global.anthropic.claude-sonnet-5",
    "us.anthropic.claude-opus-4-7",
    "us.anthropic.claude-opus-4-8",
    "global.anthropic.claude-fable-5-1",
    "amazon.titan-embed-text-v1",
    "cohere.embed-english-v3",
    "cohere.command-r-v1:0",
    "ai21.jamba-1-5-mini-v1:0",
    "us.amazon.titan-embed-text-v2:0",
)
UNHEARD_OF = ("anthropic.claude-of-tomorrow-v1:0", "us.acme.chat-v1:0", "word")


def takes(model_id: str, region: str = "us-east-1", words: str = UNSUPPORTED, **more: Any) -> bool:
    refused = None
    try:
        resolve(model_id, region=region, account=ACCOUNT, **more)
    except ApiError as error:
        refused = (error.code, error.status, error.message.startswith(words))
    assert refused in {None, ("ValidationException", 400, True)}
    return refused is None


@pytest.mark.parametrize("model_id", REFUSED)
def test_what_live_aws_refuses_is_refused_in_its_words(model_id):
    assert UNSUPPORTED == "Batch inference is not supported for the requested model"
    assert not takes(model_id)


@pytest.mark.parametrize("model_id", UNHEARD_OF)
def test_a_model_that_the_catalogue_does_not_know_is_told_from_one_that_aws_refuses(model_id):
    assert UNKNOWN == "The provided model identifier is invalid."
    assert not takes(model_id, words=f"{UNKNOWN} The simulated Bedrock's catalogue, read on {catalogue().read_on}")


def test_a_model_of_which_only_a_price_is_known_is_taken_and_graded_so():
    graded = {entry.id: entry.verified for entry in entries().values() if entry.batch}
    for name in ("minimax", "glm", "nemotron", "kimi-k2-", "gemma-3-27b", "gpt-oss-safeguard"):
        found = [model_id for model_id in graded if name in model_id]
        assert found, name
        assert all(takes(model_id) and not graded[model_id] for model_id in found)
    assert graded[HAIKU]


def test_every_model_with_batch_is_taken_by_some_name_and_can_answer():
    for entry in entries().values():
        names = [entry.id, f"us.{entry.id}"]
        assert any(takes(name) for name in names) is entry.batch, entry.id
        for name in names:
            if takes(name):
                model = resolve(name, **HOME)
                assert model.pool == model.id == entry.id
                assert callable(answering(model))


def test_nova_is_taken_plainly_in_one_region_and_by_profile_elsewhere():
    assert takes("amazon.nova-pro-v1:0")
    assert not takes("amazon.nova-pro-v1:0", "eu-west-1")
    assert takes("eu.amazon.nova-pro-v1:0", "eu-west-1")
    assert not takes("amazon.nova-premier-v1:0")
    assert takes("us.amazon.nova-premier-v1:0")


def test_a_profile_is_known_only_where_its_geography_is():
    assert takes(f"us.{HAIKU}", "us-west-2")
    assert not takes(f"us.{HAIKU}", "eu-west-1")
    assert not takes(f"eu.{HAIKU}")
    assert not takes(f"us.{HAIKU}", "us-gov-west-1")
    assert takes(f"us-gov.{HAIKU}", "us-gov-west-1")
    assert takes(f"global.{HAIKU}", "ap-south-1")
    assert not serves("nowhere", "us-east-1")


def test_a_model_id_with_two_dots_is_no_profile():
    assert resolve("deepseek.v3.2", **HOME).pool == "deepseek.v3.2"
    assert resolve("moonshotai.kimi-k2.5", **HOME).profile is None


def test_custom_models_of_a_base_share_a_pool_of_three():
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:custom-model/amazon.titan-embed-text-v2:0/abcdefghijkl"
    model = resolve(arn, **HOME)
    assert (model.pool, model.arn) == ("custom-model/amazon.titan-embed-text-v2:0", arn)
    assert quota_of(model.pool, LiveSettings()) == 3
    assert quota_of(model.pool, LiveSettings(quota=2)) == 2
    assert quota_of(model.pool, LiveSettings(quotas={model.pool: 9})) == 9
    assert not takes(arn.replace("amazon.titan-embed-text-v2:0", HAIKU))


def test_a_model_has_limits_of_its_own_until_a_setting_is_changed():
    scout = resolve("us.meta.llama4-scout-17b-instruct-v1:0", **HOME)
    assert own_limits(scout, LiveSettings()).records_min == 50
    assert own_limits(scout, LiveSettings(records_min=7)).records_min == 7
    assert own_limits(resolve("amazon.nova-pro-v1:0", **HOME), LiveSettings()).job_bytes_max == 100 << 30
    assert own_limits(resolve(HAIKU, **HOME), LiveSettings()) == LiveSettings()


def test_models_beside_the_catalogue_can_be_switched_on():
    live = LiveSettings.model_validate(
        {"batch_models": {"cohere.embed-english-v3": "cohere-embed", "acme.chat-v1:0": "openai-chat"}}
    )
    assert resolve("cohere.embed-english-v3", **HOME, batch_models=live.batch_models).family == "cohere-embed"
    assert resolve("us.acme.chat-v1:0", **HOME, batch_models=live.batch_models).pool == "acme.chat-v1:0"
    assert not takes("acme.chat-v2:0", words=UNKNOWN, batch_models=live.batch_models)
    with pytest.raises(ValueError, match="batch_models"):
        LiveSettings.model_validate({"batch_models": {"acme.chat-v1:0": "no-family"}})


def test_models_are_listed_and_filtered_refused_ones_too():
    def ids(**request: str) -> set[str]:
        return {model["modelId"] for model in list_models(request, "us-east-1")["modelSummaries"]}

    assert ids() == set(entries())
    assert ids(byProvider="meta") == {one for one in entries() if one.startswith("meta.")}
    assert ids(byOutputModality="EMBEDDING") == {one for one in entries() if "embed" in one}
    assert HAIKU in ids(byInferenceType="ON_DEMAND")
    assert "anthropic.claude-sonnet-5" not in ids(byInferenceType="ON_DEMAND")
    assert ids(byInferenceType="PROVISIONED") == ids(byCustomizationType="DISTILLATION") == set()
    refused = get_model({"modelIdentifier": "anthropic.claude-sonnet-5"}, "us-east-1", ACCOUNT)["modelDetails"]
    assert refused["modelLifecycle"] == {"status": "ACTIVE"}


@pytest.mark.parametrize("identifier", [HAIKU, f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"])
def test_a_model_is_found_by_id_and_by_arn(identifier):
    found = get_model({"modelIdentifier": identifier}, "us-east-1", ACCOUNT)["modelDetails"]
    assert found["modelArn"] == f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"
    assert (found["providerName"], found["modelName"]) == ("Anthropic", "Claude 3 Haiku")


@pytest.mark.parametrize("identifier", ["acme.chat-v1:0", f"us.{HAIKU}"])
def test_a_model_that_is_none_is_not_found(identifier):
    with pytest.raises(ApiError) as refused:
        get_model({"modelIdentifier": identifier}, "us-east-1", ACCOUNT)
    assert (refused.value.code, refused.value.status) == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "ap-northeast-1", "us-gov-west-1"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_profiles_are_listed_in_pages_where_they_can_be_called(region, size):
    found: list[dict[str, Any]] = []
    request: dict[str, Any] = {"maxResults": size}
    while True:
        page = list_profiles(request, region, ACCOUNT)
        found += page["inferenceProfileSummaries"]
        if "nextToken" not in page:
            break
        assert len(page["inferenceProfileSummaries"]) == size
        request["nextToken"] = page["nextToken"]
    ids = [one["inferenceProfileId"] for one in found]
    assert len(ids) == len(set(ids))
    assert all(serves(one.partition(".")[0], region) for one in ids)
    for one in found:
        by_arn = get_profile({"inferenceProfileIdentifier": one["inferenceProfileArn"]}, region, ACCOUNT)
        assert by_arn == one == get_profile({"inferenceProfileIdentifier": one["inferenceProfileId"]}, region, ACCOUNT)
        assert 1 <= len(one["models"]) <= 5
        assert len(one["description"]) <= 200


def test_profiles_are_told_apart_by_type_and_bad_tokens_are_refused():
    assert list_profiles({"typeEquals": "APPLICATION"}, "us-east-1", ACCOUNT) == {"inferenceProfileSummaries": []}
    assert list_profiles({"typeEquals": "SYSTEM_DEFINED"}, "us-east-1", ACCOUNT)["inferenceProfileSummaries"]
    for token in ("nonsense", "am9iOjE=", "cHJvZmlsZTo5OTk5OTk="):
        with pytest.raises(ApiError, match="nextToken"):
            list_profiles({"nextToken": token}, "us-east-1", ACCOUNT)


@pytest.mark.parametrize(
    "identifier",
    [HAIKU, f"eu.{HAIKU}", "us.acme.chat-v1:0", f"arn:aws:bedrock:us-east-1:999999999999:inference-profile/us.{HAIKU}"],
)
def test_a_profile_that_is_not_here_is_not_found(identifier):
    with pytest.raises(ApiError) as refused:
        get_profile({"inferenceProfileIdentifier": identifier}, "us-east-1", ACCOUNT)
    assert refused.value.status == 404


def test_the_data_is_of_the_form_that_the_api_takes():
    checks = Checks()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", catalogue().read_on)
    assert len(entries()) == len(catalogue().models)
    for entry in entries().values():
        checks.read("GetFoundationModel", path={"modelIdentifier": entry.id}, query={}, body=b"")
        checks.read("GetInferenceProfile", path={"inferenceProfileIdentifier": f"us.{entry.id}"}, query={}, body=b"")
        assert set(entry.input) <= {"TEXT", "IMAGE", "VIDEO"}
        assert set(entry.output) <= {"TEXT", "EMBEDDING"}
