"""`cancel`, `pause`, `resume`: what they say, what they write down, and when they refuse."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from quarry_cli.client.manifest_queue import sibling
from quarry_core.contract.messages import Wakeup
from quarry_core.errors import Unknown

WHO = "arn:aws:iam::123456789012:user/ana"


@pytest.fixture
def known(quarry):
    """The command as someone whom AWS knows, with the services' queues within reach."""

    async def ask(service, operation, parameters):
        assert (service, operation) == ("sts", "get_caller_identity")
        return {"Arn": WHO}

    async def wake(name: str, wakeup: Wakeup) -> bool:
        await quarry.world.queues[name].send(wakeup.body())
        return True

    quarry.connections |= {"ask": ask, "wake": wake}
    return quarry


def done(result) -> dict:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def running(quarry, rows: int = 1_000) -> str:
    run_id = quarry.world.send(quarry.world.joke(rows, max_records_per_job=100))
    quarry.idle()
    return run_id


def test_cancel_says_what_it_did_and_what_will_still_come_and_who_it_was_stands_in_the_ledger(known):
    run_id = running(known)

    said = done(known("cancel", run_id, "--json"))

    assert (said["run_id"], said["action"], said["changed"], said["state"]) == (run_id, "cancel", True, "RUNNING")
    assert (said["by"], said["woken"]) == (WHO, True)
    assert said["shards"]["SUBMITTED"] == 3
    assert "3 jobs at Bedrock will be stopped" in said["next"][0]
    assert "7 shards waiting" in said["next"][1]
    view = known.status(run_id)
    assert (view["cancelled_at"], view["cancelled_by"]) == (said["at"], WHO)
    shown = known("status", run_id).stdout
    assert f"RUNNING, cancelled at {said['at']} by {WHO}" in shown

    known.finish(run_id)
    view = known.status(run_id)
    assert view["state"] == "CANCELLED"
    assert view["errors"]["CANCELLED"] >= 700
    assert WHO in view["error"]
    assert known("watch", run_id).exit_code == 1


def test_cancel_again_changes_nothing_and_an_ended_run_is_refused_by_name(known):
    run_id = running(known)
    first = done(known("cancel", run_id, "--json"))

    again = done(known("cancel", run_id[:6], "--json"))
    assert (again["changed"], again["at"]) == (False, first["at"])
    assert "was cancelled before since" in known("cancel", run_id).stdout
    known.finish(run_id)
    assert done(known("cancel", run_id, "--json"))["state"] == "CANCELLED"

    ended = known.ended(100, job_name_prefix="done")
    refused = known("cancel", ended)
    assert refused.exit_code == 1
    assert f"run {ended} ended as SUCCEEDED at" in refused.stderr
    assert known("cancel", "nosuchrun").exit_code == 1


def test_a_run_is_cancelled_before_it_is_planned(known):
    run_id = known.world.send(known.world.joke(300))
    asyncio.run(known.world.consumers[0].run_once())

    said = done(known("cancel", run_id, "--json"))
    assert said["next"] == ["nothing was sent of it; it ends CANCELLED with a report"]
    known.idle()

    assert known.status(run_id)["state"] == "CANCELLED"
    assert known.world.report(run_id)["rows"]["accepted"] == 0


def test_pause_and_resume_are_seen_and_hold(known):
    run_id = running(known)

    said = done(known("pause", run_id, "--json"))
    assert (said["changed"], said["by"]) == (True, WHO)
    assert "3 shards at Bedrock will finish" in said["next"][1]
    assert f"RUNNING, paused since {said['at']} by {WHO}" in known("status", run_id).stdout
    assert known.status(run_id)["eta_s"] is None
    known.world.bedrock.end_all()
    known.idle()
    view = known.status(run_id)
    assert (view["shards"]["PENDING"], view["shards"]["SUBMITTED"]) == (7, 0)
    assert view["waits_for"] == ["whoever paused it: 7 shards held back"]
    assert done(known("pause", run_id, "--json"))["changed"] is False

    assert "run is resumed" not in known("resume", run_id).stdout  # it names the run
    assert known.status(run_id)["paused_at"] is None
    known.idle()
    assert known.status(run_id)["shards"]["SUBMITTED"] == 3
    assert done(known("resume", run_id, "--json"))["changed"] is False
    known.finish(run_id)
    assert known.status(run_id)["state"] == "SUCCEEDED"


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_what_is_at_its_end_is_neither_paused_nor_resumed(known, verb):
    ended = known.ended(100)
    cancelled = running(known)
    done(known("cancel", cancelled, "--json"))

    for run_id, why in ((ended, "ended as SUCCEEDED"), (cancelled, "was cancelled")):
        refused = known(verb, run_id)
        assert refused.exit_code == 1
        assert why in refused.stderr


