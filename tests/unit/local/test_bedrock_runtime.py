"""On-demand calls to the simulated Bedrock: boto3's `bedrock-runtime` over HTTP, on a stepped clock."""

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from hypothesis import given
from hypothesis import strategies as st

from quarry_local.bedrock.api.rates import RATE_TOO_HIGH, TOO_MANY_REQUESTS, TOO_MANY_TOKENS, WINDOW_S, Limits, Rate
from quarry_local.bedrock.errors import ApiError
from quarry_local.bedrock.families.answers import prompt_digest
from tests.unit.local.simulated_bedrock import ACCOUNT, REGION, Bedrock, simulated_bedrock

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
HAIKU_35 = "anthropic.claude-3-5-haiku-20241022-v1:0"
SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
NOVA = "amazon.nova-lite-v1:0"
PROMPT = "Who wrote the letters?"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bedrock]:
    with simulated_bedrock(tmp_path_factory.mktemp("store")) as bedrock:
        yield bedrock


@pytest.fixture
def bedrock(server: Bedrock) -> Bedrock:
    server.calm()
    return server


@pytest.fixture(scope="module")
def runtime(server: Bedrock) -> Any:
    return server.client("bedrock-runtime")


def messages(prompt: str = PROMPT, tokens_max: int = 200) -> dict[str, Any]:
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": tokens_max,
        "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
    }


def conversation(prompt: str = PROMPT) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"text": prompt}]}]}


@dataclass
class Reply:
    answer: Any
    content_type: str
    headers: dict[str, str]


def invoke(runtime: Any, model: str = HAIKU, body: Any = None) -> Reply:
    response = runtime.invoke_model(modelId=model, body=json.dumps(messages() if body is None else body))
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    return Reply(
        json.loads(response["body"].read()),
        response["contentType"],
        {name: value for name, value in headers.items() if name.startswith("x-amzn-bedrock")},
    )


