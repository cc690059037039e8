"""Section 4.2 and 4.5: which models a job takes, what their bodies are, and where their answers say what they used."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import botocore.session
import pytest

from tests.conformance.world import HAIKU, TITAN, accepted, claude, lines_of, refused

CREATE = "CreateModelInvocationJob"
UNSUPPORTED = "Batch inference is not supported for the requested model"
PROMPT = "Why is stone grey?"
CHAT = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 100}
CONVERSE = {
    "messages": [{"role": "user", "content": [{"text": PROMPT}]}],
    "system": [{"text": "Be short."}],
    "inferenceConfig": {"maxTokens": 100, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
}
NOVA = "amazon.nova-lite-v1:0"
LLAMA = "meta.llama3-3-70b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2407-v1:0"
MISTRAL_TEXT = "mistral.mistral-small-2402-v1:0"


def _converse_answer(output: Any) -> None:
    assert all(block["text"] for block in output["output"]["message"]["content"])
    usage = output["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"] > 0
    assert output["stopReason"]


def _messages_answer(output: Any) -> None:
    assert output["content"][0]["text"]
    assert output["usage"]["input_tokens"] > 0
    assert output["usage"]["output_tokens"] > 0


def _nova_answer(output: Any) -> None:
    assert output["output"]["message"]["content"][0]["text"]
    assert output["usage"]["inputTokens"] > 0
    assert output["usage"]["outputTokens"] > 0


def _llama_answer(output: Any) -> None:
    assert output["generation"]
    assert output["prompt_token_count"] > 0
    assert output["generation_token_count"] > 0


def _chat_answer(output: Any) -> None:
    assert output["choices"][0]["message"]["content"]
    assert output["usage"]["prompt_tokens"] > 0
    assert output["usage"]["completion_tokens"] > 0


def _prompted_answer(output: Any) -> None:
    assert output["outputs"][0]["text"]
    assert "usage" not in output


def _vector(size: int) -> Callable[[Any], None]:
    def check(output: Any) -> None:
        vector = output["embedding"]
        assert len(vector) == size
        assert math.isclose(math.hypot(*vector), 1, rel_tol=1e-4)
        assert output["inputTextTokenCount"] > 0

    return check


@dataclass(frozen=True)
class Family:
    model: str
    body: Any
    answer: Callable[[Any], None]
    invocation: str = "InvokeModel"


FAMILIES = {
    "anthropic": Family(HAIKU, claude(PROMPT, system="Be short.", temperature=0.5), _messages_answer),
    "nova": Family(NOVA, CONVERSE, _nova_answer),
    "nova-older-names": Family(
        NOVA, CONVERSE | {"inferenceConfig": {"max_new_tokens": 100, "top_p": 0.9, "top_k": 5}}, _nova_answer
    ),
    "titan-text-v2": Family(TITAN, {"inputText": PROMPT, "dimensions": 256, "normalize": True}, _vector(256)),
    "titan-multimodal": Family(
        "amazon.titan-embed-image-v1",
        {"inputText": PROMPT, "embeddingConfig": {"outputEmbeddingLength": 384}},
        _vector(384),
    ),
    "llama": Family(LLAMA, {"prompt": PROMPT, "max_gen_len": 100, "temperature": 0.5, "top_p": 0.9}, _llama_answer),
    "mistral-chat": Family(MISTRAL, CHAT, _chat_answer),
    "mistral-text": Family(MISTRAL_TEXT, {"prompt": "<s>[INST]Why?[/INST]", "max_tokens": 100}, _prompted_answer),
    "gpt-oss": Family("openai.gpt-oss-20b-1:0", CHAT, _chat_answer),
    "gpt-oss-other-name": Family(
        "openai.gpt-oss-120b-1:0",
        {"messages": CHAT["messages"], "max_completion_tokens": 100, "temperature": 0.5},
        _chat_answer,
    ),
    "qwen3": Family("qwen.qwen3-32b-v1:0", CHAT, _chat_answer),
    "deepseek": Family("deepseek.v3-v1:0", CHAT, _chat_answer),
    "kimi": Family("moonshotai.kimi-k2.5", CHAT, _chat_answer),
    "converse-anthropic": Family(HAIKU, CONVERSE, _converse_answer, "Converse"),
    "converse-nova": Family(NOVA, CONVERSE, _converse_answer, "Converse"),
    "converse-llama": Family(LLAMA, CONVERSE, _converse_answer, "Converse"),
    "converse-gpt-oss": Family("openai.gpt-oss-20b-1:0", CONVERSE, _converse_answer, "Converse"),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.conforms(
    "C4.2-anthropic",
    "C4.2-converse",
    "C4.2-nova",
    "C4.2-titan-text-v2",
    "C4.2-titan-multimodal",
    "C4.2-llama",
    "C4.2-mistral",
    "C4.2-openai-like",
    "C4.5-supported",
    "C4.1-invoke-body",
    "C1.2-invocation-type",
)
def test_a_familys_own_body_gets_its_own_answer(open_world, name):
    family = FAMILIES[name]
    world = open_world()
    job = world.run(lines_of(family.body), model=family.model, modelInvocationType=family.invocation)
    assert job["status"] == "Completed", job
    for line in world.results(job):
        assert "error" not in line, line
        family.answer(line["modelOutput"])


@pytest.mark.conforms("C4.2-nova-embeddings")
def test_nova_embeds_by_a_task(open_world):
    world = open_world()
    body = {
        "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {
            "embeddingPurpose": "GENERIC_INDEX",
            "embeddingDimension": 256,
            "text": {"truncationMode": "END", "value": PROMPT},
        },
    }
    job = world.run(lines_of(body), model="amazon.nova-2-multimodal-embeddings-v1:0")
    assert job["status"] == "Completed"
    output = world.results(job)[0]["modelOutput"]
    assert len(output["embeddings"][0]["embedding"]) == 256


@pytest.mark.conforms("C4.2-titan-text-v2")
def test_titan_answers_in_three_sizes_and_two_forms(open_world):
    world = open_world()
    bodies: list[dict[str, Any]] = [{"inputText": PROMPT, "dimensions": size} for size in (1024, 512, 256)]
    bodies.append({"inputText": PROMPT, "dimensions": 256, "embeddingTypes": ["float", "binary"]})
    bodies.append({"inputText": PROMPT, "dimensions": 100})
    bodies.append({"inputText": PROMPT})
    lines = [{"recordId": f"{number % 6}-{number}", "modelInput": bodies[number % 6]} for number in range(102)]
    results = {line["recordId"][0]: line for line in world.results(world.run(lines, model=TITAN))}
    assert [len(results[each]["modelOutput"]["embedding"]) for each in "0125"] == [1024, 512, 256, 1024]
    by_type = results["3"]["modelOutput"]["embeddingsByType"]
    assert {kind: len(vector) for kind, vector in by_type.items()} == {"float": 256, "binary": 256}
    assert set(by_type["binary"]) <= {0, 1}
    assert results["4"]["error"]["errorCode"] == 400


@pytest.mark.parametrize(
    ("model", "body", "invocation"),
    [
        (HAIKU, CHAT, "InvokeModel"),
        (HAIKU, claude(PROMPT), "Converse"),
        (TITAN, {"text": PROMPT}, "InvokeModel"),
        (LLAMA, {"parameters": {"max_new_tokens": 5}, "messages": []}, "InvokeModel"),
        (NOVA, {"prompt": PROMPT}, "InvokeModel"),
    ],
)
@pytest.mark.conforms(
    "C4.1-invoke-body", "C4.2-anthropic", "C4.2-converse", "C2-validating-not-bodies", "C2-errors-complete"
)
def test_a_body_of_another_family_fails_every_record_and_not_the_job(open_world, model, body, invocation):
    world = open_world()
    job = world.run(lines_of(body), model=model, modelInvocationType=invocation)
    assert (job["status"], job["errorRecordCount"]) == ("Completed", 100)
    assert all(line["error"]["errorCode"] == 400 for line in world.results(job))


@pytest.mark.parametrize(
    "model",
    [
        "anthropic.claude-3-5-sonnet-20241022-v2:0",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "us.anthropic.claude-opus-5",
        "us.anthropic.claude-sonnet-4-6",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "amazon.nova-micro-v1:0",
        "us.amazon.nova-pro-v1:0",
        "us.meta.llama3-1-8b-instruct-v1:0",
        "us.meta.llama4-scout-17b-instruct-v1:0",
        "mistral.mistral-small-2402-v1:0",
        "openai.gpt-oss-120b-1:0",
        "qwen.qwen3-235b-a22b-2507-v1:0",
        "deepseek.v3.2",
        "moonshotai.kimi-k2.5",
        TITAN,
        "amazon.titan-embed-image-v1",
    ],
)
@pytest.mark.conforms("C4.5-supported", "C1.6-accepted", "C5-profiles")
def test_models_with_a_batch_quota_are_taken(world, model):
    accepted(world.send(CREATE, world.request(model=model)), CREATE)


@pytest.mark.parametrize(
    "model",
    [
        "amazon.titan-embed-text-v1",
        "cohere.embed-english-v3",
        "cohere.embed-multilingual-v3",
        "cohere.embed-v4:0",
        "cohere.command-r-v1:0",
        "cohere.command-r-plus-v1:0",
        "ai21.jamba-1-5-large-v1:0",
        "ai21.jamba-1-5-mini-v1:0",
    ],
)
@pytest.mark.conforms("C4.2-titan-g1-text", "C4.2-cohere-embed", "C4.2-cohere-command", "C4.2-ai21")
def test_models_without_a_batch_quota_are_refused(world, model):
    assert refused(world.send(CREATE, world.request(model=model)), CREATE, "ValidationException") == UNSUPPORTED


@pytest.mark.parametrize(
    "model",
    [
        "anthropic.claude-sonnet-5",
        "us.anthropic.claude-sonnet-5",
        "global.anthropic.claude-sonnet-5",
        "global.anthropic.claude-fable-5-1",
        "us.anthropic.claude-opus-4-7",
        "us.anthropic.claude-opus-4-8",
    ],
)
@pytest.mark.conforms("C4.5-refused-live", "C1.6-no-proof")
def test_models_that_were_refused_live_are_refused_with_the_same_words(world, model):
    assert refused(world.send(CREATE, world.request(model=model)), CREATE, "ValidationException") == UNSUPPORTED


@pytest.mark.conforms("C4.5-unverified")
def test_models_of_which_a_price_alone_is_known_are_taken_and_graded(world):
    graded = world.page("/_quarry/models")
    for model in ("minimax.minimax-m2", "zai.glm-4.7", "nvidia.nemotron-nano-9b-v2", "google.gemma-3-27b-it"):
        assert graded[model] == {"batch": "unverified"}
        accepted(world.send(CREATE, world.request(model=model)), CREATE)
    assert graded[HAIKU] == {"batch": "yes"}


@pytest.mark.conforms("C4.5-unknown")
def test_a_model_that_the_catalogue_does_not_know_is_refused_in_other_words(world):
    said = refused(world.send(CREATE, world.request(model="acme.next-v1:0")), CREATE, "ValidationException")
    assert said.startswith("The provided model identifier is invalid.")
    assert "catalogue" in said


@pytest.mark.conforms("C12-stop-reasons")
def test_an_answer_may_stop_for_the_newer_reasons(open_world):
    known = botocore.session.Session().get_service_model("bedrock-runtime").shape_for("StopReason").enum
    for reason in ("model_context_window_exceeded", "malformed_model_output", "malformed_tool_use"):
        assert reason in known
        world = open_world(record_stop_reasons={reason: 1.0})
        job = world.run(lines_of(FAMILIES["converse-anthropic"].body), modelInvocationType="Converse")
        assert {line["modelOutput"]["stopReason"] for line in world.results(job)} == {reason}
        assert job["successRecordCount"] == 100


@pytest.mark.conforms("C12-claude-sampling", "C12-claude-limits")
def test_what_newer_claude_refuses_fails_record_by_record(open_world):
    world = open_world()
    sonnet = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    wrong = [
        claude("Why?", temperature=0.5, top_p=0.9),
        claude("Why?", max_tokens=64_001),
        claude("Why?", max_tokens=2_000, thinking={"type": "enabled", "budget_tokens": 2_000}),
    ]
    lines = [line for body in wrong for line in lines_of(body, 1)] + lines_of(claude("Why?", temperature=0.5), 97)
    job = world.run(lines, model=sonnet)
    assert (job["status"], job["successRecordCount"], job["errorRecordCount"]) == ("Completed", 97, 3)
    assert world.run(lines, model=HAIKU)["errorRecordCount"] == 2


@pytest.mark.conforms("C12-claude-no-sampling")
def test_the_newest_claude_takes_no_sampling_parameter(open_world):
    world = open_world()
    lines = [*lines_of(claude("Why?", temperature=0.5), 50), *lines_of(claude("Why?"), 50)]
    job = world.run(lines, model="us.anthropic.claude-opus-5")
    assert (job["successRecordCount"], job["errorRecordCount"]) == (50, 50)


@pytest.mark.conforms("C12-gpt-oss-reasoning")
def test_gpt_oss_thinks_aloud_within_its_limit(open_world):
    world = open_world()
    body = {"messages": [{"role": "user", "content": "Why?"}], "max_completion_tokens": 10}
    job = world.run(
        [*lines_of(body, 50), *lines_of({"messages": body["messages"]}, 50)], model="openai.gpt-oss-20b-1:0"
    )
    choices = [line["modelOutput"]["choices"][0] for line in world.results(job)]
    assert all(choice["message"]["content"].startswith("<reasoning>") for choice in choices)
    assert sorted(choice["finish_reason"] for choice in choices) == ["length"] * 50 + ["stop"] * 50


@pytest.mark.conforms("C4.5-per-region")
def test_a_model_of_another_region_is_refused(world):
    elsewhere = f"arn:aws:bedrock:eu-west-1::foundation-model/{HAIKU}"
    refused(world.send(CREATE, world.request(model=elsewhere)), CREATE, "ValidationException")
