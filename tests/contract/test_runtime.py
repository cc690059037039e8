"""The port Runtime, on the fake and on the simulated Bedrock."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest

from quarry_core.aws.client import Aws
from quarry_core.aws.runtime import BedrockRuntime
from quarry_core.errors import Missing, Refused, Throttled, Unknown
from quarry_core.models import CONVERSE, family_of
from quarry_core.ports import RuntimeRequest
from quarry_local.bedrock.server import SimulatedBedrock
from quarry_local.bedrock.settings import Settings
from tests.world.runtime import FakeRuntime

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000 1f15c4890000000d49444154789c63f8ffff3f0005fe02fe"
        "a73581e60000000049454e44ae426082".replace(" ", "")
    )
).decode()


def claude(text="hello there", **changes):
    body = family_of(CLAUDE).body(text, system=None, inference={"max_tokens": 50})
    return RuntimeRequest(CLAUDE, "InvokeModel", json.dumps(body | changes).encode())


def converse(*blocks, **changes):
    body = {
        "messages": [{"role": "user", "content": [{"text": "hello there"}, *blocks]}],
        "inferenceConfig": {"maxTokens": 50},
    }
    return RuntimeRequest(CLAUDE, "Converse", json.dumps(body | changes).encode())


class Fake:
    def __init__(self):
        self.runtime = FakeRuntime()

    def answer_with(self, error):
        self.runtime.fate = lambda request, number: error

    def throttle(self):
        self.answer_with(Throttled("slow down"))

    def break_down(self, fault):
        self.answer_with({"ModelErrorException": Refused("odd", fault)}.get(fault) or Unknown(fault))

    def deny(self):
        self.runtime.denied = True


class Real:
    def __init__(self, reached, simulated):
        self.runtime = BedrockRuntime(reached)
        self._simulated = simulated

    def throttle(self):
        self._simulated.change_settings({"requests_per_minute": 0})

    def break_down(self, fault):
        self._simulated.change_settings({"invocation_faults": {fault: 1.0}})

    def deny(self):
        self._simulated.change_settings({"models_without_access": [CLAUDE]})


@pytest.fixture(params=["fake", "aws"])
async def world(request, tmp_path, monkeypatch):
    if request.param == "fake":
        yield Fake()
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    simulated = SimulatedBedrock(Settings(store=tmp_path, _env_prefix="NOT_SET_"))
    async with (
        simulated as url,
        Aws(region="us-east-1", endpoint_urls={"bedrock-runtime": url}) as reached,
    ):
        yield Real(reached, simulated)


@pytest.fixture
def runtime(world):
    return world.runtime


def read(reader, output):
    return reader.answer(msgspec.json.decode(output, type=reader.output_type))


async def test_invoke_model_is_answered_in_the_familys_own_form(runtime):
    answer = read(family_of(CLAUDE), await runtime.ask(claude()))
    assert answer.text
    assert answer.input_tokens > 0
    assert answer.output_tokens > 0


async def test_an_embedding_is_a_list_of_numbers(runtime):
    body = family_of(TITAN).body("hello", system=None, inference={})
    output = await runtime.ask(RuntimeRequest(TITAN, "InvokeModel", json.dumps(body).encode()))
    assert len(read(family_of(TITAN), output).embedding) == 1024


async def test_converse_is_answered_in_the_form_of_a_jobs_output(runtime):
    output = await runtime.ask(converse())
    assert read(CONVERSE, output).text
    assert not {"ResponseMetadata", "metrics"} & set(json.loads(output))


async def test_bytes_in_a_converse_request_are_base64_as_in_a_jobs_input(runtime):
    output = await runtime.ask(converse({"image": {"format": "png", "source": {"bytes": PIXEL}}}))
    assert read(CONVERSE, output).text


@pytest.mark.parametrize(
    "request_",
    [
        claude(messages=[]),
        RuntimeRequest(CLAUDE, "InvokeModel", b'{"prompt": 1}'),
        RuntimeRequest(CLAUDE, "Converse", b'{"messages": 7}'),
        RuntimeRequest(CLAUDE, "Converse", b"{nothing of the kind"),
        RuntimeRequest(CLAUDE, "Converse", b"[1]"),
    ],
)
async def test_a_request_that_is_none_is_refused_for_itself(runtime, request_):
    with pytest.raises(Refused) as refused:
        await runtime.ask(request_)
    assert not refused.value.denied


async def test_a_model_that_there_is_not_is_refused_or_missing(runtime):
    with pytest.raises((Refused, Missing)):
        await runtime.ask(RuntimeRequest("nobody.model-v1:0", "InvokeModel", b"{}"))


async def test_no_access_is_no_to_every_record(world, runtime):
    world.deny()
    with pytest.raises(Refused) as refused:
        await runtime.ask(claude())
    assert refused.value.denied


async def test_a_rate_that_is_used_up_is_not_now(world, runtime):
    world.throttle()
    with pytest.raises(Throttled):
        await runtime.ask(claude())


@pytest.mark.parametrize("fault", ["ServiceUnavailableException", "ModelTimeoutException"])
async def test_what_breaks_or_takes_too_long_is_unknown(world, runtime, fault):
    world.break_down(fault)
    with pytest.raises(Unknown):
        await runtime.ask(claude())


async def test_what_the_model_stumbles_over_is_refused_with_its_code(world, runtime):
    world.break_down("ModelErrorException")
    with pytest.raises(Refused) as refused:
        await runtime.ask(claude())
    assert refused.value.code == "ModelErrorException"
