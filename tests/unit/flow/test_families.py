"""Each family of models, each way it can be asked, from the manifest to the rows that come back; and a made-up one.

What a model answers, the simulated Bedrock's families say: they refuse what is not of their form. The table in
docs/models.md says of each cell what is tested here, or why it cannot be.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable

import pytest

from quarry_core.contract.names import input_key
from quarry_core.contract.states import RunState
from quarry_core.models import family_of, registry
from quarry_local.bedrock.families.answers import prompt_digest
from quarry_local.bedrock.families.registry import answering
from quarry_local.bedrock.models.catalogue import entries
from quarry_local.bedrock.models.identity import EMBEDDINGS, Model
from tests.world.world import BUCKET, SimulatedWorld

ROWS = 100
# One of each family, of each form that its models have of their own, and of each provider of open weights.
CHAT = [
    "anthropic.claude-3-haiku-20240307-v1:0",
    "amazon.nova-lite-v1:0",
    "meta.llama3-1-8b-instruct-v1:0",
    "mistral.mistral-small-2402-v1:0",
    "mistral.mistral-large-2407-v1:0",
    "openai.gpt-oss-20b-1:0",
    "qwen.qwen3-32b-v1:0",
    "deepseek.v3.2",
    "moonshotai.kimi-k2.5",
    "zai.glm-5",
    "minimax.minimax-m2",
    "google.gemma-3-12b-it",
    "nvidia.nemotron-nano-9b-v2",
    "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "openai.gpt-6-sol",
    "ai21.jamba-1-5-mini-v1:0",
    "cohere.command-r-v1:0",
]
VECTORS = [
    "amazon.titan-embed-text-v2:0",
    "amazon.titan-embed-text-v1",
    "amazon.titan-embed-image-v1:0",
    "amazon.nova-2-multimodal-embeddings-v1:0",
    "cohere.embed-english-v3",
    "cohere.embed-v4:0",
]
NAME = "look_up"
PARAMETERS = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
_FUNCTION = {"type": "function", "function": {"name": NAME, "parameters": PARAMETERS}}
TOOLS: dict[str, dict] = {
    "anthropic": {
        "tools": [{"name": NAME, "input_schema": PARAMETERS}],
        "tool_choice": {"type": "tool", "name": NAME},
    },
    "nova": {
        "toolConfig": {
            "tools": [{"toolSpec": {"name": NAME, "inputSchema": {"json": PARAMETERS}}}],
            "toolChoice": {"tool": {"name": NAME}},
        }
    },
    "openai-chat": {"tools": [_FUNCTION], "tool_choice": {"type": "function", "function": {"name": NAME}}},
    "mistral-chat": {"tools": [_FUNCTION], "tool_choice": "any"},
    "jamba": {"tools": [_FUNCTION], "tool_choice": "required"},
}


def own_form(model: str, text: str) -> dict:
    """What InvokeModel of this model takes."""
    family = entries()[model].family
    match family:
        case "anthropic":
            head = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 200}
            return head | {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}
        case "nova":
            return {"messages": [{"role": "user", "content": [{"text": text}]}]}
        case "llama" | "mistral-text":
            return {"prompt": text}
        case "cohere-command":
            return {"message": text}
        case _ if family in EMBEDDINGS:
            return family_of(model).body(text, system=None, inference={})
        case _:
            return {"messages": [{"role": "user", "content": text}]}


def world_of(model: str) -> SimulatedWorld:
    """A world whose Bedrock answers as the simulated one does."""
    world = SimulatedWorld()
    family = entries()[model].family if model in entries() else "openai-chat"
    said: dict[str, Callable] = {
        invocation: answering(Model(model, "", family, id=model), invocation)
        for invocation in ("InvokeModel", "Converse")
    }

    def answer(body: dict, invocation: str | None) -> dict:
        return json.loads(said[invocation or "InvokeModel"](json.dumps(body).encode()).body)

    world.bedrock.answerer = world.runtime.answerer = answer
    return world


def plant(world: SimulatedWorld, lines: list[dict]) -> str:
    world.objects.plant("inputs/rows.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    return f"s3://{BUCKET}/inputs/rows.jsonl"


async def rows_of(world: SimulatedWorld, model: str, lines: list[dict], **more: object) -> list[dict]:
    manifest = {"job_name_prefix": "table", "model_id": model, "s3_uri": plant(world, lines)} | more
    run_id = world.send(manifest)
    totals = await world.run(run_id)
    assert totals.state is RunState.SUCCEEDED, totals.message
    rows = world.result(run_id).to_pylist()
    assert [row["status"] for row in rows] == ["ok"] * ROWS
    return rows


def answers(rows: list[dict], prompts: list[str]) -> bool:
    """Whether each row has the answer to its own prompt, and nothing of what the model thought before."""
    return all(
        prompt_digest(prompt) in row["response"] and "<reasoning>" not in row["response"]
        for row, prompt in zip(rows, prompts, strict=True)
    )


# --------------------------------------------------------------------------- the table


@pytest.mark.parametrize("model", CHAT)
async def test_every_model_that_chats_is_asked_by_a_prompt(model):
    world = world_of(model)
    prompt = {
        "template": "Say {topic}",
        "system": "Be brief.",
        "inference": {"max_tokens": 200, "stop": ["END"]} | ({} if "gpt-6" in model else {"temperature": 0.5}),
    }

    rows = await rows_of(world, model, [{"topic": f"topic {n}"} for n in range(ROWS)], prompt=prompt)

    assert answers(rows, [f"Be brief.\nSay topic {n}" for n in range(ROWS)])
    assert all(row["input_tokens"] for row in rows)
    expected = None if model.startswith("anthropic.") else "Converse"
    assert {request.invocation_type for request in world.jobs.requests} == {expected}


# What no page that was read shows.
OWN_FORM_NOT_KNOWN = {"openai.gpt-6-sol"}


@pytest.mark.parametrize("model", [model for model in CHAT if model not in OWN_FORM_NOT_KNOWN])
async def test_every_model_that_chats_is_asked_by_invoke_model_in_its_own_form(model):
    world = world_of(model)
    lines = [{"recordId": f"r{n}", "modelInput": own_form(model, f"topic {n}")} for n in range(ROWS)]

    rows = await rows_of(world, model, lines, request_format="bedrock")

    assert answers(rows, [f"topic {n}" for n in range(ROWS)])
    assert {request.invocation_type for request in world.jobs.requests} == {"InvokeModel"}


@pytest.mark.parametrize("model", CHAT)
async def test_every_model_that_chats_is_asked_by_converse_with_openais_requests(model):
    world = world_of(model)
    head = {"method": "POST", "url": "/v1/chat/completions"}
    lines = [
        head | {"custom_id": f"r{n}", "body": {"messages": [{"role": "user", "content": f"topic {n}"}]}}
        for n in range(ROWS)
    ]

    rows = await rows_of(world, model, lines, request_format="openai")

    assert answers(rows, [f"topic {n}" for n in range(ROWS)])
    assert {request.invocation_type for request in world.jobs.requests} == {"Converse"}


CALLERS = [model for model in CHAT if model not in OWN_FORM_NOT_KNOWN and entries()[model].family in TOOLS]


@pytest.mark.parametrize("model", CALLERS)
async def test_calls_of_tools_come_back_as_they_stand_where_the_models_own_form_has_them(model):
    world = world_of(model)
    more = TOOLS[entries()[model].family]
    lines = [{"modelInput": own_form(model, f"topic {n}") | more} for n in range(ROWS)]

    rows = await rows_of(world, model, lines, request_format="bedrock")

    assert all(NAME in json.dumps(json.loads(row["response"])) for row in rows)
    assert {row["stop_reason"] for row in rows} <= {"tool_use", "tool_calls"}


@pytest.mark.parametrize("model", ["amazon.nova-lite-v1:0", "openai.gpt-oss-20b-1:0"])
async def test_tools_by_converse_are_refused_before_anything_is_sent(model):
    world = world_of(model)
    head = {"method": "POST", "url": "/v1/chat/completions"}
    body = {"messages": [{"role": "user", "content": "x"}], "tools": [_FUNCTION]}
    lines = [head | {"custom_id": f"r{n}", "body": body} for n in range(ROWS)]
    manifest = {"job_name_prefix": "table", "model_id": model, "s3_uri": plant(world, lines)}

    totals = await world.run(world.send(manifest))

    assert totals.state is RunState.FAILED
    assert "body.tools: batch inference refuses tools in requests of this form" in totals.message


@pytest.mark.parametrize("model", VECTORS)
@pytest.mark.parametrize("form", ["column", "bedrock"])
async def test_every_model_of_embeddings_makes_a_vector_of_each_row(model, form):
    world = world_of(model)
    texts = [f"text {n}" for n in range(ROWS)]
    if form == "column":
        rows = await rows_of(world, model, [{"input_text": text} for text in texts])
    else:
        rows = await rows_of(
            world, model, [{"modelInput": own_form(model, text)} for text in texts], request_format="bedrock"
        )

    assert len({len(row["embedding"]) for row in rows}) == 1
    assert len({tuple(row["embedding"]) for row in rows}) == ROWS


async def test_what_was_cut_off_is_an_answer_that_says_so_and_what_was_only_thought_is_empty():
    model = "openai.gpt-oss-20b-1:0"
    world = world_of(model)
    lines = [{"modelInput": own_form(model, f"topic {n}") | {"max_tokens": 5 if n % 2 else 400}} for n in range(ROWS)]
    manifest = {"job_name_prefix": "cut", "model_id": model, "s3_uri": plant(world, lines)}
    run_id = world.send(manifest | {"request_format": "bedrock"})

    totals = await world.run(run_id)

    rows = world.result(run_id).to_pylist()
    assert (totals.ok, totals.error) == (ROWS // 2, ROWS // 2)
    assert {(row["error_code"], row["stop_reason"]) for row in rows[1::2]} == {("EMPTY_ANSWER", "length")}
    assert all(row["output_tokens"] for row in rows)


# --------------------------------------------------------------------------- one more

MADE_UP = '''
"""Acme's models, by Converse, with a parameter of their own."""

