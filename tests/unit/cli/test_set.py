"""`set`: a run's admission class and weight, changed while it is open."""

from __future__ import annotations

import asyncio
import json

import pytest

from quarry_cli.errors import BadSetting
from quarry_core.errors import Stale
from tests.unit.flow.acts import CLAUDE_POOL


@pytest.fixture
def run_id(quarry):
    sent = quarry.world.send(quarry.world.joke(1_000, max_records_per_job=100, weight=2))
    quarry.idle()
    return sent


def lane(quarry, run_id):
    return asyncio.run(quarry.world.ledger.lane(CLAUDE_POOL, run_id))


def test_what_is_given_is_set_and_the_rest_stays(quarry, run_id):
    result = quarry("set", run_id, "weight=4")

    assert (result.exit_code, result.stdout) == (0, f"run {run_id}: class normal, as it was; weight 2 -> 4\n")
    assert (lane(quarry, run_id).admission_class, lane(quarry, run_id).weight) == ("normal", 4)

    result = quarry("set", run_id, "class=high")

    assert result.stdout == f"run {run_id}: class normal -> high; weight 4, as it was\n"
    assert (lane(quarry, run_id).admission_class, lane(quarry, run_id).weight) == ("high", 4)
    slots = quarry.status(run_id)["slots"]
    assert (slots["class"], slots["weight"]) == ("high", 4)
    assert "(class high, weight 4)" in quarry("status", run_id).stdout


def test_json_tells_what_is_and_what_was(quarry, run_id):
    result = quarry("set", run_id[:6], "class=low", "weight=100", "--json")

    assert json.loads(result.stdout) == {
        "run_id": run_id,
        "class": "low",
        "weight": 100,
        "class_before": "normal",
        "weight_before": 2,
    }


def test_budgets_that_differ_do_not_read_the_same(quarry, run_id):
    assert quarry("set", run_id, "budget_usd=25.001").stdout == f"run {run_id}: budget none -> $25.00\n"
    assert quarry("set", run_id, "budget_usd=25.002").stdout == f"run {run_id}: budget $25.001 -> $25.002\n"
    assert quarry("set", run_id, "budget_usd=25.002").stdout == f"run {run_id}: budget $25.00, as it was\n"
    audit = json.loads(quarry("audit", run_id, "--json").stdout)["entries"]
    assert "budget $25.001 -> $25.002" in [each["what"] for each in audit]


def test_what_is_so_already_is_no_error_and_no_write(quarry, run_id):
    before = lane(quarry, run_id)

    assert quarry("set", run_id, "class=normal", "weight=2").exit_code == 0
    assert lane(quarry, run_id) == before


def test_before_the_run_is_planned_it_is_kept_for_its_lane(quarry):
    run_id = quarry.world.send(quarry.world.joke(300))
    asyncio.run(quarry.world.consumers[0].run_once())

    assert quarry("set", run_id, "weight=5").exit_code == 0
    assert json.loads(quarry("set", run_id, "class=high", "--json").stdout)["weight_before"] == 5
    quarry.idle()

    assert (lane(quarry, run_id).admission_class, lane(quarry, run_id).weight) == ("high", 5)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["weight=0"], "weight: 0 is not a whole number from 1 to 100"),
        (["weight=101"], "weight: 101 is not"),
        (["weight=much"], "weight: 'much' is not a whole number from 1 to 100"),
        (["weight=-3"], "weight: '-3' is not"),
        (["class=urgent"], "class: 'urgent' is none of high, normal, low"),
        (["size=4"], "size=4: give class=VALUE or weight=VALUE"),
        (["weight"], "weight: give class=VALUE or weight=VALUE"),
        (["weight=2", "weight=3"], "weight: it is given twice"),
    ],
)
def test_what_cannot_be_set_is_named_with_what_can(quarry, run_id, words, reason):
    result = quarry("set", run_id, *words)

    assert result.exit_code == 2
    assert reason in result.stderr
    assert lane(quarry, run_id).weight == 2


def test_a_run_that_is_over_or_does_not_exist_is_told_apart(quarry):
    run_id = quarry.ended()
    over, nobody = quarry("set", run_id, "weight=4"), quarry("set", "nobody", "weight=4")

    assert (over.exit_code, nobody.exit_code) == (1, 1)
    assert "is SUCCEEDED: it takes no more slots" in over.stderr
    assert "there is no run 'nobody'" in nobody.stderr


def test_admissions_in_between_are_met_by_another_try(quarry, run_id, monkeypatch):
    ledgers, refused = type(quarry.world.ledger), []
    apply = ledgers.apply

    async def stale_twice(self, writes):
        if len(refused) < 2:
            refused.append(writes)
            raise Stale("somebody was faster")
        await apply(self, writes)

    monkeypatch.setattr(ledgers, "apply", stale_twice)

    assert quarry("set", run_id, "weight=9").exit_code == 0
    assert lane(quarry, run_id).weight == 9


def test_python_has_the_same_call(quarry, run_id):
    share = quarry.client.set_share(run_id, admission_class="low")

    assert (share.admission_class, share.weight, share.class_before) == ("low", 2, "normal")
    with pytest.raises(BadSetting, match="nothing to set"):
        quarry.client.set_share(run_id)
