"""Section 5: how much a job and a region take, and what is said above it."""

from __future__ import annotations

import re

import pytest

from quarry_local.bedrock.jobs.limits import own_limits
from quarry_local.bedrock.models.identity import resolve
from quarry_local.bedrock.settings import LiveSettings
from quarry_local.clients import Clients
from tests.conformance.world import ACCOUNT, HAIKU, REGION, TITAN, accepted, lines_of, questions, refused

CREATE = "CreateModelInvocationJob"
SCOUT = "us.meta.llama4-scout-17b-instruct-v1:0"
SCOUT_BODY = {"prompt": "Why?", "max_gen_len": 10}
EMPTY = b'{"modelInput":{}}\n'


@pytest.mark.conforms("C5-records-min")
def test_a_job_takes_a_hundred_records_and_no_fewer(open_world):
    world = open_world()
    assert world.run(questions(100))["status"] == "Completed"
    assert world.run(questions(99))["message"].endswith("contains less records (99) than the required minimum of: 100")


@pytest.mark.conforms("C5-records-min-scout")
def test_llama_4_scout_takes_fifty(open_world):
    world = open_world()
    assert world.run(lines_of(SCOUT_BODY, 50), model=SCOUT)["status"] == "Completed"
    assert world.run(lines_of(SCOUT_BODY, 49), model=SCOUT)["status"] == "Failed"


@pytest.mark.conforms("C5-records-file", "C5-records-job")
def test_a_job_takes_fifty_thousand_records_and_no_more(open_world):
    world = open_world(seconds_per_1000_records=0)
    assert world.run(EMPTY * 50_000)["status"] == "Completed"
    assert world.run(EMPTY * 50_001)["status"] == "Failed"
    for name in ("a", "b"):
        world.put(EMPTY * 25_001, f"two/{name}.jsonl")
    assert world.wait(world.create(f"s3://{world.bucket}/two/"))["status"] == "Failed"


@pytest.mark.conforms("C5-file-bytes", "C5-job-bytes")
def test_bytes_are_counted_per_file_and_per_job(open_world):
    default = LiveSettings()
    assert default.file_bytes_max in {10**9, 1 << 30}
    assert default.job_bytes_max in {5 * 10**9, 5 << 30}
    body = EMPTY * 100
    for limit in ("file_bytes_max", "job_bytes_max"):
        assert open_world(**{limit: len(body)}).run(body)["status"] == "Completed"
        assert open_world(**{limit: len(body) - 1}).run(body)["status"] == "Failed"
    world = open_world(file_bytes_max=len(body), job_bytes_max=2 * len(body) - 1)
    for name in ("a", "b"):
        world.put(body, f"in/{name}.jsonl")
    assert world.wait(world.create(f"s3://{world.bucket}/in/"))["status"] == "Failed"


@pytest.mark.conforms("C5-job-bytes")
def test_a_job_of_nova_pro_may_be_larger():
    live = LiveSettings()
    for model, gigabytes in ((HAIKU, 5), ("us.amazon.nova-pro-v1:0", 100)):
        most = own_limits(resolve(model, region=REGION, account=ACCOUNT), live).job_bytes_max
        assert most in {gigabytes * 10**9, gigabytes << 30}


@pytest.mark.conforms("C5-concurrency", "C5-above", "C5-profiles-share")
def test_the_twenty_first_job_of_a_model_is_refused(open_world):
    world = open_world(submitted_s=3600)
    names = (HAIKU, f"us.{HAIKU}", f"arn:aws:bedrock:{REGION}::foundation-model/{HAIKU}", f"global.{HAIKU}")
    for number in range(20):
        accepted(world.send(CREATE, world.request(model=names[number % 4])), CREATE)
    for name in names:
        refused(world.send(CREATE, world.request(model=name)), CREATE, "ServiceQuotaExceededException")
    # Another model has a quota of its own.
    accepted(world.send(CREATE, world.request(model=TITAN)), CREATE)


