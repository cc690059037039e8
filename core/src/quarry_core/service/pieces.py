"""Work that may take its process down: begun and finished in the ledger, so that the next process knows.

Theory of operation. A row too large for the memory kills its process without an exception: nothing is counted, the
message comes back when its visibility ends, and kills the next one. So each such piece of work (a count, a shard that
is written, settled, a run that is closed) is written down as begun, by the message that asked for it, and taken off
again at every orderly end. If a message comes back and its own mark of an earlier delivery still stands, the worker
died in between: nobody returned the message, and no heartbeat kept it.

A piece in which a worker died is done alone: nothing else that is marked runs beside it in the process, so that the
next death is its own and no neighbour's; and the other pieces of its run wait, or each of them would take its own
processes down. After `deaths_max` deaths of one message's work the piece raises `WorkerKilled`, and the run is set
aside. Whether a process died of its work or was killed by somebody, nobody can tell from its mark; but work that kills
does so each time, and a lost host meets the same piece again only by chance. So a run ends after several deaths, all but
the first of a process that did nothing else: see decision 0061.

What must never count: a return with a word, SIGTERM (marks are withdrawn when the process is told to stop, before it
is killed for being late), a mark that could not be taken off since the ledger did not answer (this process knows its
own, and gives the message up so that no other process meets it), and another message's mark (a wake-up may be in
other hands at the same time).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import structlog

from quarry_core.errors import PortError, Stale, Throttled
from quarry_core.ledger import moves
from quarry_core.ledger.ledger import Ledger
from quarry_core.ledger.rows import BegunRow
from quarry_core.ports import Clock, Message
from quarry_core.service.delivery import DELIVERY
from quarry_core.service.failures import Step
from quarry_core.service.joined import Joined

log = structlog.get_logger()
MARK_TTL_DAYS = 30
STALE_MAX = 8
PIECES_MAX = 100
WAITS_MAX = 3
# What a piece may wait for. A run is not counted any more when it is written, so a mark of that is only left over.
_BESIDE = {
    Step.COUNT: {Step.COUNT},
    Step.SLICE: {Step.SLICE},
    Step.SETTLE: {Step.SETTLE, Step.CLOSE},
    Step.CLOSE: {Step.SETTLE, Step.CLOSE},
}
REMEMBERED_MAX = 1_000


class PieceWaits(PortError):
    """Another piece of the run has its turn first: an outage of its own making."""


class WorkerKilled(Exception):
    """The piece has taken its process down as often as it may."""

    def __init__(self, piece: Piece, deaths: int) -> None:
        super().__init__(f"{deaths} workers died in {piece}")
        self.piece = piece
        self.deaths = deaths


@dataclass(frozen=True, slots=True)
class Piece:
    """What a step works on: a run, and where it has several things to do, which of them."""

    step: Step
    run_id: str
    subject: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.run_id, self.step, self.subject

    def __str__(self) -> str:
        reported = self.subject and self.step not in (Step.ARRIVE, Step.ADMIT)
        return f"{self.step} of {self.subject}" if reported else str(self.step)


@dataclass(frozen=True, slots=True)
class Entry:
    """A message's work on a piece. No token: it was left in order, and only its deaths are remembered."""

    receive_count: int
    token: str
    deaths: int

    @classmethod
    def read(cls, text: str) -> Entry:
        receive_count, token, deaths = text.split("/")
        return cls(int(receive_count), token, int(deaths))

    def __str__(self) -> str:
        return f"{self.receive_count}/{self.token}/{self.deaths}"


