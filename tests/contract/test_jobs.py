"""The port Jobs, on the fake and on the simulated Bedrock."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quarry_core.aws.jobs import BedrockJobs
from quarry_core.contract.names import JobName, client_token, job_name
from quarry_core.errors import Missing, QuotaExceeded, Refused
from quarry_core.ports import JobRequest
from tests.contract.emulated import reach
from tests.world.clock import EPOCH, FakeClock
from tests.world.jobs import FakeJobs

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
PROFILE = f"us.{MODEL}"
OTHER_MODEL = "amazon.titan-embed-text-v2:0"
QUOTA = 3
FOR_EVER_S = 10**9
CHECKS_MAX = 2_000


def request_of(shard="00002", attempt=1, model_id=MODEL, **changes):
    name = job_name("census", JobName("r1", shard, attempt, "test"))
    return dataclasses.replace(
        JobRequest(
            name=name,
            client_token=client_token(name),
            role_arn="arn:aws:iam::000000000000:role/quarry",
            model_id=model_id,
            input_uri=f"s3://test-bucket/batch-input/r1/{shard}.jsonl",
            output_uri=f"s3://test-bucket/batch-output/r1/{shard}-{attempt}/",
            timeout_hours=72,
            tags={"team": "research"},
        ),
        **changes,
    )


class Fake:
    def __init__(self):
        self.jobs = FakeJobs(FakeClock(), quota=QUOTA)
        self.now = EPOCH

    async def end(self, arn):
        self.jobs.finish(arn, "Failed", message="the input is missing")


class Real:
    """Jobs stay in Submitted until the test lets time run for them; then they fail, for nobody wrote their input."""

    def __init__(self, reached, simulated):
        self.jobs = BedrockJobs(reached)
        self.now = datetime.now(UTC)
        self._simulated = simulated

    async def end(self, arn):
        self._simulated.change_settings({"submitted_s": 0, "validating_s": 0})
        for _ in range(CHECKS_MAX):
            if (await self.jobs.get(arn)).status == "Failed":
                break
        self._simulated.change_settings({"submitted_s": FOR_EVER_S})


@pytest.fixture(params=["fake", pytest.param("aws", marks=pytest.mark.emulator)])
async def world(request, monkeypatch):
    if request.param == "fake":
        yield Fake()
        return
    bedrock = pytest.importorskip("quarry_local.bedrock.server")
    settings = pytest.importorskip("quarry_local.bedrock.settings")
    aws = request.getfixturevalue("aws")
    async with reach(aws, monkeypatch) as unused:
        del unused  # the simulator reads the same environment
        simulated = bedrock.SimulatedBedrock(
            settings.Settings(
                aws_endpoint_url=aws.endpoint_url,
                quota=QUOTA,
                check_role=False,
                submitted_s=FOR_EVER_S,
                stopping_s=FOR_EVER_S,
            )
        )
        async with simulated as url, reach(aws, monkeypatch, endpoints={"bedrock": url}) as reached:
            yield Real(reached, simulated)


@pytest.fixture
def jobs(world):
    return world.jobs


async def test_a_job_is_reported_as_it_was_asked_for(world, jobs):
    wanted = request_of()
    arn = await jobs.create(wanted)
    job = await jobs.get(arn)
    assert (job.arn, job.name, job.status) == (arn, wanted.name, "Submitted")
    assert (job.input_uri, job.output_uri) == (wanted.input_uri, wanted.output_uri)
    assert job.client_token == wanted.client_token
    assert job.message == ""
    assert job.ended_at is None
    assert abs(job.submitted_at - world.now) < timedelta(minutes=5)
    assert (job.total_records, job.processed_records, job.success_records, job.error_records) == (0, 0, 0, 0)


async def test_a_model_comes_back_as_its_arn(jobs):
    short = await jobs.get(await jobs.create(request_of("00002")))
    assert short.model_id.endswith(f"::foundation-model/{MODEL}")
    assert short.model_id.startswith("arn:aws:bedrock:")
    profile = await jobs.get(await jobs.create(request_of("00004", model_id=PROFILE)))
    assert profile.model_id.endswith(f":inference-profile/{PROFILE}")


@pytest.mark.promise("S2")
async def test_the_same_client_token_gives_the_same_job_and_no_second_one(jobs):
    first = await jobs.create(request_of())
    assert await jobs.create(request_of()) == first
    assert [job.arn for job in await jobs.find(request_of().name)] == [first]


async def test_two_jobs_may_run_at_once(jobs):
    arns = {await jobs.create(request_of("00002")), await jobs.create(request_of("00004"))}
    assert len(arns) == 2
    assert {job.arn for job in await jobs.active()} == arns


@pytest.mark.promise("S1")
async def test_one_job_more_than_the_quota_is_answered_no_whichever_id_names_the_model(jobs):
    for number, model_id in enumerate([MODEL, PROFILE, MODEL]):
        await jobs.create(request_of(f"{number:05d}", model_id=model_id))
    with pytest.raises(QuotaExceeded):
        await jobs.create(request_of("00099"))
    assert list(await jobs.find(request_of("00099").name)) == []
    await jobs.create(request_of("00100", model_id=OTHER_MODEL))
    await jobs.create(request_of("00002"))  # known by its token: no new job


async def test_an_ended_job_frees_its_place(world, jobs):
    arns = [await jobs.create(request_of(f"{number:05d}")) for number in range(QUOTA)]
    await world.end(arns[0])
    assert await jobs.create(request_of("00099")) not in arns


async def test_an_ended_job_tells_why_and_is_no_longer_active(world, jobs):
    arn = await jobs.create(request_of())
    await world.end(arn)
    job = await jobs.get(arn)
    assert job.status == "Failed"
    assert job.message
    assert job.ended_at is not None
    assert list(await jobs.active()) == []
    assert [found.status for found in await jobs.find(job.name)] == ["Failed"]


async def test_a_job_is_found_by_its_whole_name_only(jobs):
    one, ten = request_of(attempt=1), request_of(attempt=1, name=request_of().name + "0", client_token="another")
    arn = await jobs.create(one)
    await jobs.create(ten)
    assert [(job.arn, job.name) for job in await jobs.find(one.name)] == [(arn, one.name)]
    assert list(await jobs.find("census-r1-00002-1")) == []
    assert list(await jobs.find("never-created")) == []


async def test_an_unknown_job_is_missing(jobs):
    arn = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/zzzzzzzzzzzz"
    with pytest.raises(Missing):
        await jobs.get(arn)
    with pytest.raises(Missing):
        await jobs.stop(arn)


async def test_a_stopping_job_still_counts_as_active(jobs):
    arn = await jobs.create(request_of())
    await jobs.stop(arn)
    assert (await jobs.get(arn)).status == "Stopping"
    await jobs.stop(arn)
    assert [job.status for job in await jobs.active()] == ["Stopping"]


async def test_stopping_a_job_that_has_ended_is_no_error(world, jobs):
    arn = await jobs.create(request_of())
    await world.end(arn)
    await jobs.stop(arn)
    assert (await jobs.get(arn)).status == "Failed"


async def test_all_that_create_knows_is_taken(jobs):
    arn = await jobs.create(
        request_of(
            timeout_hours=168,
            tags={"a:b/c=d+e@f-g_h.i j": "", "k": "v"},
            output_kms_key="alias/quarry",
            subnet_ids=("subnet-1", "subnet-2"),
            security_group_ids=("sg-1",),
            invocation_type="InvokeModel",
        )
    )
    assert (await jobs.get(arn)).status == "Submitted"


WRONG: list[dict[str, Any]] = [
    {"timeout_hours": 169},
    {"timeout_hours": 23},
    {"input_uri": "s3://test-bucket/dt=2026-01-01/x.jsonl"},
    {"tags": {"a&b": "c"}},
    {"name": "not a name"},
    {"invocation_type": "Chat"},
]


async def test_what_bedrock_would_not_take_is_refused_before_it_is_sent(jobs):
    for changes in WRONG:
        with pytest.raises(Refused):
            await jobs.create(request_of(**changes))
    assert list(await jobs.active()) == []


@pytest.mark.emulator
async def test_every_member_reaches_bedrock_under_its_own_name(aws, monkeypatch):
    """Against a server that keeps what it is sent: the simulator does not show all of it."""
    kept = []

    async def keep(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")
        )
        kept.append((head, json.loads(await reader.readexactly(length))))
        arn = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefghijkl"
        body = json.dumps({"jobArn": arn}).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, reach(aws, monkeypatch, endpoints={"bedrock": url}) as reached:
        await BedrockJobs(reached).create(
            request_of(
                output_kms_key="alias/quarry",
                subnet_ids=("subnet-1",),
                security_group_ids=("sg-1",),
                invocation_type="Converse",
            )
        )
    wanted = request_of()
    ((head, body),) = kept
    assert head.startswith("POST /model-invocation-job ")
    assert "quarry/" in next(line for line in head.split("\r\n") if line.lower().startswith("user-agent"))
    assert body == {
        "jobName": wanted.name,
        "clientRequestToken": wanted.client_token,
        "roleArn": wanted.role_arn,
        "modelId": MODEL,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": wanted.input_uri, "s3InputFormat": "JSONL"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": wanted.output_uri, "s3EncryptionKeyId": "alias/quarry"}},
        "timeoutDurationInHours": 72,
        "tags": [{"key": "team", "value": "research"}],
        "vpcConfig": {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]},
        "modelInvocationType": "Converse",
    }
