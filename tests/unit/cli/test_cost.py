"""`cost`: what runs have cost, by whatever one groups them, and each shard once."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from quarry_core.models.prices import on_demand_price_of, price_of
from quarry_core.planning.spending import MICRO
from tests.world.world import CLAUDE, TITAN

USED = {"input_tokens": 12, "output_tokens": 500}


@pytest.fixture
def spent(quarry):
    """Three runs, of two models: two in batch, one of them tagged; one on demand."""
    world = quarry.world

    def answer(_body: dict, _how: str | None) -> dict:
        said = {"type": "text", "text": "a joke"}
        return {"role": "assistant", "content": [said], "stop_reason": "end_turn", "usage": USED}

    world.bedrock.answerer = answer
    quarry.large = sent(quarry, world.joke(300, max_records_per_job=100, tags={"team": "search"}))
    quarry.other = sent(quarry, world.joke(200, job_name_prefix="others", tags={"team": "ads"}))
    quarry.small = sent(quarry, world.joke(40, job_name_prefix="others"))
    return quarry


def sent(quarry, manifest: dict[str, Any]) -> str:
    run_id = quarry.world.send(manifest)
    quarry.finish(run_id)
    return run_id


def costs(quarry, *words: str) -> dict[str, Any]:
    result = quarry("cost", *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def amounts(found: dict[str, Any]) -> dict[str, float]:
    return {line["name"]: line["dollars"] for line in found["lines"]}


async def shards_say(quarry, run_id: str) -> int:
    return sum([shard.spent_micros async for shard in quarry.world.ledger.shards(run_id)])


def test_each_run_costs_what_its_shards_say_and_batch_stands_apart_from_on_demand(spent):
    found = costs(spent)
    said = {run_id: asyncio.run(shards_say(spent, run_id)) for run_id in (spent.large, spent.other, spent.small)}
    assert amounts(found) == {run_id: micros / MICRO for run_id, micros in said.items()}
    assert found["total"]["dollars"] == pytest.approx(sum(said.values()) / MICRO)
    lines = {line["name"]: line for line in found["lines"]}
    row, small = price_of(CLAUDE).dollars(**USED), lines[spent.small]
    assert lines[spent.large]["batch_dollars"] == pytest.approx(300 * row, abs=2e-6)
    assert (lines[spent.large]["on_demand_dollars"], lines[spent.large]["prefix"]) == (0.0, "jokes")
    dear = on_demand_price_of(CLAUDE, "").dollars(small["input_tokens"], small["output_tokens"])
    assert small["on_demand_dollars"] == pytest.approx(dear, abs=1e-6)
    assert (small["batch_dollars"], small["output_tokens"] > 0) == (0.0, True)
    assert [line["name"] for line in found["lines"]] == [spent.large, spent.other, spent.small], "the dearest first"


def test_whatever_they_are_grouped_by_it_is_the_same_money(spent):
    total = costs(spent)["total"]["dollars"]
    for by in ("model", "prefix", "tag=team", "month"):
        found = costs(spent, "--by", by)
        assert sum(amounts(found).values()) == pytest.approx(total), by
        assert found["total"]["dollars"] == pytest.approx(total), by
    assert amounts(costs(spent, "--by", "prefix")).keys() == {"jokes", "others"}
    assert amounts(costs(spent, "--by", "tag=team")).keys() == {"search", "ads", "(none)"}
    assert amounts(costs(spent, "--by", "model")).keys() == {CLAUDE}
    [month] = costs(spent, "--by", "month")["lines"]
    assert (month["name"], month["runs"]) == ("2026-01", None)
    assert month["on_demand_dollars"] > 0
    shown = " ".join(spent("cost", "--by", "tag=team").stdout.split())
    assert "tag=team" in shown
    assert "total" in shown


def test_of_one_run_each_shard_and_what_is_not_settled_costs_nothing_yet(spent):
    found = costs(spent, spent.large)
    assert found["by"] == "shard"
    assert [(line["name"], line["state"]) for line in found["lines"]] == [
        ("00000", "SETTLED"),
        ("00002", "SETTLED"),
        ("00004", "SETTLED"),
    ]
    assert sum(amounts(found).values()) == pytest.approx(found["total"]["dollars"])
    running = spent.world.send(spent.world.joke(300, max_records_per_job=100, job_name_prefix="running"))
    spent.idle()
    assert {line["dollars"] for line in costs(spent, running)["lines"]} == {None}
    assert costs(spent, running)["total"]["dollars"] == 0.0
    assert "no run 'nobody'" in spent("cost", "nobody").stderr


def test_a_run_belongs_to_the_time_in_which_it_ended(spent):
    spent.world.clock.advance((datetime(2026, 3, 15, tzinfo=UTC) - spent.world.clock.now()).total_seconds())
    late = sent(spent, spent.world.joke(100, job_name_prefix="late"))
    assert amounts(costs(spent)).keys() == {late}
    assert amounts(costs(spent, "--since", "2026-01-01")).keys() == {spent.large, spent.other, spent.small, late}
    assert amounts(costs(spent, "--by", "month", "--since", "2026-02-01")).keys() == {"2026-03"}
    nothing = spent("cost", "--since", "1h", "--by", "model")
    assert nothing.exit_code == 0
    recent = spent("cost", "--by", "month", "--since", "2026-03-14")
    assert "2026-03" in recent.stdout


def test_what_a_retry_carries_over_was_paid_by_the_version_before(spent):
    world = spent.world
    world.bedrock.error_share = 0.5
    first = sent(spent, world.joke(400, max_records_per_job=200, job_name_prefix="again"))
    world.bedrock.error_share = 0.0
    assert spent("retry", first, "--all", "--yes").exit_code == 0
    spent.finish(f"{first}-v2")
    found = amounts(costs(spent, "--since", "1d"))
    for run_id in (first, f"{first}-v2"):
        assert found[run_id] == asyncio.run(shards_say(spent, run_id)) / MICRO > 0
    carried = {line["name"]: line["dollars"] for line in costs(spent, f"{first}-v2")["lines"]}
    assert (carried["00000"], sum(carried.values())) == (0.0, pytest.approx(found[f"{first}-v2"]))


def test_a_model_without_a_price_is_counted_in_tokens_and_told(spent):
    spent.world.bedrock.answerer = None
    unpriced = sent(spent, spent.world.joke(100, model_id="ai21.jamba-1-5-large-v1:0", job_name_prefix="unpriced"))
    line = {each["name"]: each for each in costs(spent)["lines"]}[unpriced]
    assert (line["dollars"], line["runs"]) == (None, 1)
    assert "1 run is of a model without a price" in spent("cost").stderr


def test_a_run_of_an_earlier_release_costs_what_its_tokens_say(spent):
    before = amounts(costs(spent))
    for item in spent.world.table.items.values():
        for name in ("spent_micros", "on_demand_micros"):
            item.pop(name, None)
    after = costs(spent)
    assert amounts(after) == pytest.approx(before, abs=3e-6)
    states = {line["state"] for line in costs(spent, spent.large)["lines"]}
    assert states == {"SETTLED before costs were counted"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--by", "user"), "by: 'user' is not one of run, model, prefix, month or tag=KEY"),
        (("--by", "tag="), "by: 'tag=' is not one of"),
        (("--since", "soon"), "since: 'soon' is neither"),
        (("--since", "2126-01-01"), "is still to come"),
        (("some", "--by", "model"), "give either RUN, or --by and --since"),
    ],
)
def test_what_cannot_be_grouped_is_refused(quarry, words, said):
    result = quarry("cost", *words)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_where_nothing_was_spent_it_says_so(quarry):
    result = quarry("cost")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing was spent since 2025-12-02" in result.stderr


def test_embeddings_have_no_output_and_a_cost_all_the_same(quarry):
    manifest = {
        "s3_uri": quarry.world.csv(100, columns=("input_text",)),
        "job_name_prefix": "vectors",
        "model_id": TITAN,
    }
    run_id = sent(quarry, manifest)
    [line] = costs(quarry)["lines"]
    assert (line["name"], line["output_tokens"]) == (run_id, 0)
    assert line["dollars"] > 0


def test_tags_of_the_environment_are_grouped_by_as_those_of_a_manifest_are(quarry):
    world = quarry.world
    for job_tags in ("team=search", "team=ads,floor=2"):
        world.settings = world.settings.model_copy(update={"job_tags": job_tags})
        world.start()
        sent(quarry, world.joke(100, tags={"project": job_tags[5:8]}))

    assert amounts(costs(quarry, "--by", "tag=team")).keys() == {"search", "ads"}
    assert amounts(costs(quarry, "--by", "tag=floor")).keys() == {"2", "(none)"}
    assert amounts(costs(quarry, "--by", "tag=project")).keys() == {"sea", "ads"}