def test_a_run_whose_jobs_bedrock_refuses_is_not_paused(known):
    run_id = known.world.send(known.world.joke(200, max_records_per_job=100))
    for consumer in known.world.consumers[:2]:
        for _ in range(3):
            asyncio.run(consumer.run_once())
    lane = f"lane#{run_id}"
    key = next(key for key in known.world.table.items if key[1] == lane)
    known.world.table.items[key] = {**known.world.table.items[key], "gate": "refused", "message": "no access\x1b[2J"}

    refused = known("pause", run_id)

    assert refused.exit_code == 1
    assert "no access" in refused.stderr
    assert "\x1b" not in refused.stderr


def test_the_write_stands_though_nobody_can_be_woken_and_nobody_says_who_asked(quarry):
    async def unreachable(*_):
        raise Unknown("no answer")

    quarry.connections |= {"ask": unreachable, "wake": unreachable}
    run_id = running(quarry)

    result = quarry("cancel", run_id)

    assert result.exit_code == 0, result.output
    assert "the services were not woken from here" in result.stdout
    assert quarry.status(run_id)["cancelled_by"] is None
    quarry.finish(run_id)
    assert quarry.status(run_id)["state"] == "CANCELLED"


def test_the_client_does_the_same_from_python(known):
    run_id = running(known)
    assert known.client.pause(run_id).changed
    assert known.client.resume(run_id).changed
    assert known.client.cancel(run_id).action == "cancel"


def test_the_sisters_of_the_manifest_queue_are_known_by_its_name():
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-manifests"
    assert sibling(url, "scheduler") == url.replace("manifests", "scheduler")
    assert sibling("https://sqs/1/somebodys", "scheduler") == ""
    assert sibling("", "scheduler") == ""


def held(quarry) -> str:
    quarry.world.bedrock.error_share = 1.0
    run_id = quarry.world.send(quarry.world.joke(1_200, max_records_per_job=100, canary=None))
    quarry.idle()
    quarry.world.bedrock.end_all()
    quarry.idle()
    return run_id


def test_a_run_that_its_canary_holds_is_shown_as_held_and_approve_lets_it_go_on(known):
    run_id = held(known)

    shown = " ".join(known("status", run_id).stdout.split())
    assert "HELD since" in shown
    assert "100 of 100 rows have an error (MODEL_ERROR 100)" in shown
    assert f"to let it go on: quarry approve {run_id}" in shown
    assert "canary: 100 rows, 100.0% (96.3% to 100.0%) with an error" in shown
    view = known.status(run_id)
    assert (view["state"], view["held"]["kind"], view["eta_s"]) == ("RUNNING", "canary", None)
    assert view["canary"]["judgement"]["error"] == {"share": 1.0, "low": 0.963005, "high": 1.0}
    assert view["waits_for"] == ["whoever approves it: 11 shards held back"]
    listed = json.loads(known("runs", "--state", "held", "--json").stdout)
    assert [line["state"] for line in listed] == ["HELD"]

    said = done(known("approve", run_id, "--json"))
    assert (said["action"], said["changed"], said["by"], said["woken"]) == ("approve", True, WHO, True)
    kept = done(known("audit", run_id, "--json"))["entries"][0]
    assert (kept["action"], kept["by"]) == ("approve", WHO)
    assert "100 of 100 rows have an error" in kept["what"]
    again = done(known("approve", run_id, "--json"))
    assert (again["changed"], again["by"]) == (False, WHO)
    known.world.bedrock.error_share = 0.0
    known.finish(run_id)
    view = known.status(run_id)
    assert (view["state"], view["rows"]["ok"], view["held"]) == ("SUCCEEDED_WITH_ERRORS", 1_100, None)
    assert (view["canary"]["state"], view["canary"]["approved_by"]) == ("approved", WHO)


def test_what_the_canary_measured_stands_beside_what_was_planned(known):
    run_id = known.world.send(known.world.joke(1_200, max_records_per_job=100, canary=None))
    known.idle()
    known.world.bedrock.end_all()
    known.idle()

    shown = " ".join(known("status", run_id).stdout.split())
    view = known.status(run_id)
    judged, planned = view["canary"]["judgement"], view["estimate"]
    assert planned["output_from"] == "max_tokens"
    assert judged["dollars"]["likely"] < planned["dollars"]
    tokens = f"about {judged['input_tokens']['likely']:,.0f} tokens in and {judged['output_tokens']['likely']:,.0f} out"
    assert re.search(rf"the run about \$[\d.]+ \(.+\), planned at most \$[\d.]+, with {tokens}", shown), shown
    known.finish(run_id)
    spent = known.status(run_id)["spent"]
    for name in ("input_tokens", "output_tokens", "dollars"):
        # The fake counts every fourth character, so what a longer number adds comes in steps.
        assert judged[name]["likely"] == pytest.approx(spent[name], rel=0.1), name


