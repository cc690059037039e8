"""Bedrock's events are best effort: half of them, none of them, or twice and in the wrong order, the run ends right."""

from __future__ import annotations

import re
import urllib.request

import pytest

from tests.e2e.user import CLAUDE

ROWS = 1_200
SHARDS = 12


def corrections(user) -> dict[str, float]:
    """What the scheduler's sweep says it fixed, by kind."""
    with urllib.request.urlopen(user.stack.metrics_url("scheduler"), timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r'^quarry_sweep_corrections_total\{kind="(\w+)"\} ([0-9.e+]+)$', text, re.MULTILINE)
    return {kind: float(count) for kind, count in found}


def run(user, run_id: str) -> None:
    """Run 12 shards under the run id, which the choice of faults follows from, and hold the end against the beginning."""
    user.send(
        {
            "s3_uri": user.topics(f"inputs/{run_id}.csv", ROWS),
            "job_name_prefix": "events",
            "model_id": CLAUDE,
            "prompt_id": "joke_about_topic",
            "max_records_per_job": 100,
            "run_id": run_id,
        }
    )
    totals = user.ended(run_id, within_s=90)
    assert (totals["state"], totals["ok"], totals["error"], totals["open"]) == ("SUCCEEDED", ROWS, 0, 0)
    assert user.result(run_id)["topic"].to_pylist() == [f"topic number {row}" for row in range(ROWS)]
    jobs = user.jobs(run_id)
    assert len(jobs) == len({job["name"] for job in jobs}) == SHARDS
    assert user.dead() == dict.fromkeys(user.dead(), 0)


def faults_during(user, run_id: str, **shares: float) -> dict[str, int]:
    """Run with these faults; what the simulated bus counted meanwhile."""
    no_faults = {f"events_{kind}_share": 0.0 for kind in ("lost", "doubled", "reordered")}
    before = user.stack.simulator_stats()["events"]
    user.stack.set_simulator(**{**no_faults, **shares})
    try:
        run(user, run_id)
    finally:
        user.stack.set_simulator(**no_faults)
    after = user.stack.simulator_stats()["events"]
    return {kind: after[kind] - before[kind] for kind in ("produced", "lost", "doubled", "reordered")}


@pytest.mark.promise("L2", "I1", "I2")
def test_with_half_the_events_lost_and_the_rest_doubled_and_out_of_order_the_run_ends_right(user, capsys):
    before = corrections(user)

    counted = faults_during(user, "lossy", events_lost_share=0.5, events_doubled_share=1.0, events_reordered_share=0.5)

    fixed = {kind: count - before.get(kind, 0) for kind, count in corrections(user).items()}
    with capsys.disabled():
        print(f"\nevents: {counted}; fixed by the sweep: {fixed}")
    assert counted["lost"] > 0
    assert counted["doubled"] > 0
    assert counted["reordered"] > 0
    assert fixed["ended"] > 0


@pytest.mark.promise("L2")
def test_with_every_event_lost_the_sweep_alone_ends_the_run(user, capsys):
    before = corrections(user)

    counted = faults_during(user, "silent", events_lost_share=1.0)

    fixed = {kind: count - before.get(kind, 0) for kind, count in corrections(user).items()}
    with capsys.disabled():
        print(f"\nevents: {counted}; fixed by the sweep: {fixed}")
    assert counted["lost"] == counted["produced"] > 0
    assert fixed["ended"] == SHARDS