from quarry_core.models.by_converse import RULES, ByConverse
from quarry_core.models.inference import Number


class Acme(ByConverse):
    name = "acme"
    version = "1"
    rules = {**RULES, "whimsy": Number(0, 11)}

    def more(self, given):
        return {"whimsy": given["whimsy"]} if "whimsy" in given else {}
'''


async def test_a_family_is_one_file_and_its_line(tmp_path, monkeypatch):
    model = "acme.rocket-v1:0"
    (tmp_path / "acme.py").write_text(MADE_UP)
    spec = importlib.util.spec_from_file_location("acme", tmp_path / "acme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "acme", module)
    spec.loader.exec_module(module)

    monkeypatch.setitem(registry.FAMILIES, "acme.rocket", module.Acme())  # its line

    world = SimulatedWorld()
    prompt = {"template": "Say {topic}", "inference": {"whimsy": 11, "max_tokens": 5}}
    lines = [{"topic": f"topic {n}"} for n in range(ROWS)]
    manifest = {"job_name_prefix": "a", "model_id": model, "s3_uri": plant(world, lines)}
    run_id = world.send(manifest | {"prompt": prompt})
    await world.idle()
    sent = json.loads(world.objects.bodies[input_key(run_id, "00000")].splitlines()[0])
    assert sent["modelInput"]["additionalModelRequestFields"] == {"whimsy": 11}
    assert (await world.run(run_id)).state is RunState.SUCCEEDED
    responses = world.result(run_id)["response"].to_pylist()
    assert responses == [f"answer to: Say topic {n}" for n in range(ROWS)]
    (request,) = world.jobs.requests
    assert (request.model_id, request.invocation_type) == (model, "Converse")

    refused = world.send(manifest | {"prompt": prompt | {"inference": {"whimsy": 12}}})
    await world.idle()
    assert (await world.totals(refused)).message == "inference: whimsy must be a number from 0 to 11, not 12"