def test_only_a_held_run_can_be_approved(known):
    waiting = known.world.send(known.world.joke(1_200, max_records_per_job=100, canary=None))
    known.idle()
    refused = known("approve", waiting)
    assert refused.exit_code == 1
    assert "is not judged yet" in refused.stderr
    assert "the first shard is asked alone" in known("status", waiting).stdout

    known.finish(waiting)
    assert "there is nothing to approve" in known("approve", waiting).stderr
    plain = running(known, 400)
    assert f"run {plain} is not held" in known("approve", plain).stderr


def test_a_run_that_is_held_for_its_budget_says_so_and_goes_on_when_that_is_raised(known):
    run_id = known.world.send(known.world.joke(400, max_records_per_job=100, budget_usd=0.0001))
    known.idle()

    shown = " ".join(known("status", run_id).stdout.split())
    assert "HELD since" in shown
    assert "the budget of $0.0001 is not enough for another shard: $0 spent" in shown
    assert f"to let it go on: quarry set {run_id} budget_usd=DOLLARS" in shown
    view = known.status(run_id)
    assert view["budget"] == {"budget_usd": 0.0001, "spent_usd": 0.0, "committed_usd": 0.0}
    assert view["waits_for"] == ["a larger budget, or jobs that cost less: 4 shards held back"]
    refused = known("approve", run_id)
    assert "is held for its budget: raise it with quarry set" in refused.stderr

    raised = known("set", run_id, "budget_usd=20", "weight=3")
    assert raised.stdout == (
        f"run {run_id}: class normal, as it was; weight 1 -> 3\nrun {run_id}: budget $0.0001 -> $20.00\n"
    )
    entries = done(known("audit", run_id, "--json"))["entries"]
    assert [each["what"] for each in entries if "budget" in each["what"]] == ["budget $0.0001 -> $20.00"]
    known.finish(run_id)
    assert known.status(run_id)["rows"]["ok"] == 400
    assert known("set", run_id, "budget_usd=30").exit_code == 1


def test_a_run_that_waits_for_the_months_budget_says_so_wherever_one_looks(known):
    world = known.world
    world.settings = world.settings.model_copy(update={"budget_usd": 0.0001})
    world.start()
    run_id = running(known, 400)
    asyncio.run(world.scheduler.sweeper.sweep())

    shown = " ".join(known("status", run_id).stdout.split())
    assert "HELD since" in shown
    assert "the budget of 2026-01, $0.0001 (QUARRY_BUDGET_USD), is not enough for another shard: $0 spent" in shown
    assert "to let it go on: set QUARRY_BUDGET_USD of the services higher" in shown
    view = known.status(run_id)
    assert (view["held"]["kind"], view["budget"]) == ("month", None)
    assert view["waits_for"] == [
        "the month's budget: a larger one, the next month, or jobs that cost less: 4 shards held back"
    ]
    refused = known("approve", run_id)
    assert (refused.exit_code, "is held for the budget of the month" in refused.stderr) == (1, True)
    assert "its run is held: the budget of 2026-01" in known("why", run_id, "0").stdout
    assert "2026-01: $0 spent, of a budget of $0.0001 (QUARRY_BUDGET_USD)" in known("limits").stdout
    assert done(known("limits", "--json"))["month"] == {
        "month": "2026-01",
        "spent_usd": 0.0,
        "running_usd": 0.0,
        "budget_usd": 0.0001,
    }

    world.settings = world.settings.model_copy(update={"budget_usd": None})
    world.start()
    known.finish(run_id)
    assert known.status(run_id)["rows"]["ok"] == 400
    asyncio.run(world.scheduler.sweeper.sweep())
    assert "spent; no budget (QUARRY_BUDGET_USD)" in known("limits").stdout


def test_a_budget_is_an_amount_of_dollars_or_none(known):
    run_id = running(known, 400)
    assert done(known("set", run_id, "budget_usd=none", "--json"))["budget_usd"] is None
    for text in ("much", "-1", "nan", "0"):
        result = known("set", run_id, f"budget_usd={text}")
        assert (result.exit_code, "budget_usd: " in result.stderr) == (2, True), text