@pytest.mark.conforms("C5-concurrency-custom")
def test_a_custom_model_has_three(open_world):
    world = open_world(submitted_s=3600)
    custom = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:custom-model/amazon.titan-embed-text-v2:0:8k/abcdefghijkl"
    for _ in range(3):
        accepted(world.send(CREATE, world.request(model=custom)), CREATE)
    refused(world.send(CREATE, world.request(model=custom)), CREATE, "ServiceQuotaExceededException")


@pytest.mark.parametrize("status", ["Submitted", "Validating", "Scheduled", "InProgress", "Stopping"])
@pytest.mark.conforms("C5-what-counts")
def test_a_job_counts_until_it_has_ended(open_world, status):
    waits = {
        "Submitted": "submitted_s",
        "Validating": "validating_s",
        "Scheduled": "queue_s",
        "InProgress": "starting_s",
        "Stopping": "stopping_s",
    }
    world = open_world(quota=1, **({"starting_s": 3600} if status == "Stopping" else {}), **{waits[status]: 3600})
    arn = world.create(world.put(questions()))
    if status == "Stopping":
        world.wait(arn, {"InProgress"})
        world.bedrock.stop_model_invocation_job(jobIdentifier=arn)
    world.wait(arn, {status})
    refused(world.send(CREATE, world.request()), CREATE, "ServiceQuotaExceededException")
    world.change(stopping_s=0)
    if status != "Stopping":
        world.bedrock.stop_model_invocation_job(jobIdentifier=arn)
    world.wait(arn)
    accepted(world.send(CREATE, world.request()), CREATE)


@pytest.mark.conforms("C5-above")
def test_above_the_quota_a_job_may_wait_instead(open_world):
    world = open_world(quota=1, quota_mode="queue", starting_s=3600)
    uri = world.put(questions())
    running = world.create(uri)
    world.wait(running, {"InProgress"})
    waiting = [world.create(uri) for _ in range(2)]
    for arn in waiting:
        world.wait(arn, {"Scheduled"})


# ---------------------------------------------------------------------- as Service Quotas lists them

# Contract section 5, its table of codes; a question mark there is None here.
KINDS = (
    "Minimum number of records per batch inference job for ",
    "Records per batch inference job for ",
    "Records per input file per batch inference job for ",
    "Batch inference job size",
    "Batch inference input file size",
    "Sum of in-progress and submitted batch inference jobs using a base model for ",
)
CODES = {
    "Claude 3 Haiku": ("L-AE7F26D4", "L-1F644C2A", "L-EBB72C32", "L-79301C5B", "L-42ABE687", "L-1570CF9E"),
    "Claude 3.5 Haiku": ("L-B48488BD", "L-274AA31F", "L-C39B6D57", "L-987C98F5", "L-B688EFA5", "L-220B8A25"),
    "Claude 3.5 Sonnet": ("L-1E0DA3DF", "L-1E2B9998", "L-5AB0EE48", "L-6284B54D", "L-934360E8", "L-4E7EE0B5"),
    "Claude 3.5 Sonnet v2": ("L-1FA30AE7", "L-6EBFEB27", "L-897F8151", "L-A3D5E9F8", "L-5CBDB5BC", "L-C2FA9AEC"),
    "Claude 3.7 Sonnet": ("L-BFA0FE84", "L-FABEE48F", "L-A985813D", "L-02D6293C", "L-F8B0126D", None),
    "Claude Sonnet 4": ("L-F72F26EE", "L-8A6B31EE", "L-02DB18B4", "L-E31283B0", "L-F611997D", None),
    "Nova Micro V1": ("L-534E6885", "L-57DC56A1", "L-D56DF585", "L-C79C2150", "L-F36E54E0", "L-564C017C"),
    "Nova Lite V1": ("L-39FA8DCA", "L-916C9264", "L-B8626674", "L-19E52681", "L-F60B56CC", "L-E2ED42E6"),
    "Nova Pro V1": ("L-2A3EB975", "L-89197AE6", "L-9B651738", "L-26B15D4D", "L-68FC8D47", "L-FE130012"),
    "Titan Text Embeddings V2": ("L-6F2B2616", "L-AAC5F6D6", "L-D1151D45", "L-F687AD4D", "L-3CAACDCF", "L-1AC1CABC"),
    "Titan Multimodal Embeddings G1": (
        "L-1A69C08F", "L-3BD2251E", "L-81E26054", "L-4C584163", "L-447BB329", "L-7F2C6F33",
    ),
    "Llama 3.3 70B Instruct": ("L-E06E7FD6", "L-E293C7C7", "L-F77743B5", "L-3A7ED9C0", "L-CBAEEDF6", "L-FE24F76E"),
    "OpenAI GPT OSS 120b": ("L-4B244563", "L-3C5D1B25", "L-9EF11C18", "L-052AA08C", "L-E855A326", None),
    "OpenAI GPT OSS 20b": ("L-5D07A961", "L-F361DF0F", "L-EF804815", "L-5594A7BA", "L-0EF69BEA", None),
    "DeepSeek v3": ("L-BC0281B9", "L-F81D0C4B", "L-EA319DB4", "L-CB18C933", "L-E5418429", "L-0C5F7593"),
    "Qwen3 235B": ("L-9CFEE1D8", "L-BA9E2685", "L-295FBA3E", "L-94612705", "L-0D428547", None),
    "Qwen3 32B": ("L-9D2E32B8", "L-09A792C8", "L-BF8FAABD", "L-AED2B25B", "L-37B69F3F", None),
}  # fmt: skip


