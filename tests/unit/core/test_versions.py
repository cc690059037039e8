"""Old and new side by side: message versions N and N-1, keys that are not known yet, and ledger items of later code."""

from __future__ import annotations

import json

import pytest

from quarry_core.contract import messages
from quarry_core.contract.messages import Doorbell, NotAMessage, UnknownVersion, read_doorbell
from quarry_core.contract.run import Pins
from quarry_core.ledger import rows
from quarry_core.service.consumer import Consumer
from quarry_core.service.process import BELL_TRIES_MAX, consumer_limits
from quarry_core.service.verdicts import DONE
from quarry_core.service.wakeups import heed
from tests.world.clock import FakeClock
from tests.world.house import House, settings
from tests.world.queue import FakeQueue

ROLL_S = 3_600
BELL = {"kind": "settle", "run_id": "r1", "shard": "00002"}


def second_version(data):
    """How a release after this one may write what is a doorbell today: another name for one of its keys."""
    return Doorbell.model_validate({**data, "run_id": data["run"]})


@pytest.fixture
def next_release(monkeypatch):
    """From here on this process reads as the next release does."""
    return lambda: monkeypatch.setattr(messages, "READERS", {1: messages.READERS[1], 2: second_version})


# --------------------------------------------------------------------------- one message


def test_what_is_written_today_is_read_today():
    assert max(messages.READERS) == messages.VERSION
    bell = Doorbell(kind="slice", run_id="r1", slice=3)
    assert read_doorbell(bell.body()) == bell


def test_there_is_a_reader_for_this_version_and_none_older_than_the_one_before():
    assert set(messages.READERS) <= {messages.VERSION, messages.VERSION - 1}


def test_the_next_release_reads_both_versions(next_release):
    next_release()

    old = read_doorbell(json.dumps({"v": 1, **BELL}))
    new = read_doorbell(json.dumps({"v": 2, "kind": "settle", "run": "r1", "shard": "00002"}))

    assert (old.kind, old.run_id, old.shard) == (new.kind, new.run_id, new.shard) == ("settle", "r1", "00002")


def test_keys_that_are_not_known_yet_are_ignored():
    assert read_doorbell(json.dumps({"v": 1, **BELL, "trace": {"id": "x"}, "hurry": True})).shard == "00002"


@pytest.mark.parametrize("version", [2, 3, 99])
def test_a_later_version_is_not_ours_to_judge(version):
    with pytest.raises(UnknownVersion, match=f"version {version}; this code knows 1"):
        read_doorbell(json.dumps({"v": version, "whatever": [1]}))


@pytest.mark.parametrize("version", [0, -1, None, "1", 1.5, True, [1]])
def test_what_no_release_will_ever_read_is_poison(version):
    with pytest.raises(NotAMessage, match=r"^v: "):
        read_doorbell(json.dumps({"v": version, **BELL}))


def test_what_is_nested_too_deep_to_be_read_is_poison():
    with pytest.raises(NotAMessage, match="nested more than 500 deep"):
        read_doorbell("[" * 100_000)


def test_two_releases_later_the_first_version_is_poison_that_names_it(monkeypatch):
    monkeypatch.setattr(messages, "READERS", {2: second_version, 3: second_version})

    with pytest.raises(NotAMessage, match="version 1 is no longer read; this code knows 2 and 3"):
        read_doorbell(json.dumps({"v": 1, **BELL}))


# --------------------------------------------------------------------------- an old consumer and a new producer


@pytest.mark.promise("L6")
async def test_an_old_consumer_returns_a_later_version_unharmed_for_longer_than_a_roll_takes(next_release):
    clock, heard = FakeClock(), []
    queue = FakeQueue("collector", clock)

    async def answer(bell):
        heard.append(bell)
        return DONE

    limits = consumer_limits(settings(), 1)
    consumer = Consumer(queue, lambda message: heed(message, answer), limits, clock, "settle")
    body = '{"v": 2, "kind": "settle", "run": "r1", "shard": "00002"}'
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
    assert sum(pauses) > BELL_TRIES_MAX, "it is given up as a bell that meets only failures would be"
    assert any(pauses[:3][1:]), "the second try does not come soon"
    next_release()
    clock.advance(consumer_limits(settings(), 1).retry_after_max_s)
    assert (await consumer.run_once()).done == 1
    assert [bell.run_id for bell in heard] == ["r1"]


