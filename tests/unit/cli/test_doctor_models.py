"""`quarry models`, and what the names of quotas tell of batch inference."""

from __future__ import annotations

import json
import os

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ProfileNotFound

from quarry_cli.aws.models_quotas import Access, Batch, read_access, takes_batch
from quarry_cli.main import app
from quarry_core.errors import PortError, Unknown, raise_for
from quarry_core.models.quota_names import BatchQuotas, Limit
from quarry_local.bedrock.api.quota_table import quotas as simulated_quotas
from quarry_local.bedrock.models.catalogue import entries
from quarry_local.bedrock.settings import LiveSettings
from tests.unit.cli.an_account import CLAUDE, PROFILE, VARIABLES, Account, listed
from tests.unit.cli.runner import runner


def quotas(*names):
    return BatchQuotas(listed(dict.fromkeys(names, 7.0)))


# --------------------------------------------------------------------------- names


def test_the_minimum_is_not_taken_for_the_maximum():
    found = quotas("Minimum number of records per batch inference job for Claude 3 Haiku").of(CLAUDE, "Claude 3 Haiku")
    assert found is not None
    assert set(found.limits) == {Limit.RECORDS_MIN}


def test_a_version_is_not_taken_for_the_model_it_is_a_version_of():
    found = quotas("Records per batch inference job for Claude 3.5 Sonnet v2")
    assert found.of("anthropic.claude-3-5-sonnet-20240620-v1:0", "Claude 3.5 Sonnet") is None
    assert found.of("anthropic.claude-3-5-sonnet-20241022-v2:0", "Claude 3.5 Sonnet v2") is not None


@pytest.mark.parametrize("name", ["job size (in GB) for Qwen3 32B", "job size for Qwen3 32B (in GB)"])
def test_the_unit_stands_anywhere(name):
    found = quotas(f"Batch inference {name}").of("qwen.qwen3-32b-v1:0", "Qwen3 32B (dense)")
    assert found is not None
    assert found.limits[Limit.JOB_GB].value == 7


def test_quotas_of_custom_models_and_of_calls_on_demand_are_not_a_base_models():
    names = (
        "Sum of in-progress and submitted batch inference jobs using a custom model for Titan Text Embeddings V2",
        "On-demand model inference requests per minute for Amazon Titan Text Embeddings V2",
    )
    assert quotas(*names).of("amazon.titan-embed-text-v2:0", "Titan Text Embeddings V2") is None


def test_what_the_account_has_is_stronger_than_the_default():
    name = "Sum of in-progress and submitted batch inference jobs using a base model for Claude 3 Haiku"
    found = BatchQuotas([*listed({name: 20.0}), *listed({name: 35.0})]).of(CLAUDE, "Claude 3 Haiku")
    assert found is not None
    assert found.limits[Limit.JOBS].value == 35


def test_every_model_whose_batch_jobs_the_simulators_quotas_name_is_matched_and_no_other():
    """A second reading of AWS's two lists of names, which has each model's id beside its quota's name."""
    message = [
        {"QuotaName": quota.name, "QuotaCode": quota.code, "Value": quota.value}
        for quota in simulated_quotas(LiveSettings()).values()
    ]
    found = BatchQuotas(message)
    matched = {entry.id: known.name for entry in entries().values() if (known := found.of(entry.id, entry.name))}

    assert sorted(matched.values()) == sorted(each.name for each in found)
    assert len(matched) == 36
    assert all(entries()[model].batch for model in matched)
    assert all(set(Limit) == set(each.limits) for each in found)


# --------------------------------------------------------------------------- batch and access


