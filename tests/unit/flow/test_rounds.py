"""Records with an error go again, pooled over all shards of a run, and the result holds the last word on each row."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from quarry_collector.next_round import Rounds
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.states import RunState, ShardState
from quarry_core.errors import Throttled
from quarry_core.ledger import moves
from tests.unit.flow.acts import errors_of, healthy_dead, play, shards, step
from tests.unit.flow.test_cancel import cancel
from tests.world.faults import Crash
from tests.world.world import TITAN, SimulatedWorld

ROWS = 2_000
NO_DEMAND = {"on_demand_below": 0}


def mixed(transient=0.02, permanent=0.005, **changes):
    world = SimulatedWorld(job_quota=changes.pop("job_quota", 5), **changes)
    world.bedrock.throttled_share, world.bedrock.refused_share = transient, permanent
    return world


def holds_the_last_word(world, run_id, rows=ROWS):
    """Every row once, in order, with its own answer or the error that no attempt fixes."""
    result = world.result(run_id)
    assert result.column("topic").to_pylist() == [f"topic number {row}" for row in range(rows)]
    for row in result.to_pylist():
        if row["status"] == "ok":
            assert row["response"] == f"answer to: Tell me a joke about {row['topic']} in less than 50 words."
            assert row["error_code"] is None
        else:
            assert row["response"] is None
            assert row["error_code"]
    assert inputs_left(world) == []
    assert healthy_dead(world) == {}


def inputs_left(world):
    return [key for key in world.objects.bodies if key.startswith("batch-input/")]


@pytest.mark.promise("S3", "S10", "L2")
async def test_transient_errors_of_all_shards_are_pooled_into_jobs_at_the_minimum_and_answered():
    world = mixed(0.1)
    run_id = world.send(world.joke(rows=ROWS, max_records_per_job=400, record_errors={"max_attempts": 10}))

    totals = await play(world, run_id)

    assert totals.state is RunState.SUCCEEDED_WITH_ERRORS
    holds_the_last_word(world, run_id)
    messages = {row["error_message"] for row in world.result(run_id).to_pylist() if row["error_message"]}
    assert messages == {"400: bad request"}, "all that another attempt fixes is fixed"
    sizes = [job.total_records for job in world.jobs.all]
    assert min(sizes) >= 100
    report = world.report(run_id)
    assert report["records"] == {
        "rounds": totals.round,
        "first": ROWS,
        "retried": totals.retried,
        "paid": ROWS + totals.retried,
    }
    assert sum(sizes) + len(world.runtime.asked) == ROWS + totals.retried
    assert report["rows"] == {
        **report["rows"],
        "accepted": ROWS,
        "ok": totals.ok,
        "error": totals.error,
    }
    assert report["errors"]["MODEL_ERROR"]["rows"] == totals.error == totals.errors["MODEL_ERROR"]
    print(f"{ROWS} rows: {report['records']}, jobs of {min(sizes)} to {max(sizes)}, {totals.error} errors stand")


async def test_fewer_than_a_job_takes_are_asked_on_demand():
    world = mixed()
    run_id = world.send(world.joke(rows=ROWS, max_records_per_job=400))

    totals = await play(world, run_id)

    assert len(world.jobs.all) == 5
    assert totals.retried == len(world.runtime.asked) > 0
    assert errors_of(world, run_id) == {"MODEL_ERROR": totals.error}
    assert world.report(run_id)["on_demand"]["rows"] == totals.retried
    holds_the_last_word(world, run_id)


async def test_where_on_demand_is_not_allowed_their_errors_stand_and_are_counted():
    world = mixed()
    run_id = world.send(world.joke(rows=ROWS, max_records_per_job=400, **NO_DEMAND))

    totals = await play(world, run_id)

    assert (totals.round, totals.retried, len(world.jobs.all), len(world.runtime.asked)) == (1, 0, 5, 0)
    assert totals.errors == {"MODEL_ERROR": totals.error}
    report = world.report(run_id)
    assert report["errors"]["MODEL_ERROR"]["rows"] == totals.error > 20
    assert len(report["errors"]["MODEL_ERROR"]["examples"]) == 3
    holds_the_last_word(world, run_id)


@pytest.mark.parametrize("record_errors", [{"max_attempts": 1}, {"retry": []}, {"retry": ["MISSING"]}])
async def test_who_wants_no_retries_gets_none(record_errors):
    world = mixed(0.2)
    run_id = world.send(world.joke(rows=400, record_errors=record_errors))

    totals = await play(world, run_id)

    assert (totals.round, totals.retried) == (1, 0)
    assert [key for key in world.objects.bodies if key.startswith(("again/", f"plans/{run_id}/round"))] == []


async def test_a_record_is_asked_as_often_as_allowed_and_ends_with_its_last_error():
    world = mixed(1.0, 0.0)
    run_id = world.send(world.joke(rows=400, max_num_jobs=1, record_errors={"max_attempts": 3}, **NO_DEMAND))

    totals = await play(world, run_id)

    assert (totals.state, totals.round, totals.retried) == (RunState.FAILED, 3, 800)
    assert errors_of(world, run_id) == {"MODEL_ERROR": 400}
    assert len([key for key in world.objects.bodies if key.startswith("outcomes/")]) == 3, "each attempt is kept"


async def test_each_part_is_published_once_nothing_of_its_shard_goes_again():
    world = mixed(0.0, 0.0)
    answer = world.bedrock.end
    run_id = world.send(world.joke(rows=800, max_num_jobs=2, max_records_per_job=400, **NO_DEMAND))

    def end(job):
        world.bedrock.throttled_share = 0.5 if "-00002-1-" in job.name else 0.0
        answer(job)

    await step(world, end)
    first = [shard.shard for shard in await shards(world, run_id) if shard.state is ShardState.SETTLED]
    assert first == ["00000", "00002"]
    assert [key for key in world.objects.bodies if "part-" in key] == [f"results/{run_id}/part-00000.parquet"]
    assert [(each.shard, each.round) for each in await shards(world, run_id)][2:] == [("00003", 2)]

    await play(world, run_id, end)
    holds_the_last_word(world, run_id, 800)


async def test_answers_that_do_not_fit_the_schema_go_again_where_the_manifest_asks_for_it():
    world = SimulatedWorld()
    said = {}

    def answering(body, _):
        prompt = json.dumps(body["messages"])
        said[prompt] = said.get(prompt, 0) + 1
        text = "no json" if said[prompt] == 1 else '{"joke": "ha"}'
        return {
            "role": "assistant",
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 5, "output_tokens": 3},
        }

    world.bedrock.answerer = answering
    schema = {
        "output_schema": {
            "type": "object",
            "properties": {"joke": {"type": "string"}},
            "required": ["joke"],
            "additionalProperties": False,
        },
        "output_mode": "instruction",
    }
    asked = {"retry": ["INVALID_OUTPUT"], "max_attempts": 2}
    run_id = world.send(world.joke(rows=150, record_errors=asked, **schema))

    totals = await play(world, run_id)

    assert (totals.state, totals.ok, totals.retried) == (RunState.SUCCEEDED, 150, 150)
    assert world.result(run_id).column("joke").to_pylist() == ["ha"] * 150
    assert (totals.input_tokens, totals.output_tokens) == (1_500, 900), "each attempt was paid for"
    assert world.report(run_id)["llm_tokens"] == {"input": 1_500, "output": 900}


async def test_vectors_come_back_from_a_later_round_too():
    world = mixed(0.5, 0.0)
    uri = world.csv(400, columns=("input_text",))
    run_id = world.send({"s3_uri": uri, "job_name_prefix": "emb", "model_id": TITAN, "prompt_id": None})

    totals = await play(world, run_id)

    assert (totals.state, totals.retried > 100) == (RunState.SUCCEEDED, True)
    texts, vectors = (world.result(run_id).column(name).to_pylist() for name in ("input_text", "embedding"))
    first = [(sum(text.encode()) % 97) / 97 for text in texts]
    assert [vector[0] for vector in vectors] == pytest.approx(first, abs=1e-6)


async def test_rows_that_were_never_sent_do_not_shift_the_lines_that_go_again():
    world = mixed(0.5, 0.0)
    topics = [f"topic number {row}" if row % 3 else None for row in range(600)]
    run_id = world.send(world.joke(rows=1) | {"s3_uri": world.parquet(pa.table({"topic": topics}))})

    totals = await play(world, run_id)

    assert totals.retried > 100
    assert (totals.ok, totals.errors) == (400, {"NULL_INPUT": 200})
    for row, topic in zip(world.result(run_id).to_pylist(), topics, strict=True):
        assert row["topic"] == topic
        assert topic is None or f" {topic} " in row["response"]


# --------------------------------------------------------------------------- what fails meanwhile


@pytest.mark.promise("S3", "S4", "L3")
async def test_a_round_of_more_shards_than_a_transaction_holds_is_opened_in_pieces_over_any_crash(monkeypatch):
    monkeypatch.setattr(moves, "RETRY_SHARDS_AT_ONCE", 2)
    world = mixed(0.5, 0.0)
    run_id = world.send(world.joke(rows=ROWS, max_records_per_job=100, **NO_DEMAND))
    await world.idle()
    whole, opened = moves.open_more, []

    def dies(totals, some):
        opened.append(totals.round_opened)
        if len(opened) % 2:
            raise Crash("killed")
        return whole(totals, some)

    monkeypatch.setattr(moves, "open_more", dies)
    for _ in range(400):
        try:
            await step(world)
        except Crash:
            world.start()
        totals = await world.totals(run_id)
        assert totals.accepted == totals.ok + totals.error + totals.again + totals.open
        if totals.state.terminal:
            break

    assert totals.state.terminal, totals
    assert len(opened) > 4
    holds_the_last_word(world, run_id)
    numbers = [each.shard for each in await shards(world, run_id)]
    assert len(numbers) == len(set(numbers)) == totals.shards_enlisted == totals.shards_settled


async def test_two_closers_plan_the_same_round():
    world = mixed(0.5, 0.0)
    run_id = world.send(world.joke(rows=400, max_records_per_job=200, **NO_DEMAND))
    whole, entered = Rounds._open, []

    async def slowly(self, totals, pins, plan):
        entered.append(plan)
        if len(entered) == 1:
            world.queues["collector"].put(Wakeup(step="close", run_id=run_id).body())
            await world.idle()  # another closer does it all
        await whole(self, totals, pins, plan)

    Rounds._open = slowly
    try:
        await play(world, run_id)
    finally:
        Rounds._open = whole
    assert len(entered) >= 2
    assert entered[0] == entered[1]
    holds_the_last_word(world, run_id, 400)


async def test_a_refused_model_ends_the_rounds_with_the_errors_that_were():
    world = mixed(0.5, 0.0)
    run_id = world.send(world.joke(rows=400, max_records_per_job=200, **NO_DEMAND))
    await world.idle()
    job = world.bedrock.active[0]
    world.jobs.refused_models = frozenset({job.model_id.rpartition("/")[2]})

    totals = await play(world, run_id)

    assert totals.again == 0
    assert set(totals.errors) <= {"MODEL_ERROR", "REFUSED"}
    holds_the_last_word(world, run_id, 400)


async def test_who_is_throttled_on_demand_is_asked_again_in_the_next_round():
    world = SimulatedWorld(on_demand_attempts_max=1)
    tried = []

    def fate(request, number):
        tried.append(request.body)
        return Throttled("no room") if tried.count(request.body) == 1 and len(tried) % 4 == 0 else None

    world.runtime.fate = fate
    run_id = world.send(world.joke(rows=40))
    totals = await play(world, run_id)
    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 40)
    assert 0 < totals.retried < 40
    holds_the_last_word(world, run_id, 40)


@pytest.mark.promise("S3", "S10")
async def test_a_run_that_is_cancelled_in_a_later_round_keeps_what_it_has_and_asks_nothing_more():
    world = mixed(0.5, 0.0)
    run_id = world.send(world.joke(rows=800, max_records_per_job=200))
    await step(world)
    assert (await world.totals(run_id)).round == 2
    jobs, asked = len(world.jobs.all), len(world.runtime.asked)
    await cancel(world, run_id)

    totals = await play(world, run_id)

    assert (totals.state, totals.round, totals.again) == (RunState.CANCELLED, 2, 0)
    assert (len(world.jobs.all), len(world.runtime.asked)) == (jobs, asked)
    assert 300 < totals.ok < 800
    holds_the_last_word(world, run_id, 800)
    assert sum(errors_of(world, run_id).values()) == totals.error == sum(totals.errors.values())


@pytest.mark.promise("S3")
async def test_a_run_that_is_cancelled_while_its_round_is_planned_has_no_further_round(monkeypatch):
    world = mixed(0.5, 0.0)
    run_id = world.send(world.joke(rows=800, max_records_per_job=200))
    whole = Rounds._open

    async def too_late(self, totals, pins, plan):
        if not totals.cancelled_at:
            await cancel(world, run_id)
        await whole(self, totals, pins, plan)

    monkeypatch.setattr(Rounds, "_open", too_late)

    totals = await play(world, run_id)

    assert (totals.state, totals.round, totals.retried) == (RunState.CANCELLED, 1, 0)
    assert errors_of(world, run_id) == {"MODEL_ERROR": totals.error} == totals.errors
    holds_the_last_word(world, run_id, 800)


async def test_the_error_rows_of_an_ended_run_can_be_the_source_of_another():
    world = mixed(0.5, 0.0)
    run_id = world.send(world.joke(rows=300, record_errors={"max_attempts": 1}))
    first = await play(world, run_id)
    world.bedrock.throttled_share = 0.0
    left = {"s3_uri": f"s3://world/results/{run_id}/part-*.parquet", "where": "status = 'error'", "columns": ["topic"]}

    totals = await play(world, world.send(world.joke(rows=300) | left))

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, first.error)
    assert world.result(totals.run_id).column_names[0] == "topic"
