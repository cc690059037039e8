"""Marks of work that may kill its process: what counts as a death, and what never does."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from quarry_core.errors import PortError
from quarry_core.ledger.ledger import Ledger
from quarry_core.ports import Message
from quarry_core.service.delivery import DELIVERY
from quarry_core.service.failures import Step
from quarry_core.service.pieces import PIECES_MAX, WAITS_MAX, Piece, Pieces, PieceWaits, WorkerKilled
from tests.world.clock import FakeClock
from tests.world.faults import Crash, Faults
from tests.world.table import FakeTable

PIECE = Piece(Step.COUNT, "r1")
MESSAGE = Message("m1", "body", "receipt")
OTHER = Message("m2", "body", "receipt")


class Hall:
    """One table, and as many processes as a test starts."""

    def __init__(self) -> None:
        self.table = FakeTable()
        self.clock = FakeClock()

    def process(self, faults: Faults | None = None) -> Pieces:
        return Pieces(Ledger(self.table.for_worker(faults or Faults())), self.clock, deaths_max=2)

    async def marks(self):
        row = await Ledger(self.table).begun(*PIECE.key)
        return {} if row is None else dict(row.begun)


@pytest.fixture
def hall():
    return Hall()


@contextlib.contextmanager
def delivered(message: Message, receive_count: int = 1):
    token = DELIVERY.set(replace(message, receive_count=receive_count))
    try:
        yield
    finally:
        DELIVERY.reset(token)


async def work(pieces: Pieces, message: Message, receive_count: int, outcome: BaseException | None = None) -> None:
    with delivered(message, receive_count):
        async with pieces.begun(PIECE):
            if outcome is not None:
                raise outcome


async def dies(hall: Hall, message: Message, receive_count: int) -> None:
    with contextlib.suppress(Crash):
        await work(hall.process(), message, receive_count, Crash("out of memory"))


async def test_what_is_done_leaves_no_mark(hall):
    await work(hall.process(), MESSAGE, 1)
    assert await Ledger(hall.table).begun(*PIECE.key) is None


async def test_a_message_that_comes_back_to_its_own_mark_tells_of_a_death_and_two_are_enough(hall):
    await dies(hall, MESSAGE, 1)
    await dies(hall, MESSAGE, 2)
    with pytest.raises(WorkerKilled) as killed:
        await work(hall.process(), MESSAGE, 3)
    assert killed.value.deaths == 2


@pytest.mark.parametrize("end", [ValueError("a bug"), PortError("away"), asyncio.CancelledError()], ids=repr)
async def test_an_orderly_end_is_no_death_however_often(hall, end):
    for count in range(1, 6):
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await work(hall.process(), MESSAGE, count, end)
    await work(hall.process(), MESSAGE, 6)


async def test_a_death_is_remembered_over_an_orderly_end(hall):
    await dies(hall, MESSAGE, 1)
    with contextlib.suppress(ValueError):
        await work(hall.process(), MESSAGE, 2, ValueError("a bug"))
    await dies(hall, MESSAGE, 3)
    with pytest.raises(WorkerKilled):
        await work(hall.process(), MESSAGE, 4)


async def test_a_late_worker_with_an_older_delivery_does_not_take_the_mark_back(hall):
    with delivered(MESSAGE, 2):
        async with hall.process().begun(PIECE):
            with delivered(MESSAGE, 1), contextlib.suppress(Crash):
                async with hall.process().begun(PIECE):
                    (mark,) = (await hall.marks()).values()
                    raise Crash("late, and then lost")
    assert mark.startswith("2/")


async def test_another_message_at_the_same_time_proves_nothing(hall):
    first, second = hall.process(), hall.process()
    with delivered(MESSAGE):
        async with first.begun(PIECE):
            for number in range(5):
                await work(second, replace(OTHER, id=f"other{number}"), 1)
    await work(hall.process(), MESSAGE, 2)


async def test_one_delivery_that_sqs_hands_out_several_times_at_once_tells_of_no_death(hall):
    with delivered(MESSAGE):
        async with hall.process().begun(PIECE), hall.process().begun(PIECE):
            await work(hall.process(), MESSAGE, 1)


async def test_a_process_that_is_told_to_stop_is_not_blamed_if_it_is_killed_then(hall):
    for count in (1, 2, 3):
        pieces = hall.process()
        with contextlib.suppress(Crash), delivered(MESSAGE, count):
            async with pieces.begun(PIECE):
                await pieces.withdraw()
                raise Crash("SIGKILL after SIGTERM")
    assert await hall.marks() == {}
    await work(hall.process(), MESSAGE, 4)


async def test_what_is_begun_while_stopping_bears_no_mark(hall):
    pieces = hall.process()
    await pieces.withdraw()
    with contextlib.suppress(Crash):
        await work(pieces, MESSAGE, 1, Crash("SIGKILL"))
    assert await hall.marks() == {}


@pytest.mark.parametrize("kind", ["refuse", "lose_reply"])
async def test_a_ledger_that_is_away_at_the_end_is_no_death_and_the_message_is_given_up(hall, kind):
    clean = Faults()
    with contextlib.suppress(ValueError):
        await work(Pieces(Ledger(FakeTable().for_worker(clean)), hall.clock, 2), MESSAGE, 1, ValueError("a bug"))
    pieces = hall.process(Faults({len(clean.calls): kind}))

    with contextlib.suppress(ValueError):
        await work(pieces, MESSAGE, 1, ValueError("a bug"))

    assert pieces.gave_up(MESSAGE), "no other process may meet this message's mark"
    await work(pieces, MESSAGE, 2)  # and this one knows its own


@pytest.mark.parametrize("kind", ["refuse", "lose_reply"])
@pytest.mark.parametrize("call", [1, 2, 3, 4])
async def test_no_fault_of_the_ledger_makes_a_death(hall, kind, call):
    pieces = hall.process(Faults({call: kind}))
    for count in range(1, 5):
        with contextlib.suppress(PortError):
            await work(pieces, MESSAGE, count)
    await work(hall.process(), OTHER, 1)


async def test_a_message_that_comes_again_while_its_own_process_is_still_at_work_tells_of_no_death(hall):
    await dies(hall, MESSAGE, 1)
    pieces = hall.process()
    with delivered(MESSAGE, 2):
        async with pieces.begun(PIECE):  # and its heartbeats are lost
            again = asyncio.create_task(work(pieces, MESSAGE, 3))
            await rest()
    await again
    assert await hall.marks() == {}


async def test_a_death_is_seen_however_many_other_pieces_of_the_run_are_begun(hall):
    last = Piece(Step.SETTLE, PIECE.run_id, "99999")

    async def dies_in(piece: Piece, message: Message, count: int) -> None:
        with contextlib.suppress(Crash), delivered(message, count):
            async with hall.process().begun(piece):
                raise Crash("out of memory")

    for number in range(PIECES_MAX):
        await dies_in(Piece(Step.SETTLE, PIECE.run_id, f"{number:05d}"), replace(OTHER, id=f"other{number}"), 1)
    await dies_in(last, MESSAGE, WAITS_MAX + 1)
    await dies_in(last, MESSAGE, WAITS_MAX + 2)
    with pytest.raises(WorkerKilled), delivered(MESSAGE, WAITS_MAX + 3):
        async with hall.process().begun(last):
            raise AssertionError("it began")


async def test_after_a_death_the_piece_is_done_alone(hall):
    await dies(hall, MESSAGE, 1)
    pieces, order = hall.process(), []

    async def neighbour(name: str, hold: asyncio.Event) -> None:
        with delivered(replace(OTHER, id=name)):
            async with pieces.begun(Piece(Step.COUNT, name)):
                order.append(f"{name} in")
                await hold.wait()
                order.append(f"{name} out")

    async def suspect() -> None:
        with delivered(MESSAGE, 2):
            async with pieces.begun(PIECE):
                order.append("suspect in")
                for _ in range(20):
                    await asyncio.sleep(0)
                order.append("suspect out")

    hold, free = asyncio.Event(), asyncio.Event()
    free.set()
    first = asyncio.create_task(neighbour("a", hold))
    await rest()
    alone = asyncio.create_task(suspect())
    await rest()
    later = asyncio.create_task(neighbour("b", free))
    await rest()
    assert order == ["a in"], "it waits until nobody else is at work"
    hold.set()
    await asyncio.gather(first, alone, later)
    assert order == ["a in", "a out", "suspect in", "suspect out", "b in", "b out"]


async def rest() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_neighbour_of_a_killer_is_cleared_by_its_own_idle_end(hall):
    await dies(hall, MESSAGE, 1)  # both were in the process that died
    await work(hall.process(), MESSAGE, 2)
    await dies(hall, MESSAGE, 3)
    await work(hall.process(), MESSAGE, 4)


async def test_marks_of_messages_that_never_come_back_do_not_pile_up(hall):
    for number in range(100):
        await dies(hall, replace(MESSAGE, id=f"m{number}"), 1)
    assert len(await hall.marks()) <= 17


async def test_the_other_pieces_of_a_run_wait_until_the_one_in_which_a_worker_died_has_had_its_turn(hall):
    await dies(hall, MESSAGE, 1)
    other = Piece(Step.COUNT, PIECE.run_id, "another")
    pieces = hall.process()
    with delivered(MESSAGE, 2):
        async with pieces.begun(PIECE):
            with delivered(OTHER), pytest.raises(PieceWaits):
                async with hall.process().begun(other):
                    raise AssertionError("it began")
            with delivered(OTHER):
                async with hall.process().begun(Piece(Step.SETTLE, "r2", "00000")):
                    pass  # of another run: nobody's neighbour
    with delivered(OTHER):
        async with hall.process().begun(other):
            pass


async def test_a_piece_does_not_wait_for_ever_for_one_that_is_done_and_left_its_mark(hall):
    await dies(hall, MESSAGE, 1)
    with contextlib.suppress(Crash):  # its end was not written down, and nobody will begin it again
        await work(hall.process(), MESSAGE, 2, Crash("killed as it was done"))
    other = Piece(Step.COUNT, PIECE.run_id, "another")
    for count in range(1, WAITS_MAX + 1):
        with delivered(OTHER, count), pytest.raises(PieceWaits):
            async with hall.process().begun(other):
                raise AssertionError("it began")
    with delivered(OTHER, WAITS_MAX + 1):
        async with hall.process().begun(other):
            pass
