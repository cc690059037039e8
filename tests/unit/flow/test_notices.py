"""Every end of a run is told: as an event, and to the webhook where there is one."""

from __future__ import annotations

import contextlib

import pytest

from quarry_core.contract.names import report_page_key
from quarry_core.contract.notices import Notice, run_ended
from quarry_core.errors import PortError, Refused, Unknown
from quarry_core.service.notices import QUEUE
from quarry_core.telemetry import metrics
from tests.unit.flow.acts import play
from tests.unit.flow.test_retry import failing, retry
from tests.world.faults import Crash, Faults
from tests.world.world import SimulatedWorld

HOOK = {
    "webhook_url": "https://hooks.example.com/quarry",
    "webhook_hosts": "hooks.example.com",
    "webhook_key": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}


def told(world: SimulatedWorld) -> list[tuple[str, str]]:
    assert {event.detail_type for event in world.bus.events} == {"Run Ended"}
    return [(event.detail["run_id"], event.detail["state"]) for event in world.bus.events]


def tries(channel: str, outcome: str) -> float:
    return metrics.NOTICES.labels(channel, outcome)._value.get()


async def test_a_run_that_succeeds_is_told_both_ways_under_one_id():
    world = SimulatedWorld(**HOOK)
    run_id = world.send(world.joke())

    await world.run(run_id)
    await world.idle()

    (event,) = world.bus.events
    ((body, headers),) = world.webhook.taken
    assert told(world) == [(run_id, "SUCCEEDED")]
    assert body == {"type": "run.ended", "timestamp": event.detail["ended_at"], "data": event.detail}
    assert headers["webhook-id"] == event.detail["event_id"]
    assert headers["webhook-signature"].startswith("v1,")
    assert event.detail["rows"] == {"accepted": 300, "ok": 300, "error": 0}
    assert (await world.totals(run_id)).ended_at == event.detail["ended_at"]


async def test_without_a_webhook_the_event_alone_is_told():
    world = SimulatedWorld()
    run_id = world.send(world.joke())

    await world.run(run_id)
    await world.idle()

    assert told(world) == [(run_id, "SUCCEEDED")]
    assert world.webhook.taken == []


@pytest.mark.promise("H1")
async def test_the_end_of_a_retry_names_the_version_of_the_dataset_and_only_if_there_is_one():
    world, run_id = await failing(rows=300)
    done = await retry(world, run_id)
    await play(world, done.run_id)
    again = await retry(world, run_id, every=True)
    for key in [key for key in world.objects.bodies if key.startswith("rows/")]:
        world.objects.delete(key)  # so that nothing can be rendered again
    await play(world, again.run_id)

    versions = {event.detail["run_id"]: named(event) for event in world.bus.events}
    assert versions == {run_id: (1, run_id), done.run_id: (2, run_id), again.run_id: (None, None)}
    page = world.objects.bodies[report_page_key(done.run_id)].decode()
    assert f"Run {run_id}-v2 · version 2 of the dataset of {run_id}, carried over from {run_id}" in page


async def test_what_is_no_version_of_a_dataset_names_none():
    world = SimulatedWorld()
    dry = world.send(world.joke(dry_run=True))
    refused = world.send(world.joke() | {"model_id": "Nobody Knows"})
    await world.idle()

    assert {event.detail["run_id"]: named(event) for event in world.bus.events} == {
        dry: (None, None),
        refused: (None, None),
    }


def named(event) -> tuple[int | None, str | None]:
    return event.detail["version"], event.detail["version_of"]


@pytest.mark.parametrize(
    "changes", [{"model_id": "Nobody Knows"}, {"s3_uri": "s3://world/inputs/not-there.csv"}, {"prompt_id": "no_such"}]
)
async def test_a_refused_run_is_told_too_and_has_no_results(changes):
    world = SimulatedWorld(**HOOK)
    run_id = world.send(world.joke() | changes)

    await world.idle()

    (event,) = world.bus.events
    totals = await world.totals(run_id)
    assert told(world) == [(run_id, "FAILED")]
    assert (event.detail["code"], event.detail["reason"]) == ("REFUSED", totals.message)
    assert (event.detail["results_uri"], event.detail["report_uri"]) == (None, None)
    assert [body["data"] for body, _ in world.webhook.taken] == [event.detail]


