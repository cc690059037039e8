"""What many tasks want at once becomes one request, and nobody is told what was read before they asked."""

from __future__ import annotations

import asyncio

import pytest

from quarry_core.errors import Throttled
from quarry_core.ports import Message
from quarry_core.service.joined import ACK_WITHIN_S, ACKS_MAX, Acks, Joined
from tests.world.clock import FakeClock
from tests.world.faults import Faults
from tests.world.queue import FakeQueue


class Reads:
    """A look that ends when the test says so."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ends: list[asyncio.Future[int]] = []

    async def look(self, key: str) -> int:
        self.began.append(key)
        self.ends.append(asyncio.get_running_loop().create_future())
        return await self.ends[-1]


async def settle_down() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_comes_while_a_look_is_under_way_shares_the_next_one():
    reads = Reads()
    joined = Joined(reads.look)
    first = asyncio.create_task(joined.look("run"))
    await settle_down()
    later = [asyncio.create_task(joined.look("run")) for _ in range(3)]
    await settle_down()
    assert reads.began == ["run"], "what began before they asked may be older than what they want to know"

    reads.ends[0].set_result(1)
    await settle_down()
    assert reads.began == ["run", "run"]
    reads.ends[1].set_result(2)
    assert [await first, *[await each for each in later]] == [1, 2, 2, 2]

    again = asyncio.create_task(joined.look("run"))
    await settle_down()
    reads.ends[2].set_result(3)
    assert await again == 3


async def test_each_key_has_looks_of_its_own():
    reads = Reads()
    joined = Joined(reads.look)
    tasks = [asyncio.create_task(joined.look(key)) for key in ("a", "b")]
    await settle_down()
    assert sorted(reads.began) == ["a", "b"]
    for number, end in enumerate(reads.ends):
        end.set_result(number)
    assert [await task for task in tasks] == [0, 1]


async def test_a_look_that_fails_fails_for_all_who_wait_for_it_and_for_nobody_after():
    reads = Reads()
    joined = Joined(reads.look)
    both = [asyncio.create_task(joined.look("run")) for _ in range(2)]
    await settle_down()
    reads.ends[0].set_exception(Throttled("busy"))
    for task in both:
        with pytest.raises(Throttled):
            await task
    after = asyncio.create_task(joined.look("run"))
    await settle_down()
    reads.ends[1].set_result(7)
    assert await after == 7


async def test_who_is_cancelled_takes_the_look_from_nobody():
    reads = Reads()
    joined = Joined(reads.look)
    one, other = (asyncio.create_task(joined.look("run")) for _ in range(2))
    await settle_down()
    one.cancel()
    await settle_down()
    reads.ends[0].set_result(5)
    assert await other == 5


# --------------------------------------------------------------------------- acknowledgements


class Counted(Faults):
    """What was asked, and the size of each request."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def before(self, name: str, args: tuple = ()) -> int:
        if name == "queue.ack_all":
            self.sizes.append(len(args[1]))
        return super().before(name, args)


@pytest.fixture
def clock():
    return FakeClock(auto_advance=False)


async def received(queue: FakeQueue, count: int) -> list[Message]:
    for number in range(count):
        queue.put(str(number))
    taken: list[Message] = []
    while len(taken) < count:
        taken += await queue.receive(10, 0)
    return taken


async def test_acknowledgements_go_ten_by_a_request_and_none_waits_longer_than_a_moment(clock):
    faults = Counted()
    queue = FakeQueue("work", clock, faults=faults)
    acks = Acks(queue, clock)
    tasks = [asyncio.create_task(acks.ack(message)) for message in await received(queue, 23)]
    await settle_down()
    assert faults.sizes == [ACKS_MAX, ACKS_MAX]
    assert len(queue.bodies) == 3

    await clock.run_for(ACK_WITHIN_S)
    await asyncio.gather(*tasks)
    assert faults.sizes == [ACKS_MAX, ACKS_MAX, 3]
    assert not queue.bodies


async def test_one_that_comes_after_a_full_request_waits_its_own_moment(clock):
    faults = Counted()
    queue = FakeQueue("work", clock, faults=faults)
    acks = Acks(queue, clock)
    messages = await received(queue, 11)
    early = [asyncio.create_task(acks.ack(message)) for message in messages[:10]]
    await settle_down()
    await clock.run_for(ACK_WITHIN_S / 2)
    late = asyncio.create_task(acks.ack(messages[10]))
    await settle_down()
    await clock.run_for(ACK_WITHIN_S / 2)
    assert faults.sizes == [10], "it was sent by the clock of those before it"
    await clock.run_for(ACK_WITHIN_S / 2)
    await asyncio.gather(*early, late)
    assert faults.sizes == [10, 1]


async def test_whoever_waits_is_told_that_a_request_failed(clock):
    queue = FakeQueue("work", clock, faults=Faults({4: "refuse"}))
    messages = await received(queue, 3)
    while len(queue._faults.calls) < 3:
        await queue.backlog()
    acks = Acks(queue, clock)
    tasks = [asyncio.create_task(acks.ack(message)) for message in messages]
    await settle_down()
    await clock.run_for(ACK_WITHIN_S)
    for task in tasks:
        with pytest.raises(Throttled):
            await task
    assert len(queue.bodies) == 3
