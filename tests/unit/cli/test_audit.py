"""`audit`: who did what, and since when."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from quarry_cli.client.history.audit_trail import read_since
from quarry_cli.errors import BadSetting
from quarry_core.ledger import moves
from quarry_core.ledger.rows import AuditEntry

ADA = "arn:aws:sts::123456789012:assumed-role/operators/ada"
SENDER = "AROAXXXXXXXXXXXXXXXXX:ben"


@pytest.fixture
def known(quarry):
    async def ask(service, operation, parameters):
        assert (service, operation) == ("sts", "get_caller_identity")
        return {"Arn": ADA}

    quarry.connections |= {"region": "us-east-1", "ask": ask}
    return quarry


def sent(quarry, **changes) -> str:
    run_id = quarry.world.send(quarry.world.joke(1_000, max_records_per_job=100) | changes, sender=SENDER)
    quarry.idle()
    return run_id


def trail(quarry, *words) -> list[tuple[str, str, str]]:
    result = quarry("audit", *words, "--json")
    assert result.exit_code == 0, result.output
    return [(each["action"], each["by"], each["run_id"]) for each in json.loads(result.stdout)["entries"]]


def test_who_sent_paused_changed_resumed_and_cancelled_a_run_is_kept_in_order(known):
    run_id = sent(known)
    for command in (("pause", run_id), ("set", run_id, "weight=4"), ("resume", run_id), ("cancel", run_id)):
        known.world.clock.advance(1)
        assert known(*command).exit_code == 0

    assert trail(known, run_id) == [
        ("cancel", ADA, run_id),
        ("resume", ADA, run_id),
        ("set", ADA, run_id),
        ("pause", ADA, run_id),
        ("submit", SENDER, run_id),
    ]
    [changed] = [each for each in json.loads(known("audit", "--json").stdout)["entries"] if each["action"] == "set"]
    assert changed["what"] == "class normal -> normal, weight 1 -> 4"


def test_what_changes_nothing_is_not_kept(known):
    run_id = sent(known)
    for command in (("pause", run_id), ("pause", run_id), ("set", run_id, "weight=1"), ("resume", run_id)):
        known.world.clock.advance(1)
        assert known(*command).exit_code == 0

    assert [action for action, _, _ in trail(known)] == ["resume", "pause", "submit"]


def test_a_refused_manifest_is_kept_with_why(known):
    sent(known, s3_uri="s3://world/inputs/none.csv")

    [entry] = json.loads(known("audit", "--json").stdout)["entries"]
    assert entry["what"].startswith("refused: s3_uri")


def test_a_changed_limit_and_an_erasure_are_kept(known):
    run_id = sent(known)
    assert known("limits", "anthropic.claude-3-haiku-20240307-v1:0", "--set", "1", "--reason", "a try").exit_code == 0
    assert known("cancel", run_id).exit_code == 0
    known.finish(run_id)
    known.world.clock.advance(60)
    assert known("erase", run_id, given=f"{run_id}\n").exit_code == 0

    kept = {each["action"]: each for each in json.loads(known("audit", "--json").stdout)["entries"]}
    assert kept["limit"]["what"] == "QUARRY_JOB_QUOTA -> 1: a try"
    assert kept["erase"]["run_id"] == run_id
    assert kept["limit"]["subject"].endswith("anthropic.claude-3-haiku-20240307-v1:0")


def test_other_runs_and_older_entries_are_left_out(known):
    first = sent(known)
    known.world.clock.advance(timedelta(days=40).total_seconds())
    second = sent(known)

    assert trail(known) == [("submit", SENDER, second)]
    assert trail(known, "--since", "60d") == [("submit", SENDER, second), ("submit", SENDER, first)]
    assert trail(known, first) == [("submit", SENDER, first)], "of a run, as far back as the trail goes"
    assert trail(known, "--since", "60d", "--limit", "1") == [("submit", SENDER, second)]


def test_a_terminal_is_told_nothing_it_would_obey(known):
    sent(known)
    at = known.world.clock.now().isoformat()
    entry = AuditEntry(at, "submit", "AROA:\x1b[31mred", "run", what="a\nb\x1b]0;x\x07")
    asyncio.run(known.world.ledger.apply(moves.audited(entry, "token")))

    result = known("audit")

    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout


def test_nobody_did_anything(known):
    result = known("audit")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "nobody did anything since" in result.stderr


@pytest.mark.parametrize("text", ["", "yesterday", "-3d", "3w", "999999d", "2026-13-01"])
def test_a_time_that_cannot_be_read_is_refused(known, text):
    with pytest.raises(BadSetting, match="since"):
        read_since(text, known.world.clock.now())


def test_times_are_read_as_people_write_them(known):
    now = known.world.clock.now()
    assert read_since("36h", now) == now - timedelta(hours=36)
    assert read_since("7d", now) == now - timedelta(days=7)
    assert read_since("2026-11-30", now).isoformat() == "2026-11-30T00:00:00+00:00"
    assert read_since("2026-11-30T10:00:00+02:00", now).utcoffset() == timedelta(hours=2)
