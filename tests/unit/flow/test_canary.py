"""A run's first shard is asked alone; what it comes to opens the others, holds the run, or ends it."""

from __future__ import annotations

import json

import pytest
from prometheus_client import REGISTRY

from quarry_collector.canary import CanaryJudge
from quarry_core.contract.states import Gate, RunState, ShardState
from quarry_core.errors import Stale
from quarry_core.ledger import moves
from quarry_core.planning.canary import Judgement
from tests.unit.flow.acts import CLAUDE_POOL, enlist, healthy_dead, play, shards, step
from tests.world.world import CLAUDE, SimulatedWorld

WHO = "arn:aws:iam::123456789012:user/ana"
# Twelve shards, so it has a canary by default.
MANY = {"rows": 1_200, "max_records_per_job": 100, "canary": None}


async def approve(world: SimulatedWorld, run_id: str) -> None:
    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    by = moves.By(world.clock.now().isoformat(), WHO)
    await world.ledger.apply(moves.approve(await world.totals(run_id), lane, by))


async def pause(world: SimulatedWorld, run_id: str) -> None:
    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    await world.ledger.apply(moves.pause(await world.totals(run_id), lane, moves.By(world.clock.now().isoformat())))


async def resume(world: SimulatedWorld, run_id: str) -> None:
    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    await world.ledger.apply(moves.resume(await world.totals(run_id), lane))


async def judgement_of(world: SimulatedWorld, run_id: str) -> Judgement:
    return Judgement.model_validate_json(await world.ledger.canary(run_id))


async def held(world: SimulatedWorld, **changes: object) -> str:
    """A run whose every record fails, and which its canary holds."""
    world.bedrock.error_share = 1.0
    run_id = await enlist(world, world.joke(**MANY | changes))
    for _ in range(3):
        await step(world)
    assert (await world.totals(run_id)).held
    return run_id


async def test_a_large_run_asks_one_shard_and_the_others_when_that_is_answered():
    world = SimulatedWorld(job_quota=3)
    run_id = await enlist(world, world.joke(**MANY))
    await world.idle()
    assert len(world.jobs.all) == 1
    assert (await world.ledger.lane(CLAUDE_POOL, run_id)).gate is Gate.CANARY

    await step(world)
    assert len(world.jobs.all) == 1 + 3, "then as many as there are slots"

    totals = await play(world, run_id)
    assert (totals.state, totals.ok, totals.canary) == (RunState.SUCCEEDED, 1_200, "passed")
    assert len(world.jobs.all) == 12
    assert (await judgement_of(world, run_id)).answered == 100
    assert world.report(run_id)["canary"]["error"]["share"] == 0.0
    assert healthy_dead(world) == {}


@pytest.mark.promise("L3", "S3")
async def test_a_prompt_that_fails_for_every_record_costs_exactly_one_job_and_the_run_says_why():
    world = SimulatedWorld(job_quota=3)
    run_id = await held(world)

    for _ in range(4):
        await step(world)
        world.start()  # fresh processes: whatever they remembered is gone

    totals = await world.totals(run_id)
    assert len(world.jobs.all) == 1
    assert (totals.state, totals.held_kind, totals.ok, totals.error) == (RunState.RUNNING, "canary", 0, 100)
    assert totals.held_reason == (
        "the canary exceeds its limits: 100 of 100 rows have an error (MODEL_ERROR 100), 100.0% (96.3% to 100.0%), and"
        " canary.max_error_share allows 10%"
    )
    assert (await world.ledger.pool(CLAUDE_POOL)).in_use == 0
    assert REGISTRY.get_sample_value("quarry_runs", {"state": "HELD"}) == 1
    assert REGISTRY.get_sample_value("quarry_runs", {"state": "RUNNING"}) == 0
    assert REGISTRY.get_sample_value("quarry_oldest_pending_shard_timestamp_seconds") == 0, "it waits for nobody's slot"

    world.bedrock.error_share = 0.0
    await approve(world, run_id)
    totals = await play(world, run_id)
    assert (totals.state, totals.ok, totals.error) == (RunState.SUCCEEDED_WITH_ERRORS, 1_100, 100)
    assert (totals.canary, totals.approved_by, totals.held_at) == ("approved", WHO, "")
    assert len(world.jobs.all) == 12


