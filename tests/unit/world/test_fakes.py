"""What the fakes offer beyond their ports: faults by plan, virtual time, several workers at one table."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from quarry_core.errors import Conflict, Refused, Stale, Throttled, Unknown
from quarry_core.ports import Cond, JobRequest, Put, Update
from tests.world.bus import FakeBus
from tests.world.clock import FakeClock
from tests.world.faults import KINDS, Crash, Faults
from tests.world.jobs import FakeJobs
from tests.world.offload import InlineOffload
from tests.world.queue import FakeQueue
from tests.world.table import FakeTable

KEY = ("run#r1", "totals")
REQUEST = JobRequest(
    name="census-r1-00002-1-dev",
    client_token="0123456789abcdef0123456789abcdef",
    role_arn="arn:aws:iam::123456789012:role/quarry",
    model_id="anthropic.claude-3-haiku-20240307-v1:0",
    input_uri="s3://bucket/batch-input/r1/00002.jsonl",
    output_uri="s3://bucket/batch-output/r1/00002-1/",
    timeout_hours=72,
)

# --------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("kind", "error", "done"),
    [
        ("refuse", Throttled, False),
        ("lose_reply", Unknown, True),
        ("crash_before", Crash, False),
        ("crash_after", Crash, True),
    ],
)
async def test_a_fault_strikes_at_its_call_and_before_or_after_the_effect(kind, error, done):
    faults = Faults({2: kind})
    table = FakeTable(faults)
    assert await table.get(KEY) is None
    with pytest.raises(error):
        await table.transact([Put(KEY, {})])
    assert (KEY in table.items) is done
    assert faults.injected == [(2, "table.transact", kind)]
    assert faults.calls == ["table.get", "table.transact"]


def test_every_kind_of_fault_is_tried_above():
    (mark,) = test_a_fault_strikes_at_its_call_and_before_or_after_the_effect.pytestmark
    assert tuple(row[0] for row in mark.args[1]) == KINDS


@pytest.mark.promise("L3")
async def test_after_a_crash_all_ports_of_that_worker_are_shut_and_no_handler_can_catch_it():
    faults = Faults({1: "crash_after"})
    clock = FakeClock()
    table, queue = FakeTable(), FakeQueue("work", clock)
    dead_table, dead_queue = table.for_worker(faults), queue.for_worker(faults)
    dead_bus, dead_jobs = FakeBus().for_worker(faults), FakeJobs(clock).for_worker(faults)

    async def handle():
        try:
            await dead_table.get(KEY)
        except Exception:
            return "caught"
        finally:
            await dead_queue.send("tidied up")

    with pytest.raises(Crash):
        await handle()
    assert queue.bodies == ()
    calls: list[Coroutine[Any, Any, object]] = [
        dead_bus.put("a", {}),
        dead_jobs.active(),
        dead_queue.receive(1, 0),
        dead_table.get(KEY),
    ]
    for call in calls:
        with pytest.raises(Crash):
            await call
    assert await table.get(KEY) is None, "another worker still holds it"


async def test_an_answer_can_be_lost_like_any_other_reply():
    table = FakeTable()
    await table.transact([Put(KEY, {})])
    with pytest.raises(Stale):
        await table.transact([Put(KEY, {})])
    with pytest.raises(Unknown):
        await table.for_worker(Faults({1: "lose_reply"})).transact([Put(KEY, {})])


async def test_workers_share_the_world_and_have_calls_of_their_own():
    one, two = Faults(), Faults()
    table = FakeTable()
    await table.for_worker(one).transact([Put(KEY, {"n": 1})])
    assert await table.for_worker(two).get(KEY) == {"pk": KEY[0], "sk": KEY[1], "n": 1}
    assert (one.calls, two.calls) == (["table.transact"], ["table.get"])


async def test_other_tasks_may_go_first_at_every_call():
    table = FakeTable()
    seen = []

    async def worker(name):
        for _ in range(2):
            await table.get(KEY)
            seen.append(name)

    await asyncio.gather(worker("a"), worker("b"))
    assert seen == ["a", "b", "a", "b"]


# --------------------------------------------------------------------------- clock


async def test_time_moves_by_itself_where_the_test_wants_it_so():
    clock = FakeClock()
    began = clock.now()
    await clock.sleep(90)
    assert clock.monotonic() == 90
    assert (clock.now() - began).total_seconds() == 90
    assert clock.slept == [90]


async def test_sleepers_wake_in_order_each_at_its_own_moment():
    clock = FakeClock(auto_advance=False)
    woken = []

    async def sleeper(name, *pauses):
        for pause in pauses:
            await clock.sleep(pause)
            woken.append((name, clock.monotonic()))

    tasks = [asyncio.create_task(sleeper("a", 10, 10)), asyncio.create_task(sleeper("b", 15, 100))]
    await clock.run_for(30)
    assert woken == [("a", 10), ("b", 15), ("a", 20)]
    assert clock.monotonic() == 30
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await clock.run_for(1000)
    assert len(woken) == 3


async def test_a_jump_wakes_all_whose_moment_has_come():
    clock = FakeClock(auto_advance=False)
    first, second = asyncio.create_task(clock.sleep(5)), asyncio.create_task(clock.sleep(50))
    await asyncio.sleep(0)
    clock.advance(5)
    await first
    assert not second.done()
    clock.advance(45)
    await second


def test_chance_is_the_same_for_the_same_seed():
    assert FakeClock(seed=1).token() == FakeClock(seed=1).token() != FakeClock(seed=2).token()


async def test_offloaded_work_takes_virtual_time():
    clock = FakeClock()
    assert await InlineOffload(clock, 2.5).run(lambda: 7) == 7
    assert clock.monotonic() == 2.5


# --------------------------------------------------------------------------- queue


async def test_a_message_comes_back_when_its_visibility_ends():
    clock = FakeClock()
    queue = FakeQueue("work", clock, visibility_s=30)
    queue.put("x")
    (first,) = await queue.receive(1, 0)
    clock.advance(29)
    await queue.extend(first, 30)
    clock.advance(29)
    assert list(await queue.receive(1, 0)) == []
    clock.advance(1)
    (second,) = await queue.receive(1, 0)
    assert second.receive_count == 2
    await queue.ack(first)
    assert queue.bodies == ("x",), "an old receipt deletes nothing"


async def test_a_long_poll_hears_of_what_comes_while_it_waits():
    clock = FakeClock(auto_advance=False)
    queue = FakeQueue("work", clock)
    poll = asyncio.create_task(queue.receive(1, 20))
    await clock.run_for(5)
    queue.put("late")
    await clock.run_for(2)
    assert [message.body for message in await poll] == ["late"]


async def test_a_delayed_message_comes_when_its_delay_ends():
    clock = FakeClock()
    queue = FakeQueue("work", clock)
    await queue.send("x", delay_s=60)
    assert (await queue.depth())["delayed"] == 1
    clock.advance(60)
    assert len(await queue.receive(1, 0)) == 1


@pytest.mark.promise("I4")
async def test_dead_letter_messages_can_be_moved_back():
    queue = FakeQueue("work", FakeClock())
    queue.put("x")
    (message,) = await queue.receive(1, 0)
    await queue.dead_letter(message, "why", "step")
    await queue.ack(message)
    assert queue.redrive() == 1
    (again,) = await queue.receive(1, 0)
    assert (again.body, again.attributes["quarry_origin_id"]) == ("x", message.id)
    assert queue.dead == ()


async def test_a_duplicate_and_another_order_can_be_had():
    queue = FakeQueue("work", FakeClock(), shuffle=random.Random(1))
    for number in range(10):
        queue.put(str(number))
    taken = await queue.receive(10, 0)
    assert [message.body for message in taken] != sorted(message.body for message in taken)
    await queue.ack(taken[0])
    queue.deliver_again(taken[0])
    (twice,) = await queue.receive(1, 0)
    assert (twice.id, twice.receive_count) == (taken[0].id, 1)


# --------------------------------------------------------------------------- table


async def test_watchers_see_every_change_and_nothing_else():
    table = FakeTable()
    seen = []
    table.watchers.append(lambda key, before, after: seen.append((key, before and before["n"], after and after["n"])))
    await table.transact([Put(KEY, {"n": 1})])
    await table.transact([Update(KEY, (Cond("n", "eq", 1),), add={"n": 1})])
    with pytest.raises(Stale):
        await table.transact([Put(KEY, {"n": 1})])
    assert seen == [(KEY, None, 1), (KEY, 1, 2)]


# --------------------------------------------------------------------------- jobs


@pytest.mark.promise("S2")
async def test_a_lost_reply_to_create_leaves_a_job():
    jobs = FakeJobs(FakeClock())
    jobs.lose_reply_once()
    with pytest.raises(Unknown):
        await jobs.create(REQUEST)
    arn = await jobs.create(REQUEST)
    assert [job.arn for job in jobs.all] == [arn]


async def test_an_answer_to_create_can_be_chosen():
    jobs = FakeJobs(FakeClock())
    jobs.refuse_once(Refused("no such model"))
    with pytest.raises(Refused, match="no such model"):
        await jobs.create(REQUEST)
    assert jobs.all == []
    await jobs.create(REQUEST)


async def test_bedrock_may_forget_tokens_refuse_names_and_list_late():
    clock = FakeClock()
    jobs = FakeJobs(clock, token_memory_s=600, list_lag_s=60)
    first = await jobs.create(REQUEST)
    assert list(await jobs.find(REQUEST.name)) == []
    assert (await jobs.get(first)).status == "Submitted"
    clock.advance(60)
    assert len(await jobs.find(REQUEST.name)) == 1
    clock.advance(600)
    assert await jobs.create(REQUEST) != first

    jobs = FakeJobs(clock, token_memory_s=0, refuse_used_names=True)
    await jobs.create(REQUEST)
    with pytest.raises(Conflict):
        await jobs.create(REQUEST)


async def test_the_peak_counts_what_was_active_at_once_and_a_quota_may_change():
    jobs = FakeJobs(FakeClock())
    worker = jobs.for_worker(Faults())
    arn = jobs.add_foreign("theirs", REQUEST.model_id)
    await worker.create(REQUEST)
    jobs.finish(arn, success=3, errors=1)
    assert jobs.peak == worker.peak == 2
    assert (await worker.get(arn)).total_records == 4
    jobs.set_quota(1)
    with pytest.raises(Exception, match="active"):
        await worker.create(JobRequest("other", "token2", *_rest(REQUEST)))


def _rest(request):
    return request.role_arn, request.model_id, request.input_uri, request.output_uri, request.timeout_hours


async def test_what_json_cannot_tell_does_not_reach_the_bus():
    bus = FakeBus("dev")
    with pytest.raises(TypeError):
        await bus.put("Run Ended", {"when": object()})
    assert bus.events == []
