"""Runs that meet what no retry fixes: full disks, killed workers, damaged files, sources that go and come back."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from structlog.testing import capture_logs

import quarry_preprocessor.arrive
import quarry_preprocessor.count
from quarry_collector import spool_file
from quarry_collector.salvage import Salvage
from quarry_collector.spool_file import SpoolFile
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import outcome_key, part_key, report_key, success_key
from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import Missing, Unknown
from quarry_core.ports import Put, Update
from quarry_core.service.failures import StepFailed
from tests.unit.flow.acts import healthy_dead, play, pool, shards, step
from tests.unit.flow.planted_steps import Plant, Planted, planted
from tests.world.faults import Crash, Faults
from tests.world.world import BUCKET, CLAUDE, SimulatedWorld

FULL = OSError(errno.ENOSPC, "No space left on device")
STEPS_MAX = 60


@pytest.fixture(autouse=True)
def _idle():
    """A traceback for each failure costs more than all the rest."""
    with capture_logs():
        yield


async def failures(world: SimulatedWorld, run_id: str) -> list[dict]:
    return [dict(item) for key, item in world.table.items.items() if key[1].startswith("failure#") and run_id in key[0]]


def inputs_left(world: SimulatedWorld) -> list[str]:
    return [key for key in world.objects.bodies if key.startswith("batch-input/")]


# --------------------------------------------------------------------------- a worker that has run out of something


@pytest.mark.promise("L5", "S3")
@pytest.mark.parametrize("place", ["begin", "middle"])
async def test_a_full_disk_settles_nothing_wrongly_and_dead_letters_nothing(monkeypatch, place):
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=300, max_records_per_job=100))
    await world.idle()
    full = True

    def unless_full(whole):
        def work(*args, **kwargs):
            if full and place == "middle":  # a little fits
                file, data = args
                whole(file, data[: len(data) // 2])
            if full:
                raise OSError(*FULL.args)
            return whole(*args, **kwargs)

        return work

    monkeypatch.setattr(spool_file, "RUN_BYTES", 1)
    if place == "begin":
        temporary = spool_file.tempfile.TemporaryFile
        monkeypatch.setattr(spool_file.tempfile, "TemporaryFile", unless_full(temporary))
    else:
        monkeypatch.setattr(SpoolFile, "_write", unless_full(SpoolFile._write))
    for _ in range(60):  # an hour
        await step(world)
    assert {shard.state for shard in await shards(world, run_id)} == {ShardState.ENDED}
    assert healthy_dead(world) == {}
    assert await failures(world, run_id) == []

    full = False
    totals = await play(world, run_id)

    assert (totals.state, totals.ok, totals.error) == (RunState.SUCCEEDED, 300, 0)
    assert healthy_dead(world) == {}


@pytest.mark.promise("L5")
@pytest.mark.parametrize(
    "away", [FULL, MemoryError(), Unknown("the bucket is away")], ids=lambda each: type(each).__name__
)
async def test_a_manifest_outlives_a_preprocessor_that_has_no_room_for_it(monkeypatch, away):
    world = SimulatedWorld()
    whole = quarry_preprocessor.arrive.read_manifest

    def fails(*_args, **_kwargs):
        raise away

    monkeypatch.setattr(quarry_preprocessor.arrive, "read_manifest", fails)
    run_id = world.send(world.joke(rows=100))
    for _ in range(120):  # long enough for SQS itself to dead-letter what comes back too often
        await world.idle()
        world.clock.advance(301)
    assert healthy_dead(world) == {}
    assert len(world.queues["manifests"].bodies) == 1
    assert await world.ledger.totals(run_id) is None

    monkeypatch.setattr(quarry_preprocessor.arrive, "read_manifest", whole)
    world.clock.advance(301)
    assert (await world.run(run_id)).state is RunState.SUCCEEDED


# --------------------------------------------------------------------------- work that kills its process


async def live(world: SimulatedWorld, run_id: str, *others: str, restart: Callable[[], None] | None = None) -> int:
    """Let processes die and be started again until the runs are at their ends; how many died."""
    deaths = 0
    for _ in range(STEPS_MAX):
        try:
            await step(world)
        except Crash:
            deaths += 1
            (restart or world.start)()
        ends = [await world.ledger.totals(each) for each in (run_id, *others)]
        if all(totals is not None and totals.state.terminal for totals in ends):
            return deaths
    raise AssertionError(ends)


@pytest.mark.promise("S9", "L2", "L3")
async def test_a_count_that_kills_its_process_four_times_is_set_aside_and_others_go_on(monkeypatch):
    world = SimulatedWorld()
    whole = quarry_preprocessor.count.plan_source

    def kills(objects, run_id, pins, slots):
        if "bomb" in pins.source.key:
            raise Crash("out of memory")
        return whole(objects, run_id, pins, slots)

    monkeypatch.setattr(quarry_preprocessor.count, "plan_source", kills)
    bomb = world.send(world.joke() | {"s3_uri": world.csv(100, "inputs/bomb.csv")})
    other = world.send(world.joke(rows=200))

    assert await live(world, bomb, other) == 4

    totals = await world.totals(bomb)
    assert (totals.state, totals.code, totals.step) == (RunState.FAILED, "WORKER_KILLED", "count")
    assert "killed its worker 4 times" in totals.message
    assert "memory" in totals.message
    assert (await world.totals(other)).state is RunState.SUCCEEDED
    assert healthy_dead(world) == {}


@pytest.mark.promise("S3", "S9", "L2")
async def test_a_shard_whose_writing_kills_breaks_the_run_and_what_was_paid_is_kept(monkeypatch):
    world = SimulatedWorld(job_quota=1)
    write = quarry_preprocessor.slices.ShardWriter.write

    def kills(self, shard, wanted):
        if shard.number >= 4:
            raise Crash("out of memory")
        return write(self, shard, wanted)

    monkeypatch.setattr(quarry_preprocessor.slices.ShardWriter, "write", kills)
    run_id = world.send(world.joke(rows=400, max_records_per_job=100))

    # Two workers each took a slice of it before the first one's message came back; then one goes first, but not for ever.
    assert await live(world, run_id) <= 6

    totals = await world.totals(run_id)
    assert (totals.state, totals.code, totals.step) == (RunState.FAILED, "WORKER_KILLED", "slice")
    assert totals.ok + totals.error == totals.accepted == 400
    assert inputs_left(world) == []


@pytest.mark.promise("S3", "S9", "L1", "L2")
async def test_an_output_whose_reading_kills_becomes_error_rows_and_stays_where_it_is(monkeypatch):
    world = SimulatedWorld(job_quota=3)
    outcome = Salvage.outcome

    def kills(self, shard, *about):
        if shard.shard == "00002":
            raise Crash("out of memory")
        return outcome(self, shard, *about)

    monkeypatch.setattr(Salvage, "outcome", kills)
    run_id = world.send(world.joke(rows=300, max_records_per_job=100))

    assert await live(world, run_id) == 4

    totals = await world.totals(run_id)
    assert (totals.state, totals.code, totals.step) == (RunState.FAILED, "WORKER_KILLED", "settle")
    assert (totals.ok, totals.error, totals.open) == (200, 100, 0)
    assert world.report(run_id)["errors"]["INTERNAL_ERROR"]["rows"] == 100
    assert [key for key in world.objects.bodies if key.startswith(f"batch-output/{run_id}/00002-1/")]
    assert (await pool(world)).in_use == 0


@pytest.mark.promise("S3", "S9")
async def test_a_part_whose_writing_kills_keeps_its_answers_in_the_outcome(monkeypatch):
    world = SimulatedWorld(job_quota=3)
    part = Salvage.part

    def kills(self, shard, *others):
        if shard.shard == "00000":
            raise Crash("out of memory")
        return part(self, shard, *others)

    monkeypatch.setattr(Salvage, "part", kills)
    run_id = world.send(world.joke(rows=300, max_records_per_job=100))

    assert await live(world, run_id) <= 5  # settling has its four, and closing, which writes what is missing, one

    totals = await world.totals(run_id)
    assert (totals.state, totals.code) == (RunState.FAILED, "WORKER_KILLED")
    assert (totals.ok, totals.error) == (300, 0)
    assert outcome_key(run_id, "00000", 1) in world.objects.bodies
    report = world.report(run_id)
    assert report["rows"]["ok"] == 300
    assert [each["uri"] for each in report["parts"]] == [
        f"s3://{BUCKET}/{part_key(run_id, each)}" for each in ("00002", "00004")
    ]


@pytest.mark.promise("L2", "L3")
@pytest.mark.parametrize("step", ["count", "slice", "settle", "close"])
async def test_three_workers_that_somebody_kills_in_the_same_piece_of_work_end_no_run(step):
    world = SimulatedWorld(job_quota=3)
    killed = []

    class Killed(Faults):
        """Killed as soon as a piece of this step is begun, as long as there are kills left."""

        def after(self, number, name, args=()):
            begins = name == "table.transact" and args[0][0].key[1].startswith(f"begun#{step}")
            if begins and isinstance(args[0][0], Put | Update) and len(killed) < 3:
                killed.append(number)
                self.crashed = True
                raise Crash("the host is gone")
            super().after(number, name, args)

    def start() -> None:
        world.start({name: Killed() for name in ("preprocessor", "scheduler", "collector")})

    start()
    run_id = world.send(world.joke(rows=120))
    assert await live(world, run_id, restart=start) == 3

    assert (await world.totals(run_id)).state is RunState.SUCCEEDED


# --------------------------------------------------------------------------- damaged files


@pytest.mark.promise("L2", "S9")
@pytest.mark.parametrize("column", ["topic", "other"])
async def test_a_damaged_page_without_statistics_refuses_the_run_before_anything_is_paid(column):
    world = SimulatedWorld()
    table = pa.table({"topic": [f"topic number {row}" for row in range(2_000)], "other": list(range(2_000))})
    body = io.BytesIO()
    pq.write_table(table, body, write_statistics=False, compression="snappy", use_dictionary=False)
    data = bytearray(body.getvalue())
    chunk = pq.ParquetFile(body).metadata.row_group(0).column(table.column_names.index(column))
    start = chunk.data_page_offset + 40
    data[start : start + 400] = b"\xff" * 400
    world.objects.plant("inputs/damaged.parquet", bytes(data))
    run_id = world.send(world.joke() | {"s3_uri": f"s3://{BUCKET}/inputs/damaged.parquet"})

    totals = await play(world, run_id)

    assert totals.state is RunState.FAILED
    assert totals.message
    assert totals.code in ("REFUSED", "INTERNAL_ERROR", "SOURCE_BROKEN")
    if column == "topic":
        assert world.jobs.all == [], "the prompt's own column is looked at before anything is paid for"
    assert healthy_dead(world) == {}


# --------------------------------------------------------------------------- what a crash leaves


@pytest.mark.promise("S3", "L3")
@pytest.mark.parametrize("close_first", [True, False])
async def test_a_collector_that_dies_between_settling_and_publishing_leaves_no_input_behind(monkeypatch, close_first):
    world = SimulatedWorld(job_quota=1)
    run_id = world.send(world.joke(rows=100))
    await world.idle()
    part = Salvage.part

    def dies(self, *_):
        monkeypatch.setattr(Salvage, "part", part)
        raise Crash("killed")

    monkeypatch.setattr(Salvage, "part", dies)
    world.bedrock.end_all()
    with pytest.raises(Crash):
        await world.idle()
    world.start()
    assert [shard.state for shard in await shards(world, run_id)] == [ShardState.SETTLED]
    assert inputs_left(world) == [f"batch-input/{run_id}/00000.jsonl"]

    if close_first:  # before the dead one's message comes back
        world.queues["collector"].put(Wakeup(step="close", run_id=run_id).body())
        await world.idle()
        assert (await world.totals(run_id)).state is RunState.SUCCEEDED
        assert inputs_left(world) == []
    await play(world, run_id)

    assert inputs_left(world) == []
    assert world.result(run_id).num_rows == 100


async def test_an_input_that_is_written_late_is_taken_away_by_the_wakeup_that_its_writer_wakes():
    world = SimulatedWorld(job_quota=1)
    run_id = world.send(world.joke(rows=100))
    await play(world, run_id)
    world.objects.plant(f"batch-input/{run_id}/00002.jsonl", b"{}")  # by a worker that was away for long

    world.queues["collector"].put(Wakeup(step="settle", run_id=run_id, shard="00002").body())
    await world.idle()

    assert inputs_left(world) == []


# --------------------------------------------------------------------------- one end


@pytest.mark.promise("H1", "S4", "S5")
@pytest.mark.parametrize("returns", [True, False])
async def test_a_source_that_goes_and_comes_back_while_the_bus_is_away_has_one_end(monkeypatch, returns):
    world = SimulatedWorld(job_quota=1)
    rows = pa.table({"topic": [f"topic number {row}" for row in range(100)]})
    run_id = world.send(
        {"s3_uri": world.parquet(rows), "job_name_prefix": "j", "model_id": CLAUDE, "prompt_id": "joke_about_topic"}
    )
    await world.idle()
    gone, bus_away = True, True
    random_access, put = world.objects.random_access, world.bus.put

    def unless_gone(ref):
        if gone and ref.key.startswith("inputs/"):
            raise Missing(f"{ref.key} does not exist")
        return random_access(ref)

    async def unless_away(detail_type, detail):
        if bus_away:
            raise Unknown("EventBridge is away")
        await put(detail_type, detail)

    monkeypatch.setattr(world.objects, "random_access", unless_gone)
    monkeypatch.setattr(world.bus, "put", unless_away)
    world.bedrock.end_all()
    for _ in range(5):
        await step(world)
    assert (await world.totals(run_id)).state is RunState.CLOSING

    gone, bus_away = not returns, False
    totals = await play(world, run_id)

    assert (totals.state, totals.code, totals.step) == (RunState.FAILED, "SOURCE_BROKEN", "part")
    assert f"outcomes/{run_id}/" in totals.message
    report = world.report(run_id)
    assert (report["state"], report["reason"], report["code"]) == ("FAILED", totals.message, totals.code)
    assert success_key(run_id) not in world.objects.bodies
    [event] = {(each.detail["state"], each.detail["reason"]) for each in world.bus.events}
    assert event == ("FAILED", totals.message)
    assert report_key(run_id) in world.objects.bodies


# --------------------------------------------------------------------------- a slot and the job that may stand for it


@pytest.mark.promise("S1", "S2", "S7", "L1")
async def test_a_job_that_cannot_be_written_down_keeps_its_slot_until_bedrock_says_that_it_ended_and_is_settled():
    world = SimulatedWorld(job_quota=2)
    run_id = world.send(world.joke(rows=300, max_records_per_job=100))
    written = Plant("create", "quarry_scheduler.create:JobCreator._submitted")
    seen = Plant("track", "quarry_scheduler.tracking:JobTracker.job_seen")
    with planted(written), planted(seen):
        for _ in range(12):  # long after List must have shown it
            await world.idle()
            world.clock.advance(61)
            with suppress(StepFailed, Planted):
                await world.scheduler.sweeper.sweep()
            with suppress(StepFailed, Planted):
                await world.scheduler.tick_all()
        active = len(world.bedrock.active)
        assert active == 2
        assert (await pool(world)).in_use == active, "a slot was returned under a job that runs"

        totals = await play_on(world, run_id)

    assert (totals.state, totals.code) == (RunState.FAILED, "INTERNAL_ERROR")
    assert (totals.ok, totals.open) == (200, 0), "what was paid for is kept"
    assert len(world.jobs.all) == 2, "nothing more was submitted"
    assert (await pool(world)).in_use == 0


async def play_on(world: SimulatedWorld, run_id: str):
    for _ in range(STEPS_MAX):
        with suppress(StepFailed, Planted):
            await step(world)
        totals = await world.totals(run_id)
        if totals.state.terminal:
            return totals
    raise AssertionError(totals)