def refusal(call: Any, *arguments: Any, **named: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **named)
    response = caught.value.response
    error = response["Error"]
    return response["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


@pytest.mark.usefixtures("bedrock")
def test_a_call_is_answered_as_a_batch_record_is_and_its_tokens_stand_in_the_headers(runtime):
    reply = invoke(runtime)

    answer = reply.answer
    assert prompt_digest(PROMPT) in answer["content"][0]["text"]
    assert reply.content_type == "application/json"
    assert reply.headers == {
        "x-amzn-bedrock-input-token-count": str(answer["usage"]["input_tokens"]),
        "x-amzn-bedrock-output-token-count": str(answer["usage"]["output_tokens"]),
        "x-amzn-bedrock-invocation-latency": "0",
    }


@pytest.mark.usefixtures("bedrock")
def test_an_embedding_counts_no_tokens_of_output(runtime):
    reply = invoke(runtime, TITAN, {"inputText": PROMPT, "dimensions": 256})

    assert len(reply.answer["embedding"]) == 256
    assert reply.headers == {
        "x-amzn-bedrock-input-token-count": str(reply.answer["inputTextTokenCount"]),
        "x-amzn-bedrock-invocation-latency": "0",
    }


@pytest.mark.parametrize("model", [HAIKU, NOVA, "meta.llama3-1-8b-instruct-v1:0"])
@pytest.mark.usefixtures("bedrock")
def test_every_model_that_chats_converses_in_the_form_of_the_service_model(runtime, model):
    answer = runtime.converse(modelId=model, **conversation())

    shape = botocore.session.Session().get_service_model("bedrock-runtime").operation_model("Converse").output_shape
    assert set(shape.required_members) <= set(answer)
    assert set(shape.members["usage"].required_members) <= set(answer["usage"])
    assert answer["metrics"]["latencyMs"] == 0
    assert answer["stopReason"] == "end_turn"
    assert prompt_digest(PROMPT) in answer["output"]["message"]["content"][0]["text"]


@pytest.mark.usefixtures("bedrock")
def test_an_embedding_model_does_not_converse(runtime):
    assert refusal(runtime.converse, modelId=TITAN, **conversation()) == (
        400,
        "ValidationException",
        "This action doesn't support the model that you provided. Try again with a supported text or chat model.",
    )


@pytest.mark.parametrize(
    "named",
    [
        HAIKU,
        f"us.{HAIKU}",
        f"{HAIKU}:200k",
        f"arn:aws:bedrock:{REGION}::foundation-model/{HAIKU}",
        f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/us.{HAIKU}",
    ],
)
@pytest.mark.usefixtures("bedrock")
def test_every_name_of_a_model_reaches_it(runtime, named):
    assert invoke(runtime, named).answer["model"] == HAIKU.removeprefix("anthropic.")
    assert runtime.converse(modelId=named, **conversation())["stopReason"] == "end_turn"


def test_a_name_with_its_colon_unencoded_reaches_the_model_too(bedrock):
    connection = http.client.HTTPConnection(bedrock.url.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", f"/model/{HAIKU}/invoke", body=json.dumps(messages()))
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("named", [SONNET_4, f"arn:aws:bedrock:{REGION}::foundation-model/{SONNET_4}"])
@pytest.mark.usefixtures("bedrock")
def test_a_model_that_wants_a_profile_refuses_its_plain_id(runtime, named):
    status, code, message = refusal(invoke, runtime, named)

    assert (status, code) == (400, "ValidationException")
    assert message.startswith(
        f"Invocation of model ID {named} with on-demand throughput isn't supported. "
        "Retry your request with the ID or ARN of an inference profile"
    )
    assert refusal(runtime.converse, modelId=named, **conversation())[2] == message
    assert invoke(runtime, f"us.{SONNET_4}").content_type == "application/json"


@pytest.mark.parametrize(
    "named",
    [
        "anthropic.claude-9-haiku",
        f"eu.{HAIKU}",
        f"us.{TITAN}",
        "word",
        f"arn:aws:bedrock:eu-west-1::foundation-model/{HAIKU}",
        f"arn:aws:bedrock:{REGION}:{ACCOUNT}:provisioned-model/abcdefghijkl",
    ],
)
@pytest.mark.usefixtures("bedrock")
def test_a_name_of_no_model_is_refused(runtime, named):
    assert refusal(invoke, runtime, named) == (400, "ValidationException", "The provided model identifier is invalid.")


@pytest.mark.usefixtures("bedrock")
def test_a_model_that_batch_inference_refuses_answers_on_demand(runtime):
    assert invoke(runtime, "us.anthropic.claude-sonnet-5").content_type == "application/json"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"max_tokens": 5, "messages": []}, "anthropic_version: Field required"),
        (messages() | {"modelId": HAIKU}, "modelId: Extra inputs are not permitted"),
    ],
)
@pytest.mark.usefixtures("bedrock")
def test_a_body_that_would_fail_its_record_fails_the_call(runtime, body, message):
    assert refusal(invoke, runtime, HAIKU, body) == (400, "ValidationException", message)


@pytest.mark.usefixtures("bedrock")
def test_a_body_larger_than_the_control_planes_is_taken_up_to_the_limit_of_the_service_model(runtime):
    large = messages("x" * (3 << 20))
    assert int(invoke(runtime, HAIKU, large).headers["x-amzn-bedrock-input-token-count"]) > 700_000
    with pytest.raises(ClientError, match="less than or equal to 25000000"):
        runtime.invoke_model(modelId=HAIKU, body=b" " * 25_000_001)


@pytest.mark.usefixtures("bedrock")
def test_streaming_is_refused_and_not_pretended(runtime):
    calls = (
        (runtime.invoke_model_with_response_stream, {"body": json.dumps(messages())}),
        (runtime.converse_stream, conversation()),
    )
    for call, members in calls:
        assert refusal(call, modelId=HAIKU, **members)[:2] == (400, "ValidationException")


