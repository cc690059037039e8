"""`quarry estimate`: what a call would cost, near enough to what it then costs, and with nothing sent."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_cli.client.local_stack import NAMING
from quarry_cli.client.submission.estimating import nowhere
from quarry_cli.main import app
from quarry_core.clock import SystemClock
from quarry_core.errors import Refused
from tests.unit.cli.runner import runner
from tests.unit.cli.test_run import PROMPT, services, topics
from tests.world.world import TITAN

ROWS = 150
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "nobody", "minds"]


def near(reported, actual, share=0.15):
    return actual == pytest.approx(reported, rel=share)


def text(row: int, words: int) -> str:
    return " ".join(WORDS[(row * 7 + n) % len(WORDS)] for n in range(words))


# Of each: what an earlier run of the same prompt had, what is to be estimated, and how it is asked.
SHAPES = {
    "short texts": (
        [{"topic": text(row, 4)} for row in range(ROWS)],
        [{"topic": text(row, 6)} for row in range(2 * ROWS)],
        ["--prompt", PROMPT],
    ),
    "long texts": (
        [{"topic": text(row, 150)} for row in range(ROWS)],
        [{"topic": text(row, 250)} for row in range(ROWS)],
        ["--prompt", "Shorten: {topic}"],
    ),
    "rows of very different length": (
        [{"topic": text(row, 1 + row % 90)} for row in range(ROWS)],
        [{"topic": text(row, 1 + row * 31 % 120)} for row in range(2 * ROWS)],
        ["--prompt", PROMPT],
    ),
    "a long system prompt": (
        [{"topic": text(row, 5)} for row in range(ROWS)],
        [{"topic": text(row, 5)} for row in range(3 * ROWS)],
        ["--prompt", PROMPT, "--system", text(1, 120)],
    ),
    "several columns, some without a value": (
        [{"topic": text(row, 5), "mood": "dry"} for row in range(ROWS)],
        [{"topic": None if row % 10 == 0 else text(row, 8), "mood": "warm"} for row in range(2 * ROWS)],
        ["--prompt", "A {mood} joke about {topic}"],
    ),
    "another alphabet": (
        [{"topic": f"шутка номер {row} про кота" * 3} for row in range(ROWS)],
        [{"topic": f"шутка номер {row} про кота" * 5} for row in range(ROWS)],
        ["--prompt", PROMPT],
    ),
}


def parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


@pytest.fixture
def estimator(quarry, monkeypatch):
    quarry.connections |= {"region": "us-east-1"}
    monkeypatch.setenv("QUARRY_JOB_QUOTA", "3")
    return quarry


def estimated(quarry, *args):
    result = quarry("estimate", *args, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("shape", SHAPES)
def test_after_one_run_the_estimate_of_another_is_within_15_percent(estimator, tmp_path, shape):
    before, rows, how = SHAPES[shape]
    first = services(estimator)(
        "run", parquet(tmp_path / "a.parquet", before), "-m", "haiku-3", *how, "--head", "0", "--yes"
    )
    assert first.exit_code in (0, 3), first.stderr
    data = parquet(tmp_path / "b.parquet", rows)

    costs = estimated(estimator, data, "-m", "haiku-3", *how)["costs"]
    actual = json.loads(services(estimator)("run", data, "-m", "haiku-3", *how, "--json", "--yes").stdout)["spent"]

    assert (costs["input_from"], costs["output_from"]) == ("history", "history")
    assert near(costs["input_tokens"]["likely"], actual["input_tokens"])
    assert near(costs["output_tokens"]["likely"], actual["output_tokens"])
    batch = next(way for way in costs["ways"] if way["name"] == "batch")
    assert near(batch["dollars"]["likely"], actual["dollars"])
    assert batch["dollars"]["low"] <= actual["dollars"] <= batch["dollars"]["high"]


def test_nothing_is_uploaded_sent_or_written(estimator, tmp_path):
    objects, items = dict(estimator.world.objects.bodies), dict(estimator.world.table.items)

    found = estimated(estimator, topics(tmp_path / "jokes.csv"), "-m", "haiku-3", "--prompt", PROMPT)

    assert found["estimate"]["rows_planned"] == 120
    assert (dict(estimator.world.objects.bodies), dict(estimator.world.table.items)) == (objects, items)
    assert not estimator.world.queues["manifests"].bodies


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_files_are_counted_where_they_are_as_if_they_had_been_uploaded(estimator, tmp_path, ending):
    rows = [{"topic": text(row, 5)} for row in range(ROWS)]
    path = tmp_path / f"data.{ending}"
    if ending == "parquet":
        parquet(path, rows)
    elif ending == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        path.write_text("\n".join(["topic", *(row["topic"] for row in rows)]) + "\n")

    found = estimated(estimator, str(path), "-m", "haiku-3", "--prompt", PROMPT)
    services(estimator)("run", str(path), "-m", "haiku-3", "--prompt", PROMPT, "--yes")
    run = estimator.client.runs()[0]

    plan = estimator.client.status(run.run_id).estimate
    same = ("rows_planned", "shards", "input_tokens", "input_bytes")
    assert [found["estimate"][name] for name in same] == [plan[name] for name in same]


def test_a_manifest_is_estimated_too_and_people_see_ranges(estimator, tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(estimator.world.joke(300)))

    result = estimator("estimate", str(path), "--answer-tokens", "7")

    assert result.exit_code == 0, result.stderr
    for part in (
        "tokens in",
        "by another model's tokenizer",
        "tokens out",
        "as you say",
        "batch",
        "this run",
        "on demand",
    ):
        assert part in result.stdout
    assert "prices of 20" in result.stdout


def test_embeddings_cost_their_input_alone(estimator, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("input_text\n" + "a text to embed\n" * 120)

    costs = estimated(estimator, str(path), "-m", TITAN)["costs"]

    assert costs["output_tokens"]["high"] == 0
    assert [way["name"] for way in costs["ways"]] == ["batch", "on_demand"]


def test_a_sample_that_bedrock_counts_corrects_the_estimate(estimator, tmp_path):
    asked = []

    async def ask(service, operation, parameters):
        if operation != "count_tokens":
            raise Refused("not here")
        asked.append(parameters)
        return {"inputTokens": 40}

    estimator.connections |= {"ask": ask}
    data = topics(tmp_path / "jokes.csv")

    costs = estimated(estimator, data, "-m", "haiku-3", "--prompt", PROMPT, "--count-tokens", "10")["costs"]

    assert costs["input_from"] == "count_tokens"
    assert near(costs["input_tokens"]["likely"], 40 * 120)
    assert len(asked) == 10
    assert asked[0]["modelId"] == "anthropic.claude-3-haiku-20240307-v1:0"
    assert json.loads(asked[0]["input"]["invokeModel"]["body"])["messages"]


def test_where_bedrock_does_not_count_the_remedy_is_named(estimator, tmp_path):
    async def ask(service, operation, parameters):
        raise Refused("AccessDenied")

    estimator.connections |= {"ask": ask}

    result = estimator(
        *("estimate", topics(tmp_path / "a.csv"), "-m", "haiku-3", "--prompt", PROMPT, "--count-tokens", "5")
    )

    assert result.exit_code == 5
    assert "leave --count-tokens out" in result.stderr


def test_without_an_environment_it_works_without_history(tmp_path, monkeypatch):
    for name in NAMING:
        monkeypatch.delenv(name, raising=False)
    data = topics(tmp_path / "jokes.csv")
    args = ["estimate", data, "-m", "haiku", "--prompt", PROMPT]

    result = runner().invoke(app, args, env={"COLUMNS": "200", "AWS_REGION": "eu-central-1"})
    counted = runner().invoke(app, [*args, "--count-tokens", "5"])

    assert result.exit_code == 0, result.output
    assert "no environment is given: there is no history" in result.stderr
    assert "eu.anthropic.claude-haiku-4-5-20251001-v1:0 (haiku)" in result.stdout
    assert counted.exit_code == 5
    assert "leave it out, or name one" in counted.stderr


async def test_nowhere_nothing_stands_and_nothing_can_be_sent():
    async with nowhere() as connections:
        assert await connections.ledger.run("a") is None
        with pytest.raises(Exception, match="no environment is given"):
            connections.queue()


def test_data_needs_a_model(estimator, tmp_path):
    result = estimator("estimate", topics(tmp_path / "a.csv"))

    assert result.exit_code == 2
    assert "--model" in result.stderr


# --------------------------------------------------------------------------- prices


class Later(SystemClock):
    """A year after the table."""

    def now(self):
        return super().now().replace(year=2099)


def test_prices_have_their_day_their_sources_and_their_age():
    result = runner().invoke(app, ["prices", "claude-3-haiku"], env={"COLUMNS": "200"})

    assert result.exit_code == 0
    assert "anthropic.claude-3-haiku-20240307-v1:0" in result.stdout
    assert "[3]" in result.stdout
    assert "the prices are of 20" in result.stdout


def test_check_fails_once_the_table_is_old(monkeypatch):
    monkeypatch.setattr("quarry_cli.commands.prices.SystemClock", Later)

    result = runner().invoke(app, ["prices", "--check"])
    as_json = json.loads(runner().invoke(app, ["prices", "--check", "--json"]).stdout)

    assert result.exit_code == 1
    assert "they may have changed since" in result.stdout
    assert as_json["old"] is True
    assert as_json["age_days"] > 20_000