@pytest.mark.promise("S3")
async def test_with_on_fail_the_run_fails_with_the_reason_and_keeps_what_the_canary_answered():
    world = SimulatedWorld(job_quota=3)
    world.bedrock.refused_share = 0.5
    run_id = await enlist(world, world.joke(**MANY | {"canary": {"max_error_share": 0.2, "on_fail": "fail"}}))

    totals = await play(world, run_id)

    assert (totals.state, totals.code, totals.canary) == (RunState.FAILED, "CANARY_EXCEEDED", "exceeded")
    assert "canary.max_error_share allows 20%" in totals.message
    assert len(world.jobs.all) == 1
    assert 0 < totals.ok < 100
    result = world.result(run_id)
    assert result.num_rows == 1_200, "every row is told"
    assert result["status"].to_pylist().count("ok") == totals.ok
    assert healthy_dead(world) == {}


@pytest.mark.promise("S3")
async def test_a_run_that_fails_while_its_rows_are_still_being_written_tells_of_each_row():
    world = SimulatedWorld(job_quota=3)
    world.bedrock.refused_share = 0.5
    run_id = world.send(world.joke(**MANY | {"canary": {"max_error_share": 0.2, "on_fail": "fail"}}))
    arriving, counting = world.consumers[:2]
    await arriving.run_once()
    await counting.run_once()
    slices = world.queues["slices"].waiting
    world.queues["slices"].restore(slices[:1], [])
    for _ in range(3):
        await step(world)
    totals = await world.totals(run_id)
    assert (totals.enlisted, totals.canary) == (100, "waiting"), "the canary alone is written, and exceeds"

    world.queues["slices"].restore(slices[1:], [])
    totals = await play(world, run_id)

    assert (totals.state, totals.code) == (RunState.FAILED, "CANARY_EXCEEDED")
    assert len(world.jobs.all) == 1
    assert world.result(run_id).num_rows == 1_200
    assert world.report(run_id)["rows"]["unread"] == 0


async def test_without_a_canary_and_in_a_run_of_few_shards_all_slots_are_used_at_once():
    world = SimulatedWorld(job_quota=3)
    await enlist(world, world.joke(**MANY | {"canary": False}))
    await world.idle()
    assert len(world.jobs.all) == 3

    small = SimulatedWorld(job_quota=3)
    await enlist(small, small.joke(rows=1_000, max_records_per_job=100))
    await small.idle()
    assert len(small.jobs.all) == 3


async def test_rows_sets_how_long_the_canary_is_also_in_a_run_of_few_shards():
    world = SimulatedWorld(job_quota=3)
    run_id = await enlist(world, world.joke(rows=1_000, canary={"rows": 150}))
    assert [shard.rows for shard in await shards(world, run_id)] == [150, 284, 283, 283]
    assert (await play(world, run_id)).state is RunState.SUCCEEDED
    assert world.report(run_id)["estimate"]["canary_rows"] == 150


async def test_answers_that_are_cut_off_and_a_run_that_would_cost_too_much_are_held():
    world = SimulatedWorld(job_quota=3)

    def cut(body: dict, _: str | None) -> dict:
        said = {"type": "text", "text": "once upon a"}
        return {"role": "assistant", "content": [said], "stop_reason": "max_tokens", "usage": USED}

    world.bedrock.answerer = cut
    run_id = await enlist(world, world.joke(**MANY | {"canary": {"max_cost_usd": 0.0001}}))
    for _ in range(3):
        await world.idle()
        world.clock.advance(90)  # so long a job takes
        await step(world)

    reason = (await world.totals(run_id)).held_reason
    assert "100 of 100 answers are cut off at max_tokens, 100.0% (96.3% to 100.0%)" in reason
    assert "canary.max_cost_usd allows $0.0001" in reason
    found = await judgement_of(world, run_id)
    assert found.output_tokens.likely == 1_200 * USED["output_tokens"]
    assert found.dollars.low < found.dollars.likely < found.dollars.high
    assert found.left is not None
    assert found.left.low_s <= found.left.seconds <= found.left.high_s


USED = {"input_tokens": 20, "output_tokens": 7}


async def test_a_pause_and_a_hold_overlap_and_each_ends_by_itself():
    world = SimulatedWorld(job_quota=3)
    world.bedrock.error_share = 1.0
    run_id = await enlist(world, world.joke(**MANY))
    await world.idle()
    await pause(world, run_id)
    for _ in range(2):
        await step(world)
    assert (await world.ledger.lane(CLAUDE_POOL, run_id)).gate is Gate.PAUSED, "paused before it was judged"

    await resume(world, run_id)
    assert (await world.ledger.lane(CLAUDE_POOL, run_id)).gate is Gate.HELD
    await pause(world, run_id)
    await approve(world, run_id)
    await step(world)
    assert len(world.jobs.all) == 1, "approved, and paused all the same"

    world.bedrock.error_share = 0.0
    await resume(world, run_id)
    assert (await play(world, run_id)).ok == 1_100