def test_more_requests_than_a_minute_allows_are_throttled_until_it_has_passed(bedrock, runtime):
    bedrock.change(requests_per_minute=3)

    for _ in range(2):
        for _ in range(3):
            invoke(runtime)
        throttled = (429, "ThrottlingException", TOO_MANY_REQUESTS)
        assert refusal(runtime.converse, modelId=HAIKU, **conversation()) == throttled
        bedrock.later(59)
        assert refusal(invoke, runtime) == throttled
        bedrock.later(1)


def test_rates_change_while_the_server_runs(bedrock, runtime):
    bedrock.change(requests_per_minute=1)
    invoke(runtime)
    refusal(invoke, runtime)

    bedrock.change(requests_per_minute=2)

    invoke(runtime)
    refusal(invoke, runtime)


def test_each_model_and_each_profile_has_a_window_and_may_have_a_limit_of_its_own(bedrock, runtime):
    bedrock.change(requests_per_minute=1, requests_per_minute_by_model={HAIKU_35: 2, f"us.{HAIKU}": 0})

    invoke(runtime, HAIKU)
    refusal(invoke, runtime, f"arn:aws:bedrock:{REGION}::foundation-model/{HAIKU}")
    refusal(invoke, runtime, f"us.{HAIKU}")
    invoke(runtime, f"global.{HAIKU}")
    for named in (HAIKU_35, f"us.{HAIKU_35}"):
        invoke(runtime, named)
        invoke(runtime, named)
        refusal(invoke, runtime, named)


def test_a_new_accounts_quota_of_nothing_throttles_the_first_call(bedrock, runtime):
    bedrock.change(requests_per_minute=0)

    assert refusal(invoke, runtime)[2] == TOO_MANY_REQUESTS


def test_who_does_not_back_off_is_reported_in_other_words(bedrock, runtime):
    bedrock.change(requests_per_minute=2)
    invoke(runtime)
    invoke(runtime)

    reported = [refusal(invoke, runtime)[2] for _ in range(4)]

    assert reported == [TOO_MANY_REQUESTS, TOO_MANY_REQUESTS, RATE_TOO_HIGH, RATE_TOO_HIGH]


def test_tokens_are_reserved_as_input_and_the_most_it_may_answer(bedrock, runtime):
    bedrock.change(tokens_per_minute=1_000)

    assert refusal(invoke, runtime, HAIKU, messages(tokens_max=999)) == (429, "ThrottlingException", TOO_MANY_TOKENS)
    invoke(runtime, HAIKU, messages(tokens_max=900))


def test_what_was_reserved_and_not_used_is_free_again_when_the_call_ends(bedrock, runtime):
    bedrock.change(tokens_per_minute=1_000)

    replies = [invoke(runtime, HAIKU, messages(tokens_max=800)) for _ in range(3)]

    used = sum(sum(reply.answer["usage"].values()) for reply in replies)
    assert used < 200


def test_a_call_holds_its_reservation_while_it_lasts(bedrock, runtime):
    before = bedrock.figures().get(HAIKU, {}).get("requests", 0)
    bedrock.change(tokens_per_minute=1_000, invocation_s=30)
    answers: list[Reply] = []
    first = threading.Thread(target=lambda: answers.append(invoke(runtime, HAIKU, messages(tokens_max=800))))
    first.start()
    while bedrock.figures().get(HAIKU, {}).get("requests", 0) == before:
        pass

    assert refusal(invoke, runtime, HAIKU, messages(tokens_max=800))[2] == TOO_MANY_TOKENS

    bedrock.later(30)
    first.join(20)
    assert answers[0].headers["x-amzn-bedrock-invocation-latency"] == "30000"
    bedrock.change(invocation_s=0)
    invoke(runtime, HAIKU, messages(tokens_max=800))


