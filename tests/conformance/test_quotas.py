"""Section 5: how much a job and a region take, and what is said above it."""

from __future__ import annotations

import pytest

from quarry_local.bedrock.settings import LiveSettings
from tests.conformance.house import ACCOUNT, HAIKU, REGION, TITAN, accepted, lines_of, questions, refused

CREATE = "CreateModelInvocationJob"
SCOUT = "us.meta.llama4-scout-17b-instruct-v1:0"
SCOUT_BODY = {"prompt": "Why?", "max_gen_len": 10}
EMPTY = b'{"modelInput":{}}\n'


@pytest.mark.conforms("C5-records-min")
def test_a_job_takes_a_hundred_records_and_no_fewer(open_house):
    house = open_house()
    assert house.run(questions(100))["status"] == "Completed"
    assert house.run(questions(99))["message"].endswith("contains less records (99) than the required minimum of: 100")


@pytest.mark.conforms("C5-records-min-scout")
def test_llama_4_scout_takes_fifty(open_house):
    house = open_house()
    assert house.run(lines_of(SCOUT_BODY, 50), model=SCOUT)["status"] == "Completed"
    assert house.run(lines_of(SCOUT_BODY, 49), model=SCOUT)["status"] == "Failed"


@pytest.mark.conforms("C5-records-file", "C5-records-job")
def test_a_job_takes_fifty_thousand_records_and_no_more(open_house):
    house = open_house(seconds_per_1000_records=0)
    assert house.run(EMPTY * 50_000)["status"] == "Completed"
    assert house.run(EMPTY * 50_001)["status"] == "Failed"
    for name in ("a", "b"):
        house.put(EMPTY * 25_001, f"two/{name}.jsonl")
    assert house.wait(house.create(f"s3://{house.bucket}/two/"))["status"] == "Failed"


@pytest.mark.conforms("C5-file-bytes", "C5-job-bytes")
def test_bytes_are_counted_per_file_and_per_job(open_house):
    default = LiveSettings()
    assert default.file_bytes_max in {10**9, 1 << 30}
    assert default.job_bytes_max in {5 * 10**9, 5 << 30}
    body = EMPTY * 100
    for limit in ("file_bytes_max", "job_bytes_max"):
        assert open_house(**{limit: len(body)}).run(body)["status"] == "Completed"
        assert open_house(**{limit: len(body) - 1}).run(body)["status"] == "Failed"
    house = open_house(file_bytes_max=len(body), job_bytes_max=2 * len(body) - 1)
    for name in ("a", "b"):
        house.put(body, f"in/{name}.jsonl")
    assert house.wait(house.create(f"s3://{house.bucket}/in/"))["status"] == "Failed"


@pytest.mark.conforms("C5-job-bytes")
def test_a_job_of_nova_pro_may_be_larger():
    from quarry_local.bedrock.limits import own_limits
    from quarry_local.bedrock.models import resolve

    live = LiveSettings()
    for model, gigabytes in ((HAIKU, 5), ("us.amazon.nova-pro-v1:0", 100)):
        most = own_limits(resolve(model, region=REGION, account=ACCOUNT), live).job_bytes_max
        assert most in {gigabytes * 10**9, gigabytes << 30}


@pytest.mark.conforms("C5-concurrency", "C5-above", "C5-profiles-share")
def test_the_twenty_first_job_of_a_model_is_refused(open_house):
    house = open_house(submitted_s=3600)
    names = (HAIKU, f"us.{HAIKU}", f"arn:aws:bedrock:{REGION}::foundation-model/{HAIKU}", f"global.{HAIKU}")
    for number in range(20):
        accepted(house.send(CREATE, house.request(model=names[number % 4])), CREATE)
    for name in names:
        refused(house.send(CREATE, house.request(model=name)), CREATE, "ServiceQuotaExceededException")
    # Another model has a quota of its own.
    accepted(house.send(CREATE, house.request(model=TITAN)), CREATE)


@pytest.mark.conforms("C5-concurrency-custom")
def test_a_custom_model_has_three(open_house):
    house = open_house(submitted_s=3600)
    custom = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:custom-model/amazon.titan-embed-text-v2:0:8k/abcdefghijkl"
    for _ in range(3):
        accepted(house.send(CREATE, house.request(model=custom)), CREATE)
    refused(house.send(CREATE, house.request(model=custom)), CREATE, "ServiceQuotaExceededException")


@pytest.mark.parametrize("status", ["Submitted", "Validating", "Scheduled", "InProgress", "Stopping"])
@pytest.mark.conforms("C5-what-counts")
def test_a_job_counts_until_it_has_ended(open_house, status):
    waits = {
        "Submitted": "submitted_s",
        "Validating": "validating_s",
        "Scheduled": "queue_s",
        "InProgress": "starting_s",
        "Stopping": "stopping_s",
    }
    house = open_house(quota=1, **({"starting_s": 3600} if status == "Stopping" else {}), **{waits[status]: 3600})
    arn = house.create(house.put(questions()))
    if status == "Stopping":
        house.wait(arn, {"InProgress"})
        house.bedrock.stop_model_invocation_job(jobIdentifier=arn)
    house.wait(arn, {status})
    refused(house.send(CREATE, house.request()), CREATE, "ServiceQuotaExceededException")
    house.change(stopping_s=0)
    if status != "Stopping":
        house.bedrock.stop_model_invocation_job(jobIdentifier=arn)
    house.wait(arn)
    accepted(house.send(CREATE, house.request()), CREATE)


@pytest.mark.conforms("C5-above")
def test_above_the_quota_a_job_may_wait_instead(open_house):
    house = open_house(quota=1, quota_mode="queue", starting_s=3600)
    uri = house.put(questions())
    running = house.create(uri)
    house.wait(running, {"InProgress"})
    waiting = [house.create(uri) for _ in range(2)]
    for arn in waiting:
        house.wait(arn, {"Scheduled"})