@pytest.mark.parametrize(
    ("model", "name", "batch"),
    [
        (CLAUDE, "Claude 3 Haiku", Batch.YES),
        (PROFILE, "Claude 3 Haiku", Batch.YES),
        ("anthropic.claude-opus-5", "Claude Opus 5", Batch.YES),
        ("us.anthropic.claude-sonnet-5", "Claude Sonnet 5", Batch.NO),
        ("cohere.embed-english-v3", "Embed English", Batch.NO),
        ("anthropic.claude-next", "Claude Next", Batch.UNKNOWN),
        ("amazon.titan-embed-text-v2:0", "", Batch.UNKNOWN),
    ],
)
def test_whether_a_model_takes_batch_jobs(model, name, batch):
    known = quotas("Records per batch inference job for Claude 3 Haiku")
    assert takes_batch(model, name, known)[0] is batch


def test_what_was_seen_once_gives_way_to_a_quota():
    known = quotas("Records per batch inference job for Claude Sonnet 5")
    assert takes_batch("anthropic.claude-sonnet-5", "Claude Sonnet 5", known)[0] is Batch.YES


@pytest.mark.parametrize(
    ("message", "access"),
    [
        ({}, Access.YES),
        ({"agreementAvailability": {"status": "ERROR"}}, Access.NO_AGREEMENT),
        ({"agreementAvailability": {"status": "PENDING"}, "entitlementAvailability": "NOT_AVAILABLE"}, Access.PENDING),
        ({"entitlementAvailability": "NOT_AVAILABLE"}, Access.NO_AGREEMENT),
        ({"regionAvailability": "NOT_AVAILABLE", "agreementAvailability": {"status": "PENDING"}}, Access.NOT_HERE),
        ({"authorizationStatus": "NOT_AUTHORIZED", "regionAvailability": "NOT_AVAILABLE"}, Access.NOT_AUTHORIZED),
    ],
    ids=str,
)
def test_access_is_the_first_that_says_no(message, access):
    assert read_access(message) is access


# --------------------------------------------------------------------------- the command


@pytest.fixture
def account():
    return Account()


def models(account, *options, **variables):
    unset = {name: None for name in os.environ if name.startswith(("AWS_", "QUARRY_"))}
    environment = {**unset, "QUARRY_REGION": VARIABLES["QUARRY_REGION"], **variables}
    return runner().invoke(app, ["models", *options], obj=account.reading, env=environment)


def lines(account, *options):
    result = models(account, "--json", *options)
    assert result.exit_code == 0, result.output
    return {line["id"]: line for line in json.loads(result.stdout)}


def test_models_come_first_then_profiles_with_what_is_known_of_them(account):
    found = lines(account)

    assert list(found) == [CLAUDE, PROFILE]
    assert found[CLAUDE]["kind"] == "model"
    assert found[PROFILE]["regions"] == ["eu-central-1", "eu-west-1"]
    for line in found.values():
        assert (line["family"], line["batch"], line["access"]) == ("anthropic", "yes", None)


def test_a_text_chooses_by_id_name_provider_or_family(account):
    account.model |= {"modelId": "meta.llama-9", "modelName": "Llama 9", "providerName": "Meta"}

    assert list(lines(account, "LLAMA")) == ["meta.llama-9"]
    assert list(lines(account, "meta")) == ["meta.llama-9"]
    assert list(lines(account, "anthropic")) == [PROFILE]
    assert lines(account, "llama")["meta.llama-9"]["family"] == "llama"
    nothing = models(account, "gemini")
    assert nothing.exit_code == 0
    assert "no such model" in nothing.stderr


def test_an_application_profile_is_listed_with_the_family_of_the_model_behind_it(account):
    arn = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abcdefghijkl"
    account.profile |= {"type": "APPLICATION", "inferenceProfileId": "abcdefghijkl", "inferenceProfileArn": arn}

    found = lines(account, "--access")

    assert found[arn]["batch"] == "yes"
    assert found[arn]["family"] == "anthropic"
    assert found[arn]["access"] == "unknown"