@pytest.mark.parametrize(("model", "burndown"), [(HAIKU, 1), (f"us.{SONNET_4}", 5)])
def test_a_token_of_output_weighs_five_with_newer_models(bedrock, runtime, model, burndown):
    usage = invoke(runtime, model).answer["usage"]
    bedrock.later()
    spent = usage["input_tokens"] + burndown * usage["output_tokens"]
    asked = usage["input_tokens"] + 200
    bedrock.change(tokens_per_minute=spent + asked)
    invoke(runtime, model)
    invoke(runtime, model)

    assert refusal(invoke, runtime, model)[2] == TOO_MANY_TOKENS


def test_a_conversation_without_a_limit_reserves_the_models_maximum(bedrock, runtime):
    bedrock.change(tokens_per_minute=4_096)

    assert refusal(runtime.converse, modelId=HAIKU, **conversation())[2] == TOO_MANY_TOKENS
    runtime.converse(modelId=HAIKU, inferenceConfig={"maxTokens": 100}, **conversation())


def test_a_body_that_is_refused_reserves_nothing(bedrock, runtime):
    bedrock.change(tokens_per_minute=300)

    for _ in range(5):
        refusal(invoke, runtime, HAIKU, {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 200})
    invoke(runtime)


def test_a_model_without_access_is_denied(bedrock, runtime):
    bedrock.change(models_without_access=[HAIKU])

    assert refusal(invoke, runtime, f"us.{HAIKU}") == (
        403,
        "AccessDeniedException",
        "You don't have access to the model with the specified model ID.",
    )
    invoke(runtime, HAIKU_35)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ServiceUnavailableException", 503),
        ("ModelNotReadyException", 429),
        ("ModelTimeoutException", 408),
        ("ModelErrorException", 424),
    ],
)
def test_every_error_of_the_operation_can_be_asked_for(bedrock, runtime, code, status):
    bedrock.change(invocation_faults={code: 1})

    assert refusal(invoke, runtime)[:2] == (status, code)
    with pytest.raises(getattr(runtime.exceptions, code)):
        runtime.converse(modelId=HAIKU, **conversation())


def test_the_figures_tell_what_was_let_through_and_what_was_not(bedrock, runtime):
    bedrock.change(requests_per_minute=2, tokens_per_minute=500)
    model = "ai21.jamba-1-5-mini-v1:0"
    body = {"messages": [{"role": "user", "content": PROMPT}]}
    reply = invoke(runtime, model, body | {"max_tokens": 100})
    refusal(invoke, runtime, model, body | {"max_tokens": 600})
    refusal(invoke, runtime, model, body)

    assert bedrock.figures()[model] == {
        "requests": 2,
        "requests_refused": 1,
        "tokens_refused": 1,
        "input_tokens": reply.answer["usage"]["prompt_tokens"],
        "output_tokens": reply.answer["usage"]["completion_tokens"],
    }


def test_calls_suffer_the_same_faults_as_other_requests(bedrock, runtime):
    bedrock.change(throttled_by_operation={"InvokeModel": 1}, reply_lost_by_operation={"Converse": 1})

    assert refusal(invoke, runtime)[:2] == (429, "ThrottlingException")
    before = bedrock.figures().get(HAIKU, {}).get("requests", 0)
    with pytest.raises(ConnectionClosedError):
        runtime.converse(modelId=HAIKU, **conversation())
    assert bedrock.figures()[HAIKU]["requests"] == before + 1


def test_a_share_of_faults_is_about_that_share(bedrock, runtime):
    bedrock.change(invocation_faults={"ServiceUnavailableException": 0.5})

    failed = 0
    for _ in range(40):
        try:
            invoke(runtime)
        except ClientError:
            failed += 1

    assert 8 <= failed <= 32


