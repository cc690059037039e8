"""Today's services finish what an earlier release left in flight, from every cut of every history."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import re
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog

from quarry_core.contract.messages import READERS
from quarry_core.contract.names import outcome_key
from tests.histories import form
from tests.histories.form import Cut, Edited, History, Identity, identity_of
from tests.histories.judge import faults_of
from tests.histories.record import HISTORIES, recorded
from tests.histories.scenario import VISIBLE_AGAIN_S, CrashAfter, to_the_end
from tests.histories.snapshot import world_of
from tests.histories.views import views_of
from tests.world.faults import Crash
from tests.world.world import SimulatedWorld

CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"
RELEASES = sorted(folder.parent.name for folder in HISTORIES.glob(f"*/{form.ABOUT}"))
READ = {release: form.read(HISTORIES / release) for release in RELEASES}
CUTS = [(release, cut.name) for release in RELEASES for cut in READ[release].cuts]
LATEST = READ[RELEASES[-1]]
HISTORY_BYTES_MAX = 120_000


@pytest.fixture(autouse=True)
def _silent_logs():
    """A replay that fails on purpose would log a traceback for every message."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


async def replayed(history: History, cut: Cut) -> tuple[SimulatedWorld, list[str]]:
    """The world after today's services have worked from a cut to the end, and what is wrong with it."""
    world = world_of(history, cut)
    ended = await to_the_end(world, history.about["bedrock"])
    faults = await faults_of(world, history.about)
    return world, faults if ended else ["not all runs end", *faults]


# --------------------------------------------------------------------------- the upgrade


@pytest.mark.promise("L9", "S2", "S3")
@pytest.mark.parametrize(("release", "name"), CUTS)
async def test_runs_in_flight_at_an_upgrade_end_as_they_would_have_ended_without_it(release, name):
    history = READ[release]

    _, faults = await replayed(history, history.cut(name))

    assert faults == []


@pytest.mark.promise("L9", "L2", "S2", "S3")
@pytest.mark.parametrize(("release", "name"), CUTS)
async def test_runs_in_flight_end_all_the_same_where_an_upgrade_loses_every_message_between_services(release, name):
    history, cut = READ[release], READ[release].cut(name)
    poison = [body for _, body in history.about["ends"]["dead"]]

    def stays(identity: Identity) -> bool:
        line = cut.lines[identity]
        return "message" not in line or identity[1] == "manifests" or line["message"]["body"] in poison

    lost = dataclasses.replace(cut, lines={each: cut.lines[each] for each in cut.lines if stays(each)})

    _, faults = await replayed(history, lost)

    assert faults == []


@pytest.mark.promise("L9")
@pytest.mark.parametrize(("release", "name"), CUTS)
def test_the_command_says_of_a_run_after_an_upgrade_what_it_said_before(release, name):
    history, cut = READ[release], READ[release].cut(name)

    assert views_of(world_of(history, cut), history.about["run_ids"].values()) == cut.views


@pytest.mark.promise("L9")
@pytest.mark.parametrize("name", ["counted", "settled-half"])
async def test_runs_of_a_release_that_asks_nothing_on_demand_are_not_asked_on_demand_after_an_upgrade(name):
    """So only manifests that arrive meanwhile need care: terraform/UPGRADE.md says which."""
    world = world_of(LATEST, LATEST.cut(name))
    world.settings = world.settings.model_copy(update={"on_demand_queue_url": "https://queue/on-demand"})
    world.start()

    ended = await to_the_end(world, LATEST.about["bedrock"])

    assert ended
    assert await faults_of(world, LATEST.about) == []
    assert not world.runtime.asked


@pytest.mark.promise("L9", "S4")
async def test_what_was_published_before_an_upgrade_stays_as_it_was():
    cut = LATEST.cut("closing-decided")
    before = {each["key"]: each["sha256"] for each in cut.of("object") if each["key"].startswith("results/")}

    world, _ = await replayed(LATEST, cut)

    assert len(before) > 10
    assert {key: form.digest(world.objects.bodies[key]) for key in before} == before


@pytest.mark.promise("L9")
async def test_a_repeat_keeps_its_pause_over_an_upgrade():
    cut = LATEST.cut("repeat-waiting")
    before = {each["jobArn"] for each in cut.of("job")}

    world, _ = await replayed(LATEST, cut)

    (repeat,) = (job for job in world.jobs.all if job.arn not in before and "-00002-2-" in job.name)
    pause_s = (repeat.submitted_at - datetime.fromisoformat(cut.now)).total_seconds()
    assert pause_s >= LATEST.about["settings"]["repeat_pauses_s"][0]


@pytest.mark.promise("L9")
async def test_failures_that_were_counted_before_an_upgrade_count_after_it():
    run_id = LATEST.about["run_ids"]["reviews"]
    world = world_of(LATEST, LATEST.cut("settled-half"))
    before = await world.ledger.failure(run_id, "settle", "00000")
    world.objects.plant(outcome_key(run_id, "00000", 1), b"put here by mistake once more")

    assert await to_the_end(world, LATEST.about["bedrock"])

    after = await world.ledger.failure(run_id, "settle", "00000")
    assert (await world.totals(run_id)).code == "INTERNAL_ERROR"
    assert (before.count, after.count) == (1, world.settings.identical_failures_max)