def quotas_of(world, operation="list_service_quotas"):
    client = Clients(world.url, REGION).client("service-quotas")
    pages = client.get_paginator(operation).paginate(ServiceCode="bedrock")
    found = [quota for page in pages for quota in page["Quotas"]]
    client.close()
    return found


@pytest.mark.parametrize("operation", ["list_service_quotas", "list_aws_default_service_quotas"])
@pytest.mark.conforms("C5-readable", "C5-records-min", "C5-concurrency")
def test_service_quotas_lists_the_batch_quotas(world, operation):
    by_code = {quota["QuotaCode"]: quota for quota in quotas_of(world, operation)}
    least = by_code[CODES["Claude 3 Haiku"][0]]
    assert (least["ServiceCode"], least["Value"], least["Adjustable"]) == ("bedrock", 100, False)
    most = by_code[CODES["Claude 3 Haiku"][5]]
    assert most["Adjustable"]
    if operation == "list_aws_default_service_quotas":
        assert most["Value"] == 20
        assert by_code[CODES["Nova Pro V1"][3]]["Value"] == 100


@pytest.mark.conforms("C5-names")
def test_the_names_of_quotas_have_their_traps(world):
    names = [quota["QuotaName"] for quota in quotas_of(world)]
    lowered = [name.lower() for name in names if name.endswith("for Claude 3 Haiku")]
    assert sum("records per batch inference job for claude 3 haiku" in name for name in lowered) >= 1
    assert sum("number of records per batch inference job for claude 3 haiku" in name for name in lowered) == 1
    sizes = [name for name in names if name.startswith("Batch inference job size")]
    assert any(name.endswith("(in GB)") for name in sizes)
    assert any("(in GB) for " in name for name in sizes)
    assert not any(re.search(r"batch inference.*\b(anthropic|amazon)\b", name, re.IGNORECASE) for name in names)


@pytest.mark.parametrize("model", CODES)
@pytest.mark.conforms("C5-codes", "C5-names")
def test_the_codes_of_quotas_are_those_of_the_table(world, model):
    by_code = {quota["QuotaCode"]: quota["QuotaName"] for quota in quotas_of(world)}
    for kind, code in zip(KINDS, CODES[model], strict=True):
        if code is None:
            continue
        assert by_code[code].startswith(kind), (model, code, by_code[code])
        assert by_code[code].removesuffix(" (in GB)").endswith(f"for {model}"), (model, code, by_code[code])


@pytest.mark.conforms("C5-throttling", "C1.2-errors")
def test_create_can_be_throttled(open_world):
    world = open_world(throttled_by_operation={CREATE: 1})
    refused(world.send(CREATE, world.request()), CREATE, "ThrottlingException")
    assert world.bedrock.list_model_invocation_jobs()["invocationJobSummaries"] == []