class Pieces:
    """The marks of this process. One for each service."""

    def __init__(self, ledger: Ledger, clock: Clock, deaths_max: int) -> None:
        self._ledger = ledger
        self._clock = clock
        self._deaths_max = deaths_max
        self._room = Room()
        self._standing = Joined[str, list[BegunRow]](lambda run_id: ledger.begun_of(run_id, PIECES_MAX))
        self._open: dict[tuple[str, str], tuple[Piece, Entry]] = {}  # by message and token
        self._left = deque[str](maxlen=REMEMBERED_MAX)  # tokens of ours whose mark may stand though they were left
        self._given_up = deque[str](maxlen=REMEMBERED_MAX)  # messages of these
        self._stopping = False

    @contextlib.asynccontextmanager
    async def begun(self, piece: Piece) -> AsyncIterator[None]:
        """Mark the work inside; alone in this process, where a worker has died in it.

        Raises:
            WorkerKilled: before anything is done: it has happened too often.
            PieceWaits: likewise: a worker died in another piece of the run, and that has its turn first.
        """
        message = DELIVERY.get()
        if message is None or self._stopping:
            yield
            return
        begun = {(row.step, row.subject): row for row in await self._standing.look(piece.run_id)}
        row = begun.pop((piece.step, piece.subject), None)
        if row is None and len(begun) >= PIECES_MAX:
            row = await self._ledger.begun(*piece.key)  # it may stand behind those that were read
        deaths = self._deaths(row, message)
        if deaths >= self._deaths_max:
            await self._note(piece, message, row, deaths)
            raise WorkerKilled(piece, deaths)
        suspects = (row for row in begun.values() if 0 < _noted(row) < self._deaths_max and _beside(piece, row))
        first = min((_turn(row.step, row.subject) for row in suspects), default=None)
        if first is not None and (not deaths or first < _turn(piece.step, piece.subject)):
            # Not for ever: it may be done already, and only its mark be left.
            if message.receive_count <= WAITS_MAX:
                raise PieceWaits(f"{piece} waits: a worker died in another piece of the run, which is done first")
            log.warning("waited_enough", piece=piece.step, subject=piece.subject)
        if deaths:
            log.warning("worker_died_before", piece=piece.step, subject=piece.subject, deaths=deaths)
        async with self._room.alone() if deaths else self._room.shared():
            entry = await self._begin(piece, message, row)
            try:
                yield
            except (Exception, asyncio.CancelledError):
                await self._leave(piece, message.id, entry)
                raise
            await self._finish(piece, message.id, entry)

    def gave_up(self, message: Message) -> bool:
        """Whether a mark of this message stands that could not be taken off: it should not come to another process."""
        return message.id in self._given_up

    async def set_aside(self, piece: Piece) -> int:
        """How many workers died in it, if it was set aside for that; else 0."""
        row = await self._ledger.begun(*piece.key)
        deaths = _noted(row) if row else 0
        return deaths if deaths >= self._deaths_max else 0

    async def withdraw(self) -> None:
        """The process is told to stop: whatever becomes of it now is no fault of what it has in hand."""
        self._stopping = True
        held = list(self._open.items())
        await asyncio.gather(*(self._leave(piece, key[0], entry) for key, (piece, entry) in held))

    # ------------------------------------------------------------------ the marks

    def _deaths(self, row: BegunRow | None, message: Message) -> int:
        """The most deaths in the work of any one message, of this one by what its own mark says now."""
        if row is None:
            return 0
        entries = {other: Entry.read(text) for other, text in row.begun.items()}
        mine = entries.pop(message.id, None)
        return max(self._own_deaths(mine, message), *(entry.deaths for entry in entries.values()), 0)

    def _own_deaths(self, mine: Entry | None, message: Message) -> int:
        if mine is None:
            return 0
        # Of this process's own marks none tells of a death: it is at work on some of them, and knows which it left.
        elsewhere = mine.token and mine.token not in self._left and (message.id, mine.token) not in self._open
        return mine.deaths + (1 if elsewhere and mine.receive_count < message.receive_count else 0)

    async def _note(self, piece: Piece, message: Message, row: BegunRow | None, deaths: int) -> None:
        """Write down that it is set aside: no message begins it any more, and no other piece waits for it."""
        text = row.begun.get(message.id) if row else None
        if text is None or not Entry.read(text).token:
            return
        noted = Entry(message.receive_count, "", deaths)
        with contextlib.suppress(Stale):
            await self._ledger.apply(moves.leave_piece(piece.key, message.id, text, str(noted)))

    async def _begin(self, piece: Piece, message: Message, row: BegunRow | None) -> Entry:
        """Mark it. `row` is what was read of it, a moment ago."""
        expires_at = int((self._clock.now() + timedelta(days=MARK_TTL_DAYS)).timestamp())
        token = self._clock.token()
        for _ in range(STALE_MAX):
            text = row.begun.get(message.id) if row else None
            mine = Entry.read(text) if text else None
            if mine is not None and mine.token == token:
                entry = mine  # our own write, whose reply was lost
            else:
                # A worker that is late, with an older delivery in hand, does not take the mark back to that one.
                received = max(message.receive_count, mine.receive_count if mine else 0)
                entry = Entry(received, token, self._own_deaths(mine, message))
                try:
                    await self._ledger.apply(
                        moves.begin_piece(row, piece.key, message.id, str(entry), expires_at=expires_at)
                    )
                except Stale:
                    row = await self._ledger.begun(*piece.key)
                    continue
                except PortError:
                    self._left.append(token)  # it may stand, and nothing was begun
                    self._given_up.append(message.id)
                    raise
            self._open[message.id, token] = (piece, entry)
            return entry
        raise Throttled(f"{piece.step} {piece.subject}: other workers keep starting it")

    async def _leave(self, piece: Piece, message_id: str, entry: Entry) -> None:
        if self._open.pop((message_id, entry.token), None) is None:
            return  # withdrawn already
        left = Entry(entry.receive_count, "", entry.deaths) if entry.deaths else None
        try:
            await self._ledger.apply(moves.leave_piece(piece.key, message_id, str(entry), str(left) if left else ""))
        except Stale:
            pass
        except PortError as error:
            self._left.append(entry.token)
            self._given_up.append(message_id)
            log.warning("mark_not_removed", piece=piece.step, subject=piece.subject, error=str(error))

    async def _finish(self, piece: Piece, message_id: str, entry: Entry) -> None:
        self._open.pop((message_id, entry.token), None)
        try:
            await self._ledger.apply(moves.finish_piece(piece.key, message_id, str(entry)))
        except Stale:
            pass  # withdrawn, or finished by another
        except PortError as error:
            self._left.append(entry.token)
            log.warning("mark_not_removed", piece=piece.step, subject=piece.subject, error=str(error))


def _noted(row: BegunRow) -> int:
    """Deaths in the piece that were noted by now."""
    return max((Entry.read(text).deaths for text in row.begun.values()), default=0)


def _beside(piece: Piece, row: BegunRow) -> bool:
    return row.step in _BESIDE.get(piece.step, ())


def _turn(step: str, subject: str) -> tuple[int, str]:
    """In the order in which a run goes through its steps."""
    return list(Step).index(Step(step)), subject


class Room:
    """Where marked work is done: side by side, or by one alone, for whom the others make room."""

    def __init__(self) -> None:
        self._moved = asyncio.Condition()
        self._inside = 0
        self._alone = False
        self._waiting = 0  # for being alone; who comes after them waits too, or they would never be

    @contextlib.asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._moved:
            await self._moved.wait_for(lambda: not self._alone and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            await self._tell()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._moved:
            self._waiting += 1
            try:
                await self._moved.wait_for(lambda: not self._alone and not self._inside)
                self._alone = True
            finally:
                self._waiting -= 1
                self._moved.notify_all()
        try:
            yield
        finally:
            self._alone = False
            await self._tell()

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()