def test_counted_tokens_are_those_that_the_call_is_charged_and_cost_nothing(bedrock, runtime):
    bedrock.change(requests_per_minute=0)
    body = json.dumps(messages("Count these words, " * 40))

    by_invoke = runtime.count_tokens(modelId=HAIKU_35, input={"invokeModel": {"body": body}})
    by_converse = runtime.count_tokens(modelId=HAIKU_35, input={"converse": conversation("Count these words, " * 40)})

    bedrock.change(requests_per_minute=5)
    charged = int(invoke(runtime, HAIKU_35, json.loads(body)).headers["x-amzn-bedrock-input-token-count"])
    assert by_invoke["inputTokens"] == by_converse["inputTokens"] == charged


@pytest.mark.parametrize("model", [HAIKU, f"us.{SONNET_4}", "anthropic.claude-opus-5", TITAN, NOVA])
@pytest.mark.usefixtures("bedrock")
def test_not_every_model_counts_tokens_and_none_by_its_profile(runtime, model):
    body = {"invokeModel": {"body": json.dumps(messages())}}

    assert refusal(runtime.count_tokens, modelId=model, input=body) == (
        400,
        "ValidationException",
        "The provided model doesn't support counting tokens.",
    )


@pytest.mark.usefixtures("bedrock")
def test_a_model_that_wants_a_profile_counts_by_its_plain_id(runtime):
    body = {"invokeModel": {"body": json.dumps(messages())}}

    assert runtime.count_tokens(modelId=SONNET_4, input=body)["inputTokens"] > 0


@pytest.mark.parametrize(
    "asked",
    [
        b"",
        b"[]",
        b'{"input": {}}',
        b'{"input": {"invokeModel": {"body": "not base64!"}}}',
        json.dumps({"input": {"invokeModel": {"body": "e30="}, "converse": conversation()}}).encode(),
        b'{"input": {"invokeModel": {"body": "%s"}}}' % base64.b64encode(b'{"max_tokens": 1}'),
    ],
)
def test_a_count_of_nothing_that_is_a_request_is_refused(bedrock, asked):
    connection = http.client.HTTPConnection(bedrock.url.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", f"/model/{HAIKU_35}/count-tokens", body=asked)
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("x-amzn-ErrorType")) == (400, "ValidationException")
        answer.read()
    finally:
        connection.close()


def passes(rate: Rate, limits: Limits, now: float) -> bool:
    try:
        rate.begin(limits, now)
    except ApiError:
        return False
    return True


@given(
    st.lists(st.floats(0, 90), min_size=1, max_size=60),
    st.integers(1, 5),
)
def test_no_sixty_seconds_hold_more_requests_than_the_limit(waits, limit):
    rate, limits = Rate(), Limits(limit, 0)
    now = 0.0
    through: list[float] = []
    for wait in waits:
        now += wait
        recent = [at for at in through if at > now - WINDOW_S]
        assert passes(rate, limits, now) == (len(recent) < limit)
        if len(recent) < limit:
            through.append(now)


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 400), st.integers(0, 400)), max_size=40))
def test_no_reservation_is_let_through_that_does_not_fit_the_window(calls):
    rate, limits = Rate(), Limits(10_000, 1_000)
    now = 0.0
    weights: list[tuple[float, int]] = []
    for wait, reserved, used in calls:
        now += wait
        held = sum(weight for at, weight in weights if at > now - WINDOW_S)
        if held + reserved > 1_000:
            with pytest.raises(ApiError, match=TOO_MANY_TOKENS):
                rate.reserve(limits, reserved, now)
            continue
        entry = rate.reserve(limits, reserved, now)
        rate.settle(entry, input_tokens=0, output_tokens=used, burndown=1, now=now)
        weights.append((now, used))


def test_a_call_that_outlives_the_window_settles_nothing_in_it():
    rate, limits = Rate(), Limits(10, 1_000)
    entry = rate.reserve(limits, 900, now=0.0)
    rate.settle(entry, input_tokens=900, output_tokens=900, burndown=5, now=WINDOW_S)

    rate.reserve(limits, 1_000, now=WINDOW_S)
