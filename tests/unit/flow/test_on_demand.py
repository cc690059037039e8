"""Runs and shards that are too small for a job: asked record by record, with the same result and the price told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pytest
from botocore.exceptions import NoCredentialsError
from prometheus_client import REGISTRY

from quarry_core.contract.messages import Wakeup
from quarry_core.contract.on_demand import CHECKPOINT_RECORDS
from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import Missing, PortError, QuotaExceeded, Refused, Throttled, Unknown
from quarry_core.ledger import moves
from quarry_core.models.prices import price_of
from quarry_core.ports import Message
from quarry_core.service.endings import end_run
from quarry_core.service.failures import RunCode, Step, Why
from tests.unit.flow.acts import another_scheduler
from tests.world.faults import KINDS, Crash, Faults
from tests.world.world import CLAUDE, TITAN
from tests.world.world import SimulatedWorld as World


class SimulatedWorld(World):
    crashed = False  # whether a process has died since the last look

    def process_world(self, faults=None):
        seen = super().process_world(faults)
        return seen if faults is None else replace(seen, objects=Gone(self.objects, faults))


class Gone:
    """The bucket, as a process sees it: one that has died writes nothing any more."""

    def __init__(self, objects, faults):
        self._objects, self._faults = objects, faults

    def __getattr__(self, name):
        if self._faults.crashed:
            raise Crash(name)
        return getattr(self._objects, name)


def asked_ids(world):
    """Record by record, what was asked: the prompts tell them apart."""
    return [request.body for request in world.runtime.asked]


@pytest.mark.promise("S3", "L2")
@pytest.mark.parametrize(("rows", "jobs", "asked"), [(1, 0, 1), (40, 0, 40), (99, 0, 99), (100, 1, 0), (2_050, 20, 0)])
async def test_no_job_is_ever_below_the_minimum_and_every_row_has_its_answer(rows, jobs, asked):
    world = SimulatedWorld(job_quota=20)
    run_id = world.send(world.joke(rows=rows))

    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED
    assert (len(world.jobs.all), len(world.runtime.asked)) == (jobs, asked)
    sizes = [job.total_records for job in world.jobs.all]
    assert all(size >= 100 for size in sizes)
    print(f"{rows} rows: {len(sizes)} jobs of {min(sizes, default=0)} to {max(sizes, default=0)}, {asked} on demand")
    result = world.result(run_id)
    assert result.column("topic").to_pylist() == [f"topic number {row}" for row in range(rows)]
    assert result.column("response").to_pylist() == [
        f"answer to: Tell me a joke about topic number {row} in less than 50 words." for row in range(rows)
    ]
    assert set(result.column("stop_reason").to_pylist()) == {"end_turn"}


async def test_the_report_tells_what_was_asked_on_demand_and_what_it_cost():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=40))

    totals = await world.run(run_id)

    report = world.report(run_id)
    batch = price_of(CLAUDE).dollars(totals.input_tokens, totals.output_tokens)
    assert report["on_demand"] == {
        "rows": 40,
        "ok": 40,
        "error": 0,
        "asked_twice_at_most": 0,
        "service_tiers": ["default"],
        "llm_tokens": {"input": totals.input_tokens, "output": totals.output_tokens},
        "dollars": pytest.approx(2 * batch),
    }
    assert report["cost"]["dollars"] == pytest.approx(2 * batch)
    assert report["estimate"]["on_demand_rows"] == 40
    assert report["estimate"]["dollars"] > 0
    print(f"40 rows on demand: {report['on_demand']}, by batch {batch:.6f} dollars")


async def test_what_was_spent_on_demand_is_counted_apart_and_with_all_that_was_spent():
    def spent(name):
        return REGISTRY.get_sample_value(f"quarry_{name}_total", {"model": CLAUDE}) or 0.0

    world = SimulatedWorld()
    before = spent("on_demand_cost_dollars"), spent("cost_dollars")
    for rows in (100, 40):
        run_id = world.send(world.joke(rows=rows))
        await world.run(run_id)

    dollars = world.report(run_id)["cost"]["dollars"]
    assert spent("on_demand_cost_dollars") - before[0] == pytest.approx(dollars)
    assert spent("cost_dollars") - before[1] > 1.9 * dollars


# --------------------------------------------------------------------------- who is asked, and when not


async def test_an_embedding_run_is_asked_on_demand_too():
    world = SimulatedWorld()
    uri = world.csv(40, columns=("input_text",))
    run_id = world.send({"s3_uri": uri, "job_name_prefix": "emb", "model_id": TITAN, "prompt_id": None})

    assert (await world.run(run_id)).state is RunState.SUCCEEDED
    assert len(world.result(run_id).column("embedding")[39].as_py()) == 1024


async def test_a_higher_threshold_asks_what_a_job_could_hold():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=150, on_demand_below=200))

    assert (await world.run(run_id)).ok == 150
    assert (len(world.jobs.all), len(world.runtime.asked)) == (0, 150)


@pytest.mark.parametrize(
    ("manifest", "settings", "sentence"),
    [
        ({"on_demand_below": 0}, {}, "add rows until it has 100"),
        ({}, {"on_demand": False}, "add rows until it has 100"),
        ({}, {"on_demand_queue_url": ""}, "add rows until it has 100"),
        ({"on_demand_below": 50}, {"on_demand": False}, "on_demand_below: this environment asks nothing on demand"),
        ({"on_demand_below": -1}, {}, "on_demand_below: "),
        ({"on_demand_below": 10_001}, {}, "on_demand_below: "),
        ({"on_demand_below": True}, {}, "on_demand_below: "),
        ({"on_demand_below": "40"}, {}, "on_demand_below: "),
        (
            {
                "on_demand_below": 5,
                "model_id": f"arn:aws:bedrock:us-east-1:123456789012:custom-model/{CLAUDE}/abcdefghijkl",
            },
            {},
            "on_demand_below: a custom model is asked on demand by a deployment",
        ),
    ],
)
async def test_where_nothing_may_be_asked_on_demand_the_run_is_refused_with_what_to_do(manifest, settings, sentence):
    world = SimulatedWorld(**settings)
    run_id = world.send(world.joke(rows=40, **manifest))

    totals = await world.run(run_id)

    assert totals.state is RunState.FAILED
    assert sentence in totals.message
    print(f"{manifest} {settings}: {totals.message}")
    assert not world.runtime.asked


@pytest.mark.promise("L9", "S3")
async def test_an_environment_that_stops_asking_leaves_nothing_for_an_older_collector_to_settle():
    """Going back to a release that asks nothing on demand: the switch first, then the images (terraform/UPGRADE.md)."""
    world = SimulatedWorld(on_demand_concurrency=4)
    begun = world.send(world.joke(rows=60))
    world.start({"scheduler": DiesAt(world, "runtime.ask", 30)})
    with contextlib.suppress(Crash, PortError):
        await world.idle()
    assert (await world.ledger.shard(begun, "00000")).state is ShardState.INVOKING
    waiting = world.send(world.joke(rows=50))
    for consumer in world.consumers[:2]:  # it arrives and is enlisted, and nobody asks it yet
        await consumer.run_once()
        await consumer.run_once()
    assert (await world.ledger.shard(waiting, "00000")).state is ShardState.PENDING

    world.settings = world.settings.model_copy(update={"on_demand": False})
    world.start()
    for run_id in (begun, waiting):
        await take_time(world, run_id)

    asked = len(world.runtime.asked)
    for run_id in (begun, waiting):
        totals = await world.totals(run_id)
        assert totals.state.terminal
        assert (await world.ledger.shard(run_id, "00000")).state is ShardState.SETTLED
        assert totals.ok + totals.error == (60 if run_id == begun else 50)
        print(f"{totals.ok} ok, {dict(totals.errors)}")
    assert (await world.totals(begun)).ok >= 20, "what was written down is kept"
    assert asked <= 34, "nothing was asked after the switch"


async def test_a_shard_that_too_few_rows_are_left_of_is_asked_on_demand_beside_jobs():
    world = SimulatedWorld(job_quota=1)
    rows = [f"topic {row}" if row % 60 else "" for row in range(120)]
    world.objects.plant("inputs/gaps.csv", ("topic\n" + "".join(f'"{row}"\n' for row in rows)).encode())
    table = {"topic": [row or None for row in rows]}
    run_id = world.send(world.joke(s3_uri=world.parquet(pa.table(table)), max_records_per_job=120, run_id="gaps"))
    few = {"topic": [f"t{row}" if row < 90 else None for row in range(110)]}
    other = world.send(world.joke(s3_uri=world.parquet(pa.table(few), "inputs/few.parquet"), run_id="few"))

    assert (await world.run(run_id)).ok == 118
    totals = await world.run(other)

    assert (totals.ok, totals.error, dict(totals.errors)) == (90, 20, {"NULL_INPUT": 20})
    assert len(world.jobs.all) == 1
    assert len(world.runtime.asked) == 90


async def test_a_run_of_which_no_row_can_be_sent_asks_nothing():
    world = SimulatedWorld()
    uri = world.parquet(pa.table({"topic": pa.nulls(40, pa.string())}))
    run_id = world.send(world.joke(s3_uri=uri))

    totals = await world.run(run_id)

    assert (totals.state, totals.error, dict(totals.errors)) == (RunState.FAILED, 40, {"NULL_INPUT": 40})
    assert not world.runtime.asked


async def test_ready_requests_for_converse_are_asked_by_converse_with_a_limit():
    world = SimulatedWorld()
    lines = [
        {
            "custom_id": f"c{row}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"messages": [{"role": "user", "content": f"hello {row}"}]},
        }
        for row in range(30)
    ]
    world.objects.plant("inputs/r.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    run_id = world.send(
        {"s3_uri": "s3://world/inputs/r.jsonl", "job_name_prefix": "r", "model_id": CLAUDE, "request_format": "openai"}
    )

    assert (await world.run(run_id)).ok == 30
    assert {request.form for request in world.runtime.asked} == {"Converse"}
    assert all(json.loads(request.body)["inferenceConfig"]["maxTokens"] for request in world.runtime.asked)
    assert world.result(run_id).column("response")[3].as_py() == "answer to: hello 3"


# --------------------------------------------------------------------------- crashes


async def take_time(world, run_id):
    """Time passes and everybody looks around, until the run is at its end; whoever dies is started again."""
    for _ in range(40):
        with contextlib.suppress(Crash, PortError):
            await world.idle()
        if world.crashed:
            world.start()
            world.crashed = False
        totals = await world.ledger.totals(run_id)
        if totals is not None and totals.state.terminal:
            return totals
        world.clock.advance(61)
        with contextlib.suppress(Crash, PortError):
            await world.scheduler.sweeper.sweep()
    raise AssertionError(await world.totals(run_id))


class DiesAt(Faults):
    """The process is gone at its n-th call of a kind."""

    def __init__(self, world, name, number, *, after=False):
        super().__init__()
        self._world, self._name, self._left, self._after = world, name, number, after

    def before(self, name, args=()):
        if name == self._name and not self._after:
            self._count(name)
        return super().before(name, args)

    def after(self, number, name, args=()):
        super().after(number, name, args)
        if name == self._name and self._after:
            self._count(name)

    def _count(self, name):
        self._left -= 1
        if self._left == 0:
            self.crashed = self._world.crashed = True
            raise Crash(name)


@pytest.mark.promise("S2", "L1", "L2")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("asked", [1, 5, 20, 21, 45, 79, 90])
async def test_a_killed_scheduler_asks_at_most_a_checkpoint_and_what_is_in_flight_twice(asked, after):
    world = SimulatedWorld(on_demand_concurrency=4)
    world.start({"scheduler": DiesAt(world, "runtime.ask", asked, after=after)})
    run_id = world.send(world.joke(rows=90))

    totals = await take_time(world, run_id)

    assert totals.state is RunState.SUCCEEDED
    times = Counter(asked_ids(world))
    twice = sum(count - 1 for count in times.values())
    assert len(times) == 90
    assert max(times.values()) <= 2
    reported = world.report(run_id)["on_demand"]["asked_twice_at_most"]
    assert twice <= reported <= CHECKPOINT_RECORDS + 4
    print(f"killed at request {asked} of 90: {twice} records asked twice, the report says at most {reported}")
    assert world.result(run_id).column("response")[89].as_py().startswith("answer to")


@pytest.mark.promise("L1", "L4")
async def test_a_scheduler_that_is_told_to_stop_leaves_nothing_in_doubt():
    world = SimulatedWorld(on_demand_concurrency=4)
    run_id = world.send(world.joke(rows=90))

    async def stop_at(request, number):
        if number >= 37:
            await world.scheduler.on_demand.stop()

    world.runtime.before = stop_at
    await world.idle()
    asked = len(world.runtime.asked)
    world.runtime.before = None
    world.start()
    totals = await take_time(world, run_id)

    assert asked < 45
    assert totals.state is RunState.SUCCEEDED
    assert set(Counter(asked_ids(world)).values()) == {1}
    assert world.report(run_id)["on_demand"]["asked_twice_at_most"] == 0


@pytest.mark.promise("S2", "S3")
async def test_one_that_was_taken_for_lost_and_comes_back_writes_over_nothing_and_stops():
    world = SimulatedWorld(on_demand_concurrency=4)
    run_id = world.send(world.joke(rows=60))
    stuck, go_on = asyncio.Event(), asyncio.Event()

    async def stick(request, number):
        if number >= 30 and not go_on.is_set():
            stuck.set()
            await go_on.wait()

    world.runtime.before = stick
    first = asyncio.create_task(world.idle())
    await stuck.wait()
    world.runtime.before = None
    shard = await world.ledger.shard(run_id, "00000")
    await world.ledger.apply(moves.leave_invoking(shard, lost=True))  # as a sweep that saw that its heartbeat was stale
    await another_scheduler(world).on_demand.on_wakeup(message_of(run_id))
    go_on.set()
    await first

    totals = await take_time(world, run_id)

    assert totals.ok == 60
    assert world.report(run_id)["rows"]["ok"] == 60
    assert max(Counter(asked_ids(world)).values()) <= 2


class HangsAt(Faults):
    """From a moment on, no call of a name is answered before `goes_on`."""

    def __init__(self, name):
        super().__init__()
        self.hangs = False
        self.goes_on = asyncio.Event()
        self._name = name

    @contextlib.asynccontextmanager
    async def call(self, name, *args):
        if self.hangs and name == self._name:
            await self.goes_on.wait()
        async with super().call(name, *args):
            yield


@pytest.mark.promise("S2", "S8")
async def test_whoever_was_not_heard_of_for_too_long_asks_nothing_more_before_it_knows_who_has_the_shard():
    world = SimulatedWorld(on_demand_concurrency=4)
    faults = HangsAt("table.transact")

    async def unheard_from_30(request, number):
        if number >= 30 and not faults.hangs:
            faults.hangs = True
            world.clock.advance(world.settings.finish_after_s)

    world.runtime.before = unheard_from_30
    world.start({"scheduler": faults})
    run_id = world.send(world.joke(rows=90))

    first = asyncio.create_task(world.idle())
    for _ in range(2_000):
        await asyncio.sleep(0)
    in_hand = len(world.runtime.asked)
    faults.goes_on.set()
    await first

    assert in_hand < 30 + 2 * 4
    assert (await take_time(world, run_id)).ok == 90
    assert set(Counter(asked_ids(world)).values()) == {1}


def message_of(run_id, shard="00000"):
    return Message("m", Wakeup(step="on_demand", run_id=run_id, shard=shard).body(), "r")


async def test_a_wake_up_too_many_asks_nothing_twice():
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=40))
    for _ in range(3):
        world.queues["on-demand"].put(Wakeup(step="on_demand", run_id=run_id, shard="00000").body())
    await world.run(run_id)
    for _ in range(3):
        world.queues["on-demand"].put(Wakeup(step="on_demand", run_id=run_id, shard="00000").body())
    await world.idle()

    assert len(world.runtime.asked) == 40


# --------------------------------------------------------------------------- answers that are none


async def in_time(world, run_id):
    """Let the pauses pass, each at its own moment."""
    for _ in range(200):
        working = asyncio.create_task(world.idle())
        while not working.done():
            await world.clock.run_for(61)
        await working
        totals = await world.totals(run_id)
        if totals.state.terminal:
            return totals
        await world.scheduler.sweeper.sweep()
    raise AssertionError(totals)


FOR_A_RECORD = [
    (
        Refused("asking: ValidationException: bad", "ValidationException"),
        1,
        "MODEL_ERROR",
        "ValidationException: asking",
    ),
    (Refused("asking: ModelErrorException: odd", "ModelErrorException"), 1, "MODEL_ERROR", "ModelErrorException"),
    (QuotaExceeded("asking: ServiceQuotaExceededException"), 1, "THROTTLED", "asking: ServiceQuotaExceededException"),
    (Throttled("asking: ThrottlingException: slow down"), 3, "THROTTLED", "after 3 tries: asking: ThrottlingException"),
    (Unknown("asking: ModelTimeoutException"), 3, "NO_ANSWER", "after 3 tries: asking: ModelTimeoutException"),
]


@pytest.mark.promise("S3", "S9")
@pytest.mark.parametrize(("answer", "tries", "code", "message"), FOR_A_RECORD)
async def test_a_record_that_is_never_answered_is_an_error_row_and_harms_no_other(answer, tries, code, message):
    world = SimulatedWorld(on_demand_attempts_max=3)
    world.runtime.fate = lambda request, number: answer if b"topic number 7 " in request.body else None
    run_id = world.send(world.joke(rows=40, record_errors={"max_attempts": 1}))

    totals = await in_time(world, run_id)

    assert (totals.ok, dict(totals.errors)) == (39, {code: 1})
    row = world.result(run_id).slice(7, 1).to_pylist()[0]
    assert (row["status"], row["error_code"]) == ("error", code)
    assert row["error_message"].startswith(message)
    assert sum(b"topic number 7 " in request.body for request in world.runtime.asked) == tries


async def test_what_may_be_asked_again_is_and_then_answered():
    world = SimulatedWorld()
    odd = [Throttled("slow"), Unknown("503"), Unknown("timeout")]
    world.runtime.fate = lambda request, number: odd[number % 3] if number % 4 == 0 else None
    run_id = world.send(world.joke(rows=40))

    totals = await in_time(world, run_id)

    assert totals.state is RunState.SUCCEEDED
    assert len(world.runtime.asked) > 40


@pytest.mark.parametrize("denied", [True, False])
async def test_an_answer_about_the_caller_or_the_model_ends_the_shard_after_few_requests(denied):
    world = SimulatedWorld(on_demand_concurrency=4)
    world.runtime.denied = denied
    if not denied:
        world.runtime.fate = lambda request, number: Missing("ResourceNotFoundException: no such model")
    run_id = world.send(world.joke(rows=90))

    totals = await world.run(run_id)

    assert (totals.state, dict(totals.errors)) == (RunState.FAILED, {"REFUSED": 90})
    assert "Bedrock refused to answer on demand" in totals.message
    assert len(world.runtime.asked) <= 4


async def test_what_was_answered_before_a_refusal_is_kept():
    world = SimulatedWorld(on_demand_concurrency=1)
    world.runtime.fate = lambda request, number: Missing("gone") if number > 30 else None
    run_id = world.send(world.joke(rows=90))

    totals = await world.run(run_id)

    assert (totals.ok, dict(totals.errors)) == (30, {"REFUSED": 60})


async def test_without_credentials_nothing_is_given_up_and_the_rest_is_asked_later():
    world = SimulatedWorld(on_demand_attempts_max=2)
    gone = Throttled("asking: no credentials")
    gone.__cause__ = NoCredentialsError()
    world.runtime.fate = lambda request, number: gone if 30 < number < 80 else None
    run_id = world.send(world.joke(rows=60))

    totals = await in_time(world, run_id)

    assert totals.ok == 60
    assert world.report(run_id)["on_demand"]["asked_twice_at_most"] == 0


async def test_a_run_that_breaks_meanwhile_is_asked_no_further():
    world = SimulatedWorld(on_demand_concurrency=1)
    run_id = world.send(world.joke(rows=90))

    async def break_it(request, number):
        if number == 40:
            why = Why(RunCode.INTERNAL_ERROR, Step.SETTLE, "something else broke")
            await end_run(world.process_world(), run_id, why)
            await world.clock.run_for(31)  # a heartbeat looks

    world.runtime.before = break_it
    totals = await in_time(world, run_id)

    assert totals.state is RunState.FAILED
    assert (totals.ok, dict(totals.errors)) == (40, {"NOT_PROCESSED": 50})
    assert len(world.runtime.asked) == 40


# --------------------------------------------------------------------------- tier, rate, concurrency


@pytest.mark.parametrize(("tiers", "reported", "share"), [({"flex"}, ["flex"], 1), (set(), ["default"], 2)])
async def test_a_model_with_the_tier_flex_is_asked_in_it_and_without_it_where_it_is_refused(
    monkeypatch, tiers, reported, share
):
    monkeypatch.setattr("quarry_scheduler.record_calls.tier_of", lambda model: "flex")
    world = SimulatedWorld()
    world.runtime.tiers = frozenset(tiers)
    run_id = world.send(world.joke(rows=40))

    totals = await world.run(run_id)

    report = world.report(run_id)
    assert totals.ok == 40
    assert report["on_demand"]["service_tiers"] == reported
    assert report["cost"]["dollars"] == pytest.approx(
        share * price_of(CLAUDE).dollars(totals.input_tokens, totals.output_tokens)
    )


async def test_a_record_that_is_refused_first_costs_the_others_no_tier(monkeypatch):
    monkeypatch.setattr("quarry_scheduler.record_calls.tier_of", lambda model: "flex")
    world = SimulatedWorld(on_demand_concurrency=1)
    no = Refused("ValidationException: too long", "ValidationException")
    world.runtime.fate = lambda request, number: no if b"topic number 0 " in request.body else None
    run_id = world.send(world.joke(rows=40))

    assert (await world.run(run_id)).ok == 39
    assert world.report(run_id)["on_demand"]["service_tiers"] == ["flex"]
    assert [request.tier for request in world.runtime.asked] == ["flex", None, *["flex"] * 39]


async def test_no_more_are_in_flight_than_may_be_nor_sent_in_a_minute_than_the_rate():
    world = SimulatedWorld(on_demand_concurrency=3, on_demand_requests_per_minute=60)
    times = []

    async def note(request, number):
        times.append(world.clock.monotonic())

    world.runtime.before = note
    run_id = world.send(world.joke(rows=99))

    assert (await in_time(world, run_id)).ok == 99
    assert world.runtime.peak <= 3
    in_a_minute = max(sum(start <= other < start + 60 for other in times) for start in times)
    assert in_a_minute <= 60 + 10
    print(f"99 records at 60 requests a minute: {times[-1]:.0f} s, at most {in_a_minute} in any minute")


@pytest.mark.promise("S2", "S3", "L1", "L2", "L3")
@pytest.mark.timeout(300)
async def test_whatever_fails_together_every_record_comes_back_once():
    seen = Counter()
    for seed in range(40):
        chance = random.Random(seed)
        world = SimulatedWorld(on_demand_concurrency=chance.choice((1, 4, 8)))
        rows = chance.randrange(1, 100)

        def faults(chance=chance):
            return Faults({chance.randrange(1, 300): chance.choice(KINDS) for _ in range(chance.randrange(8))})

        world.start({name: faults() for name in ("preprocessor", "scheduler", "collector")})
        run_id = world.send(world.joke(rows=rows, run_id="r1"))
        for turn in range(120):
            try:
                working = asyncio.create_task(world.idle())
                while not working.done():
                    await world.clock.run_for(31)
                await working
                await world.scheduler.sweeper.sweep()
            except Crash:
                seen["crash"] += 1
                world.start({"scheduler": faults(), "collector": faults()} if turn < 30 else None)
            except PortError:
                seen["failed"] += 1
            totals = await world.ledger.totals(run_id)
            if totals is not None and totals.state.terminal:
                break
        assert (totals.state, totals.ok) == (RunState.SUCCEEDED, rows), (seed, totals)
        twice = len(world.runtime.asked) - rows
        seen["twice"] += twice
        assert not [queue.dead for queue in world.queues.values() if queue.dead], seed
    print(dict(seen))
    assert seen["crash"] > 10