def test_access_is_asked_only_on_demand_and_once_for_a_model(account):
    lines(account)
    assert not [each for each in account.asked if each[1] == "get_foundation_model_availability"]

    found = lines(account, "--access")
    assert [line["access"] for line in found.values()] == ["yes", "yes"]
    assert len([each for each in account.asked if each[1] == "get_foundation_model_availability"]) == 1


@pytest.mark.parametrize(
    ("answer", "access"),
    [({"authorizationStatus": "NOT_AUTHORIZED"}, "no"), (Unknown("lost"), "unknown"), ({}, "yes")],
    ids=["no", "lost", "yes"],
)
def test_access_is_reported_in_three_words(account, answer, access):
    account.answers["bedrock", "get_foundation_model_availability"] = answer
    assert lines(account, "--access")[CLAUDE]["access"] == access


def test_access_of_too_many_models_is_not_asked(account):
    many = [{**account.model, "modelId": f"anthropic.claude-{number}"} for number in range(51)]
    account.answers["bedrock", "list_foundation_models"] = {"modelSummaries": many}

    refused = models(account, "--access")

    assert refused.exit_code == 2
    assert "narrow the text" in refused.stderr
    assert models(account, "claude-50", "--access").exit_code == 0


def test_without_quotas_the_list_still_stands(account):
    account.deny("service-quotas", "list_service_quotas")

    found = lines(account)

    assert found[CLAUDE]["batch"] == "unknown"
    assert "could not be read" in found[CLAUDE]["why"]


def test_a_quota_that_service_quotas_could_not_look_up_hides_no_other(account):
    """Service Quotas names such a quota without a value, and says why."""
    broken = {"QuotaName": "Records per batch inference job for Claude 9", "ErrorReason": {"ErrorCode": "SOME_ERROR"}}
    listed = account.answers["service-quotas", "list_service_quotas"]
    account.answers["service-quotas", "list_service_quotas"] = lambda given: {
        "Quotas": [broken, *listed(given)["Quotas"]]
    }

    assert lines(account)[CLAUDE]["batch"] == "yes"


def test_a_variable_that_cannot_be_read_is_named(account):
    refused = models(account, QUARRY_JOB_QUOTA="many")

    assert refused.exit_code == 2
    assert refused.stderr.startswith("quarry: QUARRY_JOB_QUOTA is 'many'")


@pytest.mark.parametrize("operation", ["list_foundation_models", "list_inference_profiles"])
def test_a_bedrock_that_does_not_answer_is_an_error(account, operation):
    account.deny("bedrock", operation)

    refused = models(account)

    assert refused.exit_code == 5
    assert "not allowed to read it" in refused.stderr


def test_without_a_region_it_says_so(account):
    refused = models(account, QUARRY_REGION=None)
    assert refused.exit_code == 2
    assert "QUARRY_REGION is not set" in refused.stderr


def test_a_table_is_printed_with_access_if_it_was_asked(account):
    assert "access" not in models(account).stdout
    table = models(account, "--access").stdout
    assert "access" in table
    assert PROFILE in table


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoCredentialsError(), "no AWS credentials found: sign in"),
        (ProfileNotFound(profile="nope"), "AWS_PROFILE names a profile that is not configured"),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), "nothing answers at http://127.0.0.1:9"),
    ],
)
def test_where_aws_cannot_be_asked_at_all_the_list_says_what_to_do(account, error, words):
    with pytest.raises(PortError) as caught:
        raise_for(error, "bedrock list_foundation_models")
    account.answers["bedrock", "list_foundation_models"] = caught.value

    result = models(account)

    assert result.exit_code == 5
    assert result.stderr.startswith(f"quarry: {words}")


def test_what_aws_says_is_shown_without_control_characters(account):
    account.answers["bedrock", "list_foundation_models"] = Unknown("odd \x1b[2J\x9b2J")

    result = models(account)

    assert result.exit_code == 5
    assert result.stderr == "quarry: Unknown: odd \ufffd[2J\ufffd2J\n"
