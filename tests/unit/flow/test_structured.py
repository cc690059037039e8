"""Runs with an output schema: asked by each way, answered by the simulated models, read back as columns."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.names import part_key
from quarry_core.contract.states import RunState
from quarry_core.ports import ObjectRef
from quarry_local.bedrock.families.registry import answering
from quarry_local.bedrock.faults.spoiled import broken_json, wrong_type
from quarry_local.bedrock.models.identity import resolve
from tests.world.world import SimulatedWorld

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
QWEN = "qwen.qwen3-32b-v1:0"
GPT_OSS = "openai.gpt-oss-20b-1:0"
NOVA = "amazon.nova-lite-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
SCHEMA = {
    "type": "object",
    "$defs": {
        "Place": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 200}, "zip": {"type": ["string", "null"]}},
            "required": ["city", "zip"],
        }
    },
    "properties": {
        "kind": {"type": "string", "enum": ["joke", "pun", "none"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1_000},
        "count": {"type": "integer", "minimum": 0},
        "on": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "place": {"$ref": "#/$defs/Place"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["kind", "score", "count", "on", "at", "tags", "place", "note"],
}
COLUMNS = pa.schema(
    [
        ("kind", pa.string()),
        ("score", pa.float64()),
        ("count", pa.int64()),
        ("on", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
        ("tags", pa.list_(pa.field("element", pa.string()))),
        ("place", pa.struct([("city", pa.string()), ("zip", pa.string())])),
        ("note", pa.string()),
    ]
)
OURS = [
    "response",
    "record_id",
    "status",
    "error_code",
    "error_message",
    "stop_reason",
    "input_tokens",
    "output_tokens",
]


def simulated(model_id: str, spoil: Callable[[dict, bytes], bytes] = lambda _body, said: said):
    """The simulated model's answers."""
    model = resolve(model_id, region="us-east-1", account="123456789012")

    def answer(body: dict, invocation_type: str | None) -> dict:
        said = answering(model, invocation_type or "InvokeModel")(json.dumps(body).encode()).body
        return json.loads(spoil(body, said))

    return answer


def manifest(world: SimulatedWorld, rows: int, model_id: str = SONNET, **more) -> dict:
    prompt = {"prompt_id": None, "prompt": "About {topic}:", "inference": {"max_tokens": 2_000}}
    return {
        **world.joke(rows=rows, max_records_per_job=100),
        "model_id": model_id,
        **prompt,
        "output_schema": SCHEMA,
        **more,
    }


def parts(world: SimulatedWorld, run_id: str) -> list[pa.Table]:
    return [
        pq.read_table(io.BytesIO(world.objects.read(ObjectRef(part_key(run_id, f"{number:05d}")))))
        for number in range(0, 1_000, 2)
        if any(info.key == part_key(run_id, f"{number:05d}") for info in world.objects.list(f"results/{run_id}/"))
    ]


@pytest.mark.parametrize(
    ("model_id", "mode", "member"),
    [
        (SONNET, None, "output_config"),
        (SONNET, "tool", "tools"),
        (SONNET, "instruction", None),
        (HAIKU_3, None, "tools"),
        (HAIKU_3, "instruction", None),
        (QWEN, None, "outputConfig"),
        (GPT_OSS, None, "outputConfig"),
        (GPT_OSS, "instruction", None),
        (NOVA, None, "toolConfig"),
        (NOVA, "instruction", None),
        (LLAMA, None, None),
    ],
)
async def test_the_same_schema_makes_the_same_columns_by_each_way(model_id, mode, member):
    world = SimulatedWorld()
    seen = []
    said = simulated(model_id)
    world.bedrock.answerer = lambda body, kind: (seen.append(body), said(body, kind))[1]
    run_id = world.send(manifest(world, 200, model_id, **({"output_mode": mode} if mode else {})))

    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED, totals
    found = parts(world, run_id)
    assert len(found) == 2
    for part in found:
        assert part.schema.names == ["topic", *COLUMNS.names, *OURS]
        assert pa.schema([part.schema.field(name) for name in COLUMNS.names]).equals(COLUMNS)
        assert part.schema.equals(found[0].schema)
        assert part["response"].null_count == part.num_rows
    row = found[0].to_pylist()[7]
    assert (row["kind"] in {"joke", "pun", "none"}, row["status"], row["topic"]) == (True, "ok", "topic number 7")
    assert (row["on"], row["at"]) == (date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC))
    assert row["place"]["city"].startswith("simulated [")
    extra = seen[0].keys() - {"anthropic_version", "max_tokens", "messages", "inferenceConfig"}
    assert extra == ({member} if member != "tools" else {"tools", "tool_choice"}) - {None}