@pytest.mark.promise("L9")
async def test_a_worker_that_died_before_an_upgrade_counts_after_it():
    run_id = LATEST.about["run_ids"]["jokes"]
    world = world_of(LATEST, LATEST.cut("slices-half-written"))
    world.settings = world.settings.model_copy(update={"worker_deaths_max": 2})
    world.clock.advance(VISIBLE_AGAIN_S)
    world.start({"preprocessor": CrashAfter(lambda writes: writes[0].key[1].startswith("begun#slice#00002"))})
    with pytest.raises(Crash):
        await world.idle()
    world.start()

    assert await to_the_end(world, LATEST.about["bedrock"])

    assert (await world.totals(run_id)).code == "WORKER_KILLED"


@pytest.mark.promise("L9")
async def test_an_end_that_was_decided_before_an_upgrade_is_the_end():
    run_id = LATEST.about["run_ids"]["jokes"]
    decided = {
        "end_state": "FAILED",
        "end_message": "the source is gone",
        "end_code": "SOURCE_BROKEN",
        "end_step": "part",
    }

    def change(item: dict[str, Any]) -> None:
        if (item["pk"]["S"], item["sk"]["S"]) == (f"run#{run_id}", "totals"):
            item |= {name: form.typed(value) for name, value in decided.items()}

    world, _ = await replayed(LATEST, tampered(LATEST.cut("closing-decided"), "item", change))

    totals = await world.totals(run_id)
    assert [totals.state, totals.message, totals.code, totals.step] == list(decided.values())


@pytest.mark.promise("L9")
@pytest.mark.parametrize(("broken", "code"), [(False, "REFUSED"), (True, "NOT_PROCESSED")])
async def test_what_waits_in_a_lane_that_was_refused_before_an_upgrade_is_given_the_reason(broken, code):
    run_id = LATEST.about["run_ids"]["jokes"]
    refused = {"gate": "refused", "message": "no access to the model"} | ({"broken": True} if broken else {})

    def change(item: dict[str, Any]) -> None:
        if item["sk"]["S"] == f"lane#{run_id}":
            item |= {name: form.typed(value) for name, value in refused.items()}

    world, _ = await replayed(LATEST, tampered(LATEST.cut("shards-waiting"), "item", change))

    result = world.result(run_id)
    assert set(result["error_code"].to_pylist()) == {code}
    assert all("no access to the model" in message for message in result["error_message"].to_pylist())


async def test_a_history_that_is_recorded_today_can_be_read_and_replayed(tmp_path):
    today = await recorded("today")
    form.write(today, tmp_path / "today")

    history = form.read(tmp_path / "today")

    assert history == today
    assert {cut.name: (await replayed(history, cut))[1] for cut in history.cuts} == {cut.name: [] for cut in today.cuts}


# --------------------------------------------------------------------------- what is kept


def test_every_release_has_a_history():
    released = re.findall(r"^## \[([0-9.]+)\] - [0-9]", CHANGELOG.read_text(), re.MULTILINE)
    assert set(released) <= set(RELEASES), "record it: make history"


@pytest.mark.parametrize("release", RELEASES)
def test_a_history_is_kept_as_long_as_its_messages_are_read(release):
    assert READ[release].about["message_version"] in READERS, "nobody can upgrade from it any more: remove the history"


@pytest.mark.parametrize("release", RELEASES)
def test_a_history_is_small(release):
    assert sum(file.stat().st_size for file in (HISTORIES / release).iterdir()) <= HISTORY_BYTES_MAX


@pytest.mark.parametrize("name", [form.ABOUT, form.LINES, form.BODIES])
def test_a_history_that_was_edited_is_not_read(tmp_path, name):
    folder = tmp_path / LATEST.about["release"]
    shutil.copytree(HISTORIES / LATEST.about["release"], folder)
    with (folder / name).open("ab") as file:
        file.write(b"\n")

    with pytest.raises(Edited, match=re.escape(name)):
        form.read(folder)


# --------------------------------------------------------------------------- what a replay finds out


def tampered(cut: Cut, kind: str, change: Callable[[dict[str, Any]], None]) -> Cut:
    """The cut with every line of a kind changed."""
    lines = {}
    for line in map(json.loads, map(json.dumps, cut.lines.values())):
        if kind in line:
            change(line[kind])
        lines[identity_of(line)] = line
    return dataclasses.replace(cut, lines=lines)


def renamed(sk: str, name: str) -> Callable[[dict[str, Any]], None]:
    """An attribute of one kind of item has another name."""

    def change(item: dict[str, Any]) -> None:
        if item["sk"]["S"].startswith(sk) and name in item:
            item[f"{name}_of_old"] = item.pop(name)

    return change