@pytest.mark.promise("L2", "S3")
async def test_new_consumers_finish_a_run_that_old_producers_ring_for(next_release, monkeypatch):
    next_release()
    monkeypatch.setattr(Doorbell, "body", with_a_later_key)
    house = House()
    run_id = house.send(house.joke(300))

    totals = await house.run(run_id)

    assert (totals.state, totals.ok) == ("SUCCEEDED", 300)
    assert not any(queue.dead for queue in house.queues.values())


@pytest.mark.promise("L2", "S3")
async def test_old_consumers_wait_for_the_roll_and_a_run_that_new_producers_ring_for_succeeds(
    next_release, monkeypatch
):
    monkeypatch.setattr(Doorbell, "body", second_version_body)
    house = House()
    run_id = house.send(house.joke(300))
    for _ in range(20):
        await house.quiet()
        house.clock.advance(61)
        await house.scheduler.sweeper.sweep()
    assert (await house.totals(run_id)).state == "ACCEPTED", "an old consumer has read what it does not know"
    assert not any(queue.dead for queue in house.queues.values())

    next_release()
    house.start()
    totals = await house.run(run_id)

    assert (totals.state, totals.ok) == ("SUCCEEDED", 300)
    assert not any(queue.dead for queue in house.queues.values())


# --------------------------------------------------------------------------- the ledger


@pytest.mark.promise("L2", "S3")
async def test_old_code_goes_on_with_items_to_which_later_code_has_added():
    house = House()
    run_id = house.send(house.joke(300))
    await house.quiet()
    for item in house.table.items.values():
        item["later"] = "than this code"
    run = house.table.items[rows.run_key(run_id)]
    pins = json.loads(run[rows.PINNED])
    later = {**pins, "later": 1, "source": {**pins["source"], "later": 1}}
    run[rows.PINNED] = json.dumps(later)
    house.start()

    totals = await house.run(run_id)

    assert (totals.state, totals.ok) == ("SUCCEEDED", 300)


@pytest.mark.promise("L2", "S3")
async def test_a_run_of_the_release_before_whose_prompt_stands_among_its_pins_goes_on():
    house = House()
    run_id = house.send(house.joke(300))
    while not any(key == rows.run_key(run_id) for key in house.table.items):
        await house.consumers[0].run_once()
    item, text = (house.table.items.pop(key) for key in (rows.run_key(run_id), rows.text_key(run_id)))
    pins = {**json.loads(item[rows.PINNED]), **json.loads(text["text"])}
    kept = {name: item[name] for name in ("run_id", "manifest_hash", "accepted_at")}
    house.table.items[rows.run_key(run_id)] = {**kept, "pins": json.dumps(pins)}
    totals = house.table.items[rows.totals_key(run_id)]
    house.table.items[rows.totals_key(run_id)] = {name: totals[name] for name in totals if name != "text_days"}

    totals = await house.run(run_id)

    assert (totals.state, totals.ok) == ("SUCCEEDED", 300)
    assert "Tell" in house.table.items[rows.run_key(run_id)]["pins"]


async def test_code_that_looks_for_a_prompt_among_the_pins_finds_no_pins_rather_than_none():
    house = House()
    run_id = house.send(house.joke(300))
    await house.quiet()
    assert "pins" not in house.table.items[rows.run_key(run_id)], (
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


def with_a_later_key(bell):
    return json.dumps({**bell.model_dump(exclude_none=True), "written_by": "0.1"})


def second_version_body(bell):
    data = bell.model_dump(exclude_none=True)
    return json.dumps({**data, "v": 2, "run": data.pop("run_id")})
