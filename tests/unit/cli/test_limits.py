"""`limits`: what bounds each pool, and changing it by hand."""

from __future__ import annotations

import asyncio
import json

import pytest

from quarry_core.errors import Refused, Stale
from tests.unit.flow.acts import CLAUDE_POOL
from tests.world.world import CLAUDE

ADA = "arn:aws:sts::123456789012:assumed-role/operators/ada"


@pytest.fixture
def busy(quarry):
    """A run that holds its slots; and the command knows region and caller."""

    async def ask(service, operation, parameters):
        assert (service, operation) == ("sts", "get_caller_identity")
        return {"Arn": ADA}

    quarry.connections |= {"region": "us-east-1", "ask": ask}
    quarry.world.send(quarry.world.joke(1_000, max_records_per_job=100))
    quarry.idle()
    return quarry


def sweep(quarry):
    asyncio.run(quarry.world.scheduler.sweeper.sweep())


def active(quarry):
    return len(quarry.world.bedrock.active)


def test_the_limit_and_what_it_was_made_from_are_shown(busy):
    result = busy("limits")

    assert result.exit_code == 0
    assert CLAUDE_POOL in result.stdout
    [reported] = json.loads(busy("limits", "--json").stdout)["pools"]
    assert reported == {
        "pool": CLAUDE_POOL,
        "limit": 3,
        "in_use": 3,
        "configured": 3,
        "service_quota": None,
        "foreign": 0,
        "siblings": 0,
        "learned": None,
        "set_to": None,
        "set_by": None,
        "set_at": None,
    }


def test_a_larger_limit_works_at_the_next_tick_and_stays_over_sweeps(busy):
    assert busy("limits", CLAUDE, "--set", "5", "--reason", "the quota was raised").exit_code == 0

    sweep(busy)

    assert active(busy) == 5
    [reported] = json.loads(busy("limits", CLAUDE, "--json").stdout)["pools"]
    assert (reported["limit"], reported["set_to"], reported["set_by"]) == (5, 5, ADA)
    assert "5, by hand" in busy("limits").stdout


def test_zero_admits_nothing_and_stops_nothing(busy):
    busy("limits", CLAUDE, "--set", "0")
    sweep(busy)
    assert active(busy) == 3

    busy.world.bedrock.end_all()
    busy.idle()
    sweep(busy)

    assert active(busy) == 0
    busy("limits", CLAUDE, "--clear")
    sweep(busy)  # writes QUARRY_JOB_QUOTA down again, and ticks
    assert active(busy) == 3


def test_who_changed_what_when_and_why_is_kept_the_newest_first(busy):
    busy("limits", CLAUDE, "--set", "5", "--reason", "the quota\nwas raised")
    busy.world.clock.advance(60)
    busy("limits", CLAUDE, "--set", "5")  # as it is: no change
    busy("limits", CLAUDE, "--clear")

    changes = json.loads(busy("limits", CLAUDE, "--json").stdout)["changes"]

    assert [(each["before"], each["after"], each["by"]) for each in changes] == [(5, None, ADA), (None, 5, ADA)]
    assert changes[1]["reason"] == "the quota was raised"
    assert changes[0]["at"] > changes[1]["at"]
    shown = busy("limits", CLAUDE).stdout
    assert f"QUARRY_JOB_QUOTA -> 5  by {ADA}: the quota was raised" in shown


def test_a_pool_that_does_not_stand_yet_can_be_set_before_its_first_run(quarry):
    quarry.connections |= {"region": "us-east-1"}
    assert quarry("limits", f"us.{CLAUDE}", "--set", "1").exit_code == 0

    quarry.world.send(quarry.world.joke(1_000, max_records_per_job=100))
    quarry.idle()
    sweep(quarry)

    assert active(quarry) == 1


def test_what_an_operator_has_set_outlives_the_pools_last_run(busy):
    busy("limits", CLAUDE, "--set", "2")
    for open_run in asyncio.run(busy.world.ledger.open_runs()):
        busy.finish(open_run.run_id)
    for _ in range(3):
        busy.world.clock.advance(3_700)
        sweep(busy)

    [reported] = json.loads(busy("limits", "--json").stdout)["pools"]
    assert (reported["set_to"], reported["limit"]) == (2, 2)


def test_without_a_caller_identity_who_is_logged_in_is_kept(busy, monkeypatch):
    async def denied(*_):
        raise Refused("sts:GetCallerIdentity is not allowed")

    busy.connections["ask"] = denied
    monkeypatch.setenv("LOGNAME", "ada")
    busy("limits", CLAUDE, "--set", "4")

    assert json.loads(busy("limits", CLAUDE, "--json").stdout)["changes"][0]["by"] == "ada"


def test_a_change_that_meets_another_is_tried_again(busy, monkeypatch):
    ledgers, refused = type(busy.world.ledger), []
    apply = ledgers.apply

    async def stale_once(self, writes):
        if not refused:
            refused.append(writes)
            raise Stale("somebody was faster")
        await apply(self, writes)

    monkeypatch.setattr(ledgers, "apply", stale_once)

    assert busy("limits", CLAUDE, "--set", "4").exit_code == 0
    assert len(json.loads(busy("limits", CLAUDE, "--json").stdout)["changes"]) == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([CLAUDE, "--set", "501"], "limit: 501 is not a whole number from 0 to 500"),
        ([CLAUDE, "--set", "-1"], "limit: -1 is not"),
        (["--set", "3"], "give MODEL, and either --set JOBS or --clear"),
        ([CLAUDE, "--set", "3", "--clear"], "give MODEL, and either"),
        (["no model", "--set", "3"], "model: "),
        (["anthropic.claude-3-sonnet-20240229-v1:0", "--clear"], "does not exist: no limit is set for it"),
    ],
)
def test_what_cannot_be_set_is_named(busy, words, reason):
    result = busy("limits", *words)

    assert result.exit_code == 2
    assert reason in result.stderr


def test_without_any_pool_that_is_said(quarry):
    result = quarry("limits")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "no pool stands" in result.stderr


def test_models_that_bedrock_refuses_are_listed_and_can_be_forgotten(quarry):
    quarry.connections["region"] = "us-east-1"
    said = "creating: ValidationException: Batch inference is not supported for the requested model"
    quarry.world.jobs.refuse_once(Refused(said, "ValidationException"))
    run_id = quarry.ended(300)

    shown = quarry("limits").stdout
    assert f"{CLAUDE}, since Bedrock told run {run_id} at 2026-" in shown.replace("\n", " ")
    assert "Batch inference is not supported" in shown
    assert quarry("limits", "--forget").exit_code == 2
    assert "is not remembered that amazon.nova" in quarry("limits", "amazon.nova-lite-v1:0", "--forget").stderr
    assert "refused until" not in quarry("limits", CLAUDE, "--forget", "--reason", "access was given").stdout
    assert json.loads(quarry("limits", "--json").stdout)["refused"] == []