@pytest.mark.parametrize(
    ("name", "sk", "attribute"),
    [
        ("accepted", "run", "pinned"),
        ("counted", "text", "text"),
        ("counted", "slice#", "state"),
        ("shards-waiting", "wait#", "attempt"),
        ("shards-waiting", "lane#", "gate"),
        ("shards-waiting", "shard#", "sendable"),
        ("jobs-running", "shard#", "state"),
        ("jobs-running", "shard#", "arn"),
        ("jobs-running", "quota", "holders"),
        ("jobs-running", "totals", "open"),
        ("closing-decided", "totals", "closing_at"),
    ],
)
async def test_an_attribute_that_today_has_another_name_is_found_out(name, sk, attribute):
    cut = tampered(LATEST.cut(name), "item", renamed(sk, attribute))
    assert cut != LATEST.cut(name), "nothing was renamed"

    try:
        _, faults = await replayed(LATEST, cut)
    except Exception as error:
        faults = [repr(error)]

    assert faults


@pytest.mark.parametrize(
    ("changes", "queue"),
    [
        ({"step": "tally", "kind": "tally"}, "slices"),
        ({"v": 0}, "slices"),
        ({"step": "count", "kind": "count"}, "collector"),
    ],
    ids=["kind", "version", "kind of another service"],
)
async def test_a_message_that_today_nobody_reads_is_found_out(changes, queue):
    def change(message: dict[str, Any]) -> None:
        if message["queue"] == queue:
            message["body"] = json.dumps({**json.loads(message["body"]), **changes})

    name = "accepted" if queue == "slices" else "shards-ended"

    _, faults = await replayed(LATEST, tampered(LATEST.cut(name), "message", change))

    assert any(fault.startswith("dead: too many are") for fault in faults)


def _body(world: SimulatedWorld, key: str, body: bytes) -> None:
    world.objects.plant(key, body, metadata=world.objects.standing[world.objects.bucket][key].metadata)


def _part(world: SimulatedWorld, change: Callable[[pa.Table], pa.Table]) -> None:
    key = "results/vectors1/part-00000.parquet"
    body = io.BytesIO()
    pq.write_table(change(pq.read_table(io.BytesIO(world.objects.bodies[key]))), body)
    _body(world, key, body.getvalue())


def _report(world: SimulatedWorld, changes: Mapping[str, Any]) -> None:
    key = "results/vectors1/_report.json"
    _body(world, key, json.dumps(json.loads(world.objects.bodies[key]) | changes).encode())


def _item(world: SimulatedWorld, sk: str, changes: Mapping[str, Any]) -> None:
    key = next(key for key in world.table.items if key[1] == sk)
    world.table.items[key] = {**world.table.items[key], **changes}


def _other_answer(table: pa.Table) -> pa.Table:
    field = table.schema.field("embedding")
    return table.set_column(1, field, pa.array([[1.0]] * table.num_rows, field.type))


LIES: Mapping[str, tuple[Callable[[SimulatedWorld], object], str]] = {
    "a row is missing": (lambda world: _part(world, lambda part: part.slice(1)), "the parts have 199 rows"),
    "a row is there twice": (
        lambda world: _part(world, lambda part: pa.concat_tables([part.slice(0, 1), part.slice(0, 99)])),
        "each row of the source once",
    ),
    "rows have other answers": (lambda world: _part(world, _other_answer), "record 00000000000 has"),
    "an attempt has two jobs": (lambda world: world.jobs.add_second(world.jobs.all[-1].arn), "created twice"),
    "a job runs": (lambda world: world.jobs.move(world.jobs.all[-1].arn, "InProgress"), "still runs"),
    "a job of others was stopped": (lambda world: world.jobs.move(world.jobs.all[0].arn, "Stopped"), "foreign job"),
    "a message is left": (lambda world: world.queues["slices"].put("{}"), "on queue slices"),
    "a dead-letter message is lost": (lambda world: world.queues["manifests"].restore([], []), "dead: .*missing are"),
    "an input is left": (lambda world: world.objects.plant("batch-input/vectors1/1.jsonl", b"1"), "left behind"),
    "the marker is missing": (lambda world: world.objects.delete("results/vectors1/_SUCCESS"), "_SUCCESS contradicts"),
    "the report is of another end": (lambda world: _report(world, {"state": "SUCCEEDED"}), "run vectors1 ended as"),
    "the report counts wrong": (lambda world: _report(world, {"parts": []}), "run vectors1: the report lists"),
    "a slot is held": (lambda world: _item(world, "quota", {"in_use": 1}), "1 slots are in use"),
    "the ledger counts wrong": (lambda world: _item(world, "totals", {"ok": 7}), "the ledger has"),
    "no end is announced": (lambda world: world.bus.events.clear(), "announced: .*missing are"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_an_upgrade_that_does_harm_is_found_out(lie):
    world, faults = await replayed(LATEST, LATEST.cut("ended"))
    assert faults == []
    plant, words = LIES[lie]

    plant(world)

    faults = await faults_of(world, LATEST.about)
    assert any(re.search(words, fault) for fault in faults), faults