async def test_a_source_that_is_refused_while_it_is_counted_is_told_too():
    world = SimulatedWorld(**HOOK)
    world.objects.plant("inputs/bad.csv", b"topic\na\n\xff\xfe\n")
    run_id = world.send(world.joke() | {"s3_uri": "s3://world/inputs/bad.csv"})

    await world.idle()

    assert told(world) == [(run_id, "FAILED")]
    assert (await world.totals(run_id)).step == "count"
    assert len(world.webhook.taken) == 1


@pytest.mark.parametrize("kind", ["crash_before", "crash_after", "lose_reply", "refuse"])
async def test_whatever_goes_wrong_while_a_run_is_refused_it_is_told_under_one_id(kind):
    reached = 0
    for number in range(1, 60):
        world = SimulatedWorld()
        faults = Faults({number: kind})
        world.start({"preprocessor": faults})
        run_id = world.send(world.joke(model_id="Nobody Knows"))
        with contextlib.suppress(Crash, PortError):
            await world.idle()
        if not faults.injected:
            break
        reached += 1
        world.start()
        for _ in range(3):
            world.clock.advance(310)
            await world.idle()

        assert (await world.totals(run_id)).state == "FAILED", faults.injected
        assert len({event.detail["event_id"] for event in world.bus.events}) == 1, faults.injected
    assert reached > 8


async def test_a_host_that_does_not_answer_keeps_no_run_and_nobody_elses_work():
    world = SimulatedWorld(**HOOK)
    world.webhook.failing = Unknown("webhook hooks.example.com: ConnectTimeoutError")
    run_id = world.send(world.joke())

    totals = await world.run(run_id)
    await world.idle()

    assert totals.state == "SUCCEEDED"
    assert world.webhook.tries >= 1
    before = world.webhook.tries
    world.webhook.failing = None
    for _ in range(10):
        world.clock.advance(300)
        await world.idle()
    assert len(world.webhook.taken) == 1
    assert world.webhook.tries == before + 1
    assert list(world.queues[QUEUE].dead) == []


async def test_a_host_that_never_takes_it_leaves_it_on_the_dead_letter_queue_and_stops_nobody():
    world = SimulatedWorld(**HOOK, notice_attempts_max=3, alike_failures_max=2)
    world.webhook.failing = Refused("webhook hooks.example.com: it answers 401", "401")
    dead = tries("webhook", "dead")
    runs = [world.send(world.joke(rows=100, s3_uri=world.csv(100, f"inputs/{name}.csv"))) for name in "abcd"]
    for run_id in runs:
        await world.run(run_id)

    for _ in range(10):
        world.clock.advance(300)
        await world.idle()

    assert len(world.queues[QUEUE].dead) == len(runs)
    assert all("it answers 401" in message.attributes["quarry_reason"] for message in world.queues[QUEUE].dead)
    assert world.webhook.tries == 3 * len(runs)
    assert tries("webhook", "dead") - dead == len(runs)
    assert not any(consumer.stopped for consumer in world.consumers)


async def test_notices_that_are_given_up_in_a_row_stop_no_consumer():
    """It says nothing of the release that a host outside refuses them; what is wrong by itself still does."""
    world = SimulatedWorld(**HOOK, notice_attempts_max=1, alike_failures_max=2)
    world.webhook.failing = Refused("webhook hooks.example.com: it answers 401", "401")
    for number in range(6):
        world.queues[QUEUE].put(Notice(notice="webhook", detail=detail(number)).body())
    await world.idle()

    assert world.webhook.tries == 6
    assert len(world.queues[QUEUE].dead) == 6
    assert not any(consumer.stopped for consumer in world.consumers)
    for _ in range(3):
        world.queues[QUEUE].put('{"v": 2, "step": "sing"}')
    await world.idle()
    assert any(consumer.stopped for consumer in world.consumers)


def detail(number: int) -> dict:
    return run_ended(
        env="test",
        bucket="world",
        run_id=f"run{number}",
        state="SUCCEEDED",
        code="",
        step="",
        reason="",
        rows={},
        ended_at="2026-11-30T10:00:00+00:00",
        since="2026-11-30T10:00:00+00:00",
    )


async def test_a_notice_for_a_webhook_that_is_gone_is_dropped():
    world = SimulatedWorld(**HOOK)
    world.webhook.failing = Unknown("not now")
    run_id = world.send(world.joke())
    await world.run(run_id)
    await world.idle()

    world.settings = SimulatedWorld().settings
    world.start()
    world.clock.advance(600)
    await world.idle()

    assert world.webhook.taken == []
    assert list(world.queues[QUEUE].dead) == []
