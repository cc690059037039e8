"""All three services are rolled while runs are in flight: one process after another is told to stop, and started anew."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from quarry_local.policies import SERVICES
from quarry_local.settings import StackSettings
from tests.e2e import watched
from tests.e2e.user import CLAUDE, CLAUDE_POOL, User, until

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 2
REPLICAS = ("", ".2")
SHARD_ROWS = 250
FIRST_ROWS = 4 * SHARD_ROWS
NEXT_ROWS = SHARD_ROWS
# The processes of the first round finish what they have in hand; those that replace them hand it back in the second.
NO_DRAIN = {"QUARRY_DRAIN_S": "0.05"}
INVISIBLE_S_MAX = 5.0
IN_HAND_WITHIN_S = 1.0
LOOK_EVERY_S = 0.02
QUEUES_OF = {
    "preprocessor": ("QUARRY_MANIFEST_QUEUE_URL", "QUARRY_SLICES_QUEUE_URL"),
    "scheduler": ("QUARRY_SCHEDULER_QUEUE_URL", "QUARRY_EVENTS_QUEUE_URL", "QUARRY_ON_DEMAND_QUEUE_URL"),
    "collector": ("QUARRY_COLLECTOR_QUEUE_URL",),
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def notes(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("notes")


@pytest.fixture(scope="module")
def user(stack_of, notes) -> User:
    overrides = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        watched.DIRECTORY: str(notes),
        "QUARRY_RECEIVE_WAIT_S": "1",
        # What was returned with a pause just before the exit is nobody's, and hidden all the same.
        "QUARRY_RETRY_AFTER_MAX_S": "2",
    }
    launch = {service: ("-m", "tests.e2e.watched", service) for service in SERVICES}
    user = stack_of(StackSettings(env="roll", quota=3, overrides=overrides, launch=launch, simulator={"speed": "4"}))
    for service in SERVICES:
        user.stack.start(f"{service}.2")
    return user


def send(user: User, run_id: str, rows: int) -> str:
    manifest = {
        "s3_uri": user.topics(f"inputs/{run_id}.csv", rows),
        "job_name_prefix": "roll",
        "model_id": CLAUDE,
        "prompt_id": "joke_about_topic",
        "max_records_per_job": SHARD_ROWS,
        "run_id": run_id,
    }
    return user.send(manifest)


def something_in_hand(notes: Path, pid: int) -> None:
    """Wait a moment for the process to have work: to stop an idle one proves little."""
    end = time.monotonic() + IN_HAND_WITHIN_S
    while time.monotonic() < end:
        if watched.read(notes, pid)[pid].in_hand(time.monotonic()):
            return
        time.sleep(LOOK_EVERY_S)


def only_the_living_hide_messages(user: User, notes: Path, service: str) -> float:
    """Wait until SQS counts no more messages in flight than living processes hide; how many seconds after the exit."""
    began = time.monotonic()

    def counts() -> tuple[int, int]:
        in_flight = sum(user.depth(user.env[name])[1] for name in QUEUES_OF[service])
        now = time.monotonic()
        living = [process for process in watched.read(notes).values() if process.exited_at is None]
        hidden = {key for process in living for key, until_ in process.hidden_until.items() if until_ > now}
        return in_flight, len(hidden)

    def explained() -> bool:
        in_flight, hidden = counts()
        return in_flight <= hidden

    until(explained, INVISIBLE_S_MAX, lambda: f"in flight, hidden by the living: {counts()}")
    return time.monotonic() - began


@pytest.mark.timeout(240)
@pytest.mark.promise("L3", "L7", "S2", "S3", "S6")
def test_a_rolling_restart_under_load_loses_nothing_and_leaves_no_message_invisible(user, notes, record_property):
    rows = {send(user, "rollfirst", FIRST_ROWS): FIRST_ROWS}
    in_hand, waited_s = 0, 0.0
    began = time.monotonic()

    for turn in range(ROUNDS):
        for replica in REPLICAS:
            for service in SERVICES:
                rows[send(user, f"roll{turn}{service[:5]}{len(replica)}", NEXT_ROWS)] = NEXT_ROWS
                pid = user.stack.process(service + replica).pid
                something_in_hand(notes, pid)
                reported_at = time.monotonic()
                assert user.stack.stop(service + replica), f"{service}{replica} had to be killed"
                waited_s = max(waited_s, only_the_living_hide_messages(user, notes, service))
                in_hand += watched.read(notes, pid)[pid].in_hand(reported_at)
                user.stack.start(service + replica, variables=NO_DRAIN)
    rolled_s = time.monotonic() - began

    for run_id, expected in rows.items():
        check(user, run_id, expected)
    assert user.dead() == dict.fromkeys(user.dead(), 0), "healthy work lies in a dead-letter queue"
    pool = user.item(f"pool#{CLAUDE_POOL}", "quota")
    assert (pool["in_use"], pool.get("holders", set())) == (0, set())

    exited = [process for process in watched.read(notes).values() if process.exited_at is not None]
    hidden_s = [until_ - process.exited_at for process in exited for until_ in process.hidden_until.values()]
    longest_s = max(0.0, *hidden_s)
    record_property("rolled_s", round(rolled_s, 1))
    record_property("in_hand", in_hand)
    record_property("longest_invisible_s", round(longest_s, 2))
    handed_back = sum(process.handed_back for process in exited)
    record_property("handed_back", handed_back)
    print(f"rolled {len(exited)} in {rolled_s:.1f} s; {in_hand} in hand, {handed_back} handed back; ", end="")
    print(f"hidden after the exit for at most {longest_s:.2f} s, by SQS's count {waited_s:.2f} s")
    assert [process.exit_code for process in exited] == [0] * ROUNDS * len(REPLICAS) * len(SERVICES)
    assert in_hand > 0, "every process was idle when it was told to stop: this has shown nothing"
    assert longest_s <= INVISIBLE_S_MAX


def check(user: User, run_id: str, rows: int) -> None:
    """Every row once, one job for each attempt, and one attempt for each shard."""
    totals = user.ended(run_id, within_s=90)
    assert (totals["state"], totals["accepted"], totals["ok"], totals["error"]) == ("SUCCEEDED", rows, rows, 0)
    result = user.result(run_id)
    assert result["topic"].to_pylist() == [f"topic number {row}" for row in range(rows)]
    assert len(set(result["record_id"].to_pylist())) == rows
    assert set(result["status"].to_pylist()) == {"ok"}
    shards = user.items(f"run#{run_id}", "shard#")
    assert {(shard["state"], shard["attempt"]) for shard in shards} == {("SETTLED", 1)}
    assert sum(shard["rows"] for shard in shards) == rows
    names = [job["name"] for job in user.jobs(run_id)]
    assert len(names) == len(set(names)) == len(shards), f"more than one job for an attempt: {names}"
