"""Old and new side by side: message versions N and N-1, keys that are not known yet, and ledger items of later code."""

from __future__ import annotations

import json

import pytest

from quarry_core.contract import messages
from quarry_core.contract.messages import NotAMessage, UnknownVersion, Wakeup, read_wakeup
from quarry_core.contract.run import Pins
from quarry_core.ledger import keys, rows
from quarry_core.service.consumer import Consumer
from quarry_core.service.process import WAKEUP_TRIES_MAX, consumer_limits
from quarry_core.service.verdicts import DONE
from quarry_core.service.wakeups import handle_wakeup
from tests.world.clock import FakeClock
from tests.world.queue import FakeQueue
from tests.world.world import SimulatedWorld, settings

ROLL_S = 3_600
WAKEUP = {"step": "settle", "run_id": "r1", "shard": "00002"}


def third_version(data):
    """How a release after this one may write what is a wake-up today: another name for one of its keys."""
    return Wakeup.model_validate({**data, "run_id": data["run"]})


@pytest.fixture
def next_release(monkeypatch):
    """From here on this process reads as the next release does."""
    return lambda: monkeypatch.setattr(messages, "READERS", {2: messages.READERS[2], 3: third_version})


# --------------------------------------------------------------------------- one message


def test_what_is_written_today_is_read_today():
    assert max(messages.READERS) == messages.VERSION
    wakeup = Wakeup(step="slice", run_id="r1", slice=3)
    assert read_wakeup(wakeup.body()) == wakeup


def test_a_wakeup_of_the_release_before_is_read_as_todays():
    old = json.dumps({"v": 1, "kind": "settle", "run_id": "r1", "shard": "00002"})

    assert read_wakeup(old) == Wakeup(step="settle", run_id="r1", shard="00002")


def test_a_wakeup_of_the_release_before_that_names_no_kind_is_poison():
    with pytest.raises(NotAMessage, match=r"^kind: missing"):
        read_wakeup('{"v": 1, "step": "settle"}')


def test_there_is_a_reader_for_this_version_and_none_older_than_the_one_before():
    assert set(messages.READERS) <= {messages.VERSION, messages.VERSION - 1}


def test_the_next_release_reads_both_versions(next_release):
    next_release()

    old = read_wakeup(json.dumps({"v": 2, **WAKEUP}))
    new = read_wakeup(json.dumps({"v": 3, "step": "settle", "run": "r1", "shard": "00002"}))

    assert (old.step, old.run_id, old.shard) == (new.step, new.run_id, new.shard) == ("settle", "r1", "00002")


def test_keys_that_are_not_known_yet_are_ignored():
    assert read_wakeup(json.dumps({"v": 2, **WAKEUP, "trace": {"id": "x"}, "hurry": True})).shard == "00002"


@pytest.mark.parametrize("version", [3, 4, 99])
def test_a_later_version_is_not_ours_to_judge(version):
    with pytest.raises(UnknownVersion, match=f"version {version}; this release reads 1 and 2"):
        read_wakeup(json.dumps({"v": version, "whatever": [1]}))


@pytest.mark.parametrize("version", [0, -1, None, "1", 1.5, True, [1]])
def test_what_no_release_will_ever_read_is_poison(version):
    with pytest.raises(NotAMessage, match=r"^v: "):
        read_wakeup(json.dumps({"v": version, **WAKEUP}))


def test_what_is_nested_too_deep_to_be_read_is_poison():
    with pytest.raises(NotAMessage, match="nested more than 500 deep"):
        read_wakeup("[" * 100_000)


def test_two_releases_later_the_first_version_is_poison_that_names_it(monkeypatch):
    monkeypatch.setattr(messages, "READERS", {2: messages.READERS[2], 3: third_version})

    with pytest.raises(NotAMessage, match="version 1 is no longer read; this release reads 2 and 3"):
        read_wakeup(json.dumps({"v": 1, **WAKEUP}))


# --------------------------------------------------------------------------- an old consumer and a new producer


@pytest.mark.promise("L6")
async def test_an_old_consumer_returns_a_later_version_unharmed_for_longer_than_a_roll_takes(next_release):
    clock, heard = FakeClock(), []
    queue = FakeQueue("collector", clock)

    async def answer(wakeup):
        heard.append(wakeup)
        return DONE

    limits = consumer_limits(settings(), 1)
    consumer = Consumer(queue, lambda message: handle_wakeup(message, answer), limits, clock, "settle")
    body = '{"v": 3, "step": "settle", "run": "r1", "shard": "00002"}'
    queue.put(body)
    began_s = clock.monotonic()

    pauses = []
    while clock.monotonic() - began_s < ROLL_S:
        counts = await consumer.run_once()
        assert (counts.done, counts.poison) == (0, 0)
        pauses.append(counts.retry)
        clock.advance(1)

    assert queue.bodies == (body,)
    assert queue.dead == ()
    assert sum(pauses) > WAKEUP_TRIES_MAX, "it is given up as a wake-up that meets only failures would be"
    assert any(pauses[:3][1:]), "the second try does not come soon"
    next_release()
    clock.advance(consumer_limits(settings(), 1).retry_after_max_s)
    assert (await consumer.run_once()).done == 1
    assert [wakeup.run_id for wakeup in heard] == ["r1"]