async def test_a_run_that_is_paused_before_its_canary_was_asked_asks_it_alone_when_it_is_resumed():
    world = SimulatedWorld(job_quota=3)
    run_id = await enlist(world, world.joke(**MANY))
    await pause(world, run_id)
    await step(world)
    assert world.jobs.all == []

    await resume(world, run_id)
    await world.scheduler.tick_all()
    assert len(world.jobs.all) == 1
    assert (await play(world, run_id)).state is RunState.SUCCEEDED


async def test_a_held_run_can_be_cancelled():
    world = SimulatedWorld(job_quota=3)
    run_id = await held(world)
    now = world.clock.now().isoformat()
    await world.ledger.apply(moves.cancel(await world.totals(run_id), CLAUDE_POOL, moves.By(now)))

    totals = await play(world, run_id)
    assert (totals.state, len(world.jobs.all)) == (RunState.CANCELLED, 1)
    assert not totals.held


async def test_others_go_on_while_a_run_waits_for_its_canary_and_while_it_is_held():
    world = SimulatedWorld(job_quota=3)
    first = await enlist(world, world.joke(**MANY))
    await world.idle()
    other = await enlist(world, world.joke(rows=200, job_name_prefix="other", max_records_per_job=100))
    await world.idle()
    assert len(world.jobs.all) == 3, "the canary, and two of the other"
    assert (await play(world, other)).state is RunState.SUCCEEDED
    await play(world, first)


@pytest.mark.promise("L1")
async def test_a_collector_that_dies_between_settling_the_canary_and_judging_it_is_made_up_for(monkeypatch):
    world = SimulatedWorld(job_quota=3)
    judge = CanaryJudge.judge

    async def dies(*_: object) -> None:
        """Nothing is judged, and the message is gone."""

    monkeypatch.setattr(CanaryJudge, "judge", dies)
    run_id = await enlist(world, world.joke(**MANY))
    for _ in range(2):
        await step(world)
    assert next(shard.state for shard in await shards(world, run_id)) is ShardState.SETTLED
    assert (await world.totals(run_id)).canary == "waiting"

    monkeypatch.setattr(CanaryJudge, "judge", judge)
    assert (await play(world, run_id)).state is RunState.SUCCEEDED


async def test_of_two_collectors_one_judges_and_what_changed_meanwhile_is_looked_at_again():
    world = SimulatedWorld(job_quota=3)
    run_id = await held(world)
    before = await world.totals(run_id)
    lane = await world.ledger.lane(CLAUDE_POOL, run_id)
    as_it_was = moves.judge_canary(
        type(before)(**{**_fields(before), "canary": "waiting", "held_at": ""}), lane, "{}", reason="", at="now"
    )

    with pytest.raises(Stale):
        await world.ledger.apply(as_it_was)

    await approve(world, run_id)
    with pytest.raises(Stale):
        await world.ledger.apply(moves.approve(before, lane, moves.By("now", WHO)))


def _fields(row: object) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__slots__}


@pytest.mark.parametrize(
    ("canary", "said"),
    [
        ({"rows": 50}, "canary.rows: it is 50, and the model's smallest job has 100 records: give at least 100"),
        ({"max_error_share": 2}, "canary.max_error_share: "),
        ({"on_fail": "panic"}, "canary.on_fail: "),
        ({"row": 5}, "canary.row: unknown key"),
        ("yes", "canary: "),
    ],
)
async def test_a_canary_that_cannot_be_is_refused_by_name(canary, said):
    world = SimulatedWorld()
    run_id = world.send(world.joke(canary=canary))
    await world.idle()
    totals = await world.totals(run_id)
    assert totals.state is RunState.FAILED
    assert said in totals.message


async def test_a_cost_cannot_be_held_against_a_model_without_a_price():
    world = SimulatedWorld()
    run_id = world.send(world.joke(canary={"max_cost_usd": 5}, model_id="arn:aws:bedrock:us-east-1:1:x"))
    await world.idle()
    assert (await world.totals(run_id)).state is RunState.FAILED
    unpriced = "ai21.jamba-1-5-large-v1:0"
    run_id = world.send(world.joke(canary={"max_cost_usd": 5}, model_id=unpriced))
    await world.idle()
    assert f"canary.max_cost_usd: the table of prices has no {unpriced}" in (await world.totals(run_id)).message


async def test_the_judgement_is_plain_json():
    world = SimulatedWorld(job_quota=3)
    run_id = await held(world)
    text = await world.ledger.canary(run_id)
    assert json.loads(text)["errors"] == {"MODEL_ERROR": 100}
    assert CLAUDE not in text
