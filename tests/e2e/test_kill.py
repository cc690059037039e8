"""Processes die where it hurts most, or are told to stop in the middle of their work; no row is lost, none paid twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from quarry_local.settings import LOCAL_WAITS, StackSettings
from tests.e2e.failpoints import POINTS
from tests.e2e.user import CLAUDE, CLAUDE_POOL, User, until

ROOT = Path(__file__).resolve().parents[2]
# Longer than a batch of rows, so that an upload has a middle.
SHARD_ROWS = 1_500
SHARDS = 2
DRAIN_S = 25
RETRY_AFTER_MAX_S = float(LOCAL_WAITS["QUARRY_RETRY_AFTER_MAX_S"])
QUEUES_OF = {
    "preprocessor": ("QUARRY_MANIFEST_QUEUE_URL", "QUARRY_SLICES_QUEUE_URL"),
    "scheduler": ("QUARRY_SCHEDULER_QUEUE_URL", "QUARRY_EVENTS_QUEUE_URL", "QUARRY_ON_DEMAND_QUEUE_URL"),
    "collector": ("QUARRY_COLLECTOR_QUEUE_URL",),
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def user(stack_of):
    # What a killed process had in hand comes back after the least visibility that a service may have.
    overrides = {"QUARRY_VISIBILITY_TIMEOUT_S": "10"}
    return stack_of(StackSettings(env="kill", quota=2, simulator={"speed": "2"}, overrides=overrides))


@pytest.fixture
def armed(user, tmp_path):
    """Starts a service that will be signalled at a point; gives its pid. The marker tells that it was."""
    marker = tmp_path / "struck"
    restarted = []

    def arm(service: str, point: str, number: signal.Signals) -> int:
        variables = {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "QUARRY_FAILPOINT": point,
            "QUARRY_FAILPOINT_MARKER": str(marker),
            "QUARRY_FAILPOINT_SIGNAL": number.name,
        }
        restarted.append(service)
        launch = ("-m", "tests.e2e.failpoints", service)
        return int(user.stack.restart(service, launch=launch, variables=variables).pid)

    yield arm
    # A test that failed on the way must not leave its failpoint, or its dead service, to the next one.
    for service in restarted:
        if not marker.exists() or not user.stack.alive(service):
            user.stack.restart(service)
    assert marker.exists(), "the failpoint was never reached"


def send(user: User, run_id: str) -> None:
    user.send(
        {
            "s3_uri": user.topics(f"inputs/{run_id}.csv", SHARDS * SHARD_ROWS),
            "job_name_prefix": "kill",
            "model_id": CLAUDE,
            "prompt_id": "joke_about_topic",
            "max_records_per_job": SHARD_ROWS,
            "run_id": run_id,
        }
    )


def death_of(user: User, pid: int, within_s: float) -> int:
    """Wait until the process is gone; its wait status. It is this process's child, so nobody else can have it."""
    status = 0

    def gone() -> bool:
        nonlocal status
        found, status = os.waitpid(pid, os.WNOHANG)
        return found == pid

    until(gone, within_s, lambda: f"{pid} is still running\n{user.ends_of_logs()}")
    return status


def check(user: User, run_id: str) -> None:
    """The run has ended as if nothing had happened: every row once, every job once, and nothing is held."""
    totals = user.ended(run_id, within_s=90)
    rows = SHARDS * SHARD_ROWS
    assert (totals["state"], totals["accepted"], totals["ok"], totals["error"], totals["open"]) == (
        "SUCCEEDED",
        rows,
        rows,
        0,
        0,
    )
    result = user.result(run_id)
    assert result["topic"].to_pylist() == [f"topic number {row}" for row in range(rows)]
    assert len(set(result["record_id"].to_pylist())) == rows
    assert set(result["status"].to_pylist()) == {"ok"}
    shards = user.items(f"run#{run_id}", "shard#")
    assert [(shard["state"], shard["attempt"]) for shard in shards] == [("SETTLED", 1)] * SHARDS
    names = [job["name"] for job in user.jobs(run_id)]
    assert len(names) == len(set(names)) == SHARDS, f"more than one job for an attempt: {names}"
    pool = user.item(f"pool#{CLAUDE_POOL}", "quota")
    assert (pool["in_use"], pool.get("holders", set())) == (0, set())
    assert user.dead() == dict.fromkeys(user.dead(), 0), "healthy work lies in a dead-letter queue"


@pytest.mark.timeout(180)
@pytest.mark.promise("L1", "L3", "L5", "S2", "S3", "S6", "S7")
@pytest.mark.parametrize(
    ("service", "point"), [(service, point) for service, points in POINTS.items() for point in points]
)
def test_a_service_killed_at_a_named_point_loses_nothing_and_does_nothing_twice(user, armed, service, point):
    run_id = f"kill{point.replace('_', '')}"[:16]
    pid = armed(service, point, signal.SIGKILL)
    send(user, run_id)

    status = death_of(user, pid, within_s=60)

    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert user.totals(run_id).get("state") != "SUCCEEDED"
    user.stack.restart(service)
    check(user, run_id)


def nothing_in_flight(user: User, service: str, within_s: float) -> None:
    def in_flight() -> dict[str, int]:
        return {name: user.depth(user.env[name])[1] for name in QUEUES_OF[service]}

    until(lambda: not any(in_flight().values()), within_s, lambda: f"invisible still: {in_flight()}")


@pytest.mark.timeout(180)
@pytest.mark.promise("L7", "S6")
@pytest.mark.parametrize(
    ("service", "point"), [("preprocessor", "mid_upload"), ("scheduler", "after_create"), ("collector", "mid_settle")]
)
def test_a_service_told_to_stop_in_the_middle_of_its_work_ends_well_within_its_drain(user, armed, service, point):
    run_id = f"stop{point.replace('_', '')}"[:16]
    # What an earlier test's killed process had in hand may still be on its way back.
    nothing_in_flight(user, service, within_s=60)
    pid = armed(service, point, signal.SIGTERM)
    send(user, run_id)

    status = death_of(user, pid, within_s=30 + DRAIN_S)

    assert os.WIFEXITED(status)
    assert os.WEXITSTATUS(status) == 0
    # What was returned with a pause just before is nobody's, and comes back within that pause.
    nothing_in_flight(user, service, within_s=RETRY_AFTER_MAX_S + 1)
    user.stack.restart(service)
    check(user, run_id)