@pytest.mark.promise("L2", "S3")
async def test_new_consumers_finish_a_run_that_old_producers_wake_for(next_release, monkeypatch):
    next_release()
    monkeypatch.setattr(Wakeup, "body", with_a_later_key)
    world = SimulatedWorld()
    run_id = world.send(world.joke(300))

    totals = await world.run(run_id)

    assert (totals.state, totals.ok) == ("SUCCEEDED", 300)
    assert not any(queue.dead for queue in world.queues.values())


@pytest.mark.promise("L2", "S3")
async def test_old_consumers_wait_for_the_roll_and_a_run_that_new_producers_wake_for_succeeds(
    next_release, monkeypatch
):
    monkeypatch.setattr(Wakeup, "body", third_version_body)
    world = SimulatedWorld()
    run_id = world.send(world.joke(300))
    for _ in range(20):
        await world.idle()
        world.clock.advance(61)
        await world.scheduler.sweeper.sweep()
    assert (await world.totals(run_id)).state == "ACCEPTED", "an old consumer has read what it does not know"
    assert not any(queue.dead for queue in world.queues.values())

    next_release()
    world.start()
    totals = await world.run(run_id)

    assert (totals.state, totals.ok) == ("SUCCEEDED", 300)
    assert not any(queue.dead for queue in world.queues.values())


# --------------------------------------------------------------------------- the ledger


@pytest.mark.promise("L2", "S3")
async def test_old_code_goes_on_with_items_to_which_later_code_has_added():
    world = SimulatedWorld()
    run_id = world.send(world.joke(300))
    await world.idle()
    for item in world.table.items.values():
        item["later"] = "than this code"
    run = world.table.items[keys.run_key(run_id)]
    pins = json.loads(run[rows.PINNED])
    later = {**pins, "later": 1, "source": {**pins["source"], "later": 1}}
    run[rows.PINNED] = json.dumps(later)
    world.start()

    totals = await world.run(run_id)

    assert (totals.state, totals.ok) == ("SUCCEEDED", 300)


@pytest.mark.promise("L2", "S3")
async def test_a_run_of_the_release_before_whose_prompt_stands_among_its_pins_goes_on():
    world = SimulatedWorld()
    run_id = world.send(world.joke(300))
    while not any(key == keys.run_key(run_id) for key in world.table.items):
        await world.consumers[0].run_once()
    item, text = (world.table.items.pop(key) for key in (keys.run_key(run_id), keys.text_key(run_id)))
    pins = {**json.loads(item[rows.PINNED]), **json.loads(text["text"])}
    kept = {name: item[name] for name in ("run_id", "manifest_hash", "accepted_at")}
    world.table.items[keys.run_key(run_id)] = {**kept, "pins": json.dumps(pins)}
    totals = world.table.items[keys.totals_key(run_id)]
    world.table.items[keys.totals_key(run_id)] = {name: totals[name] for name in totals if name != "text_days"}

    totals = await world.run(run_id)

    assert (totals.state, totals.ok) == ("SUCCEEDED", 300)
    assert "Tell" in world.table.items[keys.run_key(run_id)]["pins"]


async def test_code_that_looks_for_a_prompt_among_the_pins_finds_no_pins_rather_than_none():
    world = SimulatedWorld()
    run_id = world.send(world.joke(300))
    await world.idle()
    assert "pins" not in world.table.items[keys.run_key(run_id)], (
        "the release before would refuse the run, or ask without"
    )


@pytest.mark.parametrize("part", ["prompt", "vpc"])
def test_old_code_makes_no_record_of_a_prompt_or_network_that_it_does_not_understand(part):
    pins = {
        "job_name_prefix": "p",
        "model_id": "m",
        "pool": "p",
        "family": "f",
        "family_version": "1",
        "source": {"format": "csv", "bucket": "b", "key": "k", "size_bytes": 1, "etag": "e"},
        "prompt": {"template": "Tell {topic}"},
        "vpc": {"subnet_ids": ["subnet-0123456789abcdef0"], "security_group_ids": ["sg-0123456789abcdef0"]},
        "timeout_hours": 24,
    }
    assert Pins.model_validate_json(json.dumps(pins)).timeout_hours == 24

    with pytest.raises(ValueError, match=part):
        Pins.model_validate_json(json.dumps({**pins, part: {**pins[part], "later": 1}}))


# --------------------------------------------------------------------------- pieces


def with_a_later_key(wakeup):
    return json.dumps({**wakeup.model_dump(exclude_none=True), "written_by": "0.1"})


def third_version_body(wakeup):
    data = wakeup.model_dump(exclude_none=True)
    return json.dumps({**data, "v": 3, "run": data.pop("run_id")})
