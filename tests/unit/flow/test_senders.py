"""Who sent a manifest is known, also of one that had to wait."""

from __future__ import annotations

from quarry_core.contract.message_attributes import ORIGIN_ATTRIBUTE
from tests.world.world import SimulatedWorld

BEN = "AROAXXXXXXXXXXXXXXXXX:ben"
SERVICE = "AROASERVICE0000000000:task"


def world_of(**changes) -> SimulatedWorld:
    world = SimulatedWorld(**changes)
    world.queues["manifests"].sender = SERVICE
    return world


async def sender_of(world: SimulatedWorld, run_id: str) -> tuple[str, list[str]]:
    run = await world.ledger.run(run_id)
    assert run is not None
    entries = await world.ledger.audit_entries(world.clock.now().isoformat()[:7])
    return run.sender, [each.by for each in entries if each.run_id == run_id]


async def test_the_sender_is_kept_with_the_run_and_in_the_trail():
    world = world_of()
    run_id = world.send(world.joke(), sender=BEN)
    await world.idle()

    assert await sender_of(world, run_id) == (BEN, [BEN])


async def test_of_a_manifest_that_waits_it_is_who_sent_the_first_message():
    world = world_of(open_runs_max=1)
    first = world.send(world.joke(), sender=BEN)
    await world.idle()
    waiting = world.send(world.joke(s3_uri=world.csv(300, "inputs/b.csv")), sender="AIDAANNA")
    await world.idle()
    assert await world.ledger.run(waiting) is None
    for _ in range(3):
        world.clock.advance(61)
        await world.idle()

    await world.run(first)
    for _ in range(3):
        world.clock.advance(61)
        await world.idle()

    assert await sender_of(world, waiting) == ("AIDAANNA", ["AIDAANNA"])


async def test_nobody_is_somebody_else_by_an_attribute():
    """An origin id is anybody's to write; who is behind it is what a service wrote down."""
    world = world_of()
    run_id = world.send(world.joke(), sender=BEN, **{ORIGIN_ATTRIBUTE: "0" * 32, "quarry_sender": "AIDAANNA"})
    await world.idle()

    assert await sender_of(world, run_id) == (BEN, [BEN])


async def test_a_manifest_that_comes_twice_is_kept_once():
    world = world_of()
    world.send(world.joke(run_id="twice"), sender=BEN)
    world.send(world.joke(run_id="twice"), sender="AIDAANNA")
    await world.idle()

    assert await sender_of(world, "twice") == (BEN, [BEN])


async def test_where_nobody_says_who_sent_it_nothing_is_made_up():
    world = SimulatedWorld()
    run_id = world.send(world.joke())
    await world.idle()

    assert await sender_of(world, run_id) == ("", [])