@pytest.mark.parametrize(("model_id", "mode"), [(SONNET, "native"), (HAIKU_3, "tool"), (SONNET, "instruction")])
async def test_what_does_not_fit_becomes_an_error_row_with_its_text_and_the_columns_stay(model_id, mode):
    """A tenth of broken JSON and a twentieth of wrong types."""
    world = SimulatedWorld()
    broken, wrong = set(), set()

    def spoil(body: dict, said: bytes) -> bytes:
        row = int(body["messages"][0]["content"][0]["text"].partition("number ")[2].partition(":")[0])
        if row % 10 == 3:
            broken.add(row)
            return broken_json(said)
        if row % 20 == 4:
            wrong.add(row)
            return wrong_type(said)
        return said

    world.bedrock.answerer = simulated(model_id, spoil)
    run_id = world.send(manifest(world, 200, model_id, output_mode=mode))

    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED_WITH_ERRORS
    found = parts(world, run_id)
    for part in found:
        assert pa.schema([part.schema.field(name) for name in COLUMNS.names]).equals(COLUMNS)
    rows = pa.concat_tables(found).to_pylist()
    assert (len(broken), len(wrong)) == (20, 10)
    for number, row in enumerate(rows):
        if number in broken | wrong:
            assert (row["status"], row["error_code"]) == ("error", "INVALID_OUTPUT")
            assert [row[name] for name in COLUMNS.names] == [None] * len(COLUMNS)
            assert row["response"]
            assert row["output_tokens"] > 0
            assert row["stop_reason"] in {"end_turn", "tool_use"}
        else:
            assert (row["status"], row["error_code"], row["response"]) == ("ok", None, None)
            assert row["score"] is not None
    if mode != "instruction":  # where chatter stands around the JSON, what is spoiled is not JSON as a whole
        assert all(rows[number]["error_message"].startswith("/kind: ") for number in wrong)
    assert totals.errors == {"INVALID_OUTPUT": 30}
    assert totals.error == 30


async def test_a_run_without_one_good_answer_has_the_same_columns():
    world = SimulatedWorld()
    world.bedrock.answerer = simulated(SONNET, lambda _body, said: broken_json(said))
    run_id = world.send(manifest(world, 100, SONNET))

    totals = await world.run(run_id)

    assert (totals.state, totals.error) == (RunState.FAILED, 100)
    (part,) = parts(world, run_id)
    assert pa.schema([part.schema.field(name) for name in COLUMNS.names]).equals(COLUMNS)


async def test_a_prefix_goes_before_the_properties_too_and_a_name_of_the_source_needs_one():
    world = SimulatedWorld()
    world.bedrock.answerer = simulated(SONNET)
    short = ["topic: string", "good: boolean?"]
    refused = world.send(manifest(world, 100, SONNET, output_schema=short))
    totals = await world.run(refused)
    assert totals.state is RunState.FAILED
    assert (
        "output_schema: its properties become columns of the result, and the source has columns named 'topic' already: rename"
        " them in the schema, for example to 'answer_topic', or set result_prefix to 'quarry_' in the manifest"
    ) in totals.message

    run_id = world.send(manifest(world, 100, SONNET, output_schema=short, result_prefix="q_"))
    assert (await world.run(run_id)).state is RunState.SUCCEEDED
    (part,) = parts(world, run_id)
    assert part.schema.names[:4] == ["topic", "q_topic", "q_good", "q_response"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"output_schema": {"type": "object", "properties": {"a": {"pattern": "("}}}},
            "output_schema: properties/a: a value of any",
        ),
        (
            {"output_schema": {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}},
            'output_schema: properties/a/pattern: "(" is not a "regex": correct it',
        ),
        ({"output_mode": "native", "model_id": HAIKU_3}, "cannot be asked by 'native' in a batch"),
        ({"output_mode": "tool", "output_schema": None}, "output_mode: it says how output_schema is asked for"),
        ({"output_mode": "json"}, "output_mode: must be 'native', 'tool' or 'instruction'"),
        ({"output_schema": ["status: string"]}, "properties/status: the result has a column of its own named 'status'"),
        (
            {
                "output_mode": "tool",
                "inference": {"max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}},
            },
            "a forced tool and thinking exclude each other",
        ),
    ],
)
async def test_what_cannot_be_asked_is_refused_on_arrival(more, said):
    world = SimulatedWorld()
    totals = await world.run(world.send(manifest(world, 100, **more)))
    assert totals.state is RunState.FAILED
    assert said in totals.message
    assert not world.jobs.all


def test_the_simulated_answers_can_be_spoiled():
    said = msgspec.json.encode({"content": [{"type": "text", "text": '{"a": 1, "b": 2}'}], "stop_reason": "end_turn"})
    assert json.loads(broken_json(said))["content"][0]["text"] == '{"a": 1, "'
    assert json.loads(json.loads(wrong_type(said))["content"][0]["text"]) == {"a": [[1]], "b": 2}
