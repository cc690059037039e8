"""Service Quotas as the simulated Bedrock tells them: boto3's `service-quotas` over HTTP."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from tests.unit.local.simulated_bedrock import ACCOUNT, REGION, Bedrock, simulated_bedrock

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
# Contract section 5, as it writes them.
MINIMUM = "Minimum number of records per batch inference job for "
PER_JOB = "Records per batch inference job for "
PER_FILE = "Records per input file per batch inference job for "
JOBS = "Sum of in-progress and submitted batch inference jobs using a base model for "
CUSTOM_JOBS = "Sum of in-progress and submitted batch inference jobs using a custom model for "


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bedrock]:
    with simulated_bedrock(tmp_path_factory.mktemp("store")) as bedrock:
        yield bedrock


@pytest.fixture
def bedrock(server: Bedrock) -> Bedrock:
    server.calm()
    return server


@pytest.fixture(scope="module")
def client(server: Bedrock) -> Any:
    return server.client("service-quotas")


def listed(client: Any, operation: str = "list_service_quotas", **more: Any) -> list[dict[str, Any]]:
    pages = client.get_paginator(operation).paginate(ServiceCode="bedrock", **more)
    return [quota for page in pages for quota in page["Quotas"]]


def by_name(client: Any, operation: str = "list_service_quotas") -> dict[str, dict[str, Any]]:
    found = listed(client, operation)
    named = {quota["QuotaName"]: quota for quota in found}
    assert len(named) == len(found)
    return named


def refusal(call: Any, **named: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**named)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.usefixtures("bedrock")
def test_every_quota_has_the_members_of_the_service_model_within_their_limits(client):
    shape = botocore.session.Session().get_service_model("service-quotas").shape_for("ServiceQuota")

    for quota in listed(client):
        assert set(quota) <= set(shape.members)
        assert re.fullmatch(shape.members["QuotaCode"].metadata["pattern"], quota["QuotaCode"])
        assert re.fullmatch("L-[0-9A-F]{8}", quota["QuotaCode"])
        assert 0 <= quota["Value"] <= shape.members["Value"].metadata["max"]
        assert quota["ServiceCode"] == "bedrock"
        assert quota["QuotaArn"] == f"arn:aws:servicequotas:{REGION}:{ACCOUNT}:bedrock/{quota['QuotaCode']}"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (f"{MINIMUM}Claude 3 Haiku", "L-AE7F26D4"),
        (f"{PER_JOB}Claude 3.5 Sonnet", "L-1E2B9998"),
        (f"{PER_JOB}Claude 3.5 Sonnet v2", "L-6EBFEB27"),
        (f"{PER_FILE}Nova Pro V1", "L-9B651738"),
        ("Batch inference job size (in GB) for Nova Pro V1", "L-26B15D4D"),
        ("Batch inference job size for Qwen3 32B (in GB)", "L-AED2B25B"),
        ("Batch inference input file size (in GB) for OpenAI GPT OSS 20b", "L-0EF69BEA"),
        (f"{JOBS}Claude 3 Haiku", "L-1570CF9E"),
        (f"{JOBS}DeepSeek v3", "L-0C5F7593"),
    ],
)
@pytest.mark.usefixtures("bedrock")
def test_known_quotas_have_their_real_names_and_codes(client, name, code):
    assert by_name(client)[name]["QuotaCode"] == code
    assert client.get_service_quota(ServiceCode="bedrock", QuotaCode=code)["Quota"]["QuotaName"] == name


@pytest.mark.usefixtures("bedrock")
def test_every_model_of_the_list_has_all_six_batch_quotas(client):
    names = set(by_name(client))
    models = {name.removeprefix(MINIMUM) for name in names if name.startswith(MINIMUM)}

    assert len(models) > 30
    for model in models:
        assert {f"{PER_JOB}{model}", f"{PER_FILE}{model}", f"{JOBS}{model}"} <= names
        for kind in ("job", "input file"):
            forms = {
                f"Batch inference {kind} size (in GB) for {model}",
                f"Batch inference {kind} size for {model} (in GB)",
            }
            assert len(forms & names) == 1


@pytest.mark.usefixtures("bedrock")
def test_the_names_have_the_traps_of_the_live_ones(client):
    names = set(by_name(client))

    for search, expected in (
        (
            PER_JOB + "Claude 3 Haiku",
            {PER_JOB + "Claude 3 Haiku", "Minimum number of records per batch inference job for Claude 3 Haiku"},
        ),
        (
            PER_JOB + "Claude 3.5 Sonnet",
            {f"{start}Claude 3.5 Sonnet{end}" for start in (PER_JOB, MINIMUM) for end in ("", " v2")},
        ),
    ):
        assert {name for name in names if search.lower() in name.lower()} == expected
    assert {name.rpartition(" for ")[0] for name in names if "Claude 3.5 Sonnet V2" in name} == {
        "Cross-Region model inference requests per minute",
        "Cross-Region model inference tokens per minute",
    }
    assert not [name for name in names if name.startswith((MINIMUM, PER_JOB, JOBS)) and "Anthropic" in name]
    # A model that batch inference takes, and that no quota names yet.
    assert not [name for name in names if "Opus 5" in name]


@pytest.mark.usefixtures("bedrock")
def test_the_pages_together_are_the_whole_list_whatever_their_size(client):
    whole = listed(client)

    assert len(whole) > 200
    assert len({quota["QuotaCode"] for quota in whole}) == len(whole)
    without_rest = next(size for size in range(99, 0, -1) if len(whole) % size == 0)
    for size in (7, without_rest):
        assert listed(client, PaginationConfig={"PageSize": size}) == whole
    first = client.list_service_quotas(ServiceCode="bedrock")
    assert len(first["Quotas"]) == 100
    assert re.fullmatch("[a-zA-Z0-9/+]*={0,2}", first["NextToken"])
    assert {quota["QuotaCode"] for quota in listed(client, "list_aws_default_service_quotas")} == {
        quota["QuotaCode"] for quota in whole
    }


def test_applied_values_are_the_ones_that_the_simulator_enforces_now(bedrock, client):
    bedrock.change(
        quota=7,
        quotas={HAIKU: 3},
        records_min=10,
        records_max=2_000,
        file_bytes_max=1 << 29,
        job_bytes_max=3 << 30,
        requests_per_minute=50,
        tokens_per_minute_by_model={HAIKU: 12_345},
    )

    applied = {name: quota["Value"] for name, quota in by_name(client).items()}

    assert applied[f"{JOBS}Claude 3 Haiku"] == 3
    assert applied[f"{JOBS}Claude 3.5 Haiku"] == 7
    assert applied[f"{MINIMUM}Claude 3 Haiku"] == applied[f"{MINIMUM}Llama 4 Scout"] == 10
    assert applied[f"{PER_JOB}Nova Lite V1"] == applied[f"{PER_FILE}Nova Lite V1"] == 2_000
    assert applied["Batch inference input file size for Qwen3 32B (in GB)"] == 0.5
    assert applied["Batch inference job size (in GB) for Nova Pro V1"] == 3
    assert applied["On-demand model inference requests per minute for Anthropic Claude 3 Haiku"] == 50
    assert applied["On-demand model inference tokens per minute for Anthropic Claude 3 Haiku"] == 12_345
    assert applied["Cross-region model inference tokens per minute for Anthropic Claude 3 Haiku"] == 12_345
    one = client.get_service_quota(ServiceCode="bedrock", QuotaCode="L-1570CF9E")["Quota"]
    assert (one["Value"], one["QuotaAppliedAtLevel"]) == (3, "ACCOUNT")


def test_defaults_stay_what_is_documented(bedrock, client):
    bedrock.change(quota=7, records_min=10)

    defaults = {name: quota["Value"] for name, quota in by_name(client, "list_aws_default_service_quotas").items()}

    assert defaults[f"{JOBS}Claude 3 Haiku"] == 20
    assert defaults[f"{CUSTOM_JOBS}Titan Text Embeddings V2"] == 3
    assert defaults[f"{MINIMUM}Claude 3 Haiku"] == 100
    assert defaults[f"{MINIMUM}Llama 4 Scout"] == 50
    assert defaults[f"{PER_JOB}Claude 3 Haiku"] == 50_000
    assert defaults["Batch inference job size (in GB) for Claude 3 Haiku"] == 5
    assert defaults["Batch inference job size (in GB) for Nova Pro V1"] == 100
    one = client.get_aws_default_service_quota(ServiceCode="bedrock", QuotaCode="L-1570CF9E")["Quota"]
    assert (one["Value"], one["QuotaArn"]) == (20, f"arn:aws:servicequotas:{REGION}::bedrock/L-1570CF9E")


@pytest.mark.parametrize(
    ("name", "adjustable"),
    [
        (f"{MINIMUM}Claude 3 Haiku", False),
        (f"{PER_JOB}Claude 3 Haiku", True),
        (f"{PER_FILE}Claude 3 Haiku", True),
        ("Batch inference job size (in GB) for Claude 3 Haiku", False),
        ("Batch inference input file size (in GB) for Claude 3 Haiku", False),
        (f"{JOBS}Claude 3 Haiku", True),
        (f"{CUSTOM_JOBS}Titan Text Embeddings V2", False),
    ],
)
@pytest.mark.usefixtures("bedrock")
def test_quotas_are_adjustable_where_the_contract_says_so(client, name, adjustable):
    assert by_name(client)[name]["Adjustable"] is adjustable


@pytest.mark.usefixtures("bedrock")
def test_a_list_can_be_cut_to_one_code_or_to_a_level(client):
    one = client.list_service_quotas(ServiceCode="bedrock", QuotaCode="L-1570CF9E")
    assert [quota["QuotaName"] for quota in one["Quotas"]] == [f"{JOBS}Claude 3 Haiku"]
    assert client.list_service_quotas(ServiceCode="bedrock", QuotaAppliedAtLevel="RESOURCE")["Quotas"] == []


@pytest.mark.usefixtures("bedrock")
def test_only_bedrock_has_quotas_here(client):
    assert [service["ServiceCode"] for service in client.list_services()["Services"]] == ["bedrock"]
    for call in (client.list_service_quotas, client.list_aws_default_service_quotas):
        assert refusal(call, ServiceCode="ec2") == "NoSuchResourceException"
    for call in (client.get_service_quota, client.get_aws_default_service_quota):
        assert refusal(call, ServiceCode="ec2", QuotaCode="L-1570CF9E") == "NoSuchResourceException"
        assert refusal(call, ServiceCode="bedrock", QuotaCode="L-00000000") == "NoSuchResourceException"


@pytest.mark.usefixtures("bedrock")
def test_bad_requests_are_refused_as_the_service_refuses_them(client):
    assert refusal(client.list_service_quotas, ServiceCode="bedrock", MaxResults=101) == "ValidationException"
    for token in ("AAAA", "cXVvdGE6OTk5OTk=", "cXVvdGE6MA=="):
        code = refusal(client.list_service_quotas, ServiceCode="bedrock", NextToken=token)
        assert code == "InvalidPaginationTokenException"


@pytest.mark.parametrize("target", ["ServiceQuotasV20190624.RequestServiceQuotaIncrease", "nonsense", ""])
def test_what_is_not_simulated_is_an_unknown_operation(bedrock, target):
    request = urllib.request.Request(bedrock.url + "/", data=b"{}", headers={"X-Amz-Target": target}, method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    with caught.value as answer:
        assert json.load(answer)["__type"] == "UnknownOperationException"
